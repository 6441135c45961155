"""Who harvests into a file: one store at a time, among all processes."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock
from strava_async.errors import StoreError
from strava_async.harvest.sqlite_batches import Batches
from strava_async.harvest.sqlite_schema import SCHEMA
from strava_async.stores.sqlite_shared import SharedFile

LOCK = "harvest"
CHECKED_BYTES = 256 << 20


class Lock(Protocol):
    """A lock that is held, and that the operating system releases when its process ends."""

    def held(self) -> bool:
        """Return whether it is still held."""
        ...

    def release(self) -> None:
        """Release it."""
        ...


class Hold:
    """The right of a store to harvest into a file: all of the store's athletes share it, each of them once.

    Args:
        file: which.
        batches: its transactions.
        clock: tells since when it is held.
        try_lock: takes the lock if it is free; None for one on a file beside it.
    """

    def __init__(
        self, file: SharedFile, batches: Batches, clock: Clock, try_lock: Callable[[], Lock | None] | None = None
    ) -> None:
        self._file = file
        self._try_lock = try_lock or (lambda: file.try_lock(LOCK))
        self._batches = batches
        self._clock = clock
        self._lock: Lock | None = None
        self._athletes: dict[int, LoopBinding] = {}  # who is harvested, and in which loop

    @property
    def is_held(self) -> bool:
        """Whether it is held by this object."""
        return bool(self._athletes)

    @asynccontextmanager
    async def held(self, athlete_id: int) -> AsyncGenerator[None]:
        """Return a context in which it is held.

        Raises:
            StoreError: another store has it, it says who; or the athlete is harvested by this one already.
        """
        loop = LoopBinding("a harvest")
        loop.enter()
        if not self._has_lock():
            await self._file.read(check)  # meanwhile others can write
        is_first = await self._enter(athlete_id, loop)
        try:
            if is_first:
                await self._note()
            yield
        finally:
            self._leave(athlete_id, loop)

    def _has_lock(self) -> bool:
        return self._lock is not None and self._lock.held()

    async def _enter(self, athlete_id: int, loop: LoopBinding) -> bool:
        """Enter; return whether the lock was taken for that."""
        self._athletes = {known: its for known, its in self._athletes.items() if not its.has_ended()}
        if athlete_id in self._athletes:
            raise StoreError(f"athlete {athlete_id} in {self._file.path} is in use by this program: wait for its end")
        lock = None if self._has_lock() else self._try_lock()
        if lock is None and not self._has_lock():
            who = await self._batches.run(_holder)
            raise StoreError(f"{self._file.path} is in use: {who}; wait for its end, or name another file")
        self._athletes[athlete_id] = loop
        self._lock = lock or self._lock
        return lock is not None

    async def _note(self) -> None:
        program = os.path.basename(sys.argv[0])
        note = json.dumps({"pid": os.getpid(), "program": program, "since": self._clock.time()})
        await self._batches.run(lambda connection: _write_note(connection, note))

    def _leave(self, athlete_id: int, loop: LoopBinding) -> None:
        if self._athletes.get(athlete_id) is loop:
            del self._athletes[athlete_id]
        if not self._athletes and self._lock is not None:
            self._lock.release()
            self._lock = None


def check(connection: sqlite3.Connection, most_bytes: int = CHECKED_BYTES) -> None:
    """Raise an error for a damaged file, before anything is written.

    All of it is read, which takes half a second at the most. In a larger file the table of the bodies is left out,
    which is nearly all of it: what is damaged there is an error where it is read.
    """
    (size,) = connection.execute("select page_count * page_size from pragma_page_count, pragma_page_size").fetchone()
    tables = [name for name in SCHEMA.tables if name != "resources"] if size > most_bytes else ["1"]
    for table in tables:
        (verdict,) = connection.execute(f"pragma quick_check({table})").fetchone()
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT  # by which the error is explained
            raise error


def _write_note(connection: sqlite3.Connection, note: str) -> None:
    connection.execute("insert or replace into meta values ('holder', ?)", (note,))


def _holder(connection: sqlite3.Connection) -> str:
    row = connection.execute("select value from meta where name = 'holder'").fetchone()
    if row is None:
        return "another harvest has just begun"
    note = json.loads(row[0])
    return f"process {note['pid']} ({note['program'] or 'python'}) harvests into it"
