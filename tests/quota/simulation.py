"""A day at Strava's quota in virtual time: an event heap, the referee's meters, and a client under test.

The client is either ``Desk``, the library's ledger and queue without a loop, or ``Oracle``, which reads the meters
themselves and knows how long each request will take: nobody can be faster without a 429.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol

from strava_async.limiter.queue import Waiter, WaitQueue
from strava_async.quota.ledger import Ledger
from strava_async.quota.snapshot import load, save
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.meters import MeterLimits, Meters, RateClass

TEN_O_CLOCK = 1_767_693_600.0
MIDNIGHT = 1_767_744_000.0

Latency = Callable[[random.Random], float]


def steady(rng: random.Random) -> float:
    return rng.uniform(0.06, 0.09)


def ragged(rng: random.Random) -> float:
    return min(rng.lognormvariate(-2.3, 1.0), 20.0)


def slow(rng: random.Random) -> float:
    return rng.uniform(0.5, 6.0)


@dataclass(eq=False)
class Job:
    """One call: asked for once, sent until it is accepted."""

    asked_at: float
    rate_class: RateClass = "read"
    priority: Priority = Priority.NORMAL
    deadline: float = math.inf
    there: float = 0.07
    back: float = 0.07
    done_at: float | None = None
    cancelled: bool = False
    refused: bool = False
    rejections: int = 0
    started_at: float | None = None
    number: int = 0
    handle: Any = None

    @property
    def reads(self) -> bool:
        return self.rate_class == "read"

    @property
    def waited(self) -> float:
        return math.inf if self.started_at is None else self.started_at - self.asked_at


class Client(Protocol):
    def ask(self, job: Job, now: float) -> None: ...
    def answered(self, job: Job, status: int, headers: dict[str, str], now: float) -> None: ...
    def lost(self, job: Job, now: float) -> None: ...
    def cancel(self, job: Job, now: float) -> None: ...
    def serve(self, now: float) -> list[Job]: ...
    def next_change(self, now: float) -> float: ...


class Desk:
    """The library's limiter without its loop."""

    def __init__(
        self, now: float, wall: float, *, seed: int = 0, reserve: float = 0.2, snapshot: dict[str, Any] | None = None
    ) -> None:
        self.ledger = Ledger(now, wall, random=random.Random(seed).random, reserve=reserve)
        if snapshot is not None:
            load(self.ledger, snapshot, now, wall)
        self.queue = WaitQueue(self.ledger)
        self.refused: list[Job] = []
        self._places = itertools.count()
        self._jobs: dict[Waiter, Job] = {}

    def ask(self, job: Job, now: float) -> None:
        waiter: Waiter | None = job.handle
        place = waiter.ticket if waiter is not None else next(self._places)
        job.handle = waiter = Waiter(QuotaClass(job.rate_class), job.priority, place, now, job.deadline)
        self._jobs[waiter] = job
        self.ledger.roll_windows(now)
        if job.deadline < math.inf:
            wait = self.queue.blocked_behind(waiter.quota_class, job.priority, now)
            if wait is not None and wait.until > job.deadline:
                self._refuse(waiter)
                return
        self.queue.enter(waiter)

    def _refuse(self, waiter: Waiter) -> None:
        job = self._jobs.pop(waiter)
        job.refused = True
        self.refused.append(job)

    def answered(self, job: Job, status: int, headers: dict[str, str], now: float) -> None:
        self.ledger.settle(job.handle.outcome, status, headers, now)

    def lost(self, job: Job, now: float) -> None:
        self.ledger.abandon(job.handle.outcome, now)

    def cancel(self, job: Job, now: float) -> None:
        self.queue.leave(job.handle)
        self._jobs.pop(job.handle)

    def serve(self, now: float) -> list[Job]:
        self.ledger.roll_windows(now)
        started = []
        while (waiter := self.queue.next_start(now)) is not None:
            waiter.outcome = self.ledger.book(waiter.quota_class, waiter.priority, now)
            started.append(self._jobs.pop(waiter))
        while (waiter := self.queue.next_refusal(now)) is not None:
            self._refuse(waiter)
        return started

    def next_change(self, now: float) -> float:
        return self.queue.next_change(now) if self.queue.length else math.inf

    def snapshot(self, now: float, wall: float) -> dict[str, Any]:
        self.ledger.roll_windows(now)
        return save(self.ledger, now, wall)


