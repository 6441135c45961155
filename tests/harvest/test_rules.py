"""The pure rules: plans, list rows, walks, what is due, how far a failure reaches."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from strava_async import errors
from strava_async.errors import InputError
from strava_async.harvest import AthleteState, Held, Kind, Plan, Resource, Row, State, Walk
from strava_async.harvest.agenda import Terms, dues_of, failed_jobs_of, is_due, jobs_of, other_jobs, waiting_of
from strava_async.harvest.failures import InARow, Reach, reach_of
from strava_async.harvest.kinds import OF_ACTIVITIES, RULES, failed_until
from strava_async.harvest.listing import (
    PER_PAGE,
    after_page,
    list_due_at,
    next_walk,
    parameters,
    pass_seconds,
    state_after,
)
from strava_async.harvest.rows import instant_of, read_page, row_of, row_of_detail
from tests.harvest.contract import NOW, made_row

DAY = 86_400.0
WEEK = 7 * DAY
LISTED = AthleteState(walks=3, listed_at=NOW - DAY, complete_at=NOW - 3 * DAY)


# Plans


@pytest.mark.parametrize(
    "arguments",
    [
        {"streams": 1},
        {"since": "2026"},
        {"since": -1.0},
        {"since": float("nan")},
        {"since": True},
        {"since": datetime(2026, 1, 1, tzinfo=UTC)},
        {"sport_types": "Ride"},
        {"sport_types": []},
        {"sport_types": ["Ride", "ride"]},
        {"sport_types": ["Trail Run"]},
        {"sport_types": [None]},
        {"sport_types": [["Ride"]]},
        {"sport_types": 5},
    ],
)
def test_a_plan_is_checked(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Plan(**arguments)


def test_a_plan_names_its_kinds() -> None:
    assert Plan().kinds == {Kind.DETAIL, Kind.STREAMS}
    assert Plan.of(["laps", "list"]).kinds == {Kind.LAPS}
    assert Plan.of(["details"], sport_types=["Ride", "Ride"]).sport_types == {"Ride"}
    names = {field.name for field in dataclasses.fields(Plan)} - {"since", "sport_types"}
    everything = Plan.of(names)
    assert everything.kinds == set(Kind) == set(RULES)
    Plan(since=NOW).check(NOW)
    with pytest.raises(InputError, match="future"):
        Plan(since=NOW * 1000).check(NOW)


# List rows


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-06T10:00:00Z", NOW),
        ("2026-01-06T11:00:00+01:00", NOW),
        ("2026-01-06T10:00:00", NOW),
        ("", None),
        ("yesterday", None),
        (5, None),
        (None, None),
    ],
)
def test_instants(text: object, instant: float | None) -> None:
    assert instant_of(text) == instant


@pytest.mark.parametrize("item", [None, 5, [], {}, {"id": 5}, {"id": True, "start_date": "2026-01-01"}, {"id": "5"}])
def test_what_cannot_be_kept_is_no_row(item: object) -> None:
    assert row_of(item) is None
    assert read_page([item, dict(made_row(1).fields), dict(made_row(1).fields)])[1] == 1
    assert len(read_page([item, dict(made_row(1).fields), dict(made_row(1).fields)])[0]) == 1


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"name": "x"}, {Kind.DETAIL}),
        ({"sport_type": "Run"}, {Kind.DETAIL, Kind.ZONES}),
        ({"distance": 6.5}, {Kind.DETAIL, Kind.STREAMS, Kind.LAPS, Kind.ZONES}),
        ({"map": {"summary_polyline": "b"}}, {Kind.DETAIL, Kind.STREAMS, Kind.LAPS, Kind.ZONES}),
        ({"kudos_count": 3}, {Kind.KUDOS}),
        ({"comment_count": 3}, {Kind.COMMENTS}),
        ({"total_photo_count": 3}, {Kind.PHOTOS}),
        ({"distance": 5}, set()),
        ({"a field of next year": 1, "has_kudoed": True}, set()),
    ],
)
def test_what_differs_in_a_row_says_what_is_fetched_again(change: dict[str, object], kinds: set[Kind]) -> None:
    fields: dict[str, object] = {"distance": 5.0, "kudos_count": 2, "map": {"summary_polyline": "a"}}
    before, after = made_row(1, **fields).activity, made_row(1, **{**fields, **change}).activity
    assert {kind for kind in OF_ACTIVITIES if before.stamps[kind] != after.stamps[kind]} == kinds


def test_a_detail_gives_the_same_row_as_the_list() -> None:
    row = dict(made_row(1, map={"id": "a1", "summary_polyline": "a"}, kudos_count=2, gear_id="b1").fields)
    detail = {**row, "map": {"id": "a1", "summary_polyline": "a", "polyline": "aa"}, "laps": [], "description": "x"}
    assert row_of_detail(detail) == row_of(row)


# Walks


def page(*starts: float) -> list[Row]:
    rows = [made_row(int(start) % 10**6 + 1) for start in starts]
    return [Row(dataclasses.replace(row.activity, start=start), {}) for row, start in zip(rows, starts, strict=True)]


def test_a_walk_goes_from_the_oldest_that_was_seen_and_ends_where_nothing_is_older() -> None:
    walk = Walk(1, NOW, None, NOW + DAY, True)
    assert parameters(walk) == {"before": NOW + DAY + 1, "per_page": 200, "page": 1}
    second = after_page(walk, page(NOW - 1, NOW - 5), 2)
    assert second == dataclasses.replace(walk, before=NOW - 5)
    assert after_page(second, page(NOW - 5), 1) is None
    assert after_page(second, page(NOW - 5, NOW - 5), 2) is None
    assert after_page(second, [], 0) is None


def test_pages_are_counted_where_their_starts_do_not_say_where_the_next_begins() -> None:
    walk = Walk(1, NOW, NOW - WEEK, NOW + DAY, False)
    assert parameters(walk)["after"] == NOW - WEEK - 1
    assert after_page(walk, page(NOW - 5, NOW - 1), 2) == dataclasses.replace(walk, page=2)  # oldest first
    assert after_page(walk, [], 7) == dataclasses.replace(walk, page=2)  # none can be read
    full = page(*[NOW - 5.0] * PER_PAGE)
    later = dataclasses.replace(walk, before=NOW - 5)
    assert after_page(later, full, PER_PAGE) == dataclasses.replace(later, page=2)
    assert after_page(dataclasses.replace(later, page=2), page(NOW - 5, NOW - 9), 2) == dataclasses.replace(
        later, before=NOW - 9
    )


@pytest.mark.parametrize(
    ("state", "plan", "keep", "again", "expected"),
    [
        (AthleteState(), Plan(), None, 0.0, ("complete", None)),
        (AthleteState(), Plan(since=5.0), None, 0.0, ("complete", 5.0)),
        (AthleteState(), Plan(list=False), None, 0.0, None),
        (LISTED, Plan(), None, 0.0, ("recent", NOW - 15 * DAY)),
        (LISTED, Plan(since=NOW - 2 * DAY), None, 0.0, ("recent", NOW - 2 * DAY)),
        (LISTED, Plan(), None, 2 * DAY, None),
        (dataclasses.replace(LISTED, is_list_due=True), Plan(), None, 2 * DAY, ("complete", None)),
        (dataclasses.replace(LISTED, complete_at=NOW - DAY / 3, is_list_due=True), Plan(), None, 2 * DAY, None),
        (dataclasses.replace(LISTED, complete_at=NOW - WEEK), Plan(), None, 2 * DAY, ("complete", None)),
        (dataclasses.replace(LISTED, complete_at=NOW - 6 * DAY), Plan(), WEEK, 0.0, ("complete", None)),
        (dataclasses.replace(LISTED, complete_at=NOW + 60), Plan(), None, 0.0, ("complete", None)),
        (dataclasses.replace(LISTED, complete_after=9.0), Plan(since=8.0), None, 0.0, ("complete", 8.0)),
        (dataclasses.replace(LISTED, complete_after=9.0), Plan(since=9.0), None, 2 * DAY, None),
    ],
)
def test_which_walk_is_next(
    state: AthleteState, plan: Plan, keep: float | None, again: float, expected: tuple[str, float | None] | None
) -> None:
    walk = next_walk(state, plan, NOW, keep, again)
    found = None if walk is None else ("complete" if walk.is_complete else "recent", walk.after)
    assert found == expected


@pytest.mark.parametrize(("keep", "seconds"), [(None, DAY), (30 * DAY, DAY), (7 * DAY, DAY / 2), (60.0, 900.0)])
def test_a_long_run_begins_anew_in_time_but_not_all_the_time(keep: float | None, seconds: float) -> None:
    assert pass_seconds(keep) == seconds


def test_a_walk_that_was_interrupted_goes_on_unless_it_does_not_reach_far_enough() -> None:
    walk = Walk(4, NOW - DAY, None, NOW - 9 * DAY, True)
    assert next_walk(dataclasses.replace(LISTED, walk=walk), Plan(), NOW, None, 0.0) == walk
    short = dataclasses.replace(walk, after=NOW - 5 * DAY)
    begun = next_walk(dataclasses.replace(AthleteState(), walk=short), Plan(), NOW, None, 0.0)
    assert begun is not None
    assert (begun.after, begun.is_complete) == (None, True)
    recent = dataclasses.replace(walk, is_complete=False, after=NOW - 15 * DAY)
    assert next_walk(dataclasses.replace(LISTED, walk=recent), Plan(), NOW, None, 0.0) == recent


def test_what_a_walk_that_ended_says() -> None:
    walk = Walk(4, NOW, 5.0, NOW - DAY, True)
    state = state_after(LISTED, walk, None)
    assert state == AthleteState(walks=4, listed_at=NOW, complete_at=NOW, complete_after=5.0)
    recent = state_after(LISTED, dataclasses.replace(walk, is_complete=False), None)
    assert recent == dataclasses.replace(LISTED, walks=4, listed_at=NOW)
    assert state_after(LISTED, walk, walk) == dataclasses.replace(LISTED, walks=4, walk=walk)
    assert list_due_at(state, Plan(since=6.0), None, DAY) == NOW + DAY
    assert list_due_at(state, Plan(), None, DAY) == 0.0


# What is due

TERMS = Terms(Plan(), NOW, NOW - 6 * DAY)
ROW = made_row(1, distance=5.0)


def known(kind: Kind = Kind.DETAIL, state: State = State.STORED, at: float = NOW, **fields: object) -> Resource:
    stamp = ROW.activity.stamps[kind] if kind in OF_ACTIVITIES else ""
    return dataclasses.replace(Resource(kind, "1", state, at, stamp), **fields)


@pytest.mark.parametrize(
    ("resource", "due"),
    [
        (None, True),
        (known(), False),
        (known(stamp="another"), True),
        (known(at=NOW - 6 * DAY), True),
        (known(state=State.NONE), False),
        (known(state=State.NONE, at=NOW - 6 * DAY), True),
        (known(state=State.PENDING, retry_at=NOW + 1), False),
        (known(state=State.PENDING, retry_at=NOW), True),
        (known(state=State.FAILED, retry_at=NOW + 1), False),
        (known(state=State.FAILED, retry_at=NOW + 1, stamp="another"), True),
        (known(at=NOW + DAY / 2), False),
        (known(at=NOW + WEEK), True),  # by a clock that was wrong
        (known(state=State.FAILED, retry_at=NOW + WEEK), True),
    ],
)
def test_when_something_is_asked_for(resource: Resource | None, due: bool) -> None:
    assert is_due(Kind.DETAIL, ROW.activity, resource, TERMS) == due
    held = Held(ROW.activity, {} if resource is None else {Kind.DETAIL: resource})
    jobs = [job.kind for job in jobs_of(held, TERMS)] + [job.kind for job in failed_jobs_of(held, TERMS)]
    assert (Kind.DETAIL in jobs) == due


def test_jobs_come_with_the_detail_first_and_those_that_failed_apart() -> None:
    failed = known(state=State.FAILED, tries=2, retry_at=NOW)
    assert [job.kind for job in jobs_of(Held(ROW.activity, {}), TERMS)] == [Kind.DETAIL, Kind.STREAMS]
    held = Held(ROW.activity, {Kind.DETAIL: failed})
    assert [job.kind for job in jobs_of(held, TERMS)] == [Kind.STREAMS]
    assert [(job.kind, job.tries) for job in failed_jobs_of(held, TERMS)] == [(Kind.DETAIL, 2)]
    changed = Held(ROW.activity, {Kind.DETAIL: dataclasses.replace(failed, stamp="another")})
    assert [job.tries for job in failed_jobs_of(changed, TERMS)] == [0]  # it is another thing that failed
    later = Held(ROW.activity, {Kind.DETAIL: dataclasses.replace(failed, retry_at=NOW + 9)})
    assert [each.retry_at for each in waiting_of(later, TERMS)] == [NOW + 9]
    assert list(dues_of(later, TERMS)) == [NOW + 9, NOW]


def test_what_a_plan_leaves_out_or_a_row_calls_empty_is_not_asked_for() -> None:
    empty = made_row(1, manual=True, kudos_count=0).activity
    terms = dataclasses.replace(TERMS, plan=Plan.of(["streams", "kudos", "laps"]))
    assert [job.kind for job in jobs_of(Held(empty, {}), terms)] == [Kind.LAPS]
    for plan in (Plan(since=ROW.activity.start + 1), Plan(sport_types=["Run"])):
        assert list(jobs_of(Held(ROW.activity, {}), dataclasses.replace(TERMS, plan=plan))) == []


def test_what_is_of_no_activity_lasts_a_week() -> None:
    terms = Terms(Plan.of(["gear", "stats", "laps"]), NOW, None)
    old = {(Kind.GEAR, "b1"): known(Kind.GEAR, at=NOW - WEEK), (Kind.STATS, "7"): known(Kind.STATS, at=NOW - WEEK + 1)}
    jobs = other_jobs(7, {"b2", "b1"}, old, terms)
    assert [(job.kind, job.key) for job in jobs] == [(Kind.GEAR, "b1"), (Kind.GEAR, "b2")]


# Failures


def fault(kind: type[errors.FaultError], status: int) -> errors.FaultError:
    return kind(status_code=status)


@pytest.mark.parametrize(
    ("error", "kind", "reach"),
    [
        (fault(errors.ServerError, 500), Kind.DETAIL, Reach.ONE),
        (fault(errors.ForbiddenError, 403), Kind.DETAIL, Reach.ONE),
        (errors.DecodeError("no"), None, Reach.ONE),
        (errors.TransportError("no", sent="maybe"), Kind.STREAMS, Reach.ONE),
        (errors.TransportError("no", sent="never"), Kind.STREAMS, Reach.LATER),
        (fault(errors.RateLimitedError, 429), Kind.DETAIL, Reach.LATER),
        (fault(errors.PaymentRequiredError, 402), Kind.ZONES, Reach.KIND),
        (fault(errors.UnauthorizedError, 401), Kind.PHOTOS, Reach.KIND),
        (fault(errors.InsufficientScopeError, 401), Kind.STREAMS, Reach.ATHLETE),
        (fault(errors.UnauthorizedError, 401), None, Reach.ATHLETE),
        (errors.InvalidGrantError("no"), Kind.DETAIL, Reach.ATHLETE),
        (fault(errors.ApplicationInactiveError, 403), Kind.DETAIL, Reach.RUN),
        (errors.InvalidClientError("no"), Kind.DETAIL, Reach.RUN),
        (errors.LimiterError("no"), Kind.DETAIL, Reach.RUN),
        (errors.StoreError("no"), None, Reach.RUN),
    ],
)
def test_how_far_a_failure_reaches(error: errors.StravaError, kind: Kind | None, reach: Reach) -> None:
    assert reach_of(error, kind) == reach


def test_a_dead_grant_during_gear_ends_the_athlete() -> None:
    assert reach_of(errors.InvalidGrantError("no"), Kind.GEAR) == Reach.ATHLETE


def test_failures_in_a_row_are_those_of_requests_one_after_the_other() -> None:
    row = InARow(3)
    numbers = [row.ask() for _ in range(9)]
    for number in (numbers[0], numbers[2], numbers[4], numbers[7], numbers[8]):
        row.add(number)
    assert not row.full
    row.add(numbers[3])
    assert row.full


def test_failures_are_tried_again_ever_later() -> None:
    assert [failed_until(0.0, tries) for tries in (1, 2, 3, 4, 9)] == [900.0, 3600.0, 21600.0, DAY, DAY]
