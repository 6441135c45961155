"""The fields of an activity that an export has, each with a type of its own. Pure.

Rules:

- A value that does not fit its column is missing, and counted: text for a number, a number that is no integer, one
  beyond 64 bits.
- Ids and counts are integers. Instants are UTC; ``start_local`` is what a clock at the place showed, without a zone.
- Units are Strava's: metres, seconds, metres per second, watts, degrees Celsius.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from strava_async._types import is_list
from strava_async.harvest.base import Activity
from strava_async.tracks.texts import encodable

Type = Literal["integer", "number", "truth", "text", "instant", "local"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_INTEGER = 2**63
_NONE: Final = object()


class Column(NamedTuple):
    """A column.

    Attributes:
        name: its name, which is Strava's but for ``start``, ``start_local`` and the places.
        type: what it holds.
        is_required: whether it is never null.
    """

    name: str
    type: Type
    is_required: bool = False


_OTHERS: Mapping[str, Type] = {
    **dict.fromkeys(("name", "sport_type", "type"), "text"),
    **dict.fromkeys(("distance",), "number"),
    **dict.fromkeys(("moving_time", "elapsed_time"), "integer"),
    **dict.fromkeys(("total_elevation_gain", "elev_high", "elev_low", "average_speed", "max_speed"), "number"),
    **dict.fromkeys(("average_heartrate", "max_heartrate", "average_cadence", "average_temp"), "number"),
    **dict.fromkeys(("average_watts", "kilojoules", "calories"), "number"),
    **dict.fromkeys(("suffer_score", "perceived_exertion"), "number"),
    **dict.fromkeys(("max_watts", "weighted_average_watts", "workout_type", "utc_offset", "upload_id"), "integer"),
    **dict.fromkeys(("kudos_count", "comment_count", "achievement_count", "pr_count"), "integer"),
    **dict.fromkeys(("athlete_count", "total_photo_count"), "integer"),
    **dict.fromkeys(("trainer", "commute", "manual", "private", "flagged"), "truth"),
    **dict.fromkeys(("has_heartrate", "device_watts"), "truth"),
    **dict.fromkeys(("visibility", "timezone", "gear_id", "device_name", "external_id", "description"), "text"),
}
_PLACES = {"start_latlng": ("start_lat", "start_lng"), "end_latlng": ("end_lat", "end_lng")}

COLUMNS: Final = (
    Column("id", "integer", is_required=True),
    Column("start", "instant", is_required=True),
    Column("start_local", "local"),
    *(Column(name, kind) for name, kind in _OTHERS.items()),
    *(Column(name, "number") for names in _PLACES.values() for name in names),
)
"""In this order. What a later version adds comes at the end."""


def values_of(activity: Activity, fields: Mapping[str, Any]) -> tuple[list[Any], int]:
    """Return the values of ``COLUMNS``, and how many could not be read.

    Args:
        activity: what the harvest knows it by.
        fields: of its list row and detail.
    """
    start = instant(activity.start)
    local = fields.get("start_date_local")
    values: list[Any] = [activity.id, start, _NONE if local is not None else None]
    if isinstance(local, str):
        values[2] = _local(local)
    values += (_value(kind, fields.get(name)) for name, kind in _OTHERS.items())
    for name in _PLACES:
        values += _place(fields.get(name))
    unreadable = sum(value is _NONE for value in values)
    return ([None if value is _NONE else value for value in values] if unreadable else values), unreadable


def instant(seconds: float) -> datetime:
    """Return an instant; the nearest one that the calendar has."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)


def instant_text(moment: datetime) -> str:
    """Return an instant in UTC as text, with a ``Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _value(kind: Type, value: Any) -> Any:
    if value is None:
        return None
    read: Callable[[Any], Any] = _READERS[kind]
    return read(value)


def _integer(value: Any) -> Any:
    if _number(value) is _NONE or value != int(value) or not -_MAX_INTEGER <= value < _MAX_INTEGER:
        return _NONE
    return int(value)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NONE
    try:
        return float(value) if math.isfinite(value) else _NONE
    except OverflowError:
        return _NONE


def _truth(value: Any) -> Any:
    return value if isinstance(value, bool) else _NONE


def _text(value: Any) -> Any:
    return encodable(value) if isinstance(value, str) else _NONE


def _local(text: str) -> Any:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)  # the zone that Strava writes there is false
    except ValueError:
        return _NONE


def _place(value: Any) -> tuple[Any, Any]:
    if value in (None, [], ""):
        return None, None
    if not is_list(value) or len(value) != 2:
        return _NONE, None
    lat, lng = map(_number, value)
    is_valid = lat is not _NONE and lng is not _NONE and abs(lat) <= 90 and abs(lng) <= 360
    return (lat, lng) if is_valid else (_NONE, None)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "number": _number,
    "truth": _truth,
    "text": _text,
}
