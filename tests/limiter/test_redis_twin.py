"""The script on Redis and the pure function are the same: their states and replies, after every step of a history."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strava_async.quota.fleet import sync
from strava_async.quota.fleet_messages import NONE, NOTHING, UNKNOWN, Numbers, Pair, Reply, Report, Spent, Unconfirmed
from strava_async.quota.fleet_messages import Wants as WantsOf
from strava_async.quota.fleet_state import Fleet
from strava_async.quota.values import Priority
from tests.quota.fleet_simulation import Harvesters
from tests.quota.simulation import ragged
from tests.redis_server import RedisServer, needs_redis

pytestmark = needs_redis

KEYS = ("{strava:7}:quota", "{strava:7}:rows")
MIDNIGHT_QUARTER = 1_963_104 + 96  # the first of a day


class Twins:
    """The function and the script, over one history."""

    def __init__(self, client: Any) -> None:
        from strava_async.limiter.redis_script import script

        self.client = client
        self.client.flushall()
        text = script()
        self.sha = hashlib.sha1(text.encode()).hexdigest()
        self.client.script_load(text)
        self.fleet = Fleet()

    def call(self, report: Report, now: int) -> Reply:
        """Carry out a call in both; they have to agree."""
        from strava_async.limiter.redis_packing import pack_report, unpack_reply

        self.fleet, reply = sync(self.fleet, report, now)
        text = self.client.evalsha(self.sha, 2, *KEYS, report.process, pack_report(report), now)
        assert unpack_reply(text) == reply
        assert comparable(self.read()) == comparable(self.fleet)
        return reply

    def read(self) -> Fleet:
        from strava_async.limiter.redis_packing import unpack_fleet

        rows = {process.decode(): row for process, row in self.client.hgetall(KEYS[1]).items()}
        return unpack_fleet(self.client.hget(KEYS[0], "state"), rows)


def comparable(fleet: Fleet) -> dict[str, Any]:
    """Return a state as something that is equal where the order of what was lost alone is not."""
    state = {each.name: getattr(fleet, each.name) for each in dataclasses.fields(fleet)}
    # The milliseconds of a report have become an instant.
    lost = ((process, requests._replace(ms=0)) for process, requests in fleet.lost if any(requests[:2]))
    return {**state, "lost": sorted(lost)}


@pytest.fixture(scope="module")
def twins_client(server_of_module: RedisServer) -> Iterator[Any]:
    from redis import Redis

    with Redis(port=server_of_module.port) as client:
        yield client


# -- whatever is reported ----------------------------------------------------------------------------------------------

few = st.integers(0, 12)
many = st.one_of(few, st.integers(0, 400))
flags = st.booleans()


@st.composite
def steps(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw a report whose counts and instants are told from the state that it meets; see ``reported``."""
    number = st.one_of(st.just(NONE), st.sampled_from([0, 1, 2, 30, 70, 98, 99, 100, 101, 150, 1_000]), many)
    numbers = st.one_of(st.just(UNKNOWN), st.tuples(number, number, number, number))
    limits = st.one_of(
        st.just(UNKNOWN),
        st.sampled_from([(100, 1_000, 200, 2_000), (100, 1_000, 100, 1_000), (NONE, NONE, 100, 1_000), (0, 0, 0, 0)]),
    )
    ago = st.one_of(st.just(NONE), st.sampled_from([0, 1, 900, 1_600, 70_000]))
    pair = st.tuples(ago, ago)
    wants = st.one_of(st.just((0, 0, 0, 0)), st.tuples(few, many, many, few))
    requests = st.tuples(few, few, ago, flags, st.sampled_from([0, 1, 2_000, 60_000]))
    return draw(
        st.tuples(
            st.sampled_from(["a", "b", "c", "ü"]),
            st.sampled_from([1, 1, 1, 1, 1, 0, -1]),  # of the count
            st.sampled_from([0, 0, 0, 0, 1, 2, 99]),  # calls whose reply was lost
            st.sampled_from([0, 0, 0, 0, 0, -1, 1, 5]),  # of what it has seen
            st.sampled_from([False, False, False, True]),
            st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, -1, 2, 96]),  # of the quarter
            flags,
            st.integers(0, 900_000),
            st.tuples(few, few),
            st.tuples(many, many),
            numbers,
            numbers,
            pair,
            numbers,
            limits,
            ago,
            st.sampled_from([False, False, False, True]),
            st.lists(requests, max_size=3),
            st.one_of(st.just((NONE, NONE)), pair),
            st.sampled_from([0, 0, 60_000]),
            pair,
            st.sampled_from([NONE, NONE, NONE, 0, 50]),
            wants,
            few,
            st.sampled_from([10_000, 10_000, 3_000, 0]),
            st.sampled_from([0, 10_000, 900_000]),
            st.sampled_from([0.2, 0.0, 1.0, 0.33]),
            # How much later it is, by a clock that may be set.
            st.one_of(st.integers(0, 3_000), st.sampled_from([1, 5_000, 61_000, 900_000, 4_000_000, -7_000])),
        )
    )


