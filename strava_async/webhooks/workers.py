"""Workers that handle what they claim from an event store, a bounded number at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from strava_async.webhooks.base import Claim, EventStore


class WorkerPool:
    """Workers for one class of events.

    One worker at a time calls ``claim``, for as many events as workers are free: a burst costs one call.

    Attributes:
        size: how many workers there are.

    Args:
        store: where the events are.
        size: how many workers there are.
        handle: handles a claimed event, and calls ``ack`` or ``retry``; raises nothing.
        deauthorizations: whether they handle these, or the other events.
    """

    def __init__(
        self, store: EventStore, size: int, handle: Callable[[Claim], Awaitable[None]], *, deauthorizations: bool
    ) -> None:
        self.size = size
        self._store = store
        self._handle = handle
        self._deauthorizations = deauthorizations
        self._free = size
        self._claims: deque[Claim] = deque()
        self._is_claiming = False
        self._waiting: deque[anyio.Event] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether no worker is free."""
        return self._free == 0

    async def work(self) -> None:
        """Run one worker; never returns."""
        while True:
            await anyio.lowlevel.checkpoint()  # so that it can be cancelled while events are always ready
            claim = await self._next()
            self._free -= 1
            await self._handle(claim)
            self._free += 1

    async def _next(self) -> Claim:
        while not self._claims:
            if self._is_claiming:
                turn = anyio.Event()
                self._waiting.append(turn)
                await turn.wait()
            else:
                await self._claim()
        return self._claims.popleft()

    async def _claim(self) -> None:
        self._is_claiming = True
        try:
            # Without end: no other process can claim from the memory of this one.
            self._claims.extend(await self._store.claim(self._free, math.inf, deauthorizations=self._deauthorizations))
        finally:
            self._is_claiming = False
        # Wake one for each claim. This worker takes one itself, so one more wakes, to call ``claim`` next.
        for _ in range(min(len(self._claims), len(self._waiting))):
            self._waiting.popleft().set()
