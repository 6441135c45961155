"""SQL in lower case. In a Turkish locale ``tolower`` makes no "i" of an "I", and Python 3.11's sqlite3 goes by it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SQL = re.compile(
    r"\s*(?:insert|replace|update|delete|select|create|drop|alter|begin|commit|rollback|pragma)\s", re.IGNORECASE
)
WORDS = re.compile(r"\b(?:INSERT|REPLACE|UPDATE|DELETE|SELECT|CREATE|BEGIN|COMMIT|ROLLBACK|PRAGMA|INTO|VALUES|FROM)\b")


def sources() -> Iterator[tuple[str, str]]:
    for folder in ("strava_async", "examples", "benchmarks"):
        for path in sorted(ROOT.joinpath(folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(ROOT.joinpath("docs").glob("*.md"))):
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)):
            yield f"{path.name} {number}", block


def statements(source: str) -> Iterator[str]:
    """Return the texts in a program that are given to SQLite, by the modules that name it."""
    if "sqlite" in source.lower():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
                yield node.value


FOUND = {name: found for name, source in sources() if (found := list(statements(source)))}


def test_there_are_statements_to_look_at() -> None:
    assert {f"strava_async/{name}.py" for name in ("stores/sqlite_rows", "harvest/sqlite_schema")} <= FOUND.keys()
    assert any(name.startswith("fastapi.md") for name in FOUND)


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_statement_is_in_lower_case(name: str) -> None:
    assert [text for text in FOUND[name] if WORDS.search(text)] == []
