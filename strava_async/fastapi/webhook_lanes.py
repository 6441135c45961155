"""Lanes of webhook events, and those among them that wait to be tried again."""

from __future__ import annotations

import heapq
import itertools
from collections import deque

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from strava_async.clock import Clock
from strava_async.fastapi.webhook_retry import Job

Lane = deque[Job]
"""The unfinished events of one object, in the order in which they came."""


class Later:
    """The lanes whose first event waits to be tried again.

    Args:
        clock: by which they wait.
        ready: where they go then.
    """

    def __init__(self, clock: Clock, ready: MemoryObjectSendStream[Lane]) -> None:
        self._clock = clock
        self._ready = ready
        self._order = itertools.count()
        self._due: list[tuple[float, int, Lane]] = []
        self._nap = anyio.CancelScope()

    def add(self, lane: Lane, seconds: float) -> None:
        """Let a lane wait that long."""
        due_at = self._clock.monotonic() + seconds
        heapq.heappush(self._due, (due_at, next(self._order), lane))
        if self._due[0][2] is lane:
            self._nap.cancel()

    def release(self) -> list[Lane]:
        """Let no lane wait any more; return those that did, in the order in which they would have been due."""
        released = [lane for _, _, lane in sorted(self._due)]
        self._due.clear()
        self._nap.cancel()
        return released

    async def wake(self) -> None:
        """Hand out each lane when it has waited; never returns."""
        while True:
            now = self._clock.monotonic()
            while self._due and self._due[0][0] <= now:
                self._ready.send_nowait(heapq.heappop(self._due)[2])
            with anyio.CancelScope() as self._nap:
                if self._due:
                    await self._clock.sleep(self._due[0][0] - now)
                else:
                    await anyio.sleep_forever()
