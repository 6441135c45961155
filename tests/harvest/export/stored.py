"""A small store to export, and what an export left in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from strava_async.harvest import Changes, Kind, Resource, SqliteHarvestStore, State
from strava_async.harvest.fetch import compressed
from tests.harvest.contract import NOW, made_row

DAYS = ("2025-12-30T23:00:00Z", "2026-01-02T10:00:00Z", "2026-01-03T10:00:00Z")
TRACK = [[47.0, 8.0], [47.001, 8.001], [47.002, 8.003]]


def streams(**more: list[Any] | None) -> dict[str, Any]:
    found = {"time": [0, 1, 2], "latlng": TRACK, "heartrate": [100, 110, 120], **more}
    return {name: {"data": data, "series_type": "time"} for name, data in found.items() if data is not None}


def body(activity_id: int, kind: Kind, value: Any, at: float = NOW) -> Resource:
    content = compressed(json.dumps(value).encode())
    return Resource(kind, str(activity_id), State.STORED, at, body=content, coding="gzip")


async def add(
    store: SqliteHarvestStore,
    athlete_id: int,
    activity_id: int,
    start: str = DAYS[1],
    *,
    at: float = NOW,
    samples: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Add an activity with a detail and, unless ``samples`` is empty, streams."""
    await store.add_athlete(athlete_id)
    fields = {"distance": 1000.0 * activity_id, "start_date_local": start, **fields}
    row = made_row(activity_id, start, **fields)
    found = streams() if samples is None else samples
    resources = [body(activity_id, Kind.DETAIL, {"calories": 5.5, **(detail or {})}, at)]
    resources += [body(activity_id, Kind.STREAMS, found, at)] if found else []
    await store.write(Changes(athlete_id, rows=[row], listed_at=at, seen_in=1, resources=resources))


async def filled(path: Path, *athletes: int) -> SqliteHarvestStore:
    """Return a store in which each athlete has three activities: one in 2025, two in 2026."""
    store = SqliteHarvestStore(path)
    for athlete_id in athletes:
        for number, day in enumerate(DAYS):
            await add(store, athlete_id, athlete_id * 10 + number, day)
    return store


def files_in(folder: Path) -> list[str]:
    """Return the files of an export, but for its own notes."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".strava-async/"))


def bytes_in(folder: Path) -> bytes:
    """Return everything that is in a folder: names and contents."""
    found = sorted(path for path in folder.rglob("*"))
    return b"".join(
        str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b"") for path in found
    )
