"""An accepted event in memory: when it came, and what is known of it when its worker was lost."""

import pytest

from strava_async.testing import FakeClock
from strava_async.webhooks import GrantState, PendingEvent, WebhookEvent

EVENT = WebhookEvent("activity", 1, "update", 7, 9, 1)
REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"})


@pytest.mark.parametrize(("ago", "came_ago"), [(0.0, 0.0), (30.0, 30.0), (-30.0, 0.0)])
def test_an_event_came_when_it_was_accepted_and_never_in_the_future(ago: float, came_ago: float) -> None:
    clock = FakeClock()
    pending = PendingEvent.accepted(EVENT, clock.time() - ago, clock)
    assert clock.monotonic() - pending.came_at == came_ago


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [
        (EVENT, GrantState.INTACT, GrantState.INTACT),
        (REMOVED, GrantState.INTACT, GrantState.UNKNOWN),
        (REMOVED, GrantState.UNKNOWN, GrantState.UNKNOWN),
        (REMOVED, GrantState.DELETED, GrantState.DELETED),
    ],
)
def test_an_interrupted_event_counts_as_claimed_and_its_grant_as_unknown(
    event: WebhookEvent, before: GrantState, after: GrantState
) -> None:
    clock = FakeClock()
    pending = PendingEvent.accepted(event, clock.time(), clock)
    pending.grant_state = before
    pending.note_interruption()
    assert (pending.claimed, pending.grant_state) == (True, after)
