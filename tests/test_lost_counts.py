"""No count is lost between tasks: ``x.count += await ...`` reads the count, waits, and drops what others add."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for name in ("strava_async", "examples", "benchmarks") for path in sorted((ROOT / name).rglob("*.py"))]


def lossy(source: str) -> list[int]:
    """Return the lines that add what they wait for to something that outlives the call, or is another function's."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        outer = {name for each in function.body if isinstance(each, ast.Nonlocal | ast.Global) for name in each.names}
        for each in ast.walk(function):
            if isinstance(each, ast.AugAssign) and any(isinstance(part, ast.Await) for part in ast.walk(each.value)):
                is_own = isinstance(each.target, ast.Name) and each.target.id not in outer
                if not is_own:
                    found.append(each.lineno)
    return sorted(set(found))


@pytest.mark.parametrize(
    ("line", "is_lossy"),
    [
        ("self.count += await f()", True),
        ("counts[0] -= 1 + await f()", True),
        ("nonlocal_count += await f()", True),
        ("own += await f()", False),
        ("self.count += 1", False),
    ],
)
def test_what_loses_a_count_is_found(line: str, is_lossy: bool) -> None:
    source = (
        f"def outer():\n    nonlocal_count = 0\n    async def g():\n        nonlocal nonlocal_count\n        {line}\n"
    )
    assert lossy(source) == ([5] if is_lossy else [])


def test_nothing_of_ours_loses_a_count() -> None:
    assert len(FILES) > 300
    assert {str(path.relative_to(ROOT)): lines for path in FILES if (lines := lossy(path.read_text()))} == {}
