"""What is read from a harvest's file, within a transaction."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from strava_async.harvest.base import Activity, Held, Resource, State, StoreCounts
from strava_async.harvest.kinds import OF_ACTIVITIES, Kind
from strava_async.harvest.list_state import AthleteState
from strava_async.harvest.sqlite_writes import MOST_CHECKS, SETTING, read_state

_ACTIVITY = "id, start, sport_type, gear_id, has_distance, stamps, empty"
_RESOURCE = "kind, id, state, fetched_at, stamp, status, retry_at, tries, reason, coding"


def state(connection: sqlite3.Connection, athlete_id: int) -> AthleteState | None:
    """See ``HarvestStore.state``."""
    query = "select state, is_list_due from athletes where athlete_id = ?"
    row = connection.execute(query, (athlete_id,)).fetchone()
    if row is None:
        return None
    query = "select activity_id from checks where athlete_id = ? order by rowid limit ?"
    checks = connection.execute(query, (athlete_id, MOST_CHECKS)).fetchall()
    return read_state(row[0], bool(row[1]), tuple(activity_id for (activity_id,) in checks))


def scan(
    connection: sqlite3.Connection,
    athlete_id: int,
    after: Activity | None,
    limit: int,
    bodies: Collection[Kind] | None,
) -> list[Held]:
    """See ``HarvestStore.scan``."""
    start, activity_id = (math.inf, 0) if after is None else (after.start, after.id)
    row = "null, 0.0" if bodies is None else "cast(body as blob), listed_at"
    query = (
        f"select {row}, {_ACTIVITY} from activities where athlete_id = ? and (start, id) < (?, ?) "
        "order by start desc, id desc limit ?"
    )
    rows = connection.execute(query, (athlete_id, start, activity_id, limit)).fetchall()
    activities = [_activity(values) for _, _, *values in rows]
    found = _resources_of(connection, athlete_id, [activity.id for activity in activities], bodies or ())
    return [
        Held(activity, found[activity.id], row, listed_at)
        for activity, (row, listed_at, *_) in zip(activities, rows, strict=True)
    ]


def _resources_of(
    connection: sqlite3.Connection, athlete_id: int, ids: Sequence[int], bodies: Collection[Kind]
) -> dict[int, dict[Kind, Resource]]:
    found: dict[int, dict[Kind, Resource]] = {activity_id: {} for activity_id in ids}
    body = f"iif(kind in ({', '.join('?' * len(bodies))}), body, null)" if bodies else "null"
    for some in _chunks(ids, 500):
        query = (
            f"select activity_id, {body}, {_RESOURCE} from resources "
            f"where activity_id in ({', '.join('?' * len(some))}) and athlete_id = ?"
        )
        for activity_id, content, *values in connection.execute(query, (*bodies, *some, athlete_id)):
            resource = _resource(values, content)
            found[activity_id][resource.kind] = resource
    return found


def resources(
    connection: sqlite3.Connection, athlete_id: int, kinds: Sequence[Kind] | None, state: State | None, limit: int
) -> list[Resource]:
    """See ``HarvestStore.resources``."""
    chosen = list(Kind if kinds is None else kinds)
    query = (
        f"select {_RESOURCE} from resources where athlete_id = ? and kind in ({', '.join('?' * len(chosen))}) "
        "and state = ifnull(?, state) order by tries, fetched_at, kind, id limit ?"
    )
    return [_resource(values) for values in connection.execute(query, (athlete_id, *chosen, state, limit))]


def read(connection: sqlite3.Connection, athlete_id: int, kind: Kind, key: str) -> Resource | None:
    """See ``HarvestStore.read``."""
    query = f"select {_RESOURCE}, body from resources where athlete_id = ? and kind = ? and id = ?"
    values = connection.execute(query, (athlete_id, kind, key)).fetchone()
    return None if values is None else _resource(values[:-1], values[-1])


def athlete_ids(connection: sqlite3.Connection) -> list[int]:
    """See ``HarvestStore.athlete_ids``."""
    return [athlete_id for (athlete_id,) in connection.execute("select athlete_id from athletes order by athlete_id")]


def deletions(connection: sqlite3.Connection) -> int:
    """Return how many deletions there were since the file was last rewritten."""
    row = connection.execute("select value from meta where name = 'deletions'").fetchone()
    return 0 if row is None else int(row[0])


def settings(connection: sqlite3.Connection) -> dict[str, str]:
    """See ``HarvestStore.settings``."""
    query = "select substr(name, ?), value from meta where name like ? order by name"
    return dict(connection.execute(query, (len(SETTING) + 1, f"{SETTING}%")).fetchall())


def counts(connection: sqlite3.Connection, athlete_id: int | None, before: float | None) -> StoreCounts:
    """See ``HarvestStore.counts``."""

    def of(table: str, came_at: str = "") -> tuple[str, list[float]]:
        """Return what of a table is meant, as SQL with its values."""
        terms = {"athlete_id = ?": athlete_id, f"{came_at} < ?": before if came_at else None}
        given = {term: value for term, value in terms.items() if value is not None}
        return f"from {table}{' where ' if given else ''}{' and '.join(given)}", list(given.values())

    def one(what: str, meant: tuple[str, list[float]]) -> Any:
        return connection.execute(f"select {what} {meant[0]}", meant[1]).fetchone()[0]

    activities, resources = of("activities", "listed_at"), of("resources", "fetched_at")
    groups = connection.execute(f"select kind, state, count(*) {resources[0]} group by kind, state", resources[1])
    ages = [one("min(fetched_at)", resources), one("min(listed_at)", activities)]
    return StoreCounts(
        athletes=one("count(*)", of("athletes")),
        activities=one("count(*)", activities),
        resources={(Kind(kind), State(state)): count for kind, state, count in groups.fetchall()},
        oldest=min((age for age in ages if age is not None), default=None),
    )


def _activity(row: Sequence[Any]) -> Activity:
    activity_id, start, sport_type, gear_id, has_distance, stamps, empty = row
    return Activity(
        id=activity_id,
        start=start,
        sport_type=sport_type or "",
        gear_id=gear_id or "",
        has_distance=bool(has_distance),
        stamps=dict(zip(OF_ACTIVITIES, json.loads(stamps), strict=True)),
        empty=frozenset(Kind(kind) for kind in empty.split()),
    )


def _resource(values: Sequence[Any], body: bytes | None = None) -> Resource:
    kind, key, state, fetched_at, stamp, status, retry_at, tries, reason, coding = values
    return Resource(
        Kind(kind), key, State(state), fetched_at, stamp, status, retry_at, tries, reason, body=body, coding=coding
    )


def _chunks(ids: Sequence[int], size: int) -> list[Sequence[int]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
