"""An event that outlives its process, as JSON and as what two processes know of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async import InputError
from strava_async.fastapi import KeptEvent
from strava_async.webhooks import WebhookEvent

REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"})


def event(number: int = 1, at: int = 1) -> WebhookEvent:
    return WebhookEvent("activity", number, "create", 7, 9, at)


names = st.text(st.characters(), min_size=1, max_size=9)
numbers = st.integers(1, 2**63 - 1)
kept_events = st.builds(
    KeptEvent,
    st.builds(
        WebhookEvent, names, numbers, names, numbers, numbers, numbers, st.dictionaries(names, names, max_size=3)
    ),
    st.floats(0, 1e11),
    st.booleans(),
    st.none() | st.booleans(),
    st.dictionaries(names, st.integers(0, 99), max_size=2),
)


@given(kept=kept_events)
def test_a_kept_event_comes_back_from_json_as_it_was(kept: KeptEvent) -> None:
    assert KeptEvent.from_json(kept.to_json()) == kept
    assert kept.to_json().isascii()


@pytest.mark.parametrize(
    "changes",
    [{"event": None}, {"event": {}}, {"accepted_at": "1"}, {"claimed": None}, {"forgotten": 1}, {"accepted_at": None}]
    + [{"failures": failures} for failures in (None, [], {"trouble": True}, {"trouble": -1}, {"trouble": 1.0})],
)
def test_what_is_no_kept_event_is_refused(changes: dict[str, Any]) -> None:
    value = json.loads(KeptEvent(event(), 1.0).to_json())
    with pytest.raises(InputError):
        KeptEvent.from_json(json.dumps({**value, **changes}))


def test_what_was_kept_before_failures_were_counted_has_none() -> None:
    value = json.loads(KeptEvent(event(), 1.0, failures={"trouble": 2}).to_json())
    del value["failures"]
    assert KeptEvent.from_json(json.dumps(value)) == KeptEvent(event(), 1.0)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "null"])
def test_what_is_no_object_is_no_kept_event(text: str) -> None:
    with pytest.raises(InputError):
        KeptEvent.from_json(text)


@pytest.mark.parametrize("one", [False, None, True])
@pytest.mark.parametrize("other", [False, None, True])
def test_of_two_the_further_counts(one: bool | None, other: bool | None) -> None:
    merged = KeptEvent(REMOVED, 1.0, forgotten=one).merged(KeptEvent(REMOVED, 1.0, forgotten=other))
    assert merged.forgotten is max(one, other, key=[False, None, True].index)
