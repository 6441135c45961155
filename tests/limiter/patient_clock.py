"""A clock for limiters whose calls leave the event loop, or the process."""

from __future__ import annotations

from typing import Protocol

import anyio
import anyio.lowlevel

from strava_async.testing.clock import FakeClock


class _Calling(Protocol):
    @property
    def is_calling(self) -> bool: ...


class PatientClock(FakeClock):
    """A clock that does not jump while one of the limiters is at its meeting place: that takes no time here."""

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self.limiters: list[_Calling] = []

    async def _jump(self) -> None:
        while True:
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            if self._sleepers and not any(limiter.is_calling for limiter in self.limiters):
                self.advance(self._sleepers[0][0] - self._now)
            else:
                await anyio.sleep(0.001)
