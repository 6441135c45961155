"""The input of ``POST /activities`` and ``PUT /activities/{id}``, validated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from strava_async.testing.world.plan.sports import Sport, sport_named
from strava_async.testing.world.record.samples import Json

_TRUE = (True, 1, "1", "true", "True")
_LONGEST_SECONDS = 366 * 86_400
_FARTHEST_METRES = 5e7
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


@dataclass(frozen=True, slots=True)
class ManualEntry:
    """A manual activity.

    Attributes:
        wall: seconds since 1970-01-01 on the local wall clock.
    """

    name: str
    sport: Sport
    wall: float
    seconds: int
    metres: float
    description: str | None
    trainer: bool
    commute: bool


def read_manual(fields: Mapping[str, Any]) -> ManualEntry:
    """Read the fields of ``POST /activities``.

    Raises:
        ValueError: a field is missing or can't be read; the message is ``field: what is wrong``.
    """
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError("name: missing")
    sport_type = fields.get("sport_type") or fields.get("type")
    if not isinstance(sport_type, str) or not sport_type.isalnum():
        raise ValueError("sport_type: missing or not a sport type")
    description = fields.get("description")
    return ManualEntry(
        name=name,
        sport=sport_named(sport_type),
        wall=_wall(fields.get("start_date_local")),
        seconds=int(_number(fields, "elapsed_time", _LONGEST_SECONDS)),
        metres=round(_number(fields, "distance", _FARTHEST_METRES, default=0.0), 1),
        description=description if isinstance(description, str) else None,
        trainer=truth(fields.get("trainer")),
        commute=truth(fields.get("commute")),
    )


def truth(value: object) -> bool:
    """Return whether a form or JSON value is true."""
    return isinstance(value, (bool, int, str)) and value in _TRUE


def _wall(text: object) -> float:
    if not isinstance(text, str):
        raise ValueError("start_date_local: missing")
    try:
        wall = datetime.fromisoformat(text).replace(tzinfo=UTC)  # whatever zone it names: it is the wall clock
    except ValueError:
        raise ValueError("start_date_local: not an ISO 8601 date") from None
    if not _FIRST_YEAR < wall.year < _LAST_YEAR:
        raise ValueError("start_date_local: out of range")
    return wall.timestamp()


def _number(fields: Mapping[str, Any], key: str, most: float, *, default: float | None = None) -> float:
    value = fields.get(key, default)
    if value is None or isinstance(value, bool):
        raise ValueError(f"{key}: missing")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{key}: not a number") from None
    if not math.isfinite(number) or not 0 <= number <= most:
        raise ValueError(f"{key}: out of range")
    return number


def apply_changes(summary: Json, changes: Mapping[str, Any], gear: Mapping[str, Json]) -> Json:
    """Write an UpdatableActivity, or ``private``, into a summary; return what belongs to the detail only.

    A value of the wrong type and a gear that the athlete doesn't own change nothing.
    """
    only_detail: Json = {}
    if isinstance(changes.get("name"), str):
        summary["name"] = changes["name"]
    if isinstance(changes.get("description"), str):
        only_detail["description"] = changes["description"]
    sport_type = changes.get("sport_type") or changes.get("type")
    if isinstance(sport_type, str) and sport_type.isalnum():
        summary["sport_type"], summary["type"] = sport_type, sport_named(sport_type).type
    gear_id = changes.get("gear_id")
    if gear_id == "none":
        summary["gear_id"] = None
    elif isinstance(gear_id, str) and gear_id in gear:
        summary["gear_id"] = gear_id
    for key in ("trainer", "commute"):
        if changes.get(key) is not None:
            summary[key] = truth(changes[key])
    private = changes.get("private")
    if isinstance(private, bool) and private != summary["private"]:
        summary["private"], summary["visibility"] = private, "only_me" if private else "everyone"
    if changes.get("hide_from_home") is not None:
        only_detail["hide_from_home"] = truth(changes["hide_from_home"])
    return only_detail
