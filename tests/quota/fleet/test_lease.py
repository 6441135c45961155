"""A lease never outlives: a process stops a second before what it holds is anybody else's. By its own clock."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from strava_async.quota.fleet.ledger import FleetLedger
from strava_async.quota.fleet.messages import NONE, UNKNOWN, Reply, Report, Spent, Wants
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.quota.values import Priority, QuotaClass
from tests.quota.fleet.simulation import FleetDesk, Harvesters
from tests.quota.simulation import TEN_O_CLOCK, Job

LEASE = 10.0
NOW = 1_000.0


class Holder:
    """A process with a monotonic clock of its own, and a place that grants it what it asks for."""

    def __init__(self) -> None:
        self.now = NOW
        self.ledger = FleetLedger("a", NOW, TEN_O_CLOCK + 300, random=lambda: 0.5, reserve=0.2, lease_seconds=LEASE)
        self.fleet = Fleet()
        self.ledger.take(self.call(Wants(normal=1)), self.now)
        self.start()

    def call(self, wants: Wants) -> Reply:
        """Ask; return a reply that grants five reads more than anybody knows of, whatever was said."""
        return self.answer(self.ledger.report(wants, self.now))

    def answer(self, report: Report) -> Reply:
        self.fleet, reply = sync(self.fleet, report, int(self.now * 1_000))
        return replace(reply, granted=Spent(5, 5), poll_ms=-1)

    def holds(self) -> bool:
        self.ledger.roll_windows(self.now)
        return self.ledger.admits(QuotaClass.READ, Priority.NORMAL, self.now)

    def start(self) -> None:
        self.ledger.book(QuotaClass.READ, Priority.NORMAL, self.now)

    def sleep(self, seconds: float) -> None:
        """Let the machine sleep: its monotonic clock stands still."""
        self.ledger.note_sleep(seconds, self.now)


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.mark.parametrize(("seconds", "holds"), [(0.0, True), (8.9, True), (9.0, False), (11.0, False), (3_600, False)])
def test_units_are_void_a_second_before_the_lease_ends(holder: Holder, seconds: float, holds: bool) -> None:
    holder.now += seconds
    assert holder.holds() == holds


@pytest.mark.parametrize(("under_way", "seconds"), [(0.0, 9.0), (4.0, 5.0), (8.9, 0.1), (9.0, 0.0), (30.0, 0.0)])
def test_a_lease_begins_when_it_was_asked_for_and_not_with_the_reply(
    holder: Holder, under_way: float, seconds: float
) -> None:
    holder.now += 20
    reply = holder.call(Wants(normal=1))
    holder.now += under_way
    holder.ledger.take(reply, holder.now)
    assert holder.holds() == (seconds > 0)
    holder.now += seconds
    assert not holder.holds()


@pytest.mark.parametrize(("awake", "asleep"), [(4.0, 5.0), (0.0, 9.0), (8.5, 0.6), (0.0, 3_600.0)])
def test_a_lease_goes_on_while_the_machine_sleeps(holder: Holder, awake: float, asleep: float) -> None:
    holder.now += awake
    assert holder.holds()
    holder.sleep(asleep)
    assert not holder.holds()
    # And the process asks at once.
    assert holder.ledger.due(Wants(normal=1), holder.now) <= holder.now


def test_a_lease_goes_on_while_the_machine_sleeps_with_a_call_under_way(holder: Holder) -> None:
    holder.now += 20
    reply = holder.call(Wants(normal=1))
    holder.sleep(8.5)
    holder.now += 0.2
    holder.ledger.take(reply, holder.now)
    assert holder.holds()
    holder.now += 0.3
    assert not holder.holds()


def test_a_unit_that_comes_back_late_is_void(holder: Holder) -> None:
    entry = holder.ledger.book(QuotaClass.READ, Priority.NORMAL, holder.now)
    holder.now += 9.5
    holder.ledger.release(entry, holder.now)
    assert not holder.holds()


def test_a_call_that_fails_prolongs_nothing(holder: Holder) -> None:
    holder.now += 5
    holder.ledger.report(Wants(normal=1), holder.now)
    holder.ledger.fail(holder.now)
    holder.now += 3.9
    assert holder.holds()
    holder.now += 0.1
    assert not holder.holds()


def test_that_the_place_was_away_is_told_also_where_a_process_goes_on_alone_while_a_call_is_under_way(
    holder: Holder,
) -> None:
    holder.ledger.report(Wants(normal=1), holder.now)
    holder.ledger.fail(holder.now)
    holder.now += 20
    # Others may have started something, where this one has not.
    report = holder.ledger.report(Wants(normal=1), holder.now)
    assert report.alone
    holder.start()
    holder.ledger.take(holder.answer(report), holder.now)
    assert holder.ledger.report(Wants(), holder.now).alone
    holder.ledger.take(holder.call(Wants()), holder.now)
    assert not holder.ledger.report(Wants(), holder.now).alone


@pytest.mark.parametrize(("status", "used", "refused"), [(429, 101, 101), (429, 99, NONE), (200, 101, NONE)])
def test_a_number_that_says_full_with_a_429_is_told_as_such(
    holder: Holder, status: int, used: int, refused: int
) -> None:
    entry = holder.ledger.book(QuotaClass.READ, Priority.NORMAL, holder.now)
    fields = {"X-RateLimit-Limit": "200,2000", "X-ReadRateLimit-Limit": "100,1000"}
    usage = {"X-RateLimit-Usage": f"{used},{used}", "X-ReadRateLimit-Usage": f"{used},{used}"}
    date = {"Date": "Tue, 06 Jan 2026 10:05:00 GMT"}
    holder.ledger.settle(entry, status, {**fields, **usage, **date}, holder.now)
    report = holder.ledger.report(Wants(), holder.now)
    assert report.refused == (refused, NONE, NONE, NONE)
    holder.ledger.take(holder.answer(report), holder.now)
    assert holder.ledger.report(Wants(), holder.now).refused == UNKNOWN


def test_what_was_started_alone_while_a_call_was_under_way_is_taken_off_its_grant(holder: Holder) -> None:
    # The place granted all that there was, and knew nothing of it.
    entry = holder.ledger.book(QuotaClass.READ, Priority.NORMAL, holder.now)
    fields = {"X-RateLimit-Limit": "200,2000", "X-ReadRateLimit-Limit": "100,1000"}
    usage = {"X-RateLimit-Usage": "2,2", "X-ReadRateLimit-Usage": "2,2"}
    date = {"Date": "Tue, 06 Jan 2026 10:05:00 GMT"}
    holder.ledger.settle(entry, 200, {**fields, **usage, **date}, holder.now)
    holder.ledger.report(Wants(normal=1), holder.now)
    holder.ledger.fail(holder.now)
    holder.now += LEASE
    reply = holder.call(Wants(normal=1))
    assert holder.holds()
    holder.start()
    holder.ledger.take(reply, holder.now + 0.1)
    assert holder.ledger.lease.free == [4, 4]


@pytest.mark.parametrize("sleeps", [False, True], ids=["stopped", "asleep"])
@pytest.mark.parametrize("seconds", [8.0, 11.0, 80.0])
def test_who_was_stopped_starts_nothing_that_is_the_others_by_now(seconds: float, sleeps: bool) -> None:
    fleet = Harvesters(100, processes=2, tasks=0)
    one, other = fleet.desks
    fleet.world.add(one, [Job(fleet.world.now) for _ in range(12)])
    fleet.run(0.01)
    # Units in hand, which nobody uses.
    fleet.world.add(one, [Job(fleet.world.now)])
    fleet.run(0.0005)
    assert one.ledger.lease.free[0] > 0
    stop(one, sleeps)
    fleet.keep_busy(other, 100)
    fleet.run(seconds / 900)
    late = [Job(fleet.world.now) for _ in range(50)]
    fleet.world.add(one, late)
    one.go_on()
    fleet.run(0.5)
    assert fleet.refusals == 0
    assert fleet.place.breaches == 0
    assert sum(fleet.world.served.values()) == 100


# -- units that nobody uses --------------------------------------------------------------------------------------------


def ask(fleet: Harvesters, desk: FleetDesk, count: int, *, over: float = 0.0, max_wait: float = math.inf) -> list[Job]:
    now, rng = fleet.world.now, fleet.world.rng
    instants = [now + over * rng.random() for _ in range(count)]
    return fleet.world.add(desk, [Job(instant, deadline=instant + max_wait) for instant in instants])


def warm(fleet: Harvesters) -> None:
    """Get past slow start, and past the seconds after a turn."""
    ask(fleet, fleet.desks[-1], 1)
    fleet.run(0.2 / 900)
    ask(fleet, fleet.desks[-1], 7)
    fleet.run(6 / 900)


@pytest.mark.parametrize("gap", [0.4, 0.7, 1.2])
@pytest.mark.parametrize(("idle", "waiting"), [(4, 4), (7, 1), (2, 6)])
@pytest.mark.parametrize("limit", [20, 40, 100])
def test_what_idle_processes_have_in_hand_is_used_by_calls_that_wait_two_seconds_at_the_most(
    limit: int, idle: int, waiting: int, gap: float
) -> None:
    fleet = Harvesters(limit, processes=idle + waiting, tasks=0)
    idlers, others = fleet.desks[:idle], fleet.desks[idle:]
    warm(fleet)
    for desk in idlers:
        ask(fleet, desk, 3, over=0.2)
    fleet.run(gap / 900)
    for desk in others:
        ask(fleet, desk, 2 * limit // waiting, over=0.3, max_wait=2.0)
    fleet.run(60 / 900)
    assert (
        fleet.used_now() >= limit - limit // 100
    )  # the last unit may be kept for who asks when its calls have given up
    # And nobody asks any more.
    calls = fleet.place.calls
    fleet.run(200 / 900)
    assert fleet.place.calls == calls


def test_a_process_that_is_alone_keeps_what_it_has_in_hand_for_a_while() -> None:
    fleet = Harvesters(100, processes=1, tasks=0)
    warm(fleet)
    ask(fleet, fleet.desks[0], 3, over=0.2)
    fleet.run(1.5 / 900)
    assert fleet.desks[0].ledger.lease.free[0] > 0


def test_calls_that_may_wait_for_what_others_hold_are_not_refused_at_once() -> None:
    fleet = Harvesters(20, processes=2, tasks=0)
    one, other = fleet.desks
    warm(fleet)
    ask(fleet, one, 1)
    fleet.run(2 / 900)
    # All that is left is under way for ten seconds.
    for job in ask(fleet, one, 11):
        job.there = 10.0
    fleet.run(1 / 900)
    (late,) = ask(fleet, other, 1, max_wait=60.0)
    fleet.run(5 / 900)
    assert late.started_at is None
    assert not late.refused
    fleet.run(10 / 900)
    # Once it is known that nothing comes back.
    assert late.refused


@pytest.mark.parametrize("max_wait", [3.0, math.inf], ids=["timed out", "cancelled"])
def test_that_nothing_waits_any_more_is_told_within_a_second(max_wait: float) -> None:
    fleet = Harvesters(20, processes=2, tasks=0)
    one, other = fleet.desks
    warm(fleet)
    ask(fleet, one, 1)
    fleet.run(2 / 900)
    for job in ask(fleet, one, 11):
        job.there = 100.0
    fleet.run(1 / 900)
    (waiting,) = ask(fleet, other, 1, max_wait=max_wait)
    fleet.run(2.9 / 900)
    assert fleet.place.fleet.rows[other.name].wants.total == 1
    if max_wait == math.inf:
        fleet.world.cancel(other, waiting, fleet.world.now + 0.1)
    fleet.run(1.2 / 900)
    assert fleet.place.fleet.rows[other.name].wants.total == 0


def stop(desk: FleetDesk, sleeps: bool) -> None:
    if sleeps:
        desk.suspend()
    else:
        desk.pause()
