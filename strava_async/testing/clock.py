"""Clocks for tests and demonstrations: one that moves on demand, one that runs fast.

The idea of the first is trio's ``MockClock``; built on anyio, it serves asyncio and trio alike.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock, SystemClock

SOME_TUESDAY = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC: the first second of a quarter hour
BUSY_SECONDS = 0.001  # between two looks at something outside the event loop; of real time


class _Waiter:
    """A task that waits, to be woken from any event loop."""

    def __init__(self) -> None:
        self._woken = anyio.Event()
        self._loop = LoopBinding("this clock's waiter")
        self._loop.enter()

    async def wait(self) -> None:
        """Wait until it is woken."""
        await self._woken.wait()

    def wake(self) -> None:
        """Wake it; has no effect if its event loop has ended."""
        if self._loop.is_here():
            self._woken.set()
        else:
            self._loop.call_soon(self._woken.set)


class FakeClock:
    """A clock that stands still until it is moved.

    Attributes:
        wall_offset: what ``time()`` is wrong by, in seconds; change it to make the wall clock jump. After ``suspend``
            it is ``monotonic()`` that lags behind by them.
        is_busy: says whether something outside the event loop works for the test, such as a thread or a server:
            ``autojump`` then lets time stand still. None means that nothing does.

    Args:
        start: the initial Unix time.
        wall_offset: see above.
        is_busy: see above.
    """

    def __init__(
        self,
        start: float = SOME_TUESDAY,
        *,
        wall_offset: float = 0.0,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        self.wall_offset = wall_offset
        self.is_busy = is_busy
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, _Waiter]] = []
        self._jumpers: list[_Waiter] = []  # those of ``autojump`` that wait for a sleeper

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
        waiter = _Waiter()
        sleeper = (self._now + seconds, next(self._order), waiter)
        heapq.heappush(self._sleepers, sleeper)
        for jumper in [*self._jumpers]:
            jumper.wake()
        try:
            await waiter.wait()
        except BaseException:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
            raise

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
            wake_at, _, waiter = heapq.heappop(self._sleepers)
            self._now = max(self._now, wake_at)
            waiter.wake()
        self._now = target

    @asynccontextmanager
    async def autojump(self) -> AsyncGenerator[TaskGroup, None]:
        """Let time jump to the next sleeper whenever every task waits for something, unless ``is_busy`` says otherwise.

        Yields:
            a task group for the tasks of the test; it is cancelled at the end of the block.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._jump)
            yield tasks
            tasks.cancel_scope.cancel()

    async def _jump(self) -> None:
        while True:
            await self._somebody_sleeps()
            # A few checkpoints first: ``wait_all_tasks_blocked`` costs 0.1 s on asyncio whenever a task is not blocked.
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            if self.is_busy is not None and self.is_busy():
                await anyio.sleep(BUSY_SECONDS)
            elif self._sleepers:
                self.advance(self._sleepers[0][0] - self._now)

    async def _somebody_sleeps(self) -> None:
        # To look again and again would keep a test from seeing that all tasks wait.
        while not self._sleepers:
            waiter = _Waiter()
            self._jumpers.append(waiter)
            try:
                await waiter.wait()
            finally:
                self._jumpers.remove(waiter)


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
