"""The harvest's file: SQLite, written in batches by a thread, so that the event loop never waits for a disk.

Tables ``activities``, ``details`` and ``streams``: Strava's JSON as it came, and when it came, so that it can be purged
when Strava's policy requires it. A NULL body says that Strava has none. Table ``failures``: what could not be fetched.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from strava_async.clock import Clock
from strava_async.demo.harvest import Kind

APPLICATION_ID = 0x53747276  # "Strv": SQLite's own mark for whose file it is
VERSION = 2
BUSY_SECONDS = 10.0

_FAILURES = f"""
create table failures (
    kind text not null, activity_id integer not null, times integer not null, reason text not null,
    failed_at real not null, primary key (kind, activity_id)
);
pragma user_version = {VERSION};
"""
_SCHEMA = f"""
create table activities (
    id integer primary key, athlete_id integer not null, start_date text not null, body text not null,
    fetched_at real not null
);
create index activities_newest on activities (athlete_id, start_date);
create table details (activity_id integer primary key, body text, fetched_at real not null);
create table streams (activity_id integer primary key, body text, fetched_at real not null);
pragma application_id = {APPLICATION_ID};
{_FAILURES}
"""
_UPGRADES = {1: _FAILURES}
_TABLES = {Kind.DETAIL: "details", Kind.STREAMS: "streams"}

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], None]


class StoreError(Exception):
    """The file cannot be used."""


class SqliteStore:
    """A ``harvest.Store`` and its ``Notes`` in a file. ``open_store`` makes one.

    Writes that arrive while a batch is being written form the next one: one commit for many.

    Args:
        connection: to a file with the schema.
        clock: tells when something was fetched.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._turn = anyio.Lock()
        self._batch = _Batch()

    async def add_activities(self, activities: Sequence[dict[str, Any]]) -> int:
        """Keep summaries; see ``harvest.Store``."""
        fetched_at = self._clock.time()
        new: list[int] = []

        def write(connection: sqlite3.Connection) -> None:
            new.clear()
            for activity in activities:
                row = activity["athlete"]["id"], activity["start_date"], json.dumps(activity), fetched_at
                known = connection.execute(
                    "update activities set athlete_id = ?, start_date = ?, body = ?, fetched_at = ? where id = ?",
                    (*row, activity["id"]),
                ).rowcount
                if not known:
                    connection.execute("insert into activities values (?, ?, ?, ?, ?)", (activity["id"], *row))
                    new.append(activity["id"])

        await self._write(write)
        return len(new)

    async def newest(self, athlete_id: int, count: int) -> list[int]:
        """Return ids; see ``harvest.Store``."""
        query = "select id from activities where athlete_id = ? order by start_date desc, id desc limit ?"
        rows = await self._read(lambda connection: connection.execute(query, (athlete_id, count)).fetchall())
        return [activity_id for (activity_id,) in rows]

    async def lacking(self, kind: Kind, activity_ids: Sequence[int]) -> list[int]:
        """Return ids; see ``harvest.Store``."""
        query = f"select activity_id from {_TABLES[kind]}"
        stored = {row[0] for row in await self._read(lambda connection: connection.execute(query).fetchall())}
        return [activity_id for activity_id in activity_ids if activity_id not in stored]

    async def add(self, kind: Kind, activity_id: int, body: dict[str, Any] | None) -> None:
        """Keep an answer; see ``harvest.Store``."""
        fetched_at = self._clock.time()

        def write(connection: sqlite3.Connection) -> None:
            text = None if body is None else json.dumps(body, separators=(",", ":"))
            connection.execute(
                f"insert or replace into {_TABLES[kind]} values (?, ?, ?)", (activity_id, text, fetched_at)
            )
            connection.execute("delete from failures where kind = ? and activity_id = ?", (kind, activity_id))

        await self._write(write)

    async def failed(self, kind: str) -> list[int]:
        """Return ids; see ``failures.Notes``."""
        query = "select activity_id from failures where kind = ? order by times, failed_at, activity_id"
        rows = await self._read(lambda connection: connection.execute(query, (kind,)).fetchall())
        return [activity_id for (activity_id,) in rows]

    async def note_failure(self, kind: str, activity_id: int, reason: str) -> None:
        """Note a failure; see ``failures.Notes``."""
        row = kind, activity_id, reason, self._clock.time()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "insert into failures (kind, activity_id, times, reason, failed_at) values (?, ?, 1, ?, ?) "
                "on conflict do update set times = times + 1, reason = excluded.reason, failed_at = excluded.failed_at",
                row,
            )

        await self._write(write)

    async def counts(self) -> dict[str, int]:
        """Return how many activities, details, stream sets, and activities without streams are stored."""
        return await self._read(_count)

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        async with self._turn:
            with _explained():
                return await anyio.to_thread.run_sync(query, self._connection)

    async def _write(self, write: Write) -> None:
        batch = self._batch
        batch.writes.append(write)
        async with self._turn:
            if batch.written:
                return  # an earlier waiter has written it
            if self._batch is batch:
                self._batch = _Batch()
            with _explained():
                await anyio.to_thread.run_sync(_commit, self._connection, batch)


def _count(connection: sqlite3.Connection) -> dict[str, int]:
    queries = {
        "activities": "select count(*) from activities",
        "details": "select count(body) from details",
        "streams": "select count(body) from streams",
        "no_streams": "select count(*) - count(body) from streams",
    }
    return {name: connection.execute(query).fetchone()[0] for name, query in queries.items()}


class _Batch:
    """What is written by one transaction."""

    __slots__ = ("writes", "written")

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.written = False


def _commit(connection: sqlite3.Connection, batch: _Batch) -> None:
    with _transaction(connection):
        for write in batch.writes:
            write(connection)
    batch.written = True


@contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the file cannot be written or read: {error}") from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back where the disk is full
            connection.execute("rollback")
        raise
    connection.execute("commit")


@asynccontextmanager
async def open_store(path: Path, clock: Clock) -> AsyncGenerator[SqliteStore, None]:
    """Open a harvest's file, or begin one, as long as the block lasts.

    Args:
        path: the file; its directory exists.
        clock: tells when something was fetched.

    Raises:
        StoreError: the file belongs to something else, comes from a later version, or cannot be opened.
    """
    connection = await anyio.to_thread.run_sync(_open, path)
    try:
        yield SqliteStore(connection, clock)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(connection.close)


def _open(path: Path) -> sqlite3.Connection:
    try:
        # Several threads use it, one at a time.
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}") from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        foreign = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB
        raise StoreError(_foreign(path) if foreign else f"{path} cannot be used: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        (owner,) = connection.execute("pragma application_id").fetchone()
        (version,) = connection.execute("pragma user_version").fetchone()
        (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
        if (owner, version, tables) == (0, 0, 0):
            _execute(connection, _SCHEMA)
        elif owner != APPLICATION_ID:
            raise StoreError(_foreign(path))
        elif version in _UPGRADES:
            _execute(connection, _UPGRADES[version])
        elif version != VERSION:
            raise StoreError(f"{path} comes from another version of strava-async; name another file")
    # A reader may look while a harvest writes; a process that is killed loses nothing that was committed.
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.strip().split(";"):
        connection.execute(statement)


def _foreign(path: Path) -> str:
    return f"{path} is not a file of this program, and is left as it is; name another file"
