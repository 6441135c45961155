"""One file of a harvest's: everything of all athletes, or of one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from strava_async._concurrency.threads import finish_in_thread
from strava_async.clock import Clock
from strava_async.harvest import sqlite_reads, sqlite_writes
from strava_async.harvest.sqlite_batches import Batches
from strava_async.harvest.sqlite_hold import Hold, Lock
from strava_async.harvest.sqlite_schema import SCHEMA
from strava_async.stores.file_errors import explained
from strava_async.stores.sqlite_file import COMPANIONS
from strava_async.stores.sqlite_shared import SharedFile

T = TypeVar("T")

BUSY_SECONDS = 10.0
_DELETED_TOGETHER = 500


class Part:
    """A file. It is made by the first call of ``run``, ``hold`` or one that deletes.

    Args:
        path: the file; its directory exists.
        private: False accepts a file that other users may read.
        clock: tells since when it is held.
        try_lock: see ``Hold``.
        cache_kib: see ``Batches``.

    Raises:
        InputError: the path names no file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        private: bool,
        clock: Clock,
        try_lock: Callable[[], Lock | None] | None = None,
        cache_kib: int | None = None,
    ) -> None:
        self._file = SharedFile(path, SCHEMA, busy_timeout=BUSY_SECONDS, private=private)
        self._batches = Batches(self._file, BUSY_SECONDS, cache_kib)
        self._hold = Hold(self._file, self._batches, clock, try_lock)

    @property
    def path(self) -> str:
        """The absolute path."""
        return self._file.path

    @property
    def is_held(self) -> bool:
        """Whether a harvest of this object's is going on."""
        return self._hold.is_held

    def exists(self) -> bool:
        """Say whether there is a file."""
        return os.path.exists(self._file.path)

    @asynccontextmanager
    async def hold(self, athlete_id: int) -> AsyncGenerator[None]:
        """Return a context in which no other store harvests into the file, and nobody else this athlete."""
        try:
            async with self._hold.held(athlete_id):
                yield
        finally:
            if not self.exists():  # removed meanwhile
                self._remove_locks()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` returns in a transaction; see ``Batches.run``."""
        return await self._batches.run(work)

    def run_if_there(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do what ``run`` does, unless there is no file, or it is removed meanwhile: then return None. Blocks."""
        return self._batches.run_if_there(work)

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do what ``run_if_there`` does, in a thread."""
        return await finish_in_thread(lambda: self._batches.run_if_there(work))

    async def delete_athlete(self, athlete_id: int) -> None:
        """Delete everything of an athlete, in parts; then rewrite the file."""
        while await self.look(lambda connection: sqlite_writes.delete_some(connection, athlete_id, _DELETED_TOGETHER)):
            pass
        await self._erase()

    async def purge(self, older_than: float) -> int:
        """Delete what came before an instant, in parts; then rewrite the file, if anything was deleted ever since."""
        deleted = 0
        while count := await self.look(
            lambda connection: sqlite_writes.purge_some(connection, older_than, _DELETED_TOGETHER)
        ):
            deleted += count
        await self._erase()
        return deleted

    async def remove(self) -> None:
        """Remove the file, and what SQLite has beside it."""

        def work() -> None:
            self._batches.close()
            path = self._file.path
            with explained(path, BUSY_SECONDS, SCHEMA.error):
                # The file first: without it, its WAL is nothing.
                for name in (path, *(path + suffix for suffix in COMPANIONS)):
                    with suppress(FileNotFoundError):
                        os.unlink(name)
            self._remove_locks()

        await finish_in_thread(work)

    def close(self) -> None:
        """Close the connection; the next transaction opens it again. Blocks."""
        self._batches.close()

    def _remove_locks(self) -> None:
        with suppress(OSError):  # somebody else has a lock in it, who removes it then
            os.rmdir(f"{self._file.path}-locks")

    async def _erase(self) -> None:
        """Leave nothing in the file of what was deleted, be it now or earlier."""
        deletions = await self.look(sqlite_reads.deletions)
        if deletions:
            await self._batches.rewrite()
            await self.look(lambda connection: sqlite_writes.forget_deletions(connection, deletions))
