"""Any history of processes that share a quota: nothing is over a limit, nobody waits for ever or asks all the time."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strava_async.quota.fleet.messages import NOTHING, OVERALL, READ
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.quota.values import Priority
from strava_async.testing.meters import MeterLimits, Meters
from tests.quota.fleet.simulation import FleetDesk, FleetWorld, Place
from tests.quota.simulation import MIDNIGHT, Job

SECONDS = [0.02, 0.15, 0.3, 1.0, 4.0, 11.0, 70.0]
WAYS = {"usual": (0.06, 0.09), "ragged": (0.01, 2.0), "slow": (0.5, 20.0)}  # seconds to Strava, and back
WHO = st.integers(0, 8)


class Processes(RuleBasedStateMachine):
    """Processes that come, ask, die, pause, lose replies and repeat calls; a server that counts what it gets.

    Attributes:
        windows: how many windows' worth of requests there are at the most.
        allowed: how many more than there is room for may be under way, after what nobody can know of.
    """

    windows = 4

    @initialize(
        seed=st.integers(0, 1 << 16),
        limit=st.sampled_from([20, 33, 100]),
        before_midnight=st.floats(0, 2_000),
        processes=st.integers(1, 5),
        warm=st.booleans(),
    )
    def begin(self, seed: int, limit: int, before_midnight: float, processes: int, warm: bool) -> None:
        self.limits = MeterLimits(2 * limit, 20 * limit, limit, 10 * limit)
        self.way = WAYS["usual"]
        self.world = FleetWorld(
            seed=seed,
            start=MIDNIGHT - before_midnight,
            meters=Meters(self.limits),
            latency=lambda rng: rng.uniform(*self.way),
        )
        self.place = Place(self.world)
        self.place.keeps_history = True
        self.desks: list[FleetDesk] = []
        self.jobs: list[tuple[FleetDesk, Job]] = []
        self.allowed = 0
        self.unheard: dict[str, int] = {}  # who has not called since the store was emptied, with what each held then
        self.quarter = self.looked = 0
        for _ in range(processes):
            self.join(skew=0.0)
        if warm:
            for who in range(processes):
                self.ask(who, 5, "read", Priority.NORMAL, "usual")
                self.run(0.5)

    # -- what happens -------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.desks) < 9)
    @rule(skew=st.floats(-60, 60))
    def join(self, skew: float) -> None:
        self.desks.append(FleetDesk(self.place, f"p{len(self.desks)}", skew=skew))

    def desk(self, who: int) -> FleetDesk:
        return self.desks[who % len(self.desks)]

    @precondition(lambda self: len(self.jobs) < self.windows * self.limits.read_15min)
    @rule(
        who=WHO,
        count=st.integers(1, 40),
        kind=st.sampled_from(["read", "read", "read", "upload"]),
        priority=st.sampled_from(Priority),
        way=st.sampled_from(["usual", "usual", *WAYS]),
    )
    def ask(self, who: int, count: int, kind: str, priority: Priority, way: str) -> None:
        desk = self.desk(who)
        self.way = WAYS[way]
        jobs = [Job(self.world.now, "upload" if kind == "upload" else "read", priority) for _ in range(count)]
        self.world.add(desk, jobs)
        self.jobs += [(desk, job) for job in jobs]

    @rule(who=st.lists(WHO, min_size=2, max_size=9), count=st.integers(5, 60), seconds=st.sampled_from(SECONDS))
    def ask_in_several(self, who: list[int], count: int, seconds: float) -> None:
        for each in who:
            if len(self.jobs) < self.windows * self.limits.read_15min:
                self.ask(each, count, "read", Priority.NORMAL, "usual")
        self.run(seconds)

    @rule(seconds=st.sampled_from(SECONDS))
    def wait(self, seconds: float) -> None:
        self.run(seconds)

    @rule(after=st.floats(-0.5, 1.5))
    def wait_for_the_boundary(self, after: float) -> None:
        self.run(max(0.01, 900 - self.world.server_time(self.world.now) % 900 + after))

    @precondition(lambda self: sum(desk.is_alive for desk in self.desks) > 2)
    @rule(who=WHO)
    def kill(self, who: int) -> None:
        self.desk(who).kill()

    @rule(who=WHO)
    def pause(self, who: int) -> None:
        self.desk(who).pause()

    @rule(who=WHO)
    def suspend(self, who: int) -> None:
        self.desk(who).suspend()

    @rule(who=WHO)
    def go_on(self, who: int) -> None:
        self.desk(who).go_on()

    @rule(which=st.integers(0, 1 << 16))
    def cancel(self, which: int) -> None:
        waiting = [(desk, job) for desk, job in self.jobs if desk.is_alive and job.done_at is None]
        if waiting:
            desk, job = waiting[which % len(waiting)]
            if not desk.is_paused and not job.cancelled:
                self.world.cancel(desk, job, self.world.now)
                self.run(0.01)

    @rule(share=st.sampled_from([0.3, 1.0]), seconds=st.sampled_from(SECONDS))
    def lose_replies(self, share: float, seconds: float) -> None:
        self.place.loses = share
        self.run(seconds)
        self.place.loses = 0.0

    @rule(seconds=st.sampled_from(SECONDS))
    def be_away(self, seconds: float) -> None:
        self.place.is_down = True
        self.run(seconds)
        self.place.is_down = False

    @rule(rtt=st.sampled_from([0.001, 0.001, 0.1, 3.0]))
    def be_slow(self, rtt: float) -> None:
        self.place.rtt = rtt

    @rule(share=st.sampled_from([0.0, 0.3]))
    def lose_answers(self, share: float) -> None:
        def spoil(rng: random.Random, fields: dict[str, str]) -> dict[str, str] | None:
            return fields if rng.random() >= share else rng.choice([None, {"Date": fields["Date"]}, {}])

        self.world.spoil = spoil

    @rule(which=st.integers(0, 1 << 16))
    def repeat_a_call(self, which: int) -> None:
        reports = self.place.reports
        if reports:
            report = reports[-1 - which % len(reports)]
            row = self.place.fleet.rows.get(report.process)
            if row is not None and report.count <= row.count:
                after, reply = sync(self.place.fleet, report, int(self.world.now * 1_000))
                assert reply.stale == (report.count < row.count)
                # What it gets is what is kept for it.
                assert reply.granted == NOTHING or report.held.plus(reply.granted) == row.held
                assert after is self.place.fleet

    @rule(calls=st.sampled_from([1, 5, 1 << 20]))
    def lose_writes(self, calls: int) -> None:
        """Empty the store, or put a replica in its place."""
        history = self.place.history
        if len(history) <= calls:
            self.allow_for_blind_grants()
            self.place.fleet, self.quarter = Fleet(), 0
            known = {report.process for report in self.place.reports}
            self.unheard |= {
                desk.name: desk.ledger.overall.out + desk.ledger.lease.free[OVERALL]
                for desk in self.desks
                if desk.name in known
            }
            return
        self.place.fleet = behind = history[-1 - calls]
        # What was granted in calls that no caller has seen may be granted again: nobody can know of it. The place may
        # have been emptied since, which makes it no better known.
        granted: Counter[str] = Counter()
        for known in history[-calls:]:
            for process, row in known.rows.items():
                granted[process] = max(granted[process], row.held.overall + row.done.overall)
        for process, count in granted.items():
            row = behind.rows.get(process)
            self.allowed += max(0, count - (0 if row is None else row.held.overall + row.done.overall))

    def allow_for_blind_grants(self) -> None:
        """Allow for what an emptied store grants before those who knew of it have called again.

        That is one unit, to find out, or ten after a second; what they hold is in no number either.
        """
        calls = list(zip(self.place.reports, self.place.history, strict=True))
        for report, fleet in calls[self.looked :]:
            self.unheard.pop(report.process, None)
            if fleet.quarter > self.quarter > 0:
                self.unheard.clear()
            self.quarter = fleet.quarter
            granted = fleet.rows[report.process].held.overall - report.held.overall
            if self.unheard and granted > 0:
                self.allowed += sum(self.unheard.values()) + (0 if fleet.has_number else granted)
                self.unheard = dict.fromkeys(self.unheard, 0)
        self.looked = len(calls)

    # -- what always holds --------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        until = self.world.now + seconds
        step = seconds if seconds > 100 else min(seconds, 0.25)
        while self.world.now < until:
            self.world.at(min(until, self.world.now + step), lambda: None)
            self.world.run(*self.desks, until=min(until, self.world.now + step))
            self.leased_and_confirmed_are_within_the_limits()

    @invariant()
    def leased_and_confirmed_are_within_the_limits(self) -> None:
        if not hasattr(self, "place"):
            return
        now, world = self.world.now, self.world
        self.allow_for_blind_grants()
        # Whoever had to go on alone may have cost one.
        allowed = self.allowed + sum(len(desk.alone) for desk in self.desks)
        assert len(world.rejections) <= allowed
        used = world.meters.usage(world.server_time(now))
        self.place.under_way = [each for each in self.place.under_way if each[0] > now]
        free = [0, 0]
        for desk in self.desks:
            lease = desk.ledger.lease
            if desk.is_alive and now - desk.lag < lease.until:
                free[READ] += lease.free[READ]
                free[OVERALL] += lease.free[OVERALL]
        reads = free[READ] + sum(reads for _, reads in self.place.under_way) - allowed
        overall = free[OVERALL] + len(self.place.under_way) - allowed
        if reads > 0:
            assert used["read_15min"] + reads <= self.limits.read_15min
            assert used["read_day"] + reads <= self.limits.read_day
        if overall > 0:
            assert used["overall_15min"] + overall <= self.limits.overall_15min
            assert used["overall_day"] + overall <= self.limits.overall_day

    def teardown(self) -> None:
        if not hasattr(self, "place"):
            return
        self.world.spoil = None
        for desk in self.desks:
            desk.go_on()
        self.world.at(self.world.now, lambda: None)
        days, calls = 2 + len(self.jobs) // self.limits.read_day, self.place.calls
        self.world.run(*self.desks, until=self.world.now + 86_400 * days)
        waiting = [job for desk, job in self.jobs if desk.is_alive and job.done_at is None and not job.cancelled]
        lost = [job for job in waiting if job.started_at is not None]
        assert len(waiting) == len(lost), "somebody waits for ever"
        # Nor does anybody ask for long: a few times in a window, and about each request. How often, each desk sees to.
        assert self.place.calls - calls <= 10 * 96 * days * len(self.desks) + 10 * len(self.jobs)


class Disturbed(Processes):
    """The same with others who spend, limits that change, wrong numbers and odd refusals: nobody waits for ever."""

    @rule(count=st.integers(1, 50), over=st.sampled_from([0.0, 1.0, 300.0]))
    def others_spend(self, count: int, over: float) -> None:
        for index in range(count):
            self.world.foreign(self.world.now + over * index / count)

    @rule(times=st.sampled_from([0.5, 1.0, 2.0]))
    def change_the_limits(self, times: float) -> None:
        limits = self.limits
        self.world.meters.limits = MeterLimits(
            int(limits.overall_15min * times),
            int(limits.overall_day * times),
            int(limits.read_15min * times),
            int(limits.read_day * times),
        )

    @rule(share=st.sampled_from([0.05, 1.0]), usage=st.integers(0, 300), day=st.integers(0, 3_000))
    def tell_wrong_numbers(self, share: float, usage: int, day: int) -> None:
        def spoil(rng: random.Random, fields: dict[str, str]) -> dict[str, str]:
            wrong = {"X-RateLimit-Usage": f"{usage},{day}", "X-ReadRateLimit-Usage": f"{usage},{day}"}
            return {**fields, **wrong} if rng.random() < share else fields

        self.world.spoil = spoil

    @rule(share=st.sampled_from([0.0, 0.05, 1.0]))
    def refuse(self, share: float) -> None:
        self.world.refuses = (lambda: self.world.rng.random() < share) if share else None

    def leased_and_confirmed_are_within_the_limits(self) -> None:
        """Nothing is promised here."""

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.world.refuses = None
            self.change_the_limits(1.0)
        super().teardown()


Processes.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
Disturbed.TestCase.settings = Processes.TestCase.settings
TestProcesses = Processes.TestCase
TestDisturbed = Disturbed.TestCase


class LongProcesses(Processes):
    """The same for longer, and over days that are spent."""

    windows = 25


class LongDisturbed(Disturbed):
    """The same for longer, and over days that are spent."""

    windows = 25


LongProcesses.TestCase.settings = LongDisturbed.TestCase.settings = settings(
    max_examples=600, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLongProcesses = pytest.mark.long(LongProcesses.TestCase)
TestLongDisturbed = pytest.mark.long(LongDisturbed.TestCase)
