"""Processes that share a quota, in virtual time: the exact meters of ``simulation``, ``sync`` between real ledgers.

A ``FleetDesk`` is the limiter of one process without its loop: its ledger, its queue, and the calls to a ``Place``
where all meet, which are under way for some time and may be lost. Everything that can go wrong is a method.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from strava_async.limiter.queue import Waiter, WaitQueue
from strava_async.quota.fleet.ledger import FleetLedger
from strava_async.quota.fleet.messages import METERS, NONE, Reply, Report, Wants
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.meters import MeterLimits, Meters, RateClass
from tests.quota.fleet.call_rate import CallRate
from tests.quota.simulation import TEN_O_CLOCK, Client, Job, Latency, World, steady

TIMEOUT_SECONDS = 0.5
PATIENCE_SECONDS = 2.5  # of a client that repeats calls


class FleetWorld(World):
    """A world that counts what each window served, and may refuse for no reason that a number tells.

    Attributes:
        served: the reads served, by window of the counters.
        served_overall: the same of reads and uploads.
        refuses: whether an answer is to be a 429 whatever the meters say; None for never.
        unexplained: the instants of those.
    """

    def __init__(self, *, seed: int, start: float, meters: Meters, latency: Latency = steady) -> None:
        super().__init__(seed=seed, start=start, meters=meters, latency=latency)
        self.served: Counter[int] = Counter()
        self.served_overall: Counter[int] = Counter()
        self.refuses: Callable[[], bool] | None = None
        self.unexplained: list[float] = []

    def _arrive(self, client: Client, job: Job) -> None:
        rejections = job.rejections
        super()._arrive(client, job)
        if job.rejections == rejections:
            window = int(self.counter_time(self.now) // 900)
            self.served[window] += job.reads
            self.served_overall[window] += 1

    def _answer(self, client: Client, job: Job, status: int, headers: dict[str, str] | None) -> None:
        if status == 200 and headers is not None and self.refuses is not None and self.refuses():
            self.unexplained.append(self.now)
            status = 429
        super()._answer(client, job, status, headers)


class Place:
    """Where processes meet: the state, and the way there.

    Attributes:
        calls: how many were carried out.
        is_down: whether calls fail.
        loses: the share of replies that are lost on the way back.
        repeats: whether the client carries out a call without a reply again, as redis-py does unless told otherwise.
        breaches: grants after which leased and confirmed were more than a limit.
    """

    def __init__(self, world: World, *, rtt: float = 0.001) -> None:
        self.world = world
        self.rtt = rtt
        self.fleet = Fleet()
        self.calls = 0
        self.is_down = False
        self.loses = 0.0
        self.repeats = False
        self.breaches = 0
        self.history: list[Fleet] = []
        self.keeps_history = False
        self.reports: list[Report] = []
        self.under_way: list[tuple[float, bool]] = []

    def call(self, desk: FleetDesk, report: Report) -> None:
        world = self.world
        if self.is_down:
            world.at(world.now + TIMEOUT_SECONDS, lambda: desk.returned(report, None))
            return
        world.at(world.now + self.rtt / 2, lambda: self._carry_out(desk, report))

    def _carry_out(self, desk: FleetDesk, report: Report, *, until: float = math.inf, times: int = 0) -> None:
        world = self.world
        self.calls += 1
        before = self.fleet
        self.fleet, reply = sync(before, report, int(world.now * 1_000) + 1)
        if self.keeps_history:
            self.history.append(self.fleet)
            self.reports.append(report)
        if self.fleet is not before:
            self.breaches += breaches(self.fleet, reply)
        if self.is_down or world.rng.random() < self.loses:
            until = min(until, world.now + PATIENCE_SECONDS)
            again_at = world.now + world.rng.random() * 2.0 ** (times + 1) if self.repeats else math.inf
            if times < 3 and again_at < until:
                world.at(again_at, lambda: self._carry_out(desk, report, until=until, times=times + 1))
            else:
                world.at(until if self.repeats else world.now + TIMEOUT_SECONDS, lambda: desk.returned(report, None))
        else:
            world.at(world.now + self.rtt / 2, lambda: desk.returned(report, reply))


def breaches(fleet: Fleet, reply: Reply) -> int:
    """Return in how many meters that a grant spends leased and confirmed are more than the limit, probes excepted."""
    held, granted = fleet.held(), reply.granted
    if fleet.probed_at == fleet.at:
        return 0
    return sum(
        NONE not in (fleet.usage[meter], fleet.limits[meter])
        and granted[meter // 2] > 0
        and fleet.usage[meter] + held[meter // 2] > fleet.limits[meter]
        for meter in METERS
    )


class FleetDesk:
    """The limiter of one process. It may not call more often than is stated."""

    def __init__(
        self, place: Place, name: str, *, reserve: float = 0.2, away: str = "share", skew: float = 0.0
    ) -> None:
        world = place.world
        self.place = place
        self.name = name
        self.ledger = FleetLedger(
            name,
            world.now,
            world.wall + skew,
            random=random.Random(f"{world.seed} {name}").random,
            reserve=reserve,
            away=away,
        )
        self.queue = WaitQueue(self.ledger)
        self.is_alive = True
        self.calls = 0
        self.alone: set[float] = set()  # since when the place was away, each time that it sent something then
        self._rate = CallRate(world.now)
        self._quarter = self.ledger.window.quarter
        self.waits: list[tuple[float, Job]] = []
        self.started: Counter[int] = Counter()
        self._in_flight: Report | None = None
        self._places = itertools.count()
        self._jobs: dict[Waiter, Job] = {}
        self._late: list[Callable[[], None]] = []
        self.is_paused = False
        self.lag = 0.0  # what its monotonic clock has missed
        self._suspended_at: float | None = None

    @property
    def wants(self) -> Wants:
        return Wants(*self.queue.lengths())

    def ask(self, job: Job, now: float) -> None:
        if not self.is_alive:
            return
        waiter: Waiter | None = job.handle
        ticket = waiter.ticket if waiter is not None else next(self._places)
        local = now - self.lag
        job.handle = waiter = Waiter(QuotaClass(job.rate_class), job.priority, ticket, local, job.deadline - self.lag)
        self._jobs[waiter] = job
        self.ledger.roll_windows(local)
        if job.deadline < math.inf:
            blocked = self.queue.blocked_behind(waiter.quota_class, job.priority, local)
            if blocked is not None and blocked.until > waiter.deadline:
                self._jobs.pop(waiter).refused = True
                return
        self.queue.enter(waiter)
        self._rate.note_event()

    def answered(self, job: Job, status: int, headers: dict[str, str], now: float) -> None:
        entry = job.handle.outcome  # now: what was refused waits again before a paused process takes that in
        self._soon(lambda at: self.ledger.settle(entry, status, headers, at))

    def lost(self, job: Job, now: float) -> None:
        if job in self._jobs.values():  # it was refused, and waits again
            self.cancel(job, now)
            return
        entry = job.handle.outcome
        self._soon(lambda at: self.ledger.abandon(entry, at))

    def _soon(self, take_in: Callable[[float], None]) -> None:
        """Let the ledger take something in, at its own instant: once the process goes on."""
        if self.is_paused:
            self._late.append(lambda: self._soon(take_in))
        elif self.is_alive:
            take_in(self.place.world.now - self.lag)
            self._rate.note_event()

    def cancel(self, job: Job, now: float) -> None:
        self.queue.leave(job.handle)
        self._jobs.pop(job.handle)
        self._rate.note_event()

    def serve(self, now: float) -> list[Job]:
        if not self.is_alive or self.is_paused:
            return []
        local = now - self.lag
        self.ledger.roll_windows(local)
        if self.ledger.window.quarter != self._quarter:
            self._quarter = self.ledger.window.quarter
            self._rate.note_event()
        started = []
        while (waiter := self.queue.next_start(local)) is not None:
            if local >= self.ledger.lease.away_at:
                self.alone.add(self.ledger.lease.away_at)
            waiter.outcome = self.ledger.book(waiter.quota_class, waiter.priority, local)
            job = self._jobs.pop(waiter)
            self.started[int(self.place.world.server_time(now) // 900)] += 1
            self.waits.append((now, job))
            self.place.under_way.append((now + job.there, job.reads))
            started.append(job)
            self._rate.note_event()
        while (waiter := self.queue.next_refusal(local)) is not None:
            self._jobs.pop(waiter).refused = True
            self._rate.note_event()
        if self._in_flight is None and self.ledger.due(self.wants, local) <= local:
            self._in_flight = self.ledger.report(self.wants, local)
            self.calls += 1
            self._rate.count(local)
            self.place.call(self, self._in_flight)
        return started

    def release(self, job: Job, now: float) -> None:
        """Give back the permit of a job that is never sent."""
        self.ledger.release(job.handle.outcome, now - self.lag)
        self._rate.note_event()

    def returned(self, report: Report, reply: Reply | None) -> None:
        if self.is_paused:
            self._late.append(lambda: self.returned(report, reply))
            return
        if not self.is_alive or report is not self._in_flight:
            return
        self._in_flight = None
        local = self.place.world.now - self.lag
        if reply is None:
            self.ledger.fail(local)
        else:
            self.ledger.take(reply, local)

    def next_change(self, now: float) -> float:
        if not self.is_alive or self.is_paused:
            return math.inf
        local = now - self.lag
        due = math.inf if self._in_flight is not None else self.ledger.due(self.wants, local)
        return min(due, self.queue.next_change(local) if self.queue.length else math.inf) + self.lag

    def kill(self) -> None:
        self.is_alive = False

    def pause(self) -> None:
        self.is_paused = True

    def suspend(self) -> None:
        """Pause with the machine, whose monotonic clock stands still."""
        if not self.is_paused:
            self.is_paused, self._suspended_at = True, self.place.world.now

    def go_on(self) -> None:
        if self._suspended_at is not None:
            seconds, self._suspended_at = self.place.world.now - self._suspended_at, None
            self.lag += seconds
            self.ledger.note_sleep(seconds, self.place.world.now - self.lag)
        self.is_paused = False
        late, self._late = self._late, []
        for happen in late:
            happen()


@dataclass
class Harvesters:
    """Processes that always have ``tasks`` requests that wait or are out."""

    limit: int = 600
    processes: int = 8
    tasks: int = 50
    seed: int = 1
    priority: Priority = Priority.NORMAL
    latency: Latency = steady
    start: float = TEN_O_CLOCK + 300
    skews: tuple[float, ...] = ()
    world: FleetWorld = field(init=False)
    place: Place = field(init=False)
    desks: list[FleetDesk] = field(init=False)

    def __post_init__(self) -> None:
        limits = MeterLimits(2 * self.limit, 40 * self.limit, self.limit, 20 * self.limit)
        self.world = FleetWorld(seed=self.seed, start=self.start, meters=Meters(limits), latency=self.latency)
        self.place = Place(self.world)
        skews = self.skews or (0.0,) * self.processes
        self.desks = [FleetDesk(self.place, f"p{index}", skew=skew) for index, skew in enumerate(skews)]
        for desk in self.desks:
            self.keep_busy(desk, self.tasks)

    def keep_busy(self, desk: FleetDesk, tasks: int, rate_class: RateClass = "read") -> None:
        for _ in range(tasks):
            self._again(desk, self.world.now + self.world.rng.random(), rate_class)

    def _again(self, desk: FleetDesk, at: float, rate_class: RateClass) -> None:
        job = _Again(at, rate_class, self.priority, then=lambda: self._again(desk, self.world.now, rate_class))
        self.world.add(desk, [job])

    def run(self, windows: float) -> None:
        self.world.run(*self.desks, until=self.world.now + 900 * windows)

    # -- figures ------------------------------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        return sum(desk.started.total() for desk in self.desks)

    @property
    def refusals(self) -> int:
        return len(self.world.rejections)

    def by_window(self) -> dict[int, list[int]]:
        found: defaultdict[int, list[int]] = defaultdict(list)
        for window in sorted({window for desk in self.desks for window in desk.started}):
            found[window] = [desk.started[window] for desk in self.desks if desk.is_alive]
        return found

    def used(self) -> list[float]:
        """Return the share of each window but the last in which a read was served."""
        last = int(self.world.counter_time(self.world.now) // 900)
        return [count / self.limit for window, count in sorted(self.world.served.items()) if window < last]

    def used_now(self) -> int:
        """Return what Strava has counted of the reads in this window."""
        return self.world.meters.usage(self.world.server_time(self.world.now))["read_15min"]

    def fairness(self) -> tuple[float, float]:
        """Return the largest count of a process divided by the smallest: in all, and in the worst spent window."""
        windows = list(self.by_window().values())[:-1]
        totals = [sum(counts) for counts in zip(*windows, strict=True)]
        return ratio(totals), max(map(ratio, windows))

    def trips(self) -> float:
        return self.place.calls / max(1, self.requests)


@dataclass(eq=False)
class _Again(Job):
    then: object = None

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "done_at" and value is not None and callable(self.then):
            self.then()


def ratio(counts: list[int]) -> float:
    return max(counts) / max(1, min(counts)) if counts else 1.0


def poisson(rng: random.Random, rate: float, start: float, end: float) -> Iterator[float]:
    """Yield the instants of events that come at random, so many in a second."""
    while (start := start + rng.expovariate(rate)) < end:
        yield start


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
