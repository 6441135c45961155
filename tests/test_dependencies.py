"""What pyproject.toml says of other packages: floors at the fixes that are known, bounds where majors may break."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    requirement
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in group
    if not requirement.startswith("strava-async")
]
# The last fix of an advisory, or of a fault that the suite meets; pyproject.toml has their names.
FIXED = {
    "aiohttp": "3.14.4",
    "anyio": "4.16",
    "cryptography": "50",
    "fastapi": "0.140.12",
    "h11": "0.16",
    "jinja2": "3.1.6",
    "orjson": "3.11.6",
    "pyarrow": "23.0.1",
    "pytest": "9.0.3",
    "python-multipart": "0.0.31",
    "sqlalchemy": "2.1.6",
    "starlette": "1.3.1",
    "trio": "0.32",
    "typer": "0.26.1",
}
# Why they are is said in pyproject.toml.
UNBOUNDED = {"cryptography", "numpy", "pandas", "pyarrow", "ruff", "mypy"}


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~ ]", requirement)[0]


def floor_of(requirement: str) -> tuple[int, ...]:
    found = re.search(r">=([0-9.]+)", requirement)
    return tuple(map(int, found[1].split("."))) if found else ()


@pytest.mark.parametrize("name", FIXED)
def test_no_floor_lies_below_the_last_fix(name: str) -> None:
    floors = [floor_of(requirement) for requirement in REQUIREMENTS if name_of(requirement) == name]
    assert floors
    assert min(floors) >= tuple(map(int, FIXED[name].split(".")))


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_each_has_a_floor_and_what_may_break_a_bound(requirement: str) -> None:
    assert floor_of(requirement)
    assert (",<" in requirement) != (name_of(requirement) in UNBOUNDED)


def test_what_is_used_directly_is_named_by_the_extra_that_uses_it() -> None:
    extras = {name: set(map(name_of, group)) for name, group in PROJECT["optional-dependencies"].items()}
    assert "starlette" in extras["fastapi"] & extras["testing"]
