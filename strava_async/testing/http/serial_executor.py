"""Heavy work, one piece at a time: what else the event loop has to do comes in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio.lowlevel import RunVar, checkpoint

T = TypeVar("T")


class SerialExecutor:
    """Lets tasks work one after the other, in the order they came; each in a turn of the event loop of its own.

    Each event loop has a queue of its own: what waits in one cannot be woken from another.
    """

    def __init__(self) -> None:
        self._queues: RunVar[_Queue] = RunVar("the queue for the turns")

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, when it is its turn.

        Who gives up lets the next one go: it may then work beside those who are before it, which does no harm.
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
    """Those who wait in one event loop; each is let go by the one before."""

    last: anyio.Event | None = None
