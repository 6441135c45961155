"""The transactions of one process with a file of webhook events: ``GroupCommit``.

- What waits while a transaction runs goes into the next one together: a burst costs one write to the disk for each
  group, and not for each event.
- A service holds its connection (``sqlite_held``): to open and close one for each transaction costs several times
  what the write does. Other callers open one for each.
- After a failure the next transaction proves first that an event could be stored. What writes nothing would succeed on
  a full disk, and the store would seem to be back.
- Each transaction tells whether another process has made something due since the one before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._concurrency.threads import finish_in_thread
from strava_async.stores.sqlite_file import SqliteFile
from strava_async.stores.sqlite_held import HeldConnection
from strava_async.stores.sqlite_shared import SharedFile
from strava_async.webhooks.event_rows import EventRows

T = TypeVar("T")

MOST_TOGETHER = 500


class _Write(Generic[T]):
    """A write, and what came of it."""

    def __init__(self, work: Callable[[EventRows], T]) -> None:
        self.work = work
        self.ended = anyio.Event()
        self.results: list[T] = []
        self.error: Exception | None = None

    def do(self, rows: EventRows) -> T:
        return self.work(rows)


class GroupCommit:
    """The transactions of one process with a file.

    While ``run`` runs, those of its event loop are grouped, on one connection; all others are alone, each on its own.

    Args:
        file: what is written.
        rows: makes the tables of a transaction.
        wait_seconds: how long a transaction waits for that of another process.
        on_change: called in the event loop of ``run`` when another process has made something due.
    """

    def __init__(
        self,
        file: SharedFile,
        rows: Callable[[sqlite3.Connection], EventRows],
        wait_seconds: float,
        on_change: Callable[[], None],
    ) -> None:
        self._file = file
        self._rows = rows
        self._on_change = on_change
        self._connection = HeldConnection(wait_seconds, "store of webhook events")
        self._waiting: list[_Write[Any]] = []
        self._has_work = anyio.Event()
        self._binding: LoopBinding | None = None
        self._turn: int | None = None
        self._has_failed = False

    @property
    def runs_here(self) -> bool:
        """Whether ``run`` runs in this event loop."""
        return self._binding is not None and self._binding.is_here()

    async def write(self, work: Callable[[EventRows], T]) -> T:
        """Return what ``work`` returns in a transaction, once it is committed.

        If it is cancelled, the work is done or was not begun.

        Raises:
            EventStoreError: it failed, and with it all that was in its transaction.
        """
        if not self.runs_here:
            return await self._alone(work)
        write = _Write(work)
        self._waiting.append(write)
        self._has_work.set()
        try:
            await write.ended.wait()
        finally:
            if write in self._waiting:
                self._waiting.remove(write)
        if write.error is not None:
            raise write.error
        if write.results:
            return write.results[0]
        return await self._alone(work)  # ``run`` has ended before it began

    async def run(self) -> None:
        """Write; never returns. One caller at a time."""
        binding = LoopBinding("this store of webhook events")
        binding.enter()
        self._binding, self._has_work = binding, anyio.Event()
        try:
            while True:
                await self._has_work.wait()
                self._has_work = anyio.Event()
                while self._waiting:
                    group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                    await self._write_together(group)
        finally:
            if self._binding is binding:
                self._binding = None
            for write in self._waiting:
                write.ended.set()
            with anyio.CancelScope(shield=True):
                await finish_in_thread(self._connection.close)

    async def _write_together(self, group: list[_Write[Any]]) -> None:
        try:
            file = await self._file.made()
            if await finish_in_thread(partial(self._transact, file, group)):
                self._on_change()
        except Exception as error:
            self._has_failed = True
            for write in group:
                write.error = error
        finally:
            for write in group:
                write.ended.set()

    def _transact(self, file: SqliteFile, group: list[_Write[Any]]) -> bool:
        """Do a group, and return whether another process has made something due; in a thread."""
        before, proves = self._turn, self._has_failed

        def work(connection: sqlite3.Connection) -> tuple[list[Any], int, int]:
            rows = self._rows(connection)
            rows.set_back()
            if proves:
                rows.prove_room()
            first = rows.latest_turn()
            return [write.do(rows) for write in group], first, rows.latest_turn()

        results, first, self._turn = self._connection.transact(file, work)
        for write, result in zip(group, results, strict=True):  # here: they count even if the caller is cancelled
            write.results.append(result)
        self._has_failed = False
        return first != before

    async def _alone(self, work: Callable[[EventRows], T]) -> T:
        def transaction(connection: sqlite3.Connection) -> T:
            rows = self._rows(connection)
            rows.set_back()
            return work(rows)

        return await self._file.write(transaction)
