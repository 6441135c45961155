"""What is written and deleted in a harvest's file, within a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from strava_async.harvest.base import Changes, Resource, Row, State
from strava_async.harvest.kinds import OF_ACTIVITIES
from strava_async.harvest.list_state import AthleteState, Walk

MOST_CHECKS = 500
EVENTS_A_DAY = 20  # of an athlete: each costs a request, and anybody can send them
SETTING = "setting:"  # before the names of settings in ``meta``

_COLUMNS = (
    "start_date",
    "start_date_local",
    "sport_type",
    "name",
    "distance",
    "moving_time",
    "elapsed_time",
    "total_elevation_gain",
    "gear_id",
    "upload_id",
)
_ROW = f"""
insert into activities (id, athlete_id, {", ".join(_COLUMNS)}, start, has_distance, stamps, empty, listed_at, seen_in,
    body)
values ({", ".join("?" * (len(_COLUMNS) + 9))})
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}, start = excluded.start,
    has_distance = excluded.has_distance, stamps = excluded.stamps, empty = excluded.empty,
    listed_at = excluded.listed_at, seen_in = max(seen_in, excluded.seen_in), body = excluded.body
where athlete_id = excluded.athlete_id
"""
_RESOURCE = """
insert into resources (athlete_id, kind, id, activity_id, state, status, stamp, fetched_at, retry_at, tries, reason,
    coding, body)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set state = excluded.state, status = excluded.status, stamp = excluded.stamp,
    fetched_at = excluded.fetched_at, retry_at = excluded.retry_at, tries = excluded.tries, reason = excluded.reason,
    coding = excluded.coding, body = excluded.body
"""
# It failed, or is not ready: what came before stays, and is as old as it is.
_NO_BODY = """
insert into resources (athlete_id, kind, id, activity_id, state, status, stamp, fetched_at, retry_at, tries, reason,
    coding, body)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set state = excluded.state, status = excluded.status, stamp = excluded.stamp,
    fetched_at = iif(body is null, excluded.fetched_at, fetched_at), retry_at = excluded.retry_at,
    tries = excluded.tries, reason = excluded.reason
"""


def add_athlete(connection: sqlite3.Connection, athlete_id: int) -> None:
    """Make an athlete known."""
    values = (athlete_id, state_text(AthleteState()))
    connection.execute("insert or ignore into athletes (athlete_id, state) values (?, ?)", values)


def apply_all(changes: Iterable[Changes], connection: sqlite3.Connection) -> None:
    """Write changes, in this order."""
    for each in changes:
        apply(connection, each)


def apply(connection: sqlite3.Connection, changes: Changes) -> None:
    """Write changes; see ``HarvestStore.write``."""
    athlete_id = changes.athlete_id
    if not connection.execute("select 1 from athletes where athlete_id = ?", (athlete_id,)).fetchone():
        return
    if changes.state is not None:
        connection.execute(
            "update athletes set state = ? where athlete_id = ?", (state_text(changes.state), athlete_id)
        )
    if changes.is_list_begun:
        connection.execute("update athletes set is_list_due = 0 where athlete_id = ?", (athlete_id,))
    connection.executemany(_ROW, (_row_values(row, changes) for row in changes.rows))
    for resource in changes.resources:
        if resource.kind in OF_ACTIVITIES and not _has_activity(connection, athlete_id, resource):
            continue
        keeps = resource.state in (State.FAILED, State.PENDING)
        connection.execute(_NO_BODY if keeps else _RESOURCE, _resource_values(athlete_id, resource))
    if changes.ended is not None:
        _add_checks(connection, athlete_id, _unseen(connection, athlete_id, changes.ended))
    _add_events(connection, athlete_id, changes.check, changes.day)
    done = [(athlete_id, activity_id) for activity_id in (*changes.checked, *changes.gone)]
    connection.executemany("delete from checks where athlete_id = ? and activity_id = ?", done)
    for activity_id in changes.gone:
        delete_activities(connection, [activity_id], athlete_id)


def delete_activities(connection: sqlite3.Connection, ids: Iterable[int], athlete_id: int | None = None) -> int:
    """Delete activities and all that is of them; return how many rows that were."""
    count = 0
    for activity_id in ids:
        for table, column in (("resources", "activity_id"), ("activities", "id"), ("checks", "activity_id")):
            query = f"delete from {table} where {column} = ? and athlete_id = ifnull(?, athlete_id)"
            deleted = connection.execute(query, (activity_id, athlete_id)).rowcount
            count += deleted if table != "checks" else 0
    if count:
        _note_deletion(connection)
    return count


def delete_some(connection: sqlite3.Connection, athlete_id: int, limit: int) -> bool:
    """Delete a part of what is of an athlete, who is not known from then on; return whether there may be more."""
    _note_deletion(connection)
    connection.execute("delete from athletes where athlete_id = ?", (athlete_id,))
    connection.execute("delete from checks where athlete_id = ?", (athlete_id,))
    more = False
    for table in ("resources", "activities"):
        query = f"delete from {table} where rowid in (select rowid from {table} where athlete_id = ? limit ?)"
        more = connection.execute(query, (athlete_id, limit)).rowcount == limit or more
    return more


def purge_some(connection: sqlite3.Connection, older_than: float, limit: int) -> int:
    """Delete a part of what came before an instant; return how many rows that were, 0 at the end."""
    old = connection.execute("select id from activities where listed_at < ? limit ?", (older_than, limit)).fetchall()
    count = delete_activities(connection, [activity_id for (activity_id,) in old])
    query = "delete from resources where rowid in (select rowid from resources where fetched_at < ? limit ?)"
    count += connection.execute(query, (older_than, limit)).rowcount
    if count:
        _note_deletion(connection)
    return count


def set_setting(connection: sqlite3.Connection, name: str, value: str | None) -> None:
    """See ``HarvestStore.set_setting``."""
    if value is None:
        connection.execute("delete from meta where name = ?", (SETTING + name,))
    else:
        connection.execute("insert or replace into meta values (?, ?)", (SETTING + name, value))


def forget_deletions(connection: sqlite3.Connection, count: int) -> None:
    """Note that the file was rewritten after so many deletions, unless there were more meanwhile."""
    connection.execute("delete from meta where name = 'deletions' and value = ?", (str(count),))


def state_text(state: AthleteState) -> str:
    """Return a state as it is kept: without what others than the harvest write, which has a table and a column."""
    values = asdict(state)
    del values["checks"], values["is_list_due"]
    return json.dumps(values)


def read_state(text: str, is_list_due: bool, checks: tuple[int, ...]) -> AthleteState:
    """Return a state from what was kept."""
    values: dict[str, Any] = json.loads(text)
    walk = values.pop("walk")
    return AthleteState(None if walk is None else Walk(**walk), is_list_due=is_list_due, checks=checks, **values)


def _has_activity(connection: sqlite3.Connection, athlete_id: int, resource: Resource) -> bool:
    query = "select 1 from activities where id = ? and athlete_id = ?"
    return connection.execute(query, (int(resource.key), athlete_id)).fetchone() is not None


def _note_deletion(connection: sqlite3.Connection) -> None:
    connection.execute(
        "insert into meta values ('deletions', '1') on conflict do update set value = cast(value + 1 as text)"
    )


def _unseen(connection: sqlite3.Connection, athlete_id: int, walk: Walk) -> list[int]:
    """Return the activities in a walk's range that it has not seen, but not those in its first and last second."""
    query = "select id from activities where athlete_id = ? and start > ? and start < ? and seen_in < ?"
    low = -1e18 if walk.after is None else walk.after + 1
    unseen = connection.execute(query, (athlete_id, low, walk.began_at - 1, walk.number)).fetchall()
    return [activity_id for (activity_id,) in unseen]


