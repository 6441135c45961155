"""One lock per key, among the tasks of one event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import RunVar

from strava_async.errors import InputError


class KeyedLock:
    """One lock for each key in use; those of idle keys are not kept.

    Each event loop has its own: a lock of one loop cannot wake the tasks of another.
    """

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncGenerator[None]:
        """Hold the lock of a key: one task of this event loop at a time, in the order in which they came.

        No checkpoint if it is free.

        Raises:
            InputError: the task holds it already.
        """
        locks = self._locks()
        lock = locks.setdefault(key, anyio.Lock())
        try:
            await _acquire(lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            # A released lock passes to the next waiter at once: one that is not locked has no waiters.
            if not lock.locked() and locks.get(key) is lock:
                del locks[key]

    def in_use(self) -> int:
        """Return how many keys are held or waited for, in this event loop."""
        return len(self._locks())

    def _locks(self) -> dict[Hashable, anyio.Lock]:
        queues = _queues.get(None)
        if queues is None:
            queues = WeakKeyDictionary[KeyedLock, dict[Hashable, anyio.Lock]]()
            _queues.set(queues)
        return queues.setdefault(self, {})


async def _acquire(lock: anyio.Lock) -> None:
    try:
        lock.acquire_nowait()
    except anyio.WouldBlock:
        await lock.acquire()
    except RuntimeError as error:
        raise InputError(
            "this task holds the lock already, and would wait for itself: leave the first block before the second"
        ) from error


_queues: RunVar[WeakKeyDictionary[KeyedLock, dict[Hashable, anyio.Lock]]] = RunVar("keyed locks")
