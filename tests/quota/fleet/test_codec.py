"""The text of a shared quota: what was written is read, and whatever else is there is a ValueError."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.quota.fleet.codec import LARGEST, dump_fleet, dump_row, load_fleet, load_row
from strava_async.quota.fleet.messages import Spent, Unconfirmed, Wants
from strava_async.quota.fleet.state import Doubt, Fleet, Lost, Row

REQUESTS = Unconfirmed(1, 2, 3, False, 4)
FLEET = Fleet(
    sequence=5,
    at=10,
    usage=(1, 2, 3, 4),
    doubts={2: Doubt(7, 8, "p")},
    lost=(Lost("q", REQUESTS),),
    gone=Spent(1, 2),
)
ROW = Row(1, 2, 3, -1, 5, 6, Spent(1, 2), Spent(3, 4), Wants(1, 2, 3, 4), (REQUESTS,), 1, 4)
# None of these is a value anywhere: neither a number, a flag, a name nor a list.
NEVER: list[Any] = [None, 1.0, 0.5, -2, LARGEST + 1, 10**30, "x" * 101, {}, {"a": 1}, [1], float("nan"), float("inf")]


def test_what_was_written_is_read() -> None:
    assert load_fleet(dump_fleet(FLEET), {"p": ROW}) == replace(FLEET, rows={"p": ROW})
    assert load_fleet(dump_fleet(Fleet()), {}) == Fleet()
    assert load_row(dump_row(ROW)) == ROW


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where the values of lists and dictionaries are, at all depths: in what, and under which key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def load(kind: str, text: str) -> Fleet | Row:
    return load_fleet(text, {}) if kind == "fleet" else load_row(text)


TEXTS = {"fleet": dump_fleet(FLEET), "row": dump_row(ROW)}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("value", NEVER, ids=repr)
def test_what_is_no_value_is_refused_in_every_place(kind: str, value: object) -> None:
    count = len(list(places(json.loads(TEXTS[kind]))))
    for number in range(count):
        state = json.loads(TEXTS[kind])
        container, key = list(places(state))[number]
        container[key] = value
        with pytest.raises(ValueError, match="shared quota"):
            load(kind, json.dumps(state))


@pytest.mark.parametrize("kind", TEXTS)
def test_a_flag_is_no_number_and_a_number_no_flag(kind: str) -> None:
    count = len(list(places(json.loads(TEXTS[kind]))))
    for number in range(count):
        state = json.loads(TEXTS[kind])
        container, key = list(places(state))[number]
        if isinstance(container[key], (bool, int)):
            container[key] = 1 if isinstance(container[key], bool) else True
            with pytest.raises(ValueError, match="shared quota"):
                load(kind, json.dumps(state))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


@given(JSON, st.sampled_from(sorted(TEXTS)))
def test_any_json_is_read_or_a_value_error(value: object, kind: str) -> None:
    try:
        load(kind, json.dumps(value))
    except ValueError:
        return
    assert kind == "row"


@given(JSON, st.sampled_from(sorted(TEXTS)), st.integers(0, 1_000))
def test_any_json_in_any_place_is_read_or_a_value_error(value: object, kind: str, number: int) -> None:
    state = json.loads(TEXTS[kind])
    found = list(places(state))
    container, key = found[number % len(found)]
    container[key] = value
    try:
        loaded = load(kind, json.dumps(state))
    except ValueError:
        return
    # What is read is written as it was.
    text = dump_fleet(loaded) if isinstance(loaded, Fleet) else dump_row(loaded)
    assert json.loads(text) == state


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5_000, b"{}", None, 7, "\ud800"])
def test_what_is_no_json_is_a_value_error(text: object) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        load_fleet(text, {})
    assert not isinstance(caught.value, UnicodeError) or isinstance(text, str)
    with pytest.raises(ValueError, match=r"."):
        load_row(text)


@pytest.mark.parametrize("name", ["heals_until", "ends_at", "late_until", "cooldown_until"])
def test_a_pause_without_end_is_refused(name: str) -> None:
    state = json.loads(TEXTS["fleet"])
    state[name] = [0, 10**12] if name == "cooldown_until" else 10**12
    with pytest.raises(ValueError, match="longer than a day"):
        load_fleet(json.dumps(state), {})


def test_what_is_missing_or_too_much_is_refused() -> None:
    for name in json.loads(TEXTS["fleet"]):
        state = json.loads(TEXTS["fleet"])
        del state[name]
        with pytest.raises(ValueError, match="shared quota"):
            load_fleet(json.dumps(state), {})
    with pytest.raises(ValueError, match="shared quota"):
        load_fleet(json.dumps({**json.loads(TEXTS["fleet"]), "more": 1}), {})
