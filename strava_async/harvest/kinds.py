"""What a harvest fetches: each kind with its endpoint, its parameters, and what its list row says about it. Pure.

Rules:

- A kind of an activity is known by the *stamp* of the list row that it was fetched for: some fields of that row. It is
  fetched again when the row's stamp differs. Only named fields count, so a field that Strava adds renews nothing.
- What the row says is empty is not asked for: streams of a manual activity, kudos where ``kudos_count`` is 0.
- Gear, routes and stats have no row that shows a change. They are fetched again after a week.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from strava_async._types import is_object
from strava_async.request.endpoints import Endpoint, Endpoints
from strava_async.tracks.samples import KEYS

WEEK_SECONDS = 7 * 86_400.0


class Kind(StrEnum):
    """What is fetched beside the list of activities."""

    DETAIL = "detail"
    STREAMS = "streams"
    LAPS = "laps"
    ZONES = "zones"
    COMMENTS = "comments"
    KUDOS = "kudos"
    PHOTOS = "photos"
    GEAR = "gear"
    ROUTES = "routes"
    STATS = "stats"


class KindRule(NamedTuple):
    """What is known of a kind.

    Attributes:
        endpoint: where it is; how its list continues, too.
        belongs_to: what it is of, which its id names.
        shape: of its JSON.
        fields: the fields of the list row that make its stamp.
        counted_by: the field of the list row that says how many items there are; empty if none does.
        lasts_seconds: after how long it is fetched again; None where the list row tells.
    """

    endpoint: Endpoint
    belongs_to: Literal["activity", "gear", "athlete"]
    shape: Literal["object", "list"]
    fields: tuple[str, ...] = ()
    counted_by: str = ""
    lasts_seconds: float | None = None


# Privacy zones cut the track, and so the polyline.
_RECORDED = (
    "start_date",
    "distance",
    "moving_time",
    "elapsed_time",
    "total_elevation_gain",
    "manual",
    "upload_id",
    "summary_polyline",
)
_EDITED = (
    "name",
    "sport_type",
    "type",
    "workout_type",
    "private",
    "visibility",
    "gear_id",
    "commute",
    "trainer",
    "flagged",
)

RULES: Mapping[Kind, KindRule] = {
    Kind.DETAIL: KindRule(Endpoints.ACTIVITIES_GET, "activity", "object", (*_EDITED, *_RECORDED)),
    Kind.STREAMS: KindRule(Endpoints.STREAMS_ACTIVITY, "activity", "object", _RECORDED),
    Kind.LAPS: KindRule(Endpoints.ACTIVITIES_LAPS, "activity", "list", _RECORDED),
    Kind.ZONES: KindRule(Endpoints.ACTIVITIES_ZONES, "activity", "list", ("sport_type", *_RECORDED)),
    Kind.COMMENTS: KindRule(
        Endpoints.ACTIVITIES_COMMENTS, "activity", "list", ("comment_count",), counted_by="comment_count"
    ),
    Kind.KUDOS: KindRule(Endpoints.ACTIVITIES_KUDOS, "activity", "list", ("kudos_count",), counted_by="kudos_count"),
    Kind.PHOTOS: KindRule(
        Endpoints.ACTIVITIES_PHOTOS, "activity", "list", ("total_photo_count",), counted_by="total_photo_count"
    ),
    Kind.GEAR: KindRule(Endpoints.GEAR_GET, "gear", "object", lasts_seconds=WEEK_SECONDS),
    Kind.ROUTES: KindRule(Endpoints.ROUTES_LIST, "athlete", "list", lasts_seconds=WEEK_SECONDS),
    Kind.STATS: KindRule(Endpoints.ATHLETE_STATS, "athlete", "object", lasts_seconds=WEEK_SECONDS),
}
OF_ACTIVITIES = tuple(kind for kind, rule in RULES.items() if rule.belongs_to == "activity")
_STAMPED = {RULES[kind].fields for kind in OF_ACTIVITIES}  # fewer: several kinds have the same
_NAMES = {name for fields in _STAMPED for name in fields}

# Of an activity that Strava has not processed yet, by the number of the attempt.
PENDING_SECONDS = (5 * 60.0, 15 * 60.0, 45 * 60.0)
_MOST_COUNTED = 10**9
# After a failure, by the number of the attempt; the last for all that follow.
FAILED_SECONDS = (15 * 60.0, 3_600.0, 6 * 3_600.0, 86_400.0)


def stamps_of(row: Mapping[str, Any]) -> dict[Kind, str]:
    """Return the stamp of each kind of an activity, by its list row."""
    values = {name: _plain(row.get(name)) for name in _NAMES}
    track = row.get("map")
    values["summary_polyline"] = (track.get("summary_polyline") or None) if is_object(track) else None
    stamps = {fields: _stamp([values[name] for name in fields]) for fields in _STAMPED}
    return {kind: stamps[RULES[kind].fields] for kind in OF_ACTIVITIES}


def empty_kinds(row: Mapping[str, Any]) -> frozenset[Kind]:
    """Return the kinds of which there is nothing, by an activity's list row."""
    empty = {kind for kind in OF_ACTIVITIES if RULES[kind].counted_by and row.get(RULES[kind].counted_by) == 0}
    return frozenset(empty | {Kind.STREAMS} if row.get("manual") is True else empty)


def stream_parameters(has_distance: bool) -> Sequence[dict[str, Any]]:
    """Return the queries for a stream set, to be tried in order while the answer is 404.

    Streams come by distance by default, so that an hour of yoga has none; by time it may have a heart rate.
    """
    query: dict[str, Any] = {"keys": list(KEYS), "key_by_type": True}
    by_time = {**query, "series_type": "time"}
    return (query, by_time) if has_distance else (by_time,)


def count_of(kind: Kind, stamp: str) -> int | None:
    """Return how many items a list has by the list row that the stamp is of; None where that does not say it."""
    try:
        count = float(stamp if RULES[kind].counted_by else "nan")
    except ValueError:
        return None
    return int(count) if 0 <= count < _MOST_COUNTED else None


def failed_until(now: float, tries: int) -> float:
    """Return when to try again after that many failures; epoch seconds."""
    return now + FAILED_SECONDS[min(tries, len(FAILED_SECONDS)) - 1]


def _stamp(values: Sequence[Any]) -> str:
    if len(values) == 1 and isinstance(values[0], float | None):
        return str(values[0])  # see ``count_of``
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as it compares: Strava writes one number now as 0 and now as 0.0."""
    return float(value) if type(value) is int and abs(value) < 2**53 else value  # a bool is another type
