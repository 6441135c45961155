"""Delivers events to the callbacks.

Rules:

- An event is delivered when its callback answers 200 within 2 s; else it is sent again, three times in all.
- The gap between two attempts delays nothing else. Eight events are sent at a time; no order is promised.
- Events wait until they are delivered, the last 10,000 at most. Those of a subscription that has ended are dropped.
- A cancelled attempt is repeated: its callback may receive the event twice.

Source:
    https://developers.strava.com/docs/webhooks/; the gap as one user reports it.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from strava_async._concurrency.task_group import TaskGroup
from strava_async.clock import Clock
from strava_async.testing.callbacks import Callbacks, call_callback
from strava_async.testing.webhooks.subscriptions import PushSubscription

ATTEMPTS = 3
RETRY_SECONDS = 120.0
AT_ONCE = 8
EVENTS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One attempt to deliver an event.

    Attributes:
        body: the JSON that was sent.
        attempt: the number of the attempt, from 1.
        status_code: the status of the callback's response; None if there was none in time.
        at: when it was sent; Unix seconds on the emulator's clock.
        client_id: of the application whose callback it was.
    """

    body: bytes
    attempt: int
    status_code: int | None
    at: float
    client_id: int

    @property
    def event(self) -> Any:
        """The body, decoded; ``ValueError`` if a test posted invalid JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that waits to be sent."""

    to: PushSubscription
    body: bytes
    attempt: int = 1


class Outbox:
    """Events by the instant at which they are due. Above the limit, the one that is due first is dropped."""

    def __init__(self, limit: int = EVENTS_KEPT) -> None:
        self._limit = limit
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, PendingEvent]] = []

    @property
    def next_due_at(self) -> float | None:
        """When the next event is due; None if none waits."""
        return self._waiting[0][0] if self._waiting else None

    def put(self, event: PendingEvent, due_at: float) -> None:
        """Add an event."""
        heapq.heappush(self._waiting, (due_at, next(self._order), event))
        if len(self._waiting) > self._limit:
            heapq.heappop(self._waiting)

    def take(self, now: float) -> PendingEvent | None:
        """Remove and return an event that is due; None if there is none."""
        due = self._waiting and self._waiting[0][0] <= now
        return heapq.heappop(self._waiting)[2] if due else None


class Delivery:
    """Sends events to callbacks.

    Args:
        clock: tells when an event is due.
        callbacks: reaches the callbacks.
        answer_seconds: how long a callback has to answer.
        retry_seconds: from one attempt to the next.
        is_current: returns whether a subscription still exists.
        settle: does the other work that is due, and returns the seconds until there is more; None if there is none.

    Attributes:
        events: what was sent, in the order of the answers; the last 10,000.
    """

    def __init__(
        self,
        clock: Clock,
        callbacks: Callbacks,
        *,
        answer_seconds: float,
        retry_seconds: float,
        is_current: Callable[[PushSubscription], bool],
        settle: Callable[[], float | None],
    ) -> None:
        self.events: deque[SentEvent] = deque(maxlen=EVENTS_KEPT)
        self._clock = clock
        self._callbacks = callbacks
        self._answer_seconds = answer_seconds
        self._retry_seconds = retry_seconds
        self._is_current = is_current
        self._settle = settle
        self._outbox = Outbox()
        self._under_way = 0
        self._waiting: set[anyio.Event] = set()

    def post(self, to: PushSubscription, body: bytes) -> None:
        """Queue an event for delivery."""
        self._put(PendingEvent(to, body))

    def wake(self) -> None:
        """Make the running deliveries check again which events are due."""
        for woken in self._waiting:
            woken.set()

    async def deliver(self) -> int:
        """Send what is due now, each event once, and return how many were sent."""
        self._settle()
        now, sent = self._clock.monotonic(), 0
        due = deque(iter(lambda: self._outbox.take(now), None))

        async def send_some() -> None:
            nonlocal sent
            while due:
                is_sent = await self._send(due.popleft())  # before ``sent`` is read: others add to it meanwhile
                sent += is_sent

        try:
            async with anyio.create_task_group() as senders:
                for _ in range(min(AT_ONCE, len(due))):
                    senders.start_soon(send_some)
        finally:
            for event in due:
                self._put(event)
        return sent

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Deliver in a task of its own as long as the block lasts; an error in the block comes out as it is."""
        async with TaskGroup() as tasks:
            tasks.start_soon(self.run)
            yield
            tasks.cancel_scope.cancel()

    async def run(self) -> None:
        """Send each event when it is due, until cancelled."""
        async with anyio.create_task_group() as senders:
            while True:
                woken = anyio.Event()
                self._waiting.add(woken)
                try:
                    settled_in = self._settle()
                    while self._under_way < AT_ONCE and (event := self._outbox.take(self._clock.monotonic())):
                        self._under_way += 1
                        senders.start_soon(self._send_in_place, event)
                    await self._pause(woken, self._earlier(settled_in))
                finally:
                    self._waiting.discard(woken)

    def _earlier(self, seconds: float | None) -> float | None:
        """Return the seconds until the next work is due; events count only if fewer than ``AT_ONCE`` are being sent."""
        due_at = self._outbox.next_due_at if self._under_way < AT_ONCE else None
        if due_at is None:
            return seconds
        event_in = due_at - self._clock.monotonic()
        return event_in if seconds is None else min(seconds, event_in)

    async def _pause(self, woken: anyio.Event, seconds: float | None) -> None:
        async with anyio.create_task_group() as waiting:
            if seconds is not None:
                waiting.start_soon(self._ring, woken, seconds)
            await woken.wait()
            waiting.cancel_scope.cancel()

    async def _ring(self, woken: anyio.Event, seconds: float) -> None:
        await self._clock.sleep(seconds)
        woken.set()

    async def _send_in_place(self, event: PendingEvent) -> None:
        try:
            await self._send(event)
        finally:
            self._under_way -= 1
            self.wake()

    async def _send(self, event: PendingEvent) -> bool:
        """Make one attempt, and return whether the subscription still exists."""
        if not self._is_current(event.to):
            return False
        at = self._clock.time()
        try:
            to, seconds = event.to.callback_url, self._answer_seconds
            reply = await call_callback(self._callbacks, "POST", to, event.body, seconds=seconds)
        except anyio.get_cancelled_exc_class():
            self._put(event)
            raise
        status_code = None if reply is None else reply.status_code
        self.events.append(SentEvent(event.body, event.attempt, status_code, at, event.to.application_id))
        if status_code != 200 and event.attempt < ATTEMPTS:
            self._put(replace(event, attempt=event.attempt + 1), self._retry_seconds)
        return True

    def _put(self, event: PendingEvent, seconds: float = 0.0) -> None:
        self._outbox.put(event, self._clock.monotonic() + seconds)
        self.wake()
