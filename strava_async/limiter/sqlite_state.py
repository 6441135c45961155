"""What a file of shared quotas holds: a row for each application, and for each of its processes.

Rules:

- What a stranger left in the file is bounded before it is read, and a sentence.
- Rows of processes are removed by ``sync``; those of applications, when another comes and their day is long over.
"""

from __future__ import annotations

import sqlite3

from strava_async.errors import StoreError
from strava_async.quota.fleet.codec import VERSION, dump_fleet, dump_row, load_fleet, load_row
from strava_async.quota.fleet.state import Fleet, Row
from strava_async.stores.sqlite_file import Schema

QUOTA = Schema(
    application_id=0x53747271,  # "Strq"
    version=VERSION,
    tables={
        "fleets": "create table fleets (application text primary key, state text not null)",
        "processes": "create table processes (application text not null, process text not null, state text not null, "
        "primary key (application, process))",
    },
    # A quota is learnt again from the next answers.
    is_durable=False,
)

MAX_APPLICATIONS = 1_000
# In a quarter hour a process that starts anew every second leaves 900 rows.
MAX_PROCESSES = 5_000
MAX_CHARACTERS = 8_000_000
_MAX_LENGTH = 1_000_000
_UNUSED_MS = 3 * 86_400_000


def load(connection: sqlite3.Connection, application: str, path: str) -> Fleet:
    """Return the state of an application's quota; ``Fleet()`` where there is none.

    Raises:
        StoreError: what is there is none, or too large.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_LENGTH)
    name = (application,)
    try:
        found = connection.execute("select state from fleets where application = ?", name).fetchone()
        if found is None:
            return Fleet()
        rows, size = dict[str, Row](), 0
        for process, state in connection.execute("select process, state from processes where application = ?", name):
            size += len(state)
            if len(rows) == MAX_PROCESSES or size > MAX_CHARACTERS:
                raise StoreError(f"{path} holds more processes than can share a quota: remove it, or name another file")
            if not isinstance(process, str):
                raise ValueError("the id of a process is a text")
            rows[process] = load_row(state)
        return load_fleet(found[0], rows)
    except (ValueError, sqlite3.DataError) as error:
        raise StoreError(f"what {path} holds is damaged: remove it, or name another file") from error


def store(connection: sqlite3.Connection, application: str, path: str, before: Fleet, after: Fleet) -> None:
    """Write what has changed.

    Raises:
        StoreError: ``load`` would refuse it, for all processes: so nothing is written.
    """
    fleet = dump_fleet(after)
    rows = {process: dump_row(row) for process, row in after.rows.items() if before.rows.get(process) is not row}
    try:
        load_fleet(fleet, {})
        for row in rows.values():
            load_row(row)
    except ValueError as error:
        raise StoreError(
            f"what this process tells is no state of a quota, so {path} stays as it is: start it anew"
        ) from error
    connection.execute("insert or replace into fleets values (?, ?)", (application, fleet))
    changed = [(application, process, row) for process, row in rows.items()]
    connection.executemany("insert or replace into processes values (?, ?, ?)", changed)
    gone = [(application, process) for process in before.rows.keys() - after.rows.keys()]
    connection.executemany("delete from processes where application = ? and process = ?", gone)


def applications(connection: sqlite3.Connection) -> list[str]:
    """Return whose quotas are in the file, in order; not more than there may be."""
    rows = connection.execute("select application from fleets order by 1 limit ?", (MAX_APPLICATIONS,))
    return [str(name) for (name,) in rows]


def make_room(connection: sqlite3.Connection, path: str, now: int) -> None:
    """Remove what applications have left that nobody has used for days, before there is one more.

    Args:
        connection: to the file.
        path: the file, as a message names it.
        now: milliseconds of Unix time.

    Raises:
        StoreError: so many are in use that there is no room for another one.
    """
    names = applications(connection)
    unused = [name for name in names if _wall(connection, name) < now - _UNUSED_MS]
    for table in ("processes", "fleets"):
        connection.executemany(f"delete from {table} where application = ?", [(name,) for name in unused])
    if len(names) - len(unused) >= MAX_APPLICATIONS:
        raise StoreError(f"{path} holds the quotas of {MAX_APPLICATIONS} applications: name another file")


def _wall(connection: sqlite3.Connection, application: str) -> int:
    (state,) = connection.execute("select state from fleets where application = ?", (application,)).fetchone()
    try:
        return load_fleet(state, {}).wall
    except ValueError:
        return 0  # nobody can use it
