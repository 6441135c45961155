"""Any history of processes that share a quota: nothing over a limit, and nobody who waits for ever."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strava_async.quota.fleet import sync
from strava_async.quota.fleet_messages import OVERALL, READ
from strava_async.quota.fleet_state import Fleet
from strava_async.quota.values import Priority
from strava_async.testing.meters import MeterLimits, Meters
from tests.quota.fleet_simulation import FleetDesk, Place
from tests.quota.simulation import MIDNIGHT, Job, World

DAYS = 2  # a day's limit is more than all that may be asked for


class Processes(RuleBasedStateMachine):
    """Processes that come, ask, die, pause, lose replies and repeat calls; a server that counts what it gets."""

    @initialize(
        seed=st.integers(0, 1 << 16),
        limit=st.sampled_from([20, 33, 100]),
        before_midnight=st.floats(0, 2_000),
    )
    def begin(self, seed: int, limit: int, before_midnight: float) -> None:
        self.limits = MeterLimits(2 * limit, 20 * limit, limit, 10 * limit)
        self.world = World(seed=seed, start=MIDNIGHT - before_midnight, meters=Meters(self.limits))
        self.place = Place(self.world)
        self.place.keeps_history = True
        self.desks: list[FleetDesk] = []
        self.jobs: list[tuple[FleetDesk, Job]] = []
        self.join(skew=0.0)

    # -- what happens -------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.desks) < 9)
    @rule(skew=st.floats(-60, 60))
    def join(self, skew: float) -> None:
        self.desks.append(FleetDesk(self.place, f"p{len(self.desks)}", skew=skew))

    @precondition(lambda self: len(self.jobs) < 8 * self.limits.read_15min)
    @rule(
        who=st.integers(0, 8),
        count=st.integers(1, 40),
        kind=st.sampled_from(["read", "read", "read", "upload"]),
        priority=st.sampled_from(Priority),
    )
    def ask(self, who: int, count: int, kind: str, priority: Priority) -> None:
        desk = self.desks[who % len(self.desks)]
        jobs = [Job(self.world.now, "upload" if kind == "upload" else "read", priority) for _ in range(count)]
        self.world.add(desk, jobs)
        self.jobs += [(desk, job) for job in jobs]

    @rule(seconds=st.sampled_from([0.02, 0.15, 0.3, 1.0, 4.0, 11.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.run(seconds)

    @rule(after=st.floats(-0.5, 1.5))
    def wait_for_the_boundary(self, after: float) -> None:
        self.run(max(0.01, 900 - self.world.server_time(self.world.now) % 900 + after))

    @rule(who=st.integers(0, 8))
    def kill(self, who: int) -> None:
        self.desks[who % len(self.desks)].kill()

    @rule(who=st.integers(0, 8))
    def pause(self, who: int) -> None:
        self.desks[who % len(self.desks)].pause()

    @rule(who=st.integers(0, 8))
    def go_on(self, who: int) -> None:
        self.desks[who % len(self.desks)].go_on()

    @rule(share=st.sampled_from([0.0, 0.3, 1.0]))
    def lose_replies(self, share: float) -> None:
        # For less than a lease: then they go on alone, about which nothing is promised here.
        self.place.loses = share
        self.run(2.0)
        self.place.loses = 0.0

    @rule(share=st.sampled_from([0.0, 0.3]))
    def lose_answers(self, share: float) -> None:
        self.world.spoil = lambda rng, fields: (
            fields if rng.random() >= share else rng.choice([None, {"Date": fields["Date"]}, {}])
        )

    @rule(which=st.integers(0, 1 << 16))
    def repeat_a_call(self, which: int) -> None:
        reports = self.place.reports
        if reports:
            report = reports[which % len(reports)]
            row = self.place.fleet.rows.get(report.process)
            if row is not None and report.count <= row.count:
                after, reply = sync(self.place.fleet, report, int(self.world.now * 1_000))
                assert reply.stale
                assert after is self.place.fleet

    @rule(calls=st.sampled_from([1, 5, 1 << 20]))
    def lose_writes(self, calls: int) -> None:
        """Empty the store, or put a replica in its place.

        What nobody who calls has seen is lost without a trace, so one who has comes first.
        """
        history = self.place.history
        behind = history[-1 - calls] if len(history) > calls else Fleet()
        witnesses = [
            desk
            for desk in self.desks
            if desk.is_alive and not desk.is_paused and desk.ledger.lease.seen > behind.sequence
        ]
        if not witnesses:
            return
        self.place.fleet = behind
        for desk in witnesses:
            desk.ledger.lease.note_news(0.0)
        self.run(0.1)

    # -- what always holds --------------------------------------------------------------------------------------------

    def run(self, seconds: float, *, checked: bool = True) -> None:
        until = self.world.now + seconds
        step = min(seconds, 0.25) if checked and seconds < 5 else seconds
        while self.world.now < until:
            self.world.at(min(until, self.world.now + step), lambda: None)
            self.world.run(*self.desks, until=min(until, self.world.now + step))
            if checked:
                self.leased_and_confirmed_are_within_the_limits()

    @invariant()
    def leased_and_confirmed_are_within_the_limits(self) -> None:
        if not hasattr(self, "place"):
            return
        now, world = self.world.now, self.world
        used = world.meters.usage(world.server_time(now))
        self.place.under_way = [each for each in self.place.under_way if each[0] > now]
        free = [0, 0]
        for desk in self.desks:
            lease = desk.ledger.lease
            # What a process has in hand is of the window that it is in.
            if desk.is_alive and now < lease.until and desk.ledger.window.quarter == world.server_time(now) // 900:
                free[READ] += lease.free[READ]
                free[OVERALL] += lease.free[OVERALL]
        reads = free[READ] + sum(reads for _, reads in self.place.under_way)
        overall = free[OVERALL] + len(self.place.under_way)
        if reads:
            assert used["read_15min"] + reads <= self.limits.read_15min
            assert used["read_day"] + reads <= self.limits.read_day
        if overall:
            assert used["overall_15min"] + overall <= self.limits.overall_15min
            assert used["overall_day"] + overall <= self.limits.overall_day

    def teardown(self) -> None:
        if not hasattr(self, "place"):
            return
        self.world.spoil = None
        for desk in self.desks:
            desk.go_on()
        assert not self.world.rejections
        self.world.at(self.world.now, lambda: None)
        self.world.run(*self.desks, until=self.world.now + 86_400 * DAYS)
        waiting = [job for desk, job in self.jobs if desk.is_alive and job.done_at is None and not job.cancelled]
        lost = [job for job in waiting if job.started_at is not None]
        assert len(waiting) == len(lost), "somebody waits for ever"


Processes.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestProcesses = Processes.TestCase
