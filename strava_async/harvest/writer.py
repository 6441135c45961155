"""What came for several athletes is written together: ``Writer``.

A transaction costs as much as a request, and the bodies that are in it next to nothing. So who has something to write
waits until two of three have something, too, but not longer than ``TOGETHER_SECONDS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

import anyio

from strava_async._concurrency.shield import InFlight, call_shielded
from strava_async.harvest.base import Changes, HarvestStore

TOGETHER_SECONDS = 0.1


class _Write:
    """A write, and what came of it."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.changed = anyio.Event()
        self.is_done = False
        self.is_left = False
        self.error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        """Tell who waits for it."""
        self.is_done, self.error = True, error
        self.changed.set()


class _Asking(AbstractContextManager[None]):
    """Counts who is in it; one for all requests, which is entered often."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        self._writer.ask()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._writer.stop_asking()


class Writer:
    """Writes for all callers of a run. One of those who wait does it for all.

    Args:
        store: where to.
        seconds: how long a write waits for others at the most.
    """

    def __init__(self, store: HarvestStore, seconds: float = TOGETHER_SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._waiting: list[_Write] = []
        self._leader: object = None
        self._asking = 0
        self._asking_context = _Asking(self)
        self._enough = anyio.Event()
        self._in_flight = InFlight()

    def asking(self) -> AbstractContextManager[None]:
        """Return a context in which something may come that is to be written."""
        return self._asking_context

    def ask(self) -> None:
        """Enter that context."""
        self._asking += 1

    def stop_asking(self) -> None:
        """Leave it."""
        self._asking -= 1
        self._check()

    async def write(self, changes: Changes) -> None:
        """Write; what was begun is written whatever is cancelled.

        Raises:
            StoreError: this one was not written.
        """
        write = _Write(changes)
        self._waiting.append(write)
        self._check()
        try:
            while not write.is_done:
                if self._leader is not None:
                    await write.changed.wait()
                else:
                    await self._lead()
        finally:
            write.is_left = True
            if not write.is_done and self._leader is None:  # it was about to lead when it was cancelled
                await self._lead()
        if write.error is not None:
            raise write.error

    async def wait_idle(self) -> None:
        """Wait until everything is written."""
        await self._in_flight.wait_idle()

    async def _lead(self) -> None:
        self._leader = leader = object()
        end = self._in_flight.begin()

        def after() -> None:
            self._leave(leader)  # if it has not even begun
            end()

        await call_shielded(lambda: self._write_waiting(leader), after)

    async def _write_waiting(self, leader: object) -> None:
        """Write what waits now, and let another one lead; or all, where nobody is there any more to do that."""
        batch: list[_Write] = []
        try:
            while self._waiting:
                await self._gather()
                batch, self._waiting = self._waiting, []
                await self._write_together(batch)
                if self._heir() is not None:
                    break
        finally:
            self._waiting[:0] = [write for write in batch if not write.is_done]
            self._leave(leader)

    def _heir(self) -> _Write | None:
        return next((write for write in self._waiting if not write.is_left), None)

    def _leave(self, leader: object) -> None:
        if self._leader is leader:
            self._leader = None
            if (heir := self._heir()) is not None:
                heir.changed.set()
                heir.changed = anyio.Event()

    async def _gather(self) -> None:
        self._enough = anyio.Event()
        self._check()
        with anyio.move_on_after(self._seconds):
            await self._enough.wait()

    def _check(self) -> None:
        if 2 * self._asking <= len(self._waiting):
            self._enough.set()

    async def _write_together(self, batch: Sequence[_Write]) -> None:
        try:
            await self._store.write(*(write.changes for write in batch))
        except Exception as error:
            if len(batch) == 1:
                batch[0].end(error)
                return
            for write in batch:
                await self._write_together([write])
        else:
            for write in batch:
                write.end()
