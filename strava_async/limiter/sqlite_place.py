"""A file in which the processes of one machine meet to share a quota."""

from __future__ import annotations

import os
import sqlite3

from strava_async.errors import StoreError
from strava_async.quota.fleet import sync
from strava_async.quota.fleet_codec import VERSION, dump_fleet, dump_row, load_fleet, load_row
from strava_async.quota.fleet_messages import Reply, Report
from strava_async.quota.fleet_state import Fleet
from strava_async.stores.sqlite_file import Schema
from strava_async.stores.sqlite_shared import SharedFile

BUSY_SECONDS = 1.0

QUOTA = Schema(
    application_id=0x53747271,  # "Strq"
    version=VERSION,
    tables={
        "fleets": "create table fleets (application text primary key, state text not null)",
        "processes": "create table processes (application text not null, process text not null, state text not null, "
        "primary key (application, process))",
    },
    # A quota is learnt again from the next answers. Closing the file still waits for the disk, in its thread.
    is_durable=False,
)


class SqlitePlace:
    """The state of one application's quota, in a file that may hold those of others too.

    Args:
        path: the file; the first call makes it, for its user alone. Its directory has to be there.
        application: whose quota.

    Raises:
        InputError: the path names no file.
    """

    def __init__(self, path: str | os.PathLike[str], application: str) -> None:
        self._file = SharedFile(path, QUOTA, busy_timeout=BUSY_SECONDS, private=True)
        self._application = application

    @property
    def path(self) -> str:
        """The file."""
        return self._file.path

    async def check(self) -> None:
        """Do nothing: each call looks at the file before it writes."""

    async def close(self) -> None:
        """Do nothing: each call closes the file."""

    async def call(self, report: Report, now: int) -> Reply:
        """Tell a report, and return the reply; in a thread. If it is cancelled, it was done or was not begun.

        Args:
            report: of a process.
            now: milliseconds on a clock that all processes of the machine see.

        Raises:
            StoreError: the file cannot be used; it says what to do.
        """
        return await self._file.write(lambda connection: self._sync(connection, report, now))

    def _sync(self, connection: sqlite3.Connection, report: Report, now: int) -> Reply:
        before = self._load(connection)
        after, reply = sync(before, report, now)
        if after is before:
            return reply
        name = self._application
        connection.execute("insert or replace into fleets values (?, ?)", (name, dump_fleet(after)))
        changed = [
            (name, process, dump_row(row)) for process, row in after.rows.items() if before.rows.get(process) is not row
        ]
        connection.executemany("insert or replace into processes values (?, ?, ?)", changed)
        gone = [(name, process) for process in before.rows.keys() - after.rows.keys()]
        connection.executemany("delete from processes where application = ? and process = ?", gone)
        return reply

    def _load(self, connection: sqlite3.Connection) -> Fleet:
        name = (self._application,)
        found = connection.execute("select state from fleets where application = ?", name).fetchone()
        if found is None:
            return Fleet()
        rows = connection.execute("select process, state from processes where application = ?", name)
        try:
            return load_fleet(found[0], {process: load_row(state) for process, state in rows})
        except ValueError as error:
            raise StoreError(f"{self.path} is damaged: remove it while no process uses it, or name another") from error
