"""Workers that handle what they claim, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.lowlevel

from strava_async.webhooks.base import Claim


class WorkerPool:
    """Workers for one class of events.

    One worker at a time calls ``claim``, for as many events as workers are free: a burst costs one call.

    Attributes:
        size: how many workers there are.

    Args:
        claim: claims up to so many events; raises nothing.
        size: how many workers there are.
        handle: handles a claimed event, and calls ``ack`` or ``retry``; raises nothing.
    """

    def __init__(
        self, claim: Callable[[int], Awaitable[Sequence[Claim]]], size: int, handle: Callable[[Claim], Awaitable[None]]
    ) -> None:
        self.size = size
        self._claim_up_to = claim
        self._handle = handle
        self._free = size
        self._claims: deque[Claim] = deque()
        self._claiming: anyio.CancelScope | None = None
        self._is_stopped = False
        self._waiting: deque[anyio.Event] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether no worker is free."""
        return self._free == 0

    async def work(self) -> None:
        """Run one worker; returns after ``stop``."""
        while True:
            await anyio.lowlevel.checkpoint()  # so that it can be cancelled while events are always ready
            claim = await self._next()
            if claim is None:
                return
            self._free -= 1
            await self._handle(claim)
            self._free += 1

    def stop(self) -> list[Claim]:
        """Let each worker end when it has handled what it has; return what none has begun."""
        self._is_stopped = True
        left = list(self._claims)
        self._claims.clear()
        if self._claiming is not None:
            self._claiming.cancel()
        while self._waiting:
            self._waiting.popleft().set()
        return left

    async def _next(self) -> Claim | None:
        while not self._is_stopped and not self._claims:
            if self._claiming is not None:
                turn = anyio.Event()
                self._waiting.append(turn)
                await turn.wait()
            else:
                await self._claim()
        return None if self._is_stopped else self._claims.popleft()

    async def _claim(self) -> None:
        try:
            with anyio.CancelScope() as self._claiming:
                self._claims.extend(await self._claim_up_to(self._free))
        finally:
            self._claiming = None
        # Wake one for each claim. This worker takes one itself, so one more wakes, to call ``claim`` next.
        for _ in range(min(len(self._claims), len(self._waiting))):
            self._waiting.popleft().set()
