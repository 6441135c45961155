"""The runs that a harvest's file knows of, within a transaction."""

from __future__ import annotations

import sqlite3

from strava_async.harvest.runs import Run

_KEPT = 100


def begin_run(connection: sqlite3.Connection, began_at: float) -> int:
    """See ``HarvestStore.begin_run``."""
    query = "insert into runs (began_at, requests, outcome) values (?, 0, '') returning number"
    (number,) = connection.execute(query, (began_at,)).fetchone()
    connection.execute("delete from runs where number <= ?", (number - _KEPT,))
    return int(number)


def end_run(connection: sqlite3.Connection, number: int, run: Run) -> None:
    """See ``HarvestStore.end_run``."""
    values = (run.ended_at, run.requests, run.outcome, number)
    connection.execute("update runs set ended_at = ?, requests = ?, outcome = ? where number = ?", values)


def runs(connection: sqlite3.Connection) -> list[Run]:
    """See ``HarvestStore.runs``."""
    query = "select began_at, ended_at, requests, outcome from runs order by number desc limit ?"
    return [Run(*values) for values in connection.execute(query, (_KEPT,))]
