"""A harvest in SQLite files: ``SqliteHarvestStore``."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from strava_async._concurrency.threads import finish_in_thread
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError
from strava_async.harvest import sqlite_reads, sqlite_runs, sqlite_writes
from strava_async.harvest.base import Activity, Changes, Held, Resource, State, StoreCounts
from strava_async.harvest.kinds import Kind
from strava_async.harvest.list_state import AthleteState
from strava_async.harvest.runs import Run
from strava_async.harvest.sqlite_part import Part
from strava_async.harvest.sqlite_parts import Directory, OneFile, Parts


class SqliteHarvestStore:
    """A ``HarvestStore`` in one file (mode 0600), or in a directory with one for each athlete. Needs no closing.

    A file is SQLite's, in WAL mode, made when it is first needed, never repaired, never overwritten. It can be read
    while it is written, by anything that reads SQLite; see ``sqlite_schema`` for the tables. It is used in threads.

    One store at a time harvests into a file: in a directory several may, each other athletes. Others may read, delete
    an athlete, and follow events, meanwhile. What is deleted in a file is overwritten at once, and by the next
    ``purge`` the whole file is rewritten, where SQLite may have left copies. In a directory an athlete is deleted by
    removing the file, and so much faster.

    Args:
        path: the file; its directory exists.
        directory: in place of the path; made if it is not there. Up to 150 files are open, however many athletes are
            harvested.
        private: False accepts files that other users may read.
        clock: tells since when a file is held; None means the machine's.

    Raises:
        InputError: neither or both are given, or the path names no file. The methods raise StoreError for a file that
            cannot be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        directory: str | os.PathLike[str] | None = None,
        private: bool = True,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        if path is not None and directory is None:
            self._parts: Parts = OneFile(Part(path, private=private, clock=clock))
        elif directory is not None and path is None:
            self._parts = Directory(os.path.abspath(directory), private=private, clock=clock)
        else:
            raise InputError("a SqliteHarvestStore takes either a path or a directory")

    @property
    def path(self) -> str:
        """The file or directory; absolute."""
        return self._parts.path

    @asynccontextmanager
    async def _held(self, athlete_id: int) -> AsyncGenerator[None]:
        await self._parts.prepare()
        part = await self._parts.of(athlete_id)
        async with part.hold(athlete_id):
            yield

    def hold(self, athlete_id: int) -> AbstractAsyncContextManager[None]:
        """See ``HarvestStore``. It holds the whole file."""
        return self._held(athlete_id)

    async def add_athlete(self, athlete_id: int) -> AthleteState:
        """See ``HarvestStore``."""

        def work(connection: sqlite3.Connection) -> AthleteState:
            sqlite_writes.add_athlete(connection, athlete_id)
            return sqlite_reads.state(connection, athlete_id) or AthleteState()

        await self._parts.prepare()
        part = await self._parts.of(athlete_id)
        return await part.run(work)

    async def state(self, athlete_id: int) -> AthleteState | None:
        """See ``HarvestStore``."""
        part = await self._parts.of(athlete_id)
        return await part.look(lambda connection: sqlite_reads.state(connection, athlete_id))

    async def write(self, *changes: Changes) -> None:
        """See ``HarvestStore``. What is in one file is written in one transaction."""
        parts: dict[Part, list[Changes]] = {}
        for each in changes:
            parts.setdefault(await self._parts.of(each.athlete_id), []).append(each)

        def work() -> None:
            for part, those in parts.items():
                part.run_if_there(partial(sqlite_writes.apply_all, those))

        await finish_in_thread(work)

    async def scan(
        self, athlete_id: int, after: Activity | None, limit: int, *, bodies: Collection[Kind] | None = None
    ) -> list[Held]:
        """See ``HarvestStore``."""
        part = await self._parts.of(athlete_id)
        return await part.look(lambda connection: sqlite_reads.scan(connection, athlete_id, after, limit, bodies)) or []

    async def resources(
        self, athlete_id: int, *, kinds: Sequence[Kind] | None = None, state: State | None = None, limit: int = 1000
    ) -> list[Resource]:
        """See ``HarvestStore``."""
        part = await self._parts.of(athlete_id)
        found = await part.look(lambda connection: sqlite_reads.resources(connection, athlete_id, kinds, state, limit))
        return found or []

    async def read(self, athlete_id: int, kind: Kind, key: int | str) -> Resource | None:
        """See ``HarvestStore``."""
        part = await self._parts.of(athlete_id)
        return await part.look(lambda connection: sqlite_reads.read(connection, athlete_id, kind, str(key)))

    async def athlete_ids(self) -> list[int]:
        """See ``HarvestStore``. Opens every file."""
        found = await self._parts.each(lambda part: part.look(sqlite_reads.athlete_ids))
        return sorted(athlete_id for ids in found for athlete_id in ids or ())

    async def counts(self, athlete_id: int | None = None, *, before: float | None = None) -> StoreCounts:
        """See ``HarvestStore``. Reads indexes, but not the bodies; for all athletes it opens every file."""

        def work(connection: sqlite3.Connection) -> StoreCounts:
            return sqlite_reads.counts(connection, athlete_id, before)

        if athlete_id is None:
            each_found = await self._parts.each(lambda part: part.look(work))
        else:
            each_found = [await (await self._parts.of(athlete_id)).look(work)]
        found = [each for each in each_found if each is not None]
        resources: Counter[tuple[Kind, State]] = Counter()
        for each in found:
            resources.update(each.resources)
        return StoreCounts(
            athletes=sum(each.athletes for each in found),
            activities=sum(each.activities for each in found),
            resources=dict(resources),
            oldest=min((each.oldest for each in found if each.oldest is not None), default=None),
        )

    async def settings(self) -> dict[str, str]:
        """See ``HarvestStore``."""
        part = self._parts.common()
        return await part.look(sqlite_reads.settings) or {}

    async def set_setting(self, name: str, value: str | None) -> None:
        """See ``HarvestStore``."""
        part = self._parts.common()
        if value is not None:
            await self._parts.prepare()
        elif not part.exists():
            return
        await part.run(lambda connection: sqlite_writes.set_setting(connection, name, value))

    async def begin_run(self, began_at: float) -> int:
        """See ``HarvestStore``."""
        await self._parts.prepare()
        return await self._parts.common().run(lambda connection: sqlite_runs.begin_run(connection, began_at))

    async def end_run(self, number: int, run: Run) -> None:
        """See ``HarvestStore``."""
        await self._parts.common().run(lambda connection: sqlite_runs.end_run(connection, number, run))

    async def runs(self) -> list[Run]:
        """See ``HarvestStore``."""
        part = self._parts.common()
        return await part.look(sqlite_runs.runs) or []

    async def delete_athlete(self, athlete_id: int) -> None:
        """See ``HarvestStore``. One file for all is rewritten, and others wait meanwhile."""
        await self._parts.delete(athlete_id)

    async def purge(self, older_than: float) -> int:
        """See ``HarvestStore``. A file in which something was deleted is rewritten, and others wait meanwhile."""
        return sum(await self._parts.each(lambda part: part.purge(older_than)))