class Oracle:
    """The fastest client without a 429: it knows the server's books, clock and the time on the way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._queues: dict[tuple[Priority, bool], deque[Job]] = {}
        self._numbers = itertools.count()

    def ask(self, job: Job, now: float) -> None:
        job.number = next(self._numbers)
        self._queues.setdefault((job.priority, job.reads), deque()).append(job)

    def answered(self, job: Job, status: int, headers: dict[str, str], now: float) -> None:
        pass

    def lost(self, job: Job, now: float) -> None:
        pass

    def cancel(self, job: Job, now: float) -> None:
        self._queues[job.priority, job.reads].remove(job)

    def serve(self, now: float) -> list[Job]:
        started: list[Job] = []
        while (job := self._next(now)) is not None:
            self._queues[job.priority, job.reads].popleft()
            self._world.planned.append((now + job.there, job.reads))
            started.append(job)
        return started

    def _next(self, now: float) -> Job | None:
        for priority in Priority:
            heads = [queue[0] for reads in (True, False) if (queue := self._queues.get((priority, reads)))]
            for job in sorted(heads, key=lambda job: job.number):
                if self._fits(job, now):
                    return job
        return None

    def _fits(self, job: Job, now: float) -> bool:
        world = self._world
        world.planned = [plan for plan in world.planned if plan[0] > now]
        arrives = world.counter_time(now + job.there)
        used = world.meters.usage(world.counter_time(now))
        limits = world.meters.limits
        same_quarter = world.counter_time(now) // 900 == arrives // 900
        same_day = world.counter_time(now) // 86400 == arrives // 86400
        for prefix in ("overall", "read") if job.reads else ("overall",):
            plans = [world.counter_time(at) for at, reads in world.planned if reads or prefix == "overall"]
            quarter = sum(1 for at in plans if at // 900 == arrives // 900)
            day = sum(1 for at in plans if at // 86400 == arrives // 86400)
            if quarter + same_quarter * used[f"{prefix}_15min"] >= getattr(limits, f"{prefix}_15min"):
                return False
            if day + same_day * used[f"{prefix}_day"] >= getattr(limits, f"{prefix}_day"):
                return False
        return True

    def next_change(self, now: float) -> float:
        waiting = [queue[0].there for queue in self._queues.values() if queue]
        if not waiting:
            return math.inf
        world = self._world
        boundary = (world.counter_time(now + max(waiting)) // 900 + 1) * 900
        turn = boundary + world.lateness(boundary)
        return max(now + 1e-3, world.local_time(turn) - max(waiting) + 1e-4)


@dataclass
class World:
    """Virtual time, the server, and what happens on the way to it.

    Attributes:
        now: the monotonic clock.
        server_offset: Strava's clock minus the monotonic one.
        skew: what the client's wall clock is ahead of Strava's.
        spoil: changes the fields of an answer; None for a lost answer.
        late: the seconds after a boundary at which the counters turn, from the least to the most.
    """

    seed: int = 0
    start: float = TEN_O_CLOCK
    skew: float = 0.0
    meters: Meters = field(default_factory=Meters)
    spoil: Callable[[random.Random, dict[str, str]], dict[str, str] | None] | None = None
    latency: Latency = steady
    late: tuple[float, float] = (0.0, 0.0)
    now: float = 1_000.25

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.server_offset = self.start - self.now
        self.rejections: list[tuple[float, Job]] = []
        self.arrivals = 0
        self.planned: list[tuple[float, bool]] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def server_time(self, now: float) -> float:
        return now + self.server_offset

    def lateness(self, server: float) -> float:
        """Return how late the counters turn after the last boundary before an instant."""
        return random.Random(f"{self.seed} {server // 900}").uniform(*self.late) if self.late[1] else 0.0

    def counter_time(self, now: float) -> float:
        server = self.server_time(now)
        return server - self.lateness(server)

    def local_time(self, server: float) -> float:
        return server - self.server_offset

    @property
    def wall(self) -> float:
        return self.server_time(self.now) + self.skew

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), action))

    def foreign(self, when: float, rate_class: RateClass = "read") -> None:
        self.at(when, lambda: void(self.meters.count(rate_class, self.counter_time(self.now))))

    def add(self, client: Client, jobs: Iterable[Job]) -> list[Job]:
        jobs = list(jobs)
        for job in jobs:
            job.there, job.back = self.latency(self.rng), self.latency(self.rng)
            self.at(job.asked_at, lambda job=job: client.ask(job, self.now))
        return jobs

    def cancel(self, client: Client, job: Job, when: float) -> None:
        def cancel() -> None:
            if job.done_at is None and not job.cancelled and not job.refused:
                job.cancelled = True
                if job.started_at is None:
                    client.cancel(job, self.now)
                else:
                    client.lost(job, self.now)

        self.at(when, cancel)

    def run(self, *clients: Client, until: float = math.inf) -> None:
        """Let everything happen until nothing is left to happen, or until an instant."""
        polls = dict.fromkeys(clients, -math.inf)
        while self._heap and self._heap[0][0] <= until:
            when, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            action()
            if self._heap and self._heap[0][0] == when:
                continue
            for client in clients:
                for job in client.serve(self.now):
                    self._send(client, job)
                poll = client.next_change(self.now)
                if poll < math.inf and not self.now < polls[client] <= poll:
                    polls[client] = poll
                    self.at(max(poll, self.now + 1e-3), nothing)

    def _send(self, client: Client, job: Job) -> None:
        job.started_at = self.now
        self.at(self.now + job.there, lambda: self._arrive(client, job))

    def _arrive(self, client: Client, job: Job) -> None:
        self.arrivals += 1
        server_now = self.server_time(self.now)
        verdict = self.meters.count(job.rate_class, self.counter_time(self.now))
        if not verdict.accepted:
            job.rejections += 1
            self.rejections.append((self.now, job))
        headers = {**verdict.headers, "Date": formatdate(math.floor(server_now), usegmt=True)}
        spoilt = headers if self.spoil is None else self.spoil(self.rng, headers)
        status = 200 if verdict.accepted else 429
        self.at(self.now + job.back, lambda: self._answer(client, job, status, spoilt))

    def _answer(self, client: Client, job: Job, status: int, headers: dict[str, str] | None) -> None:
        if job.cancelled:
            return
        if headers is None:
            client.lost(job, self.now)
        else:
            client.answered(job, status, headers, self.now)
        if status == 429:
            client.ask(job, self.now)
        else:
            job.done_at = self.now


def nothing() -> None:
    pass


def void(_: object) -> None:
    pass


def mean_done(jobs: Iterable[Job]) -> float:
    """Return how long the jobs took on average, from their wish to their answer; those that were given up excepted."""
    spans = [job.done_at - job.asked_at for job in jobs if job.done_at is not None]
    return sum(spans) / len(spans)


LARGE = MeterLimits(overall_15min=400, overall_day=4_000, read_15min=200, read_day=2_000)
