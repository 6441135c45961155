"""Transactions of a harvest's file, of which those that come while another is written are written together."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any, Generic, TypeVar

from strava_async._concurrency.threads import finish_in_thread
from strava_async.errors import StoreError
from strava_async.stores.sqlite_file import SqliteFile
from strava_async.stores.sqlite_held import HeldConnection
from strava_async.stores.sqlite_shared import SharedFile

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class _Write(Generic[T]):
    """A write, and what came of it."""

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.results: list[T] = []
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return bool(self.results) or self.error is not None


class Batches:
    """The transactions of one process on one file, in threads.

    Args:
        file: which.
        busy_seconds: how long another process's transaction is waited for.
        cache_kib: how much of the file SQLite may keep in memory; None means its default, 2 MB.
    """

    def __init__(self, file: SharedFile, busy_seconds: float, cache_kib: int | None = None) -> None:
        self._shared = file
        self._cache_kib = cache_kib
        self._connection = HeldConnection(busy_seconds, "harvest store")
        self._waiting: list[_Write[Any]] = []
        self._mutex = threading.Lock()  # of what waits
        self._turn = threading.Lock()

    async def run(self, work: Work[T]) -> T:
        """Return what ``work`` returns in a transaction, once it is committed.

        If it is cancelled, the work is done or was not begun. It may be begun twice, if something else that was in its
        transaction failed; the first time is undone then.
        """
        file = await self._shared.made()
        write = _Write(work)
        with self._mutex:
            self._waiting.append(write)
        try:
            await finish_in_thread(lambda: self._flush(file, write))
        finally:
            with self._mutex:
                if write in self._waiting:
                    self._waiting.remove(write)
        if write.error is not None:
            raise write.error
        return write.results[0]

    def run_if_there(self, work: Work[T]) -> T | None:
        """Do what ``run`` does, unless there is no file, or it is removed meanwhile: then return None. Blocks."""
        file = self._shared.found()
        if file is None:
            return None
        write = _Write(work)
        with self._mutex:
            self._waiting.append(write)
        self._flush(file, write)
        if write.error is not None:
            if isinstance(write.error, StoreError) and not file.exists():
                return None
            raise write.error
        return write.results[0]

    async def rewrite(self) -> None:
        """Rewrite the whole file, if it is there, and empty its WAL, so that neither holds anything that was deleted.

        Overwriting what is deleted is not enough: SQLite leaves copies where it has moved rows within a page.
        """

        def work() -> None:
            file = self._shared.found()
            if file is None:
                return
            with self._turn, file.explained(), closing(file.open()) as connection:
                connection.execute("vacuum")
            file.empty_wal()

        await finish_in_thread(work)

    def _flush(self, file: SqliteFile, write: _Write[Any]) -> None:
        with self._turn:
            if write.is_done:  # by another thread, together with its own
                return
            with self._mutex:
                batch, self._waiting = self._waiting, []
            try:
                self._transact(file, batch)
            except Exception as error:
                if len(batch) == 1:
                    write.error = error
                    return
                for each in batch:
                    self._transact_alone(file, each)

    def _transact_alone(self, file: SqliteFile, write: _Write[Any]) -> None:
        try:
            self._transact(file, [write])
        except Exception as error:
            write.error = error

    def _transact(self, file: SqliteFile, batch: list[_Write[Any]]) -> None:
        results = self._connection.transact(file, lambda connection: self._results(connection, batch))
        for write, result in zip(batch, results, strict=True):
            write.results.append(result)

    def _results(self, connection: sqlite3.Connection, batch: list[_Write[Any]]) -> list[Any]:
        if self._cache_kib is not None:
            connection.execute(f"pragma cache_size = -{self._cache_kib}")
        return [each.work(connection) for each in batch]

    def close(self) -> None:
        """Close the connection; the next transaction opens it again. Blocks."""
        self._connection.close()
