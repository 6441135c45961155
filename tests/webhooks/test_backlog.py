"""An event that outlives its process, as JSON and as what two processes know of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async import InputError
from strava_async.webhooks import GrantState, PersistedEvent, WebhookEvent

REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"})


def event(number: int = 1, at: int = 1) -> WebhookEvent:
    return WebhookEvent("activity", number, "create", 7, 9, at)


names = st.text(st.characters(), min_size=1, max_size=9)
numbers = st.integers(1, 2**63 - 1)
kept_events = st.builds(
    PersistedEvent,
    st.builds(
        WebhookEvent, names, numbers, names, numbers, numbers, numbers, st.dictionaries(names, names, max_size=3)
    ),
    st.floats(0, 1e11),
    st.booleans(),
    st.sampled_from(GrantState),
    st.dictionaries(names, st.integers(0, 99), max_size=2),
)


@given(kept=kept_events)
def test_a_persisted_event_survives_json(kept: PersistedEvent) -> None:
    assert PersistedEvent.from_json(kept.to_json()) == kept
    assert kept.to_json().isascii()


@pytest.mark.parametrize(
    "changes",
    [{"event": None}, {"event": {}}, {"accepted_at": "1"}, {"claimed": None}, {"forgotten": 1}, {"accepted_at": None}]
    + [{"failures": failures} for failures in (None, [], {"trouble": True}, {"trouble": -1}, {"trouble": 1.0})],
)
def test_an_invalid_persisted_event_is_refused(changes: dict[str, Any]) -> None:
    value = json.loads(PersistedEvent(event(), 1.0).to_json())
    with pytest.raises(InputError):
        PersistedEvent.from_json(json.dumps({**value, **changes}))


def test_what_was_kept_before_failures_were_counted_has_none() -> None:
    value = json.loads(PersistedEvent(event(), 1.0, failures={"trouble": 2}).to_json())
    del value["failures"]
    assert PersistedEvent.from_json(json.dumps(value)) == PersistedEvent(event(), 1.0)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "null"])
def test_a_persisted_event_has_to_be_an_object(text: str) -> None:
    with pytest.raises(InputError):
        PersistedEvent.from_json(text)


@pytest.mark.parametrize("one", GrantState)
@pytest.mark.parametrize("other", GrantState)
def test_of_two_the_further_counts(one: GrantState, other: GrantState) -> None:
    merged = PersistedEvent(REMOVED, 1.0, grant_state=one).merged(PersistedEvent(REMOVED, 1.0, grant_state=other))
    order = [GrantState.INTACT, GrantState.UNKNOWN, GrantState.DELETED]
    assert merged.grant_state is max(one, other, key=order.index)
