"""The mutants are small, valid changes, the same for the same seed, and have tests to run. None is run here."""

from pathlib import Path

import pytest

from benchmarks.mutants import AREAS, choose, matching
from benchmarks.mutations import places, sample
from benchmarks.sizes import functions

TREE = Path(__file__).parent.parent


def mutants_of(source: str) -> set[str]:
    return {mutation.apply(source) for place in places(source) for mutation in place}


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("a < b", {"a <= b", "a >= b"}),
        ("a is not b", {"a is b"}),
        ("a and b", {"a or b", "a", "b"}),
        ("not a", {"a"}),
        ("é + b", {"é - b"}),
        ("'a' + b", set[str]()),
        ("True", {"False"}),
        ("7", {"8", "6"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = f(a, b)", {"x = f(b, a)"}),
        ("x = isinstance(a, b)", set[str]()),
        ("f()", {"pass"}),
        ("a.b = c", {"pass"}),
        ("a += b", {"a -= b", "pass"}),
        ("if a: b", {"if not a: b"}),
        ("def f(): return a", {"def f(): return None"}),
        ("while a < b:\n    continue", {"while a <= b:\n    continue", "while a >= b:\n    continue"}
            | {"while a < b:\n    break", "while a < b:\n    pass"}),
        ("'''Text.'''\nx: Literal[1]\nf'{1 + 1}'", set[str]()),
        ("if TYPE_CHECKING:\n    x = 1", {"if not TYPE_CHECKING:\n    x = 1"}),
        ("def __init__(self): self.x = y", set[str]()),
    ],
)  # fmt: skip
def test_a_source_has_these_mutants(source: str, mutants: set[str]) -> None:
    assert mutants_of(source) == mutants


def test_a_sample_repeats_nothing_and_is_the_same_for_the_same_seed() -> None:
    sources = {"a": "f(1, 2)\n" * 30, "b": "x = y < 3\n" * 30, "c": "if TYPE_CHECKING:\n    x = y\n" * 30}
    chosen = sample(sources, 40, "12")
    assert len(set(chosen)) == 40
    assert {name for name, _ in chosen} == {"a", "b"}
    assert chosen == sample(sources, 40, "12") != sample(sources, 40, "13")


@pytest.mark.parametrize("area", AREAS)
def test_an_area_has_sources_and_tests(area: str) -> None:
    assert matching(TREE, "strava_async", AREAS[area].sources)
    assert matching(TREE, "tests", AREAS[area].tests)


def test_a_mutant_runs_the_tests_of_its_module_first_and_is_shown() -> None:
    mutants = choose(TREE, 60, 12)
    assert {area: sum(mutant.area == area for mutant in mutants) for area in AREAS} == dict.fromkeys(AREAS, 10)
    for mutant in mutants:
        named = [test for test in mutant.tests if Path(test).stem == f"test_{Path(mutant.path).stem.lstrip('_')}"]
        assert list(mutant.tests[: len(named)]) == named
        assert mutant.diff().startswith(f"{mutant.path}:")


def test_a_function_is_as_long_as_it_is_without_docstring_and_blank_lines() -> None:
    source = 'def f():\n    """Do.\n\n    More.\n    """\n\n    def g():\n        pass\n    g()\n'
    assert dict(functions(source)) == {"f": 4, "g": 2}
