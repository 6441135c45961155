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

    One worker at a time asks the store, for all that are free: a burst costs one question, and the others are woken
    together by its answer.

    Attributes:
        size: how many workers there are.

    Args:
        store: where the events are.
        size: how many workers there are.
        handle: handles a claimed event to its end, or gives it back; raises nothing.
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
        self._is_asking = False
        self._waiting: deque[anyio.Event] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether no worker is free."""
        return self._free == 0

    async def work(self) -> None:
        """Be one worker; never returns."""
        while True:
            await anyio.lowlevel.checkpoint()  # where events that wait for nothing let it be cancelled
            claim = await self._next()
            self._free -= 1
            await self._handle(claim)
            self._free += 1

    async def _next(self) -> Claim:
        while not self._claims:
            if self._is_asking:
                turn = anyio.Event()
                self._waiting.append(turn)
                await turn.wait()
            else:
                await self._ask()
        return self._claims.popleft()

    async def _ask(self) -> None:
        self._is_asking = True
        try:
            # The lease does not end: what is in the memory of this process is nobody else's.
            self._claims.extend(await self._store.claim(self._free, math.inf, deauthorizations=self._deauthorizations))
        finally:
            self._is_asking = False
        # One is for the worker that asked; in place of that, one more is woken to ask next.
        for _ in range(min(len(self._claims), len(self._waiting))):
            self._waiting.popleft().set()
