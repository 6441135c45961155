"""A file in which the processes of one machine meet to share a quota."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from strava_async.clock import Clock, SystemClock
from strava_async.limiter import sqlite_state
from strava_async.limiter.sqlite_state import QUOTA
from strava_async.quota.fleet.messages import Reply, Report
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.stores.sqlite_held import HeldConnection
from strava_async.stores.sqlite_shared import SharedFile

T = TypeVar("T")
BUSY_SECONDS = 1.0


class SqlitePlace:
    """The state of one application's quota, in a file that may hold those of others too.

    A file that others have locked is waited for a second. All is done in a thread that a cancelled call leaves behind:
    what it had begun is done or not, and no later call comes before it.

    Args:
        path: the file; the first call makes it, for its user alone. Its directory has to be there.
        application: whose quota.
        clock: whose ``time`` all processes of the machine see; None means the system's.
        busy_seconds: how long to wait for what others do with the file.

    Raises:
        InputError: the path names no file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        application: str,
        clock: Clock | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._file = SharedFile(path, QUOTA, busy_timeout=busy_seconds, private=True)
        self._connection = HeldConnection(busy_seconds, "limiter")
        self._application = application
        self._clock: Clock = clock or SystemClock()

    @property
    def path(self) -> str:
        """The file."""
        return self._file.path

    async def check(self) -> None:
        """Do nothing: each call looks at the file before it writes."""

    async def call(self, report: Report, now: int) -> Reply:
        """Tell a report, and return the reply.

        Args:
            report: of a process.
            now: not used: the clock is read once no other process can write, so that it does not seem to go back.

        Raises:
            StoreError: the file cannot be used; it says what to do.
        """
        file = await self._file.made()
        return await _in_thread(partial(self._connection.transact, file, partial(self._sync, report)))

    async def close(self) -> None:
        """Close the file, once an operation under way is done; the next call opens it again."""
        await _in_thread(self._connection.close)

    async def read(self) -> Fleet:
        """Return the state as it is; ``Fleet()`` where the file has none of this application.

        Makes no file, changes nothing, and needs no permission to write.

        Raises:
            StoreError: there is no file, or it cannot be used; it says what to do.
        """
        return await self._file.look(self._load)

    def _sync(self, report: Report, connection: sqlite3.Connection) -> Reply:
        before, now = self._load(connection), int(self._clock.time() * 1_000)
        after, reply = sync(before, report, now)
        if after is not before:
            if not before.sequence:
                sqlite_state.make_room(connection, self.path, now)
            sqlite_state.store(connection, self._application, self.path, before, after)
        return reply

    def _load(self, connection: sqlite3.Connection) -> Fleet:
        return sqlite_state.load(connection, self._application, self.path)


async def applications(path: str | os.PathLike[str]) -> list[str]:
    """Return whose quotas are in a file, in order. As ``SqlitePlace.read``, and raises what that does."""
    return await SharedFile(path, QUOTA, busy_timeout=BUSY_SECONDS, private=True).look(sqlite_state.applications)


async def _in_thread(work: Callable[[], T]) -> T:
    # A thread for each: others that hang keep none of them from beginning.
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
