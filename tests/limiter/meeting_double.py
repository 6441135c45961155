"""A place to meet without a file or a server: it runs ``sync`` on a state in memory, and does what a test tells it."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel

from strava_async.limiter.shared import SharedLimiter
from strava_async.quota.fleet.messages import Reply, Report
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.testing.clock import SOME_TUESDAY, FakeClock


class MemoryPlace:
    """Where the limiters of a test meet.

    Attributes:
        fleet: the state.
        reports: of all calls that were carried out.
        fails: what the next operations raise, as long as it is not None.
        refuses: what ``check`` raises, as long as it is not None.
        hangs: whether operations wait until they are cancelled.
        before: called before each call is carried out.
        checks: how many there were.
        closes: how many there were.
    """

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.reports: list[Report] = []
        self.fails: Exception | None = None
        self.refuses: Exception | None = None
        self.hangs = False
        self.before: Callable[[], object] = lambda: None
        self.checks = 0
        self.closes = 0

    async def check(self) -> None:
        self.checks += 1
        await self._way()
        if self.refuses is not None:
            raise self.refuses

    async def call(self, report: Report, now: int) -> Reply:
        await self._way()
        self.before()
        self.fleet, reply = sync(self.fleet, report, now)
        self.reports.append(report)
        await anyio.lowlevel.checkpoint()  # where a reply may be lost
        return reply

    async def close(self) -> None:
        self.closes += 1

    async def _way(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.hangs:
            await anyio.sleep_forever()
        if self.fails is not None:
            raise self.fails

    @property
    def held(self) -> int:
        """Units that processes hold, unconfirmed ones included."""
        rows = self.fleet.rows.values()
        return sum(row.held.overall for row in rows) + self.fleet.unconfirmed(in_window=True).overall


def make(
    place: MemoryPlace,
    clock: FakeClock,
    *,
    away: str = "share",
    call_seconds: float = 3.0,
    random: Callable[[], float] = lambda: 0.5,
) -> SharedLimiter:
    """Return a limiter of a process of its own."""
    return SharedLimiter(
        place,
        "the shared quota of the test",
        clock=clock,
        random=random,
        reserve=0.2,
        away=away,
        lease_seconds=10.0,
        call_seconds=call_seconds,
    )


def new_clock() -> FakeClock:
    """Return a clock in the first seconds of a quarter hour."""
    return FakeClock(SOME_TUESDAY + 1.5)
