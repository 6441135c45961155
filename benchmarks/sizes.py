"""The package's long functions and modules: ``python -m benchmarks.sizes``.

Printed are the functions of more than 40 lines, without docstring and blank lines, and the modules of more than 300,
counting all lines; the largest first, with the number of each.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
FUNCTION_LINES = 40
MODULE_LINES = 300


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield the functions of a source with their lines: what is inside counts, docstrings and blank lines do not."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            yield node.name, _filled(node, lines) - (_filled(node.body[0], lines) if documented else 0)


def _filled(node: ast.stmt, lines: list[str]) -> int:
    return sum(bool(text.strip()) for text in lines[node.lineno - 1 : node.end_lineno])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description="Print what is large.")
    parser.add_argument("--tree", type=Path, default=CHECKOUT, help="a checkout (default: the one of this command)")
    tree: Path = parser.parse_args().tree
    long_functions: list[tuple[int, str]] = []
    long_modules: list[tuple[int, str]] = []
    for path in sorted((tree / "strava_async").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(tree).as_posix()
        long_functions += [(size, f"{name}: {of}") for of, size in functions(source) if size > FUNCTION_LINES]
        if (size := len(source.splitlines())) > MODULE_LINES:
            long_modules.append((size, name))
    for what, found in (
        (f"functions of more than {FUNCTION_LINES} lines", long_functions),
        (f"modules of more than {MODULE_LINES} lines", long_modules),
    ):
        print(f"{what}: {len(found)}")
        for size, name in sorted(found, reverse=True):
            print(f"  {size:4}  {name}")


if __name__ == "__main__":
    main()
