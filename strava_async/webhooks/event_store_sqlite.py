"""Webhook events in an SQLite file that the processes of one machine share: ``SqliteEventStore``."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import anyio
import anyio.lowlevel

from strava_async._concurrency.task_group import TaskGroup
from strava_async.clock import Clock, SystemClock
from strava_async.errors import EventStoreError
from strava_async.stores.sqlite_shared import SharedFile
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.backlog_takeover import take_over_backlog
from strava_async.webhooks.base import Appended, Claim, StoredEvent, StoreStats
from strava_async.webhooks.event_rows import EventRows
from strava_async.webhooks.event_schema import SCHEMA, Limits
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.group_commit import GroupCommit
from strava_async.webhooks.owners import MOST_UNFINISHED

T = TypeVar("T")

BUSY_SECONDS = 1.0
POLL_SECONDS = 0.25


class SqliteEventStore:
    """An ``EventStore`` and ``EventAdmin`` in one file (mode 0600), for all processes of a machine. Needs no closing.

    ``webhook_router(events=SqliteEventStore("events.sqlite"))``: an event is on the disk before Strava has its 200,
    and is handled by whichever process has a free worker, those of one object in order and one at a time, whatever
    process is killed. What is settled leaves its ``key`` for an hour, and nothing else. Events that wait take room in
    the file, not in memory.

    The file is SQLite's, in WAL mode, made by the first call for its user alone, on a local disk; never repaired, never
    overwritten. That of a ``SqliteBacklog`` is taken over, with its events, when no process uses it as a backlog any
    more. A service holds a connection to it, and uses it in a thread. Events that come while others are written are
    written together.

    One object can be used by several event loops and threads at once, and after a fork; one service at a time.

    Args:
        path: the file; its directory has to be there.
        max_unfinished: how many events may be unfinished; more are answered with 503.
        max_unfinished_of_owner: how many of one athlete may be.
        private: False leaves the mode as it is, and accepts a file that other users may read, with one WARNING.
        clock: None means the system's. Its ``time`` is that of all processes of the machine.

    Raises:
        InputError: an argument is invalid.
        EventStoreError: by its methods: the file cannot be used; it says what to do. It is left as it is, and is used
            again when the cause is gone.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_unfinished: int = 100_000,
        max_unfinished_of_owner: int = MOST_UNFINISHED,
        private: bool = True,
        clock: Clock | None = None,
    ) -> None:
        check_positive("max_unfinished", max_unfinished)
        check_positive("max_unfinished_of_owner", max_unfinished_of_owner)
        self._file = SharedFile(path, SCHEMA, busy_timeout=BUSY_SECONDS, private=private)
        self._private = private
        self._clock = clock or SystemClock()
        self._limits = Limits(max_unfinished, max_unfinished_of_owner)
        self._writes = GroupCommit(self._file, self._rows, BUSY_SECONDS, self._wake)
        self._changed = anyio.Event()
        self._knows_file = False
        self._seen_time, self._seen_monotonic = self._clock.time(), self._clock.monotonic()

    def __repr__(self) -> str:
        return f"<SqliteEventStore {self._file.path!r}>"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """See ``EventStore``: holds a connection, groups writes, looks four times a second for those of others."""
        self._changed = anyio.Event()  # the other was of a loop that may have ended
        async with TaskGroup() as tasks:
            tasks.start_soon(self._writes.run)
            tasks.start_soon(self._watch)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def append(self, event: WebhookEvent) -> Appended:
        """See ``EventStore``."""
        return await self._write(lambda rows: rows.append(event), wakes=True)

    async def claim(self, n: int, lease: float, *, deauthorizations: bool = False) -> Sequence[Claim]:
        """See ``EventStore``."""
        await anyio.lowlevel.checkpoint()
        while True:
            changed, claims, seconds = self._changed, list[Claim](), None
            with anyio.CancelScope(shield=True):  # who is cancelled has what was claimed, and can give it back
                claims, seconds = await self._write(lambda rows: rows.claim(n, lease, is_removal=deauthorizations))
            if claims:
                return claims
            await self._wait(changed, seconds)

    async def renew(self, claims: Sequence[Claim], lease: float) -> Sequence[bool]:
        """See ``EventStore``."""
        return await self._write(lambda rows: rows.renew(claims, lease))

    async def ack(self, claim: Claim, *, confirmed: bool = False) -> bool:
        """See ``EventStore``."""
        return await self._write(lambda rows: rows.ack(claim, confirmed=confirmed), wakes=True)

    async def retry(self, claim: Claim, seconds: float) -> bool:
        """See ``EventStore``."""
        return await self._write(lambda rows: rows.retry(claim, seconds), wakes=True)

    async def turn(self, owner_id: int, *, unless_doubted: bool = False) -> float:
        """See ``EventStore``."""
        return await self._write(lambda rows: rows.turn(owner_id, unless_doubted=unless_doubted))

    async def not_found(self, owner_id: int) -> bool:
        """See ``EventStore``."""
        return await self._write(lambda rows: rows.not_found(owner_id))

    async def stats(self) -> StoreStats:
        """See ``EventStore``."""
        return await self._read(lambda rows: rows.stats())

    async def events(self, *, limit: int = 100) -> Sequence[StoredEvent]:
        """See ``EventAdmin``."""
        check_positive("limit", limit)
        return await self._read(lambda rows: rows.events(limit))

    async def retry_now(self, key: str) -> bool:
        """See ``EventAdmin``."""
        return await self._write(lambda rows: rows.retry_now(key), wakes=True)

    async def drop(self, key: str) -> bool:
        """See ``EventAdmin``."""
        return await self._write(lambda rows: rows.drop(key), wakes=True)

    async def _read(self, work: Callable[[EventRows], T]) -> T:
        await self._take_over()
        if self._writes.runs_here:  # on its connection; and what is locked or full does not seem to be usable
            return await self._writes.write(work)
        result = await self._file.read(lambda connection: work(self._rows(connection)))
        self._knows_file = True
        return result

    async def _write(self, work: Callable[[EventRows], T], *, wakes: bool = False) -> T:
        await self._take_over()
        try:
            result = await self._writes.write(work)
        finally:
            if wakes:  # even if this is cancelled: the work may be done
                self._wake()
        self._knows_file = True
        return result

    async def _take_over(self) -> None:
        if not self._knows_file:
            await take_over_backlog(self._file.path, self._rows, self._clock, private=self._private)

    def _rows(self, connection: sqlite3.Connection) -> EventRows:
        monotonic = self._clock.monotonic()
        expected = self._seen_time + monotonic - self._seen_monotonic
        rows = EventRows(connection, self._clock, expected, self._limits)
        self._seen_time, self._seen_monotonic = rows.now, monotonic
        return rows

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def _wait(self, changed: anyio.Event, seconds: float | None) -> None:
        """Wait until something may be due: after a change, or after so many seconds."""
        async with TaskGroup() as tasks:

            async def sleep(seconds: float) -> None:
                await self._clock.sleep(seconds)
                tasks.cancel_scope.cancel()

            if seconds is not None:
                tasks.start_soon(sleep, seconds)
            await changed.wait()
            tasks.cancel_scope.cancel()

    async def _watch(self) -> None:
        """Look for what other processes have written; never returns. A write of any kind looks too."""
        with suppress(EventStoreError):
            await self._write(lambda rows: rows.forget_quiet_owners())
        while True:
            await self._clock.sleep(POLL_SECONDS)
            if self._knows_file:  # else it may be a backlog's that is in use
                with suppress(EventStoreError):
                    await self._writes.write(lambda rows: None)
