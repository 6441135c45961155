"""What the tests of the limiter play with: a Strava without a network, and calls that note when they are served."""

from __future__ import annotations

import math
from email.utils import formatdate

import anyio

from strava_async.limiter.local import Permit, RateLimiter
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import FakeClock
from strava_async.testing.meters import MeterLimits, Meters

READ, UPLOAD = QuotaClass


class Strava:
    """A server without a network: it counts, answers after ``latency`` seconds, and remembers what came when.

    Attributes:
        ahead: what its clock is ahead of the client's monotonic one: the seconds that the client has slept.
    """

    def __init__(self, clock: FakeClock, limits: MeterLimits | None = None, *, latency: float = 0.1) -> None:
        self.clock = clock
        self.meters = Meters(limits)
        self.latency = latency
        self.ahead = 0.0
        self.rejected = 0
        self.started: list[float] = []

    @property
    def now(self) -> float:
        return self.clock.monotonic() + self.ahead

    def headers(self, quota_class: QuotaClass = READ) -> tuple[int, dict[str, str]]:
        """Count a request that arrives now."""
        verdict = self.meters.count(quota_class.value, self.now)
        date = formatdate(math.floor(self.now), usegmt=True)
        return (200 if verdict.accepted else 429), {**verdict.headers, "Date": date}

    async def call(self, limiter: RateLimiter, quota_class: QuotaClass = READ, **options: float | Priority) -> None:
        """Make a call, again while it is refused."""
        retry_of: Permit | None = None
        while True:
            permit = await limiter.acquire(quota_class, retry_of=retry_of, **options)
            with permit:
                self.started.append(self.clock.monotonic())
                await self.clock.sleep(self.latency / 2)
                status, headers = self.headers(quota_class)
                await self.clock.sleep(self.latency / 2)
                permit.settle(status, headers)
            if status == 200:
                return
            self.rejected += 1
            retry_of = permit

    async def warm(self, limiter: RateLimiter, calls: int = 12) -> None:
        """Get past the cold start, without letting time pass."""
        for _ in range(calls):
            permit = await limiter.acquire()
            permit.settle(*self.headers())


class Queue:
    """Calls that note their names when they get their permits, and keep them, or release them at once."""

    def __init__(self, limiter: RateLimiter, *, keep: bool = True) -> None:
        self.limiter = limiter
        self.keep = keep
        self.served: list[str] = []
        self.permits: list[Permit] = []

    async def call(
        self,
        name: str,
        quota_class: QuotaClass = READ,
        priority: Priority = Priority.NORMAL,
        retry_of: Permit | None = None,
    ) -> None:
        permit = await self.limiter.acquire(quota_class, priority=priority, retry_of=retry_of)
        self.served.append(name)
        if self.keep:
            self.permits.append(permit)
        else:
            permit.release()


async def last_unit(limiter: RateLimiter, clock: FakeClock) -> Permit:
    """Return the only permit that is left of a window: what waits behind it is served one at a time."""
    await Strava(clock, MeterLimits(read_15min=12, read_day=1_000)).warm(limiter, 11)
    return await limiter.acquire()


async def turn(clock: FakeClock, queue: Queue, strava: Strava) -> None:
    """Let the next window begin, and the call that finds out if the counter has turned be answered."""
    clock.advance(900)
    await anyio.wait_all_tasks_blocked()
    (probe,) = queue.permits
    probe.settle(*strava.headers())
    await anyio.wait_all_tasks_blocked()


async def spend(limiter: RateLimiter, strava: Strava, *, quota_class: QuotaClass = READ) -> None:
    """Use up what is left of the window."""
    await strava.warm(limiter)
    while limiter.blocked(quota_class) is None:
        (await limiter.acquire(quota_class)).settle(*strava.headers(quota_class))
