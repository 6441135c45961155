"""Blocking work in separate threads: an application that fills the common pool delays no save."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")

THREADS = 8


async def finish_in_thread(work: Callable[[], T]) -> T:
    """Return what ``work()`` returns, called in a thread.

    Cancelling does not interrupt it: work that has begun is waited for, other work is dropped. Anyio's own shield does
    not hold against ``Task.cancel()``, and a caller that left early would release a lock that the work still needs.
    """
    job = Job(work)
    try:
        await anyio.to_thread.run_sync(job.run, limiter=_limiter())
    finally:
        if not job.call_off():
            with anyio.CancelScope(shield=True):
                while not job.ended.is_set():
                    with suppress(anyio.get_cancelled_exc_class()):
                        await anyio.sleep(0.005)
    return job.result()


def busy() -> int:
    """Return how many threads work for this event loop."""
    return _limiter().borrowed_tokens


class Job(Generic[T]):
    """Work for one thread, unless it is called off before it begins."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.ended = threading.Event()
        self._work = work
        # The first to acquire it decides: the thread does the work, the caller calls it off.
        self._claim = threading.Lock()
        self._results: list[T] = []
        self._error: Exception | None = None

    def run(self) -> None:
        """Do it, in the thread."""
        if self._claim.acquire(blocking=False):
            try:
                self._results.append(self._work())
            except Exception as error:
                self._error = error
            finally:
                self.ended.set()

    def call_off(self) -> bool:
        """Keep it from beginning, and return whether that was in time."""
        return self._claim.acquire(blocking=False)

    def result(self) -> T:
        """Return what it returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]


_limiters: RunVar[anyio.CapacityLimiter] = RunVar("threads of token stores")


def _limiter() -> anyio.CapacityLimiter:
    limiter = _limiters.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(THREADS)
        _limiters.set(limiter)
    return limiter
