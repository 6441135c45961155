"""The file of a ``SqliteBacklog`` becomes that of a ``SqliteEventStore``, with its events."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace

from strava_async._concurrency.threads import finish_in_thread
from strava_async.clock import Clock
from strava_async.errors import EventStoreError, InputError
from strava_async.stores.sqlite_shared import SharedFile
from strava_async.webhooks.backlog import PersistedEvent
from strava_async.webhooks.backlog_holder import is_alive
from strava_async.webhooks.backlog_sqlite import BUSY_SECONDS, EVENTS
from strava_async.webhooks.event_rows import EventRows
from strava_async.webhooks.event_schema import SCHEMA
from strava_async.webhooks.owners import Standing


class _InUseError(EventStoreError):
    """A process uses the file as a backlog."""


async def take_over_backlog(
    path: str, rows: Callable[[sqlite3.Connection], EventRows], clock: Clock, *, private: bool
) -> None:
    """Take over a file if it is a backlog's, in one transaction; do nothing with any other.

    What was held by a process that has ended is as an interrupted event; what cannot be read is dropped.

    Raises:
        EventStoreError: a process that is alive holds events in it.
    """
    if not await finish_in_thread(lambda: os.path.exists(path)):
        return
    file = SharedFile(path, EVENTS, busy_timeout=BUSY_SECONDS, private=private)
    try:
        await file.read(lambda _: None)
        await file.write(lambda connection: _convert(connection, file, rows))
    except _InUseError:
        raise
    except EventStoreError:
        return  # no backlog, or taken over meanwhile, or it cannot be used: who uses the file next says why


def _convert(connection: sqlite3.Connection, file: SharedFile, rows: Callable[[sqlite3.Connection], EventRows]) -> None:
    found = _events(connection, file)
    connection.execute("drop table events")
    for statements in SCHEMA.tables.values():
        for statement in statements.split("; "):
            connection.execute(statement)
    connection.execute(SCHEMA.mark)
    tables = rows(connection)
    for persisted in found:
        tables.put(persisted)


def _events(connection: sqlite3.Connection, file: SharedFile) -> list[PersistedEvent]:
    columns = {name for _, name, *_ in connection.execute("pragma table_info(events)")}
    holder = "holder" if "holder" in columns else "null"
    events: dict[str, PersistedEvent] = {}
    for value, name in connection.execute(f"select value, {holder} from events order by accepted_at, id"):
        if name is not None and is_alive(file, name):
            raise _InUseError(f"a process uses {file.path} as a backlog: end it, and its events are taken over")
        try:
            kept = PersistedEvent.from_json(value)
        except InputError:
            continue
        kept = replace(kept if name is None else kept.interrupted(), standing=Standing())  # the bounds begin anew
        key = kept.event.key
        events[key] = events[key].merged(kept) if key in events else kept
    return list(events.values())
