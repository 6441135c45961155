"""Tokens in an SQLite file, shared by all processes of a machine."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from strava_async._hidden import hidden
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores._values import check_athlete_id
from strava_async.stores.base import ANY, AnyTokens, Lease
from strava_async.stores.encryption import Key, ciphers, generate_key
from strava_async.stores.sqlite_rows import TOKENS, Rows, applications, has_plain_rows
from strava_async.stores.sqlite_shared import SharedFile

T = TypeVar("T")

# An iteration reads so many at a time: some milliseconds for each transaction.
PAGE_ROWS = 500


class SqliteTokenStore:
    """A ``TokenStore`` in one file. Needs no closing: each operation opens the file, does one transaction, closes it.

    The first operation creates the file (mode 0600; its directory has to exist). One object can be used by several
    event loops and threads at once, and after a fork. While a lock is held, there is a file for it in the directory
    ``<path>-locks``. The file belongs on a local disk: SQLite's WAL does not work over a network.

    A mode that lets other users read is corrected at every operation if the file is this user's. Where that is
    impossible, the file is refused unless all of it is encrypted; one that is accepted is logged once, as a WARNING
    of the logger ``strava_async.stores``.

    To change the key while processes run:

    1. Restart them one by one with ``key=[new, old]``. All go on with the old key, which the file has.
    2. Call ``rotate`` once. The file has the new key now, which all of them know.
    3. Restart them one by one with ``key=new``. Destroy the old key when its backups are no longer needed.

    A file without a key takes the key of the first save with one; processes without it are refused from then on. So
    give the key to all of them at the same time, then call ``rotate`` once for the rows that were there.

    Args:
        path: the file. "~" is not expanded, and is an error at its beginning: pass ``Path(...).expanduser()``.
        private: False leaves the mode as it is, and accepts a file that other users may read: for a volume that
            ignores modes, or a group that makes backups.
        key: encrypts the tokens; from ``generate_key``, in URL-safe base64. Of a sequence, each can read; the first
            is the one for a new file, and the one that ``rotate`` changes to. Needs the extra ``encryption``.
        application: separates applications that share the file, and its key; the client id, for example. Then give
            each a name. Without one it is the application of the file: the rows that have no name, or else those
            that ``strava-async login`` wrote.
        lock_timeout: how long to wait for ``lock``; seconds.
        busy_timeout: how long to wait for another process's transaction, or for it to create the file; seconds.
        clock: for the time of each save; None means the system's.

    Raises:
        InputError: an argument is invalid, or the extra is not installed. Operations raise it for an invalid athlete
            id, and TokenStoreError for a file that cannot be used; they leave it as it is then.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        private: bool = True,
        key: Key | Sequence[Key] | None = None,
        application: str = "",
        lock_timeout: float = 120.0,
        busy_timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        secret = hidden(key)
        del key
        if not lock_timeout >= 0 or not busy_timeout >= 0:
            raise InputError("lock_timeout and busy_timeout are seconds, zero or more")
        self._ciphers = ciphers(secret)
        self._application = application
        _lock_name(application, 0)  # an invalid name is an error now
        self._lock_timeout = lock_timeout
        self._clock = clock or SystemClock()
        self._file = SharedFile(
            path,
            TOKENS,
            busy_timeout=busy_timeout,
            private=private,
            is_encrypted=lambda connection: bool(self._ciphers) and not has_plain_rows(connection),
        )

    @property
    def application(self) -> str:
        """The application that was named; empty if none was."""
        return self._application

    def __repr__(self) -> str:
        return f"<SqliteTokenStore {self._file.path!r}>"

    @staticmethod
    def generate_key() -> str:
        """Return a new key. Keep it apart from the file, and from its backups.

        Raises:
            InputError: the extra ``encryption`` is not installed.
        """
        return generate_key()

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected."""
        check_athlete_id(athlete_id)
        return await self._read(lambda rows: rows.load(athlete_id))

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        """Save the tokens, if those in the store are the ones that they are to replace; see ``TokenStore``.

        They survive a power failure once it has returned. A cancelled call either completes or does not begin, and
        returns only when that is settled.
        """
        check_athlete_id(athlete_id)

        def save(rows: Rows) -> bool:
            if replacing is not ANY and rows.load(athlete_id) != replacing:
                return False
            rows.save(athlete_id, token, float(self._clock.time()))
            return True

        return await self._write(save, athlete_id)

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        """Delete the athlete's tokens, if they are these; see ``TokenStore``."""
        check_athlete_id(athlete_id)

        def delete(rows: Rows) -> bool:
            if if_unchanged is not ANY and rows.load(athlete_id) != if_unchanged:
                return False
            return rows.delete(athlete_id)

        return await self._write(delete, athlete_id)

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        return await self._read(lambda rows: rows.athlete_ids())

    async def iter_athlete_ids(self, *, after: int = 0) -> AsyncIterator[int]:
        """Iterate over the connected athletes with a larger id, in ascending order; nothing is held open meanwhile."""
        check_athlete_id(after)
        while after < 2**63 - 1:
            page = await self._read(partial(_page_of_ids, after + 1))
            for athlete_id in page:
                yield athlete_id
            if len(page) < PAGE_ROWS:
                return
            after = page[-1]

    async def applications(self) -> list[str]:
        """Return the applications that have tokens in the file, in order; the one without a name is an empty text."""
        return await self._file.read(applications)

    async def rotate(self) -> int:
        """Encrypt all rows of the file with the first key, those of other applications and plain ones included.

        One transaction: either all of them or none. What was plain is overwritten; while other processes are reading,
        it may stay in the file ``<path>-wal`` until the last of them is done.

        Returns:
            how many rows there are.

        Raises:
            InputError: the store was made without a key.
            TokenStoreError: a row cannot be read.
        """
        if not self._ciphers:
            raise InputError("rotate() needs a key: pass key=[new, old] when making the store")
        count = await self._write(lambda rows: rows.rotate())
        await self._file.empty_wal()  # plain rows may be in it still
        return count

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[Lease]:
        """Return a context that one holder at a time is in, among all processes; a process that ends loses it.

        Waits for ``lock_timeout`` at most; tasks of one event loop that use one object enter in order. Before a
        holder enters, the file is written to, and room is reserved on the disk for what it is going to save: Strava is
        not asked for tokens that could not be saved.

        Raises:
            TokenStoreError: it was not free in all that time, or the file cannot be written, or its disk has no room.
        """
        check_athlete_id(athlete_id)
        name = _lock_name(self._application, athlete_id)

        def shared(connection: sqlite3.Connection) -> str:
            return _lock_name(self._rows(connection).application, athlete_id)

        # The lock is the same, whether the application is named here or found in the file.
        known = None if self._application else shared
        async with self._file.lock(name, self._lock_timeout, self._rows, known) as lease:
            yield lease

    async def check_writable(self) -> None:
        """Make sure, by writing to it, that the file can be written now. Creates it if there is none.

        For the start of a service, and before an athlete is sent to Strava to connect.

        Raises:
            TokenStoreError: it cannot be written, or its disk has no room.
        """
        await self._file.check_writable(self._own_rows)

    def _rows(self, connection: sqlite3.Connection) -> Rows:
        return Rows(connection, self._file.path, self._application, self._ciphers)

    async def _read(self, work: Callable[[Rows], T]) -> T:
        return await self._file.read(lambda connection: work(self._rows(connection)))

    async def _write(self, work: Callable[[Rows], T], athlete_id: int | None = None) -> T:
        """Do it in the room that a lock on the athlete reserves; what ``Rows`` refuses is left untouched."""
        room = "" if athlete_id is None else _lock_name(self._application, athlete_id)
        look = self._rows if athlete_id is None else self._own_rows
        return await self._file.write(lambda connection: work(self._rows(connection)), look=look, instead_of_room=room)

    def _own_rows(self, connection: sqlite3.Connection) -> Rows:
        """Return the rows, after finding out which application they belong to."""
        rows = self._rows(connection)
        _ = rows.application
        return rows


def _page_of_ids(first: int, rows: Rows) -> list[int]:
    return rows.athlete_ids(first=first, limit=PAGE_ROWS)


def _lock_name(application: str, athlete_id: int) -> str:
    """Return what the lock on an athlete of an application is called, in letters that any file name may have."""
    try:
        digest = hashlib.sha256(application.encode()).hexdigest()
    except UnicodeError as error:
        raise InputError("the name of the application is not valid Unicode") from error
    return f"{digest[:16]}-{athlete_id}" if application else str(athlete_id)
