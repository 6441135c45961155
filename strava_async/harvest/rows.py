"""List rows as Strava sends them, and as they are kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from strava_async._types import is_list, is_object
from strava_async.harvest.base import Activity, Row
from strava_async.harvest.kinds import empty_kinds, stamps_of

_MAX_ID = 2**63
_MOST_LEVELS = 50  # of a row; Strava's has three
_GEAR_ID = re.compile("[A-Za-z0-9_-]{1,64}")  # it becomes a part of a path

# Of a detail, what a list row has too: for an activity that no list has shown yet.
_NAMES = """
resource_state athlete name distance moving_time elapsed_time total_elevation_gain type sport_type workout_type
device_name id start_date start_date_local timezone utc_offset location_city location_state location_country
achievement_count kudos_count comment_count athlete_count photo_count map trainer commute manual private visibility
flagged gear_id start_latlng end_latlng average_speed max_speed average_cadence average_temp average_watts max_watts
weighted_average_watts kilojoules device_watts has_heartrate average_heartrate max_heartrate heartrate_opt_out
display_hide_heartrate_option elev_high elev_low upload_id upload_id_str external_id from_accepted_tag pr_count
total_photo_count has_kudoed suffer_score
"""
_LISTED = frozenset(_NAMES.split())


def read_page(page: Sequence[Any]) -> tuple[list[Row], int]:
    """Return the rows of a page that can be kept, each activity once, and how many of its items cannot."""
    read = [row_of(item) for item in page]
    rows = {row.activity.id: row for row in read if row is not None}
    return list(rows.values()), sum(row is None for row in read)


def row_of(item: object) -> Row | None:
    """Return a list row; None without the id or the start that it is kept under, and where it is nested too deeply."""
    if not is_object(item):
        return None
    activity_id, start = item.get("id"), instant_of(item.get("start_date"))
    if type(activity_id) is not int or not 0 < activity_id < _MAX_ID or start is None:  # True is an int to Python
        return None
    if _is_deep(item):
        return None
    distance = item.get("distance")
    activity = Activity(
        id=activity_id,
        start=start,
        sport_type=_text(item.get("sport_type") or item.get("type")),
        gear_id=gear_id if _GEAR_ID.fullmatch(gear_id := _text(item.get("gear_id"))) else "",
        has_distance=not isinstance(distance, int | float) or distance > 0,
        stamps=stamps_of(item),
        empty=empty_kinds(item),
    )
    return Row(activity, item)


def row_of_detail(detail: Mapping[str, Any]) -> Row | None:
    """Return what the list row of an activity is, by its detail."""
    row = {name: value for name, value in detail.items() if name in _LISTED}
    track = row.get("map")
    if is_object(track):
        row["map"] = {name: value for name, value in track.items() if name != "polyline"}
    return row_of(row)


def is_own(row: Row, athlete_id: int) -> bool:
    """Say whether an activity is an athlete's own, and not somebody else's that the athlete may see."""
    athlete = row.fields.get("athlete")
    return not is_object(athlete) or athlete.get("id") in (None, athlete_id)


def instant_of(text: object) -> float | None:
    """Return an instant of Strava's in epoch seconds; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_deep(value: object) -> bool:
    """Say whether it is nested more deeply than an encoder of JSON may be able to follow."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [part for each in level for part in _parts_of(each) if is_object(part) or is_list(part)]
        if not level:
            return False
    return True


def _parts_of(value: object) -> Iterable[object]:
    if is_object(value):
        return value.values()
    return value if is_list(value) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
