"""Whose turn it is: ``Turns``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Turns(Generic[T]):
    """Who is next, among those who have work: whoever is taken comes last again, when ``back`` is called.

    Args:
        everyone: in the order of their first turns.
    """

    def __init__(self, everyone: Iterable[T]) -> None:
        self._ready = deque(everyone)
        self._out = 0
        self._waiting: deque[anyio.Event] = deque()

    async def next(self) -> T | None:
        """Return who is next; waits while all are out. None if nobody will be."""
        while not self._ready:
            if not self._out:
                return None
            changed = anyio.Event()
            self._waiting.append(changed)
            await changed.wait()
        self._out += 1
        return self._ready.popleft()

    def back(self, one: T) -> None:
        """Give one who is out another turn."""
        self._ready.append(one)
        self.leave()

    def leave(self) -> None:
        """Note that one who is out has no more work."""
        self._out -= 1
        while self._waiting:
            self._waiting.popleft().set()
