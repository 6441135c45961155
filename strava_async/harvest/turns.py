"""Whose turn it is: ``Turns``."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T", bound=Hashable)


class Turns(Generic[T]):
    """Who is next, among those who have work: who had the fewest turns, and of these who has waited longest.

    So who was out for long, because it was slow to find its work, has the turns that others took meanwhile.

    Args:
        everyone: in the order of their first turns.
    """

    def __init__(self, everyone: Iterable[T]) -> None:
        self._order = itertools.count()
        self._ready = [(0, next(self._order), one) for one in everyone]  # a heap
        self._turns: Counter[T] = Counter()
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
        *_, one = heapq.heappop(self._ready)
        self._turns[one] += 1
        return one

    def back(self, one: T) -> None:
        """Give one who is out another turn."""
        heapq.heappush(self._ready, (self._turns[one], next(self._order), one))
        self.leave()

    def leave(self) -> None:
        """Note that one who is out has no more work."""
        self._out -= 1
        while self._waiting:
            self._waiting.popleft().set()
