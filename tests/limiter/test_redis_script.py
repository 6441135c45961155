"""The script for Redis is put together from pieces that are written to be read."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from strava_async.limiter.redis_layout import FLEET, NEW_STATE, REPORT, STATE, Layout
from strava_async.limiter.redis_script import PIECES, compiled, script
from strava_async.quota.fleet.messages import Report
from strava_async.quota.fleet.state import Fleet

TAILS = {"a": "", "b": "  return 1\n", "c": "  e()\n", "d": "  return 2\n", "e": "  if z then return end\n"}
MOST_BYTES = 40_000  # it is sent once, and again after a SCRIPT FLUSH


def test_every_piece_is_in_the_package_and_in_the_script() -> None:
    folder = resources.files("strava_async.limiter")
    assert {f"fleet_{piece}.lua" for piece in PIECES} == {
        each.name for each in folder.iterdir() if each.name.endswith(".lua")
    }
    assert all(f"function {name}(" in script() for name in ("call", "count_row", "fair_part"))


def test_no_comment_constant_or_field_is_left() -> None:
    text = script()
    assert "--" not in text
    assert not re.search(r"\b(fleet|report|row|requests|sum|doubt)\.", text)
    words = set(re.findall(r"\b[A-Z][A-Z_]+\b", re.sub(r"'[^']*'", "", text)))
    assert words == {"KEYS", "ARGV"}
    assert len(text) < MOST_BYTES


def test_constants_and_fields_become_numbers() -> None:
    text = "local ONE, TWO = 1, 2\n-- why\nlocal function f(m)\n  return fleet.at + fleet.usage[m] + TWO -- how\nend\n"
    at, usage = FLEET.places["at"][0], FLEET.places["usage"][0]
    assert compiled(text) == f"local f\nfunction f(m)\n  return fleet[{at}] + fleet[{usage - 1} + m] + 2\nend\n"


def test_what_is_called_once_stands_where_it_is_called() -> None:
    twice, valued, once, ends = "a()\na()\n", "local x = b()\n", "if y then\n  c()\nend\n", "return d()\n"
    bodies = "".join(f"local function {name}()\n  f(1)\n{end}end\n" for name, end in TAILS.items())
    text = compiled(bodies + twice + valued + once + ends)
    assert text.startswith("local a, b, e\nfunction a()\n  f(1)\nend\nfunction b()\n  f(1)\n  return 1\nend\n")
    assert text.endswith(
        "a()\na()\nlocal x = b()\nif y then\n  do\n  f(1)\n  e()\n  end\nend\ndo\n  f(1)\n  return 2\nend\n"
    )


@pytest.mark.parametrize("field", ["fleet.nothing", "fleet.usage", "fleet.at[1]", "row.reserve"])
def test_a_field_that_is_none_or_has_another_size_is_refused(field: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        compiled(f"local function f()\n  return {field}\nend\n")


def test_the_classes_are_the_list_of_fields() -> None:
    assert len(FLEET.flat(Fleet())) == FLEET.size
    assert len(REPORT.flat(Report("p", 1))) == REPORT.size
    assert len(NEW_STATE) == STATE.size
    assert Fleet(**FLEET.fields(FLEET.flat(Fleet()), {})) == Fleet()
    assert Layout([("a", 1), ("b", 2)]).followed_by("c").places == {"a": (1, 1), "b": (2, 2), "c": (4, 1)}
