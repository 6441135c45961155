"""How claims wait for a store that calls nobody: one of them asks, at a bounded pace, and the others wait in line.

What another process has stored is found by the next question; what this process does wakes those who wait for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

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
        others_seconds: the same of the other kind of events.
    """

    claims: Sequence[Claim]
    next_seconds: float
    others_seconds: float


class Poller:
    """Lets one claim at a time ask for a kind of events. It belongs to one event loop.

    Args:
        clock: times the pauses.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._other = self
        self._line = anyio.Lock()
        self._is_woken = False
        self._ask_at = clock.monotonic()
        self._pause: anyio.CancelScope | None = None

    @classmethod
    def pair(cls, clock: Clock) -> tuple[Self, Self]:
        """Return those of two kinds of events: an answer tells about both, so one of them asks for both."""
        one, other = cls(clock), cls(clock)
        one._other, other._other = other, one
        return one, other

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
                self._other._ask_in(POLL_SECONDS)  # where this is answered, it need not; where it is not, it does
                claims, seconds, others_seconds = await ask()
                self._other._ask_in(others_seconds)
                if claims:
                    return claims
                self._ask_in(seconds)
                await self._wait()

    def _ask_in(self, seconds: float) -> None:
        before, self._ask_at = self._ask_at, self._clock.monotonic() + min(seconds, POLL_SECONDS)
        if self._ask_at < before and self._pause is not None:
            self._pause.cancel()

    async def _wait(self) -> None:
        while not self._is_woken and (seconds := self._ask_at - self._clock.monotonic()) > 0:
            with anyio.CancelScope() as self._pause:
                await self._clock.sleep(seconds)
            self._pause = None
