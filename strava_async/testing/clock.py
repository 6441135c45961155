"""Clocks for tests and demonstrations: one that moves on demand, one that runs fast.

The idea of the first is trio's ``MockClock``; built on anyio, it serves asyncio and trio alike.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock, SystemClock

SOME_TUESDAY = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC: the first second of a quarter hour


class FakeClock:
    """A clock that stands still until it is moved.

    Attributes:
        wall_offset: what ``time()`` is wrong by, in seconds; change it to make the wall clock jump. After ``suspend``
            it is ``monotonic()`` that lags behind by them.

    Args:
        start: the initial Unix time.
        wall_offset: see above.
    """

    def __init__(self, start: float = SOME_TUESDAY, *, wall_offset: float = 0.0) -> None:
        self.wall_offset = wall_offset
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, anyio.Event, LoopBinding]] = []

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary instant."""
        return self._now

    def time(self) -> float:
        """Return Unix time, wrong by ``wall_offset``."""
        return self._now + self.wall_offset

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        woken, loop = anyio.Event(), LoopBinding("this sleeper")
        loop.enter()
        sleeper = (self._now + seconds, next(self._order), woken, loop)
        heapq.heappush(self._sleepers, sleeper)
        try:
            await woken.wait()
        finally:
            if not woken.is_set() and sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    @property
    def sleeping(self) -> int:
        """How many calls of ``sleep`` wait."""
        return len(self._sleepers)

    @property
    def next_wake_at(self) -> float | None:
        """The monotonic instant of the earliest sleeper; None if there is none."""
        return self._sleepers[0][0] if self._sleepers else None

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: Unix time goes on, while ``monotonic()`` and every sleeper stand still."""
        self.wall_offset += seconds

    def advance(self, seconds: float) -> None:
        """Move time forward and wake the sleepers that are due, in the order of their instants."""
        target = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            wake_at, _, woken, loop = heapq.heappop(self._sleepers)
            self._now = max(self._now, wake_at)
            if loop.is_here():
                woken.set()
            else:
                loop.call_soon(woken.set)  # no effect if its event loop has ended
        self._now = target

    @asynccontextmanager
    async def autojump(self) -> AsyncGenerator[TaskGroup, None]:
        """Let time jump to the next sleeper whenever every task waits for something.

        Yields:
            a task group for the tasks of the test; it is cancelled at the end of the block.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._jump)
            yield tasks
            tasks.cancel_scope.cancel()

    async def _jump(self) -> None:
        while True:
            # A few checkpoints first: ``wait_all_tasks_blocked`` costs 0.1 s on asyncio whenever a task is not blocked.
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            if self._sleepers:
                self.advance(self._sleepers[0][0] - self._now)
            else:
                await anyio.sleep(0.001)


class FastClock:
    """A clock that runs ``speed`` times as fast as the machine's.

    Args:
        speed: virtual seconds per real second.
        start: the initial Unix time; None means the machine's.
        clock: the clock underneath.
    """

    def __init__(self, speed: float, *, start: float | None = None, clock: Clock | None = None) -> None:
        self.speed = speed
        self._clock = clock or SystemClock()
        self._origin = self._clock.monotonic()
        self._start = self._clock.time() if start is None else start

    def monotonic(self) -> float:
        """Return virtual seconds since this clock was made."""
        return (self._clock.monotonic() - self._origin) * self.speed

    def time(self) -> float:
        """Return virtual Unix time."""
        return self._start + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many virtual seconds."""
        await self._clock.sleep(seconds / self.speed)
