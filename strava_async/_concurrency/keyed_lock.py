"""Who of one event loop's tasks is next: a first-come queue for each thing that is asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import RunVar

from strava_async.errors import InputError


class Turns:
    """One lock for each key in use; those of idle keys are not kept.

    Each event loop has its own: a lock of one loop cannot wake the tasks of another.
    """

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncGenerator[None]:
        """Return a context that one task of this event loop at a time is in, in the order of asking.

        No checkpoint if nobody else is in it.

        Raises:
            InputError: the task is in it already.
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
            # Who waits is handed the lock at its release: one that is not locked is wanted by nobody.
            if not lock.locked() and locks.get(key) is lock:
                del locks[key]

    def in_use(self) -> int:
        """Return how many keys are held or waited for, in this event loop."""
        return len(self._locks())

    def _locks(self) -> dict[Hashable, anyio.Lock]:
        queues = _queues.get(None)
        if queues is None:
            queues = WeakKeyDictionary[Turns, dict[Hashable, anyio.Lock]]()
            _queues.set(queues)
        return queues.setdefault(self, {})


async def _acquire(lock: anyio.Lock) -> None:
    try:
        lock.acquire_nowait()
    except anyio.WouldBlock:
        await lock.acquire()
    except RuntimeError as error:
        raise InputError("this task is inside already: it would wait for itself") from error


_queues: RunVar[WeakKeyDictionary[Turns, dict[Hashable, anyio.Lock]]] = RunVar("turns at token stores")
