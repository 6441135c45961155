"""Webhook events in the memory of one process: ``MemoryEventStore``. They are lost with the process.

Rules, beyond those of ``EventStore``:

- It runs in one event loop at a time, from ``begin`` to ``clear``. If a loop ends before ``clear``, all that it leaves
  is ready in the next.
- Events of a backlog are added by ``restore``, and do not count towards ``max_unfinished``.
- At shutdown it is closed: it accepts no more events, and no lane stays delayed; each becomes ready, or is set aside
  for the backlog.
- What waits for its athlete's turn is due as soon as ``Owners`` allows that athlete more attempts.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio

from strava_async._concurrency.task_group import TaskGroup
from strava_async._concurrency.ttl_set import TtlSet
from strava_async.clock import Clock
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.base import Appended, Claim, StoredEvent, StoreStats
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.lanes import DelayQueue, Lane, LaneState, ReadyQueue
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.pending import PendingEvent, WaitReason
from strava_async.webhooks.unfinished import Unfinished

REMEMBERED_EVENTS = 100_000


class _ClaimId(NamedTuple):
    lane: Lane
    number: int


class MemoryEventStore:
    """An ``EventStore`` in memory, and an ``EventAdmin``.

    Attributes:
        is_closed: whether it accepts no events.

    Args:
        clock: times waits, leases and the memory of keys.
        max_unfinished: how many events may be unfinished.
        owners: bounds the events of each athlete; None means the default bounds.

    Raises:
        InputError: ``max_unfinished`` is not an int above zero.
    """

    def __init__(self, clock: Clock, *, max_unfinished: int, owners: Owners | None = None) -> None:
        check_positive("max_unfinished", max_unfinished)
        self._clock = clock
        self._max_unfinished = max_unfinished
        self._owners = owners or Owners()
        self._seen = TtlSet(clock, max(REMEMBERED_EVENTS, 2 * max_unfinished))
        self._unfinished = Unfinished(self._owners)
        self._restored = 0
        self._set_aside = 0
        self.is_closed = True
        self._on_ready: Callable[[PendingEvent], None] = lambda _: None
        self._new_queues()

    async def append(self, event: WebhookEvent) -> Appended:
        """See ``EventStore``."""
        key = event.key
        if key in self._seen:
            return Appended.DUPLICATE
        if self.is_closed:
            return Appended.CLOSED
        pending = PendingEvent.accepted(event, self._clock.time(), self._clock)
        if self._unfinished.supersede(pending):
            self._seen.add(key)
            return Appended.SUPERSEDED
        if len(self._unfinished) - self._restored >= self._max_unfinished:
            return Appended.QUEUE_FULL
        if not self._unfinished.has_room(event):
            return Appended.OWNER_FULL
        self._enter(key, pending)
        return Appended.STORED

    async def claim(self, n: int, lease: float, *, deauthorizations: bool = False) -> Sequence[Claim]:
        """See ``EventStore``."""
        return [self._claim(lane, lease) for lane in await self._ready[deauthorizations].take(n)]

    async def turn(self, owner_id: int, *, unless_doubted: bool = False) -> float:
        """See ``EventStore``."""
        return self._owners.turn(owner_id, self._clock.monotonic(), unless_doubted=unless_doubted)

    async def not_found(self, owner_id: int) -> bool:
        """See ``EventStore``."""
        return self._owners.not_found(owner_id, self._clock.monotonic())

    async def ack(self, claim: Claim, *, confirmed: bool = False) -> bool:
        """See ``EventStore``."""
        lane = self._claimed(claim)
        if lane is None:
            return False
        owner_id = claim.pending.event.owner_id
        if confirmed:
            self._owners.confirm(owner_id, was_not_found=claim.pending.standing.was_not_found)
        self._finish(lane)
        if self._owners.take_lifted(owner_id):
            self._delayed.hasten(lambda lane: _waits_for_its_turn(lane.events[0], owner_id))
        return True

    async def retry(self, claim: Claim, seconds: float) -> bool:
        """See ``EventStore``."""
        lane = self._claimed(claim)
        if lane is None:
            return False
        if seconds > 0:
            lane.state = LaneState.DELAYED
            lane.due_at = self._clock.monotonic() + seconds
            self._delayed.add(lane, seconds)
        else:
            self._make_ready(lane)
        return True

    async def renew(self, claims: Sequence[Claim], lease: float) -> list[bool]:
        """See ``EventStore``."""
        return [self._renew(claim, lease) for claim in claims]

    async def stats(self) -> StoreStats:
        """See ``EventStore``."""
        return self.look()

    async def events(self, *, limit: int = 100) -> list[StoredEvent]:
        """See ``EventAdmin``."""
        return self._unfinished.listed(self._clock.monotonic())[:limit]

    async def retry_now(self, key: str) -> bool:
        """See ``EventAdmin``."""
        found = self._unfinished.find(key)
        if found is None or found[1] > 0 or found[0].state is not LaneState.DELAYED:
            return False
        self._delayed.hasten(lambda lane: lane is found[0])
        return True

    async def drop(self, key: str) -> bool:
        """See ``EventAdmin``."""
        lane, position = self._unfinished.find(key) or (None, 0)
        if lane is None or (position == 0 and lane.state in (LaneState.CLAIMED, LaneState.SET_ASIDE)):
            return False
        if position == 0:
            self._delayed.discard(lane)
            self._ready[lane.is_of_deauthorizations].discard(lane)
        self._finish(lane, position)
        return True

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """See ``EventStore``. What is left at its end is ready in the next."""
        self.begin()
        async with TaskGroup() as tasks:
            tasks.start_soon(self.run)
            try:
                yield
            finally:
                self.is_closed = True
                tasks.cancel_scope.cancel()

    def begin(self, on_ready: Callable[[PendingEvent], None] = lambda _: None) -> None:
        """Start to accept events, in this event loop; what an earlier one has left is ready.

        Args:
            on_ready: called with each event that becomes due.
        """
        self._on_ready = on_ready
        self._new_queues()
        self._set_aside = 0
        self._restored = sum(pending.restored for pending in self._unfinished.events)
        self.is_closed = False
        for lane in self._unfinished.lanes:
            self._make_ready(lane)

    async def run(self) -> None:
        """Make lanes ready when they are due, and end leases; never returns."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leases.run)
            await self._delayed.run()

    def restore(self, pending: PendingEvent) -> None:
        """Add an event of a backlog."""
        self._enter(pending.event.key, pending)
        self._restored += 1

    def close(self, keeps: Callable[[PendingEvent], bool]) -> None:
        """Accept no more events, and let no lane stay delayed.

        Args:
            keeps: called with the first event of each delayed lane; whether to set the lane aside. Else it is ready.
        """
        self.is_closed = True
        for lane in self._delayed.release():
            if keeps(lane.events[0]):
                self._set_lane_aside(lane)
            else:
                self._make_ready(lane)

    def set_aside(self, claim: Claim) -> None:
        """Set an event, and all behind it in its lane, aside for the backlog."""
        lane = self._claimed(claim)
        if lane is not None:
            self._set_lane_aside(lane)

    def clear(self) -> list[PendingEvent]:
        """Remove all events, and return them. Their keys stay known."""
        self.is_closed = True
        return self._unfinished.clear()

    def forget(self, event: WebhookEvent) -> None:
        """Forget the key of an event, so that it is stored if it comes again."""
        self._seen.discard(event.key)

    @property
    def unfinished(self) -> list[PendingEvent]:
        """All events."""
        return self._unfinished.events

    @property
    def is_done(self) -> bool:
        """Whether all events that are left were set aside."""
        return len(self._unfinished) == self._set_aside

    def look(self) -> StoreStats:
        """Return what ``stats`` does. Thread-safe."""
        return self._unfinished.stats(self._clock.monotonic())

    def _new_queues(self) -> None:
        self._ready = {False: ReadyQueue(), True: ReadyQueue()}
        self._delayed: DelayQueue[Lane] = DelayQueue(self._clock, self._make_ready)
        self._leases: DelayQueue[Claim] = DelayQueue(self._clock, self._end_lease)

    def _enter(self, key: str, pending: PendingEvent) -> None:
        self._seen.add(key)
        lane = self._unfinished.add(pending)
        if lane is not None:
            self._make_ready(lane)

    def _finish(self, lane: Lane, position: int = 0) -> None:
        self._restored -= self._unfinished.remove(lane, position).restored
        if lane.events and position == 0:
            self._make_ready(lane)

    def _make_ready(self, lane: Lane) -> None:
        lane.state = LaneState.READY
        first = lane.events[0]
        first.ready_at = self._clock.monotonic()
        self._ready[lane.is_of_deauthorizations].add(lane)
        self._on_ready(first)

    def _claim(self, lane: Lane, lease: float) -> Claim:
        lane.state = LaneState.CLAIMED
        lane.claims += 1
        first = lane.events[0]
        first.ready_at = first.waits_for = None
        claim = Claim(first, _ClaimId(lane, lane.claims))
        self._start_lease(lane, claim, lease)
        return claim

    def _claimed(self, claim: Claim) -> Lane | None:
        """Return the lane of a claim that is still valid."""
        if not isinstance(claim.id, _ClaimId):
            return None
        lane, number = claim.id
        is_valid = lane.state is LaneState.CLAIMED and lane.claims == number and lane.events
        return lane if is_valid and lane.events[0] is claim.pending else None

    def _start_lease(self, lane: Lane, claim: Claim, lease: float) -> None:
        lane.lease_ends_at = self._clock.monotonic() + lease
        if lease < math.inf:
            self._leases.add(claim, lease)

    def _renew(self, claim: Claim, lease: float) -> bool:
        lane = self._claimed(claim)
        if lane is not None:
            self._start_lease(lane, claim, lease)
        return lane is not None

    def _end_lease(self, claim: Claim) -> None:
        lane = self._claimed(claim)
        if lane is not None and lane.lease_ends_at <= self._clock.monotonic():  # else it was renewed
            lane.events[0].note_interruption()
            self._make_ready(lane)

    def _set_lane_aside(self, lane: Lane) -> None:
        lane.state = LaneState.SET_ASIDE
        self._set_aside += len(lane.events)


def _waits_for_its_turn(pending: PendingEvent, owner_id: int) -> bool:
    return pending.waits_for is WaitReason.OWNER_TURN and pending.event.owner_id == owner_id
