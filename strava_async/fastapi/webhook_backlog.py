"""Webhook events in an SQLite file, from one run of a service to the next: ``SqliteBacklog``.

SQLite before 3.35, as in RHEL 9, knows no ``delete ... returning``: two statements in one transaction do the same.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError
from strava_async.fastapi.webhook_kept import KeptEvent
from strava_async.stores.sqlite_file import Schema
from strava_async.stores.sqlite_shared import SharedFile

KEPT_SECONDS = 7 * 86_400.0
BUSY_SECONDS = 4.0
EVENTS = Schema(
    application_id=0x53747262,  # "Strb"
    version=1,
    tables={
        "events": "create table events (id integer primary key, accepted_at real not null, value text not null)",
    },
)

_logger = logging.getLogger("strava_async.webhooks")


class SqliteBacklog:
    """A ``Backlog`` in one file (mode 0600), which the processes of one service share. Needs no closing.

    What came more than seven days ago is dropped, and its number logged: Strava's data may be kept no longer. A
    deauthorization is kept until it is handled, because what is due is to delete.

    A mode that lets other users read is put right where the file is this user's; elsewhere the file is refused. One
    object can be used by several event loops and threads at once. What keeps the file from being written shows at the
    start of the service, when ``take`` writes to it.

    Args:
        path: the file, not that of a token store; its directory has to be there.
        private: False leaves the mode as it is, and accepts a file that other users may read, with one WARNING.
        clock: tells how old events are; None means the system's.

    Raises:
        InputError: the path names no file.
        TokenStoreError: by its methods: the file cannot be used. It is left as it is then.
    """

    def __init__(self, path: str | os.PathLike[str], *, private: bool = True, clock: Clock | None = None) -> None:
        self._file = SharedFile(path, EVENTS, busy_timeout=BUSY_SECONDS, private=private)
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"<SqliteBacklog {self._file.path!r}>"

    async def keep(self, events: Sequence[KeptEvent]) -> None:
        """Keep events. They survive a power failure when it has returned."""
        rows = [(float(kept.accepted_at), kept.to_json()) for kept in events]

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany("insert into events (accepted_at, value) values (?, ?)", rows)

        await self._file.write(insert)

    async def take(self) -> list[KeptEvent]:
        """Return the events that are kept, and keep them no longer; one caller gets them, among all processes."""
        return await self._file.write(self._remove)

    def _remove(self, connection: sqlite3.Connection) -> list[KeptEvent]:
        rows = connection.execute("select value from events order by accepted_at, id").fetchall()
        connection.execute("delete from events")  # writes a page even where there is none
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
