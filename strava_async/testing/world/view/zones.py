"""How long an activity stayed in each zone, as ``GET /activities/{id}/zones`` answers."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from strava_async.testing.world.record.sample_table import SampleTable
from strava_async.testing.world.record.samples import Json

_PACES = (0.86, 0.98, 1.07, 1.15, 1.24)  # of the activity's average speed


def pace_zone(speed: float, average: float) -> int:
    """Return the zone of a speed, 1 to 6."""
    return bisect.bisect_right(_PACES, speed / average) + 1 if average else 1


def activity_zones(table: SampleTable, athlete_zones: Json) -> list[Json]:
    """Return the distributions of heart rate, pace (on foot) and power, as far as they were measured.

    The heart-rate buckets count whole seconds as floats and don't touch; the top of the last is -1. Pace has float
    bounds and neither ``points`` nor ``custom_zones``.
    """
    found: list[Json] = []
    if table.heartrate:
        found.append(_heartrate_zones(table, athlete_zones["heart_rate"]))
    if table.speed and table.activity["type"] == "Run":
        found.append(_pace_zones(table))
    if table.watts and "power" in athlete_zones:
        found.append(_power_zones(table, athlete_zones["power"]))
    return found


def _heartrate_zones(table: SampleTable, zones: Json) -> Json:
    bounds = [zone["max"] for zone in zones["zones"][:-1]]
    times = [float(seconds) for seconds in _spent(table, table.heartrate, bounds)]
    score = table.activity.get("suffer_score", 0.0)
    return {
        "score": score,
        "distribution_buckets": _buckets([0, *(bound + 1 for bound in bounds)], [*bounds, -1], times),
        "type": "heartrate",
        "resource_state": 3,
        "sensor_based": True,
        "points": int(score * 0.9),
        "custom_zones": zones["custom_zones"],
    }


def _pace_zones(table: SampleTable) -> Json:
    activity = table.activity
    paces = [round(activity["average_speed"] * share, 3) for share in _PACES]
    buckets = _buckets([0, *paces], [*paces, -1], _spent(table, table.speed, paces))
    return {
        "score": max(1, activity["moving_time"] // 600),
        "distribution_buckets": [{key: bucket[key] for key in ("max", "min", "time")} for bucket in buckets],
        "type": "pace",
        "resource_state": 3,
        "sensor_based": True,
    }


def _power_zones(table: SampleTable, zones: Json) -> Json:
    tops = [zone["max"] for zone in zones["zones"][:-1]]
    times = _spent(table, table.watts, tops)
    return {
        "distribution_buckets": _buckets([0, *(top + 1 for top in tops)], [*tops, -1], times),
        "type": "power",
        "resource_state": 3,
        "sensor_based": True,
    }


def _spent(table: SampleTable, values: Sequence[float], tops: Sequence[float]) -> list[int]:
    """Return the seconds spent up to each bound, and beyond the last; together the moving time."""
    seconds = [0] * (len(tops) + 1)
    for i in range(1, len(values)):
        seconds[bisect.bisect_left(tops, values[i])] += table.moved[i] - table.moved[i - 1]
    return seconds


def _buckets(lows: Sequence[float], highs: Sequence[float], times: Sequence[float]) -> list[Json]:
    return [{"min": low, "max": high, "time": time} for low, high, time in zip(lows, highs, times, strict=True)]
