"""Writes that wait while a transaction runs go into the next one together: ``GroupCommit``.

A burst costs one write to the disk for each group, and not for each event. Reads are not grouped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
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
    """The writes of one process to a file.

    While ``run`` runs, the writes of its event loop are grouped; all others are transactions of their own.

    Args:
        file: what is written.
        rows: makes the tables of a transaction.
    """

    def __init__(self, file: SharedFile, rows: Callable[[sqlite3.Connection], EventRows]) -> None:
        self._file = file
        self._rows = rows
        self._waiting: list[_Write[Any]] = []
        self._has_work = anyio.Event()
        self._binding: LoopBinding | None = None

    async def write(self, work: Callable[[EventRows], T]) -> T:
        """Return what ``work`` returns in a transaction, once it is committed.

        If it is cancelled, the work is done or was not begun.

        Raises:
            EventStoreError: it failed, and with it all that was in its transaction.
        """
        if self._binding is None or not self._binding.is_here():
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

    async def _write_together(self, group: list[_Write[Any]]) -> None:
        def work(connection: sqlite3.Connection) -> list[Any]:
            rows = self._rows(connection)
            rows.set_back()
            return [write.do(rows) for write in group]

        def committed(results: list[Any]) -> None:  # in the thread: the results count even if this is cancelled
            for write, result in zip(group, results, strict=True):
                write.results.append(result)

        try:
            await self._file.write(work, committed=committed)
        except Exception as error:
            for write in group:
                write.error = error
        finally:
            for write in group:
                write.ended.set()

    async def _alone(self, work: Callable[[EventRows], T]) -> T:
        def transaction(connection: sqlite3.Connection) -> T:
            rows = self._rows(connection)
            rows.set_back()
            return work(rows)

        return await self._file.write(transaction)
