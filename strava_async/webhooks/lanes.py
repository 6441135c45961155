"""Lanes of webhook events: those whose turn it is, and those that wait to be tried again."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable

import anyio

from strava_async.clock import Clock
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.retry import Job

Lane = deque[Job]
"""The unfinished events of one object, in the order in which they came; deauthorizations have lanes of their own."""


LaneKey = tuple[bool, str, int, int]


def lane_key(event: WebhookEvent) -> LaneKey:
    """Return what the events of one lane have in common.

    The athlete is part of it: an event that says that an activity is another's is not to hold up the activity's own.
    """
    if event.is_deauthorization:
        return True, event.object_type, 0, event.owner_id
    return False, event.object_type, event.object_id, event.owner_id


class Turns:
    """The lanes whose turn it is, in two streams: to delete must not wait behind what the workers do.

    Args:
        clock: tells since when they wait.

    Attributes:
        events: where workers get lanes.
        deauthorizations: where the lanes of deauthorizations are.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event, self.events = anyio.create_memory_object_stream[Lane](math.inf)
        self._deauthorization, self.deauthorizations = anyio.create_memory_object_stream[Lane](math.inf)

    def add(self, lane: Lane) -> None:
        """Let a lane have its turn."""
        lane[0].ready_at = self._clock.monotonic()
        stream = self._deauthorization if lane[0].event.is_deauthorization else self._event
        stream.send_nowait(lane)

    def close(self) -> None:
        """Close the streams."""
        for stream in (self._event, self.events, self._deauthorization, self.deauthorizations):
            stream.close()


class Later:
    """The lanes whose first event waits to be tried again.

    Args:
        clock: by which they wait.
        ready: is given each when it has waited.
    """

    def __init__(self, clock: Clock, ready: Callable[[Lane], None]) -> None:
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

    def hasten(self, owner_id: int) -> None:
        """Let the lanes wait no more that wait for an athlete's turn."""
        now = self._clock.monotonic()

        def is_theirs(lane: Lane) -> bool:
            return lane[0].standing.waits and lane[0].event.owner_id == owner_id

        self._due = [(now if is_theirs(lane) else due_at, order, lane) for due_at, order, lane in self._due]
        heapq.heapify(self._due)
        self._nap.cancel()

    async def wake(self) -> None:
        """Hand out each lane when it has waited; never returns."""
        while True:
            now = self._clock.monotonic()
            while self._due and self._due[0][0] <= now:
                self._ready(heapq.heappop(self._due)[2])
            with anyio.CancelScope() as self._nap:
                if self._due:
                    await self._clock.sleep(self._due[0][0] - now)
                else:
                    await anyio.sleep_forever()
