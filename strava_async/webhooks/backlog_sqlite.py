"""A backlog in an SQLite file, from one run of a service to the next: ``SqliteBacklog``.

Rules:

- A row stays in the file until its event is settled. One that is held has its holder's name.
- A holder whose lock is free has ended, and its rows are free at once.
- Only rows with the name of a holder of this object's are changed by ``settle``, ``hold`` and ``keep``.
- A file that was made before there were holders gets the missing column. Older versions can still use it.

SQLite before 3.35, as in RHEL 9, knows no ``returning``: several statements in one transaction do the same.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from strava_async.clock import Clock, SystemClock
from strava_async.errors import EventStoreError, InputError
from strava_async.stores.sqlite_file import Schema
from strava_async.stores.sqlite_shared import SharedFile
from strava_async.webhooks.backlog import PersistedEvent
from strava_async.webhooks.backlog_holder import Holder, is_alive, remove_stale_locks
from strava_async.webhooks.handler_errors import event_label
from strava_async.webhooks.retry import KEPT_SECONDS

T = TypeVar("T")

# A shutdown takes four seconds to drain, this for a transaction in progress, and this to keep what is left.
BUSY_SECONDS = 2.0
EVENTS = Schema(
    application_id=0x53747262,  # "Strb"
    version=1,
    error=EventStoreError,
    tables={
        "events": "create table events "
        "(id integer primary key, accepted_at real not null, value text not null, holder text)",
    },
)

_logger = logging.getLogger("strava_async.webhooks")


@dataclass(frozen=True, slots=True)
class _Row:
    """The row of an event that this object holds."""

    id: int
    holder: Holder


@dataclass(slots=True)
class _Taking:
    """The rows that one ``take`` finds.

    Attributes:
        events: what is taken, by key; in the order of the rows.
        ids: of their rows.
        duplicates: rows of events that another row has as well.
        dropped: rows that are deleted and not taken, by id, and the log line for each.
    """

    events: dict[str, PersistedEvent] = field(default_factory=dict[str, PersistedEvent])
    ids: dict[str, int] = field(default_factory=dict[str, int])
    duplicates: list[int] = field(default_factory=list[int])
    dropped: dict[int, str] = field(default_factory=dict[int, str])

    def add(self, row_id: int, kept: PersistedEvent) -> None:
        """Take the event of a row."""
        key = kept.event.key
        if key in self.events:
            self.events[key] = self.events[key].merged(kept)
            self.duplicates.append(row_id)
        else:
            self.events[key] = kept
            self.ids[key] = row_id


class SqliteBacklog:
    """A ``Backlog`` in one file (mode 0600), which the processes of one service share. Needs no closing.

    An event stays in the file until it is settled, marked with the process that has it. When that process has ended,
    killed or not, the event is free for the next ``take`` at once: the mark names a lock that the system releases with
    the process. The locks are in the directory ``<path>-locks``; do not remove anything there while the service runs.

    What was received more than seven days ago is dropped, and logged: Strava's data may be kept no longer. A
    deauthorization is kept until it is handled, because it asks for a deletion.

    A mode that lets other users read is corrected where the file belongs to this user; otherwise the file is refused.
    One object can be used by several event loops and threads at once. A file that cannot be written shows at the start
    of the service, when ``take`` writes to it.

    Args:
        path: the file, not that of a token store; its directory has to be there.
        private: False leaves the mode as it is, and accepts a file that other users may read, with one WARNING.
        clock: tells how old events are; None means the system's.

    Raises:
        InputError: the path does not name a file.
        EventStoreError: by its methods: the file cannot be used. It is left as it is then.
    """

    def __init__(self, path: str | os.PathLike[str], *, private: bool = True, clock: Clock | None = None) -> None:
        self._file = SharedFile(path, EVENTS, busy_timeout=BUSY_SECONDS, private=private)
        self._clock = clock or SystemClock()
        self._rows: dict[str, _Row] = {}

    def __repr__(self) -> str:
        return f"<SqliteBacklog {self._file.path!r}>"

    async def take(self) -> list[PersistedEvent]:
        """Return the events that are free, and hold them; one caller gets them, among all processes."""
        holder = Holder(self._file)

        def take(connection: sqlite3.Connection) -> _Taking:
            connection.execute(EVENTS.mark)  # writes a page even where there is no event
            taking = self._free(connection)
            if taking.events:
                holder.begin()
            mark = "update events set holder = ?, value = ? where id = ?"
            for key, kept in taking.events.items():
                connection.execute(mark, (holder.name, kept.to_json(), taking.ids[key]))
            for row_id in (*taking.duplicates, *taking.dropped):
                connection.execute("delete from events where id = ?", (row_id,))
            remove_stale_locks(self._file)
            return taking

        try:
            taking = await self._write(take, lambda taking: self._note(taking.ids, holder))
        except BaseException:
            self._release(holder)  # the caller does not get what was taken: it is free again
            raise
        for text in taking.dropped.values():
            _logger.error("%s", text)
        return list(taking.events.values())

    async def hold(self, events: Sequence[PersistedEvent]) -> None:
        """Add or update events, and hold them. They survive a power failure after that."""
        holder = Holder(self._file)

        def hold(connection: sqlite3.Connection) -> dict[str, int]:
            holder.begin()
            return self._put(connection, events, holder.name)

        try:
            await self._write(hold, lambda ids: self._note(ids, holder))
        finally:
            if not holder.keys:
                holder.end()

    async def settle(self, keys: Collection[str]) -> None:
        """Remove the events with these keys that this object holds."""
        rows = [(row.id, row.holder.name) for key in keys if (row := self._rows.get(key)) is not None]

        def remove(connection: sqlite3.Connection) -> None:
            connection.executemany("delete from events where id = ? and holder = ?", rows)

        if rows:
            await self._write(remove, lambda _: self._forget(keys))

    async def keep(self, events: Sequence[PersistedEvent]) -> None:
        """Add or update events, for the next ``take``. They survive a power failure after that."""

        def keep(connection: sqlite3.Connection) -> dict[str, int]:
            return self._put(connection, events, None)

        await self._write(keep, self._forget)

    async def _write(self, work: Callable[[sqlite3.Connection], T], committed: Callable[[T], None]) -> T:
        def with_holders(connection: sqlite3.Connection) -> T:
            columns = {name for _, name, *_ in connection.execute("pragma table_info(events)")}
            if "holder" not in columns:
                connection.execute("alter table events add column holder text")
            return work(connection)

        return await self._file.write(with_holders, committed=committed)

    def _free(self, connection: sqlite3.Connection) -> _Taking:
        taking = _Taking()
        alive: dict[object, bool] = {None: False}
        oldest_at = self._clock.time() - KEPT_SECONDS
        for row_id, value, name in connection.execute("select id, value, holder from events order by accepted_at, id"):
            if name not in alive:
                alive[name] = is_alive(self._file, name)
            if alive[name]:
                continue
            try:
                kept = PersistedEvent.from_json(value)
            except InputError:
                taking.dropped[row_id] = f"row {row_id} of the kept webhook events was dropped: it cannot be read"
                continue
            if kept.accepted_at < oldest_at and not kept.event.is_deauthorization:
                what = f"{event_label(kept.event)}, of athlete {kept.event.owner_id}"
                taking.dropped[row_id] = f"{what}: dropped, it was kept for more than seven days"
                continue
            taking.add(row_id, kept if name is None else kept.interrupted())
        return taking

    def _put(
        self, connection: sqlite3.Connection, events: Sequence[PersistedEvent], mark: str | None
    ) -> dict[str, int]:
        """Write events with a mark, in their rows or in new ones; return the rows."""
        update = "update events set value = ?, holder = ? where id = ? and holder = ?"
        insert = "insert into events (accepted_at, value, holder) values (?, ?, ?)"
        ids: dict[str, int] = {}
        for kept in events:
            key, value = kept.event.key, kept.to_json()
            row = self._rows.get(key)
            if row is not None and connection.execute(update, (value, mark, row.id, row.holder.name)).rowcount:
                ids[key] = row.id
            else:
                inserted = connection.execute(insert, (float(kept.accepted_at), value, mark))
                ids[key] = inserted.lastrowid or 0
        return ids

    def _note(self, ids: dict[str, int], holder: Holder) -> None:
        self._forget(ids)
        holder.keys.update(ids)
        self._rows.update((key, _Row(row_id, holder)) for key, row_id in ids.items())

    def _forget(self, keys: Collection[str]) -> None:
        for key in keys:
            row = self._rows.pop(key, None)
            if row is not None:
                row.holder.keys.discard(key)
                if not row.holder.keys:
                    row.holder.end()

    def _release(self, holder: Holder) -> None:
        self._forget(list(holder.keys))
        holder.end()
