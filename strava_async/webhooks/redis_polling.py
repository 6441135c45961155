"""How claims wait for a store that calls nobody: one of them asks, at a bounded pace, and the others wait in line.

What another process has stored is found by the next question; what this process does wakes the one that waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import anyio

from strava_async.clock import Clock
from strava_async.webhooks.base import Claim

# So often each process asks while nothing is due; half of what it may take until a worker has what another stored.
POLL_SECONDS = 0.5


class Answer(NamedTuple):
    """What a store has answered.

    Attributes:
        claims: what is due.
        next_seconds: if that is nothing, after how long something may be.
    """

    claims: Sequence[Claim]
    next_seconds: float


class Poller:
    """Lets one claim at a time ask. It belongs to one event loop.

    Args:
        clock: times the pauses.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._line = anyio.Lock()
        self._is_woken = False
        self._pause: anyio.CancelScope | None = None

    def wake(self) -> None:
        """Let the next question be asked now: something may be due."""
        self._is_woken = True
        if self._pause is not None:
            self._pause.cancel()

    async def claim(self, ask: Callable[[], Awaitable[Answer]]) -> Sequence[Claim]:
        """Ask, when it is this one's turn, until there is something."""
        async with self._line:
            while True:
                self._is_woken = False
                claims, seconds = await ask()
                if claims:
                    return claims
                await self._wait(min(seconds, POLL_SECONDS))

    async def _wait(self, seconds: float) -> None:
        with anyio.CancelScope() as self._pause:
            if not self._is_woken:
                await self._clock.sleep(seconds)
        self._pause = None
