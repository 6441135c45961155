"""Runs heavy work one piece at a time, so that other tasks of the event loop run in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio.lowlevel import RunVar, checkpoint

T = TypeVar("T")


class SerialExecutor:
    """Runs pieces of work one after the other, first come first served, with a checkpoint before each.

    Each event loop has its own queue: a waiter of one cannot be woken from another.
    """

    def __init__(self) -> None:
        self._queues: RunVar[_Queue] = RunVar("the queue of the serial executor")

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for earlier work, then run ``work`` and return its result.

        A cancelled caller releases the next one, which may then run before earlier ones; that is harmless.
        """
        queue, mine = self._queue(), anyio.Event()
        before, queue.last = queue.last, mine
        try:
            if before is not None:
                await before.wait()
            await checkpoint()
            return work()
        finally:
            mine.set()
            if queue.last is mine:
                queue.last = None

    def _queue(self) -> _Queue:
        queue = self._queues.get(None)
        if queue is None:
            queue = _Queue()
            self._queues.set(queue)
        return queue


@dataclass(slots=True)
class _Queue:
    """The callers that wait in one event loop; each is released by the one before."""

    last: anyio.Event | None = None
