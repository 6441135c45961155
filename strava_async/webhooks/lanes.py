"""Lanes: the unfinished events of one object, in order of arrival; only the first is ever attempted.

=============  =============================================  ====================================================
state          means                                          next
=============  =============================================  ====================================================
``READY``      its first event is due, and no worker has it   ``CLAIMED``
``CLAIMED``    a worker has its first event                   finished: ``READY`` with the next, or the lane ends;
                                                              to be tried again: ``DELAYED``, or ``SET_ASIDE`` at
                                                              shutdown; its lease ends: ``READY``
``DELAYED``    its first event waits to be tried again        ``READY`` when that is due, when its athlete's turn
                                                              comes, or at shutdown, when it may also become
                                                              ``SET_ASIDE``
``SET_ASIDE``  left for the backlog at shutdown               none
=============  =============================================  ====================================================

Deauthorizations have lanes of their own.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Generic, TypeVar

import anyio

from strava_async.clock import Clock
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import PendingEvent

T = TypeVar("T")
LaneKey = tuple[bool, str, int, int]


class LaneState(Enum):
    """The state of a lane; see the table above."""

    READY = "ready"
    CLAIMED = "claimed"
    DELAYED = "delayed"
    SET_ASIDE = "set aside"


class Lane:
    """The unfinished events of one object.

    Attributes:
        key: what they have in common.
        events: in order of arrival.
        state: see the table above.
        claims: how often events of it have been claimed.
        lease_ends_at: when the lease of the latest claim ends, on the monotonic clock.
        due_at: when a DELAYED lane is due at the latest, on the monotonic clock.
    """

    __slots__ = ("claims", "due_at", "events", "key", "lease_ends_at", "state")

    def __init__(self, key: LaneKey) -> None:
        self.key = key
        self.events: deque[PendingEvent] = deque()
        self.state = LaneState.READY
        self.claims = 0
        self.lease_ends_at = self.due_at = 0.0

    @property
    def is_of_deauthorizations(self) -> bool:
        """Whether its events are deauthorizations."""
        return self.key[0]


def lane_key(event: WebhookEvent) -> LaneKey:
    """Return the key of an event's lane.

    The athlete is part of it: an event that says that an activity is another's must not hold up the activity's own.
    """
    if event.is_deauthorization:
        return True, event.object_type, 0, event.owner_id
    return False, event.object_type, event.object_id, event.owner_id


class ReadyQueue:
    """The lanes whose first event is due, first in, first out. It belongs to one event loop."""

    def __init__(self) -> None:
        self._lanes: deque[Lane] = deque()
        self._added = anyio.Event()

    def add(self, lane: Lane) -> None:
        """Put a lane at the end."""
        self._lanes.append(lane)
        self._added.set()

    def discard(self, lane: Lane) -> None:
        """Remove a lane if it is there."""
        with suppress(ValueError):
            self._lanes.remove(lane)

    async def take(self, n: int) -> list[Lane]:
        """Remove and return up to ``n`` lanes; wait until there is one."""
        while not self._lanes:
            if self._added.is_set():  # all that wait share one event
                self._added = anyio.Event()
            await self._added.wait()
        return [self._lanes.popleft() for _ in range(min(n, len(self._lanes)))]


class DelayQueue(Generic[T]):
    """Items that wait, each until its instant. It belongs to one event loop.

    Args:
        clock: times the waits.
        due: called with each item when it is due.
    """

    def __init__(self, clock: Clock, due: Callable[[T], None]) -> None:
        self._clock = clock
        self._due = due
        self._order = itertools.count()
        self._heap: list[tuple[float, int, T]] = []
        self._sleep: anyio.CancelScope | None = None

    def add(self, item: T, seconds: float) -> None:
        """Add an item that is due after that many seconds."""
        due_at = self._clock.monotonic() + seconds
        heapq.heappush(self._heap, (due_at, next(self._order), item))
        if self._heap[0][2] is item:  # due before what ``run`` sleeps until
            self._wake()

    def release(self) -> list[T]:
        """Empty the queue; return what was in it, in the order in which it would have been due."""
        released = [item for _, _, item in sorted(self._heap)]
        self._heap.clear()
        self._wake()
        return released

    def discard(self, item: T) -> None:
        """Remove an item if it is there."""
        self._heap = [entry for entry in self._heap if entry[2] is not item]
        heapq.heapify(self._heap)

    def hasten(self, which: Callable[[T], bool]) -> None:
        """Make those due now for which ``which`` is true."""
        now = self._clock.monotonic()
        self._heap = [(now if which(item) else due_at, order, item) for due_at, order, item in self._heap]
        heapq.heapify(self._heap)
        self._wake()

    async def run(self) -> None:
        """Call ``due`` with each item when it is due; never returns."""
        while True:
            now = self._clock.monotonic()
            while self._heap and self._heap[0][0] <= now:
                self._due(heapq.heappop(self._heap)[2])
            with anyio.CancelScope() as self._sleep:
                if self._heap:
                    await self._clock.sleep(self._heap[0][0] - now)
                else:
                    await anyio.sleep_forever()

    def _wake(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()
