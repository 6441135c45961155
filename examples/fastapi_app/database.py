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

# AUTOINCREMENT: the id of a row that was deleted never comes again.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS news (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    athlete_id INTEGER NOT NULL,
    activity_id INTEGER NOT NULL,
    ride TEXT,
    added_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS news_of_athlete ON news (athlete_id, id);
CREATE TABLE IF NOT EXISTS meters (
    name TEXT NOT NULL,
    resets_at INTEGER NOT NULL,
    limit_ INTEGER NOT NULL,
    usage INTEGER NOT NULL,
    PRIMARY KEY (name, resets_at)
) WITHOUT ROWID;
"""


class Database:
    """A SQLite file. Each piece of work opens it, does one transaction in a thread, and closes it.

    Args:
        path: the file; made by ``create``, for this user alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def create(self) -> None:
        """Make the file and its tables, where they are not there yet."""
        await anyio.to_thread.run_sync(self._create)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the work does; all of it is kept, or nothing."""
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
        connection.execute("PRAGMA synchronous = OFF")  # after a power cut there is nobody whom old news would help
        connection.execute("PRAGMA secure_delete = ON")  # what an athlete takes back is gone from the file, too
        return connection
