"""Webhook events in an SQLite file, from one run of a service to the next: ``SqliteBacklog``.

SQLite before 3.35, as in RHEL 9, knows no ``DELETE ... RETURNING``: two statements in one transaction do the same.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError, TokenStoreError
from strava_async.fastapi.webhook_kept import KeptEvent
from strava_async.stores._threads import finish_in_thread
from strava_async.stores.sqlite_file import SqliteFile

KEPT_SECONDS = 7 * 86_400.0
BUSY_SECONDS = 4.0
APPLICATION_ID = 0x53747262  # "Strb"
SCHEMA_VERSION = 1

_logger = logging.getLogger("strava_async.webhooks")

# Closing a file that was just made would drop the locks that another thread has on it already (POSIX).
_one_at_a_time = threading.Lock()


class SqliteBacklog:
    """A ``Backlog`` in one file (mode 0600), which the processes of one service share. Needs no closing.

    What came more than seven days ago is dropped, and its number logged: Strava's data may be kept no longer. A
    deauthorization is kept until it is handled, because what is due is to delete.

    Args:
        path: the file, not that of a token store; its directory has to be there.
        clock: tells how old events are; None means the system's.

    Raises:
        TokenStoreError: by its methods: the file cannot be used. It is left as it is then.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self._path = os.path.realpath(path)
        self._file = SqliteFile(self._path, BUSY_SECONDS)
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"<SqliteBacklog {self._path!r}>"

    async def keep(self, events: Sequence[KeptEvent]) -> None:
        """Keep events. They survive a power failure when it has returned."""
        rows = [(float(kept.accepted_at), kept.to_json()) for kept in events]
        await finish_in_thread(partial(self._insert, rows))

    async def take(self) -> list[KeptEvent]:
        """Return the events that are kept, and keep them no longer; one caller gets them, among all processes."""
        return await finish_in_thread(self._remove)

    def _insert(self, rows: list[tuple[float, str]]) -> None:
        with self._transaction() as connection:
            connection.executemany("INSERT INTO events (accepted_at, value) VALUES (?, ?)", rows)

    def _remove(self) -> list[KeptEvent]:
        with self._transaction() as connection:
            rows = connection.execute("SELECT value FROM events ORDER BY accepted_at, id").fetchall()
            connection.execute("DELETE FROM events")
            return self._still_good([value for (value,) in rows])

    def _still_good(self, values: list[str]) -> list[KeptEvent]:
        oldest_at = self._clock.time() - KEPT_SECONDS
        good: list[KeptEvent] = []
        for value in values:
            with suppress(InputError):
                kept = KeptEvent.from_json(value)
                if kept.accepted_at >= oldest_at or kept.event.is_deauthorization:
                    good.append(kept)
        if dropped := len(values) - len(good):
            _logger.error("%d kept webhook events were dropped: older than seven days, or not readable", dropped)
        return good

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        address = f"{Path(self._path).as_uri()}?mode=rw"
        with _one_at_a_time, self._file.explained():
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("BEGIN IMMEDIATE")
                self._prepare(connection)
                yield connection
                connection.execute("COMMIT")  # without it, closing rolls back

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table in a new file; refuse another program's."""
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute(
                "CREATE TABLE events (id INTEGER PRIMARY KEY, accepted_at REAL NOT NULL, value TEXT NOT NULL)"
            )
            return
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if (application_id, version) != (APPLICATION_ID, SCHEMA_VERSION):
            raise TokenStoreError(
                f"{self._path} is another program's database, or a newer version's: name another file"
            )
