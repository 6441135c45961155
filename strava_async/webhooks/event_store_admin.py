"""The file of a ``SqliteEventStore`` for who looks after it: ``SqliteEventAdmin``."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from strava_async.clock import Clock, SystemClock
from strava_async.stores.sqlite_shared import SharedFile
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.base import StoredEvent, StoreStats
from strava_async.webhooks.event_rows import EventRows
from strava_async.webhooks.event_schema import SCHEMA, Limits
from strava_async.webhooks.event_store_sqlite import BUSY_SECONDS, SqliteEventStore

T = TypeVar("T")


class SqliteEventAdmin:
    """An ``EventAdmin`` that makes no file, takes over none, and leaves its mode as it is.

    To look needs no permission to write.

    Args:
        path: the file of a ``SqliteEventStore``.
        clock: None means the system's.

    Raises:
        InputError: the path names no file.
        EventStoreError: by its methods: there is no such file, or it cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._file = SharedFile(path, SCHEMA, busy_timeout=BUSY_SECONDS, private=False)
        self._store = SqliteEventStore(path, private=False, clock=self._clock)

    async def stats(self) -> StoreStats:
        """See ``EventAdmin``."""
        return await self._look(EventRows.stats)

    async def events(self, *, limit: int = 100) -> Sequence[StoredEvent]:
        """See ``EventAdmin``."""
        check_positive("limit", limit)
        return await self._look(lambda rows: rows.events(limit))

    async def retry_now(self, key: str) -> bool:
        """See ``EventAdmin``."""
        await self.stats()  # else the store would make a file, or take over a backlog's
        return await self._store.retry_now(key)

    async def drop(self, key: str) -> bool:
        """See ``EventAdmin``."""
        await self.stats()
        return await self._store.drop(key)

    async def _look(self, work: Callable[[EventRows], T]) -> T:
        def look(connection: sqlite3.Connection) -> T:
            return work(EventRows(connection, self._clock, self._clock.time(), Limits(0, 0)))

        return await self._file.look(look)
