"""The webhook events that are not finished: in lanes, and counted for each athlete."""

from dataclasses import replace

import pytest

from strava_async.webhooks import WebhookEvent
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.pending import GrantState, PendingEvent
from strava_async.webhooks.unfinished import Unfinished

CREATED = WebhookEvent("activity", 5, "create", 7, 9, 1)
REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"})


def job(event: WebhookEvent, at: int = 1) -> PendingEvent:
    return PendingEvent(replace(event, event_time=at), 0.0, 0.0)


def test_the_first_event_of_an_object_makes_a_lane_and_the_last_ends_it() -> None:
    unfinished = Unfinished(Owners())
    first, second = job(CREATED, 1), job(CREATED, 2)
    lane = unfinished.add(first)
    assert lane is not None
    assert unfinished.add(second) is None
    assert unfinished.events == [first, second]
    assert [unfinished.remove(lane), unfinished.remove(lane)] == [first, second]
    assert unfinished.lanes == []


def test_what_is_finished_or_cleared_makes_room() -> None:
    unfinished = Unfinished(Owners(most_unfinished=1))
    for take_out in (lambda lane: unfinished.remove(lane), lambda lane: unfinished.clear()):
        lane = unfinished.add(job(CREATED))
        assert not unfinished.has_room(CREATED)
        assert unfinished.has_room(REMOVED)
        take_out(lane)
        assert unfinished.has_room(CREATED)


def test_the_second_deauthorization_of_an_athlete_gives_way_to_a_third() -> None:
    unfinished = Unfinished(Owners())
    first, second, third = (job(REMOVED, at) for at in (1, 2, 3))
    assert not unfinished.supersede(first)
    unfinished.add(first)
    assert not unfinished.supersede(second)
    unfinished.add(second)
    assert unfinished.supersede(third)
    assert unfinished.events == [first, third]


@pytest.mark.parametrize(
    "state",
    [
        *[{"claimed": True}, {"restored": True}],
        *[{"grant_state": GrantState.DELETED}, {"grant_state": GrantState.UNKNOWN}],
    ],
)
def test_one_about_which_something_was_done_does_not(state: dict[str, object]) -> None:
    unfinished = Unfinished(Owners())
    unfinished.add(job(REMOVED, 1))
    second = job(REMOVED, 2)
    for name, value in state.items():
        setattr(second, name, value)
    unfinished.add(second)
    assert not unfinished.supersede(job(REMOVED, 3))


def test_other_events_never_give_way() -> None:
    unfinished = Unfinished(Owners())
    for at in (1, 2):
        unfinished.add(job(CREATED, at))
    assert not unfinished.supersede(job(CREATED, 3))


def test_the_oldest_is_the_one_that_waits_longest_for_a_worker() -> None:
    unfinished = Unfinished(Owners())
    assert unfinished.oldest_ready_at() is None
    for number, ready_at in enumerate((30.0, None, 20.0), start=1):
        lane = unfinished.add(job(replace(CREATED, object_id=number)))
        assert lane is not None
        lane.events[0].ready_at = ready_at
    assert unfinished.oldest_ready_at() == 20.0
    unfinished.lanes[2].events.clear()  # as another thread may see it
    assert unfinished.oldest_ready_at() == 30.0
