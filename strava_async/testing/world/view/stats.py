"""ActivityStats, from the activities that everyone may see.

Source:
    https://developers.strava.com/docs/reference/#api-Athletes-getStats
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from strava_async.testing.world.plan.timezones import DAY, start_of
from strava_async.testing.world.record.samples import Json

_FAMILIES = (("ride", ("Ride", "VirtualRide")), ("run", ("Run", "VirtualRun")), ("swim", ("Swim",)))
_RECENT_DAYS = 28


def athlete_stats(activities: Iterable[Json], *, now: float) -> Json:
    """Return the totals of the last four weeks, of this year (in local time), and of all time.

    As on the wire: ``biggest_*`` only if a ride had a distance, ``achievement_count`` only in the recent totals, whole
    zeros where nothing was done, this year's times as floats and its distance as a whole number.
    """
    public = [activity for activity in activities if activity["visibility"] == "everyone"]
    year = str(datetime.fromtimestamp(now, UTC).year)
    recent_since = now - _RECENT_DAYS * DAY
    stats: Json = {}
    rides = [activity for activity in public if activity["type"] in _FAMILIES[0][1] and activity["distance"]]
    if rides:
        stats["biggest_ride_distance"] = max(ride["distance"] for ride in rides)
        stats["biggest_climb_elevation_gain"] = max(ride["total_elevation_gain"] for ride in rides)
    by_family = {name: [activity for activity in public if activity["type"] in types] for name, types in _FAMILIES}
    for name, mine in by_family.items():
        recent = [activity for activity in mine if start_of(activity) >= recent_since]
        stats[f"recent_{name}_totals"] = _totals(recent) | {"achievement_count": _sum(recent, "achievement_count")}
        stats[f"all_{name}_totals"] = _totals(mine)
    for name, mine in by_family.items():
        totals = _totals([activity for activity in mine if activity["start_date_local"].startswith(year)])
        if totals["count"]:
            totals["distance"] = round(totals["distance"])
            totals["moving_time"] = float(totals["moving_time"])
            totals["elapsed_time"] = float(totals["elapsed_time"])
        stats[f"ytd_{name}_totals"] = totals
    return stats


def _totals(activities: Sequence[Json]) -> Json:
    return {
        "count": len(activities),
        "distance": _sum(activities, "distance"),
        "moving_time": _sum(activities, "moving_time"),
        "elapsed_time": _sum(activities, "elapsed_time"),
        "elevation_gain": _sum(activities, "total_elevation_gain"),
    }


def _sum(activities: Sequence[Json], key: str) -> float:
    # One after the other, as Strava's last digits show that it does; ``sum`` rounds differently since Python 3.12.
    values: list[float] = [activity[key] for activity in activities]
    return functools.reduce(operator.add, values, 0)
