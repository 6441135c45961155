"""An SQLite file that the tasks, threads and processes of a machine share: made once, read, written and locked."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import anyio

from strava_async._concurrency.keyed_lock import KeyedLock
from strava_async._concurrency.threads import finish_in_thread
from strava_async.errors import InputError
from strava_async.stores.file_lock import FileLock
from strava_async.stores.private_files import Privacy
from strava_async.stores.sqlite_file import Schema, SqliteFile

T = TypeVar("T")
MAKING = "new"
Work = Callable[[sqlite3.Connection], T]

# What a save may take: the -shm, of 32 KiB from its first byte on; the WAL's copy of the eight pages that change when
# the tables' trees have to grow; and these where they belong.
ROOM_BYTES = 32_768 + 10 * 4096
# More is not needed at the same time: SQLite restarts its WAL after a thousand pages.
MAX_ROOMS = 64


class SharedFile:
    """A file that the first operation creates; each opens it, does one transaction in a thread, and closes it.

    One object can be used by several event loops and threads at once, and after a fork. A lock that an event
    loop left held when it ended is free for the next holder.

    Args:
        path: the file; its directory has to be there.
        schema: what it holds.
        busy_timeout: how long to wait for another process's transaction, or for it to make the file; seconds.
        private: False accepts a file that other users may read.
        is_encrypted: returns whether all that the file holds is encrypted.

    Raises:
        InputError: the path names no file. The methods raise the schema's error for a file that cannot be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: Schema,
        *,
        busy_timeout: float,
        private: bool,
        is_encrypted: Work[bool] = lambda _: False,
    ) -> None:
        self.path = _checked_path(os.fspath(path) if hasattr(path, "__fspath__") else path)
        self._schema = schema
        self._busy_timeout = busy_timeout
        self._is_encrypted = is_encrypted
        self._privacy = Privacy(private, schema.error)
        self._tasks = KeyedLock()
        self._locks: dict[str, FileLock] = {}

    async def read(self, work: Work[T]) -> T:
        """Return what ``work`` returns for one state of the file."""
        return await self._read_of(await self.made(), work)

    async def look(self, work: Work[T]) -> T:
        """Return what ``work`` returns for one state of the file, which has to be there; needs no right to write."""
        file = self._resolved()

        def transaction() -> T:
            with file.looking() as connection:
                return work(connection)

        return await finish_in_thread(transaction)

    async def write(
        self,
        work: Work[T],
        *,
        look: Work[object] = lambda _: None,
        instead_of_room: str = "",
        committed: Callable[[T], None] = lambda _: None,
    ) -> T:
        """Return what ``work`` returns. What it wrote survives a power failure; after an error nothing is written.

        A cancelled call either completes or does not begin, and returns only when that is settled.

        Args:
            work: writes.
            look: reads the file before it is opened for writing; if it raises, the file is left untouched.
            instead_of_room: the lock whose reserved room the transaction may take.
            committed: gets what ``work`` returned, in the thread, once it is committed, even if the caller is
                cancelled.
        """
        file = await self.made()
        lock = self._locks.get(instead_of_room)

        def transaction() -> T:
            if lock is not None:
                with file.explained():
                    lock.free_room()  # first: even reading the file takes some
            self._look(file, look)
            with file.writing() as connection:
                result = work(connection)
            committed(result)
            return result

        return await finish_in_thread(transaction)

    async def check_writable(self, look: Work[object] = lambda _: None) -> None:
        """Make sure that the file can be written now, by writing to it."""
        await self._prove(await self.made(), look, None)

    async def empty_wal(self) -> None:
        """Move what is in the WAL into the file, as far as other processes let it."""
        file = await self.made()
        await finish_in_thread(file.empty_wal)

    @asynccontextmanager
    async def lock(
        self, name: str, timeout: float, look: Work[object] = lambda _: None, shared: Work[str] | None = None
    ) -> AsyncGenerator[FileLock]:
        """Return a context that one holder at a time is in, among all processes, with room for a write.

        Args:
            name: of the lock; letters that any file name may have.
            timeout: how long to wait; seconds.
            look: as in ``write``.
            shared: returns the name by which processes know the lock, where that depends on what is in the file; None
                means ``name``.

        Raises:
            StoreError: it was not free in all that time, or the file cannot be written, or its disk has no room.
        """
        file = await self.made()
        async with self._exclusive(file, name, timeout, shared) as lock:
            await self._prove(file, look, lock)
            self._locks[name] = lock
            try:
                yield lock
            finally:
                if self._locks.get(name) is lock:
                    del self._locks[name]

    def try_lock(self, name: str) -> FileLock | None:
        """Take a lock if it is free; the caller releases it. Blocks for microseconds, in any thread.

        Args:
            name: as in ``lock``.

        Returns:
            the lock; None if it is held.
        """
        file = self._resolved()
        lock = FileLock(lock_path(file, name))
        with file.explained():
            return lock if lock.try_acquire() else None

    def lock_names(self) -> list[str]:
        """Return the names of the locks whose files exist: they are held, or their holder was killed. Blocks."""
        try:
            return os.listdir(lock_path(self._resolved(), ""))
        except OSError:
            return []

    async def _read_of(self, file: SqliteFile, work: Work[T]) -> T:
        def transaction() -> T:
            with file.reading(self._is_encrypted) as connection:
                return work(connection)

        return await finish_in_thread(transaction)

    async def _prove(self, file: SqliteFile, look: Work[object], lock: FileLock | None) -> None:
        def work() -> None:
            self._look(file, look)
            if lock is not None and len(self._locks) < MAX_ROOMS:
                with file.explained():
                    lock.reserve_room(ROOM_BYTES)
            file.touch()  # with the room kept: there is enough for both

        await finish_in_thread(work)

    def _look(self, file: SqliteFile, look: Work[object]) -> None:
        with file.reading(self._is_encrypted) as connection:
            look(connection)

    async def made(self) -> SqliteFile:
        """Return the file, made if there is none."""
        file = self._resolved()
        if not file.exists():
            async with self._exclusive(file, MAKING, self._busy_timeout):
                await finish_in_thread(file.create)
        return file

    def found(self) -> SqliteFile | None:
        """Return the file; None if there is none. Blocks for microseconds, in any thread."""
        file = self._resolved()
        return file if file.exists() else None

    def _resolved(self) -> SqliteFile:
        # Every name of a file, symbolic links included, has to lead to the same locks.
        return SqliteFile(os.path.realpath(self.path), self._schema, self._busy_timeout, self._privacy)

    @asynccontextmanager
    async def _exclusive(
        self, file: SqliteFile, name: str, timeout: float, shared: Work[str] | None = None
    ) -> AsyncGenerator[FileLock]:
        give_up_at = anyio.current_time() + timeout
        taken = self._schema.error(
            f"lock {name} of {file.path} was not free for {timeout:g} s: end the process that holds it, or try again"
        )
        async with AsyncExitStack() as stack:
            with anyio.CancelScope(deadline=give_up_at) as waiting:
                await stack.enter_async_context(self._tasks.hold(name))
            if waiting.cancelled_caught:
                raise taken
            known = name if shared is None else await self._read_of(file, shared)
            lock = FileLock(lock_path(file, known))
            with anyio.CancelScope(deadline=give_up_at) as waiting, file.explained():
                await stack.enter_async_context(lock)
            if waiting.cancelled_caught:
                raise taken
            yield lock


def lock_path(file: SqliteFile, name: str) -> str:
    """Return the file of a lock: ``MAKING`` is for who makes a file or what SQLite has beside it."""
    return os.path.join(f"{file.path}-locks", name)


def _checked_path(path: object) -> str:
    """Return it as an absolute path."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise InputError("the path is a text that names a file")
    if path == ":memory:":
        raise InputError("nobody else can open a file in memory: name one on a disk")
    if path.startswith("~"):
        raise InputError("the path begins with ~: pass Path(...).expanduser(), or ./~ if that is its name")
    return os.path.abspath(path)