def reported(step: tuple[Any, ...], fleet: Fleet) -> Report:
    """Return the report of a step."""
    (process, counts, unheard, seen, alone, quarters, sure, ms_left, held, done, numbers, latest, number_at) = step[:13]
    (known, limits, limits_at, assumed, unconfirmed, refused, refused_ms, served, late, wants, in_advance) = step[13:24]
    (lease_ms, row_ms, reserve) = step[24:27]
    row = fleet.rows.get(process)
    count = max(1, (row.count if row else 0) + counts)

    def instant(ago: int) -> int:
        return NONE if ago == NONE else max(0, fleet.at - ago)

    def pair(agos: Pair) -> Pair:
        return instant(agos[0]), instant(agos[1])

    return Report(
        process=process,
        count=count,
        acknowledged=max(0, count - 1 - unheard),
        seen=max(0, fleet.sequence + seen),
        alone=alone,
        quarter=(fleet.quarter or MIDNIGHT_QUARTER - 2) + quarters,
        sure=sure,
        ms_left=ms_left,
        held=Spent(min(held), max(held)),
        done=Spent(min(done), max(done)),
        numbers=numbers,
        latest=latest,
        number_at=pair(number_at),
        known=known,
        limits=limits,
        limits_at=instant(limits_at),
        assumed=assumed,
        unconfirmed=tuple(Unconfirmed(*each[:2], instant(each[2]), *each[3:]) for each in unconfirmed),
        refused_at=pair(refused),
        refused_ms=refused_ms,
        served_at=pair(served),
        late_at=instant(late),
        late_ms=max(0, late) * 100,
        lateness=(late + 1, 2 * late + 2),
        wants=WantsOf(*wants),
        in_advance=in_advance,
        lease_ms=lease_ms,
        row_ms=row_ms,
        reserve=reserve,
    )


def agree(client: Any, history: list[tuple[Any, ...]]) -> None:
    twins, now = Twins(client), 1_767_693_600_000
    for step in history:
        now += step[-1]
        twins.call(reported(step, twins.fleet), now)


SETTINGS = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@given(st.lists(steps(), min_size=1, max_size=25))
@settings(SETTINGS, max_examples=150)
def test_they_agree_on_any_reports(twins_client: Any, history: list[tuple[Any, ...]]) -> None:
    agree(twins_client, history)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@given(st.lists(steps(), min_size=1, max_size=60))
@settings(SETTINGS, max_examples=3_000)
def test_they_agree_on_any_reports_for_minutes(twins_client: Any, history: list[tuple[Any, ...]]) -> None:
    agree(twins_client, history)


# -- what processes report ---------------------------------------------------------------------------------------------


def spoilt(fleet: Harvesters, lost_at: list[int]) -> None:
    """Let answers come late and without fields, replies and the books be lost, processes die, pause and come back."""
    world, place = fleet.world, fleet.place
    world.spoil = lambda rng, fields: None if rng.random() < 0.1 else fields
    world.latency = ragged
    place.loses = 0.05
    world.at(world.now + 30.5, fleet.desks[0].kill)
    world.at(world.now + 61.5, fleet.desks[1].pause)
    world.at(world.now + 85.5, fleet.desks[1].go_on)

    def lose() -> None:
        place.fleet = Fleet()
        lost_at.append(len(place.history))

    world.at(world.now + 120.0, lose)


def plain(fleet: Harvesters, lost_at: list[int]) -> None:
    """Let nothing happen but the work."""


@pytest.mark.parametrize("happens", [plain, spoilt])
@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.BACKGROUND])
@pytest.mark.parametrize("limit", [100, pytest.param(600, marks=pytest.mark.long)])
def test_they_agree_on_what_a_fleet_reports(twins_client: Any, limit: int, priority: Priority, happens: Any) -> None:
    fleet, lost_at = Harvesters(limit, processes=5, tasks=20, priority=priority), list[int]()
    happens(fleet, lost_at)
    fleet.place.keeps_history = True
    fleet.run(1.2)
    assert len(fleet.place.reports) > 50
    twins = Twins(twins_client)
    for index, (report, state) in enumerate(zip(fleet.place.reports, fleet.place.history, strict=True)):
        if index in lost_at:
            twins = Twins(twins_client)
        twins.call(report, state.wall)
        assert comparable(twins.fleet) == comparable(state)


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_large_numbers_are_exact(twins_client: Any) -> None:
    twins, limits = Twins(twins_client), (999_999_999, 999_999_999, 999_999_999, 999_999_999)
    nothing: Numbers = UNKNOWN
    for count in range(1, 9):
        report = Report(
            process="p" * 255,
            count=count,
            acknowledged=count - 1,
            seen=2**50 if count == 5 else 0,
            quarter=MIDNIGHT_QUARTER,
            ms_left=450_000,
            done=Spent(999_999_997, 999_999_998),
            held=NOTHING,
            numbers=(999_999_990, 999_999_991, 999_999_992, 999_999_993) if count > 2 else nothing,
            number_at=(1, 1),
            limits=limits,
            wants=WantsOf(1, 999_999, 999_999, 3),
        )
        twins.call(report, 4_000_000_000_000 + count)
