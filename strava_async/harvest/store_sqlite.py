"""A harvest in an SQLite file: ``SqliteHarvestStore``."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from strava_async.clock import Clock, SystemClock
from strava_async.harvest import sqlite_reads, sqlite_writes
from strava_async.harvest.base import Activity, AthleteState, Changes, Held, Resource, State, StoreCounts
from strava_async.harvest.kinds import Kind
from strava_async.harvest.sqlite_batches import Batches
from strava_async.harvest.sqlite_hold import Hold
from strava_async.harvest.sqlite_schema import SCHEMA
from strava_async.stores.sqlite_shared import SharedFile

BUSY_SECONDS = 10.0
_DELETED_TOGETHER = 500


class SqliteHarvestStore:
    """A ``HarvestStore`` in one file (mode 0600). Needs no closing.

    The file is SQLite's, in WAL mode, made by the first call, never repaired, never overwritten. It can be read while
    it is written, by anything that reads SQLite; see ``sqlite_schema`` for the tables. It is used in threads. What is
    deleted is overwritten at once, and by the next ``purge`` the whole file, where SQLite may have copies.

    One store at a time harvests into it. Others may read it, delete an athlete, and follow events, meanwhile.

    Args:
        path: the file; its directory exists.
        private: False accepts a file that other users may read.
        clock: tells since when it is held; None means the machine's.

    Raises:
        InputError: the path names no file. The methods raise StoreError for a file that cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str], *, private: bool = True, clock: Clock | None = None) -> None:
        self._file = SharedFile(path, SCHEMA, busy_timeout=BUSY_SECONDS, private=private)
        self._batches = Batches(self._file, BUSY_SECONDS)
        self._hold = Hold(self._file, self._batches, clock or SystemClock())

    @property
    def path(self) -> str:
        """The file's absolute path."""
        return self._file.path

    def hold(self, athlete_id: int) -> AbstractAsyncContextManager[None]:
        """See ``HarvestStore``. It holds the whole file."""
        return self._hold.held()

    async def add_athlete(self, athlete_id: int) -> AthleteState:
        """See ``HarvestStore``."""

        def work(connection: sqlite3.Connection) -> AthleteState:
            sqlite_writes.add_athlete(connection, athlete_id)
            return sqlite_reads.state(connection, athlete_id) or AthleteState()

        return await self._batches.run(work)

    async def state(self, athlete_id: int) -> AthleteState | None:
        """See ``HarvestStore``."""
        return await self._batches.run(lambda connection: sqlite_reads.state(connection, athlete_id))

    async def write(self, changes: Changes) -> None:
        """See ``HarvestStore``."""
        await self._batches.run(lambda connection: sqlite_writes.apply(connection, changes))

    async def scan(self, athlete_id: int, after: Activity | None, limit: int) -> list[Held]:
        """See ``HarvestStore``."""
        return await self._batches.run(lambda connection: sqlite_reads.scan(connection, athlete_id, after, limit))

    async def resources(
        self, athlete_id: int, *, kinds: Sequence[Kind] | None = None, state: State | None = None, limit: int = 1000
    ) -> list[Resource]:
        """See ``HarvestStore``."""
        return await self._batches.run(
            lambda connection: sqlite_reads.resources(connection, athlete_id, kinds, state, limit)
        )

    async def read(self, athlete_id: int, kind: Kind, key: int | str) -> Resource | None:
        """See ``HarvestStore``."""
        return await self._batches.run(lambda connection: sqlite_reads.read(connection, athlete_id, kind, str(key)))

    async def athlete_ids(self) -> list[int]:
        """See ``HarvestStore``."""
        return await self._batches.run(sqlite_reads.athlete_ids)

    async def counts(self, athlete_id: int | None = None) -> StoreCounts:
        """See ``HarvestStore``. Reads indexes, but not the bodies."""
        return await self._batches.run(lambda connection: sqlite_reads.counts(connection, athlete_id))

    async def delete_athlete(self, athlete_id: int) -> None:
        """See ``HarvestStore``. Deletes in parts; then the whole file is rewritten, and others wait meanwhile."""
        while await self._batches.run(
            lambda connection: sqlite_writes.delete_some(connection, athlete_id, _DELETED_TOGETHER)
        ):
            pass
        await self._erase()

    async def purge(self, older_than: float) -> int:
        """See ``HarvestStore``. Likewise, unless nothing was deleted since the last time."""
        deleted = 0
        while count := await self._batches.run(
            lambda connection: sqlite_writes.purge_some(connection, older_than, _DELETED_TOGETHER)
        ):
            deleted += count
        await self._erase()
        return deleted

    async def _erase(self) -> None:
        """Leave nothing in the file of what was deleted, be it now or earlier."""
        deletions = await self._batches.run(sqlite_reads.deletions)
        if deletions:
            await self._batches.rewrite()
            await self._batches.run(lambda connection: sqlite_writes.forget_deletions(connection, deletions))
