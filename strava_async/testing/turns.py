"""Heavy work, one piece at a time: what else the event loop has to do comes in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

T = TypeVar("T")


class Turns:
    """Lets tasks work one after the other, in the order they came; each in a turn of the event loop of its own.

    It belongs to no event loop, and serves one after the other.
    """

    def __init__(self) -> None:
        self._last: anyio.Event | None = None

    async def do(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, when it is its turn.

        Who gives up lets the next one go: it may then work beside those who are before it, which does no harm.
        """
        before, mine = self._last, anyio.Event()
        self._last = mine
        try:
            if before is not None:
                await before.wait()
            await checkpoint()
            return work()
        finally:
            mine.set()
            if self._last is mine:
                self._last = None
