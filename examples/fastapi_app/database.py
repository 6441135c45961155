"""A SQLite file that all processes of the service share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

T = TypeVar("T")

# AUTOINCREMENT: the id of a deleted row is never reused.
_SCHEMA = """
create table if not exists news (
    id integer primary key autoincrement,
    key text not null unique,
    athlete_id integer not null,
    activity_id integer not null,
    ride text,
    added_at real not null
);
create index if not exists news_of_athlete on news (athlete_id, id);
create table if not exists meters (
    name text not null,
    resets_at integer not null,
    limit_ integer not null,
    usage integer not null,
    primary key (name, resets_at)
) without rowid;
"""


class Database:
    """A SQLite file. Each call opens it, runs one transaction in a thread, and closes it.

    Args:
        path: the file; ``create`` makes it, with mode 0600.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def create(self) -> None:
        """Make the file and its tables, where they are not there yet."""
        await anyio.to_thread.run_sync(self._create)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work in a transaction, and return its result."""
        return await anyio.to_thread.run_sync(self._run, work)

    def _create(self) -> None:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(self._open()) as connection:
            connection.executescript(_SCHEMA)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with closing(self._open()) as connection, connection:
            return work(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=5.0)
        connection.execute("pragma synchronous = off")  # after a power cut no browser waits for old news
        connection.execute("pragma secure_delete = on")  # overwrite deleted data in the file, too
        return connection