def _add_events(connection: sqlite3.Connection, athlete_id: int, ids: Iterable[int], day: int) -> None:
    """Add checks because of events, up to so many a day for an athlete."""
    query = "select activity_id from checks where athlete_id = ?"
    waiting = {activity_id for (activity_id,) in connection.execute(query, (athlete_id,))} if ids else set[int]()
    new = [activity_id for activity_id in dict.fromkeys(ids) if activity_id not in waiting]
    if not new:
        return
    query = "select iif(events_on = ?, events, 0) from athletes where athlete_id = ?"
    (count,) = connection.execute(query, (day, athlete_id)).fetchone()
    chosen = new[: max(0, EVENTS_A_DAY - count)]
    values = (day, count + len(chosen), athlete_id)
    connection.execute("update athletes set events_on = ?, events = ? where athlete_id = ?", values)
    _add_checks(connection, athlete_id, chosen)
    if len(chosen) < len(new):
        _make_list_due(connection, athlete_id)


def _add_checks(connection: sqlite3.Connection, athlete_id: int, ids: Iterable[int]) -> None:
    """Add checks, up to so many for an athlete: beyond that the list is read completely, which shows as much."""
    ids = list(ids)
    if not ids:
        return
    (held,) = connection.execute("select count(*) from checks where athlete_id = ?", (athlete_id,)).fetchone()
    rows = [(athlete_id, activity_id) for activity_id in ids[: max(0, MOST_CHECKS - held)]]
    connection.executemany("insert or ignore into checks values (?, ?)", rows)
    if len(rows) < len(ids):
        _make_list_due(connection, athlete_id)


def _make_list_due(connection: sqlite3.Connection, athlete_id: int) -> None:
    connection.execute("update athletes set is_list_due = 1 where athlete_id = ?", (athlete_id,))


def _row_values(row: Row, changes: Changes) -> tuple[Any, ...]:
    activity, fields = row.activity, row.fields
    return (
        activity.id,
        changes.athlete_id,
        *(_plain(activity.gear_id or None if name == "gear_id" else fields.get(name)) for name in _COLUMNS),
        activity.start,
        activity.has_distance,
        json.dumps([activity.stamps[kind] for kind in OF_ACTIVITIES]),
        " ".join(sorted(activity.empty)),
        changes.listed_at,
        changes.seen_in,
        json.dumps(fields, separators=(",", ":")),
    )


def _resource_values(athlete_id: int, resource: Resource) -> tuple[Any, ...]:
    return (
        athlete_id,
        resource.kind,
        resource.key,
        int(resource.key) if resource.kind in OF_ACTIVITIES else None,
        resource.state,
        resource.status,
        resource.stamp,
        resource.fetched_at,
        resource.retry_at,
        resource.tries,
        resource.reason,
        resource.coding,
        resource.body,
    )


def _plain(value: object) -> object:
    """Return what a column can hold: no object, no integer of more than 64 bits, no lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    return value if isinstance(value, float) else None
