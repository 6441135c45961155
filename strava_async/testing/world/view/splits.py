"""Laps, splits and best efforts. Laps and splits add up to the whole: each starts where the last one ended."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from strava_async.testing.world.record.sample_table import SampleTable, mean
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.view.zones import pace_zone

MILE = 1609.344

_BEST = (
    ("400m", 400),
    ("1/2 mile", 805),
    ("1K", 1000),
    ("1 mile", 1609),
    ("2 mile", 3219),
    ("5K", 5000),
    ("10K", 10_000),
    ("15K", 15_000),
    ("10 mile", 16_090),
    ("20K", 20_000),
    ("Half-Marathon", 21_097),
    ("30K", 30_000),
    ("Marathon", 42_195),
)


def laps(table: SampleTable, every: float | None) -> list[Json]:
    """Return the laps: one per ``every`` metres, or a single one."""
    cuts = table.cuts(every) if every and table.distance else [0, table.last]
    return [_lap(table, number, start, end) for number, (start, end) in enumerate(itertools.pairwise(cuts), 1)]


def _lap(table: SampleTable, number: int, start: int, end: int) -> Json:
    times = table.times(start, end)
    metres, seconds = table.metres(start, end), times["moving_time"]
    return (
        {"id": table.activity["id"] * 4 + 37_000_000_000 + number, "resource_state": 2, "name": f"Lap {number}"}
        | table.owners()
        | times
        | {
            "distance": metres,
            "average_speed": round(metres / seconds, 2) if seconds else 0.0,
            "max_speed": max(table.speed[start : end + 1], default=0),
            "lap_index": number,
            "split": number,
            "start_index": start,
            "end_index": end,
            "total_elevation_gain": table.ascent(start, end) if table.altitude else 0,
        }
        | table.sensors(start, end)
    )


def splits(table: SampleTable, metres: float) -> list[Json]:
    """Return one split per kilometre or mile, the last one shorter."""
    average = table.activity["average_speed"]
    return [
        _split(table, number, start, end, average)
        for number, (start, end) in enumerate(itertools.pairwise(table.cuts(metres)), 1)
    ]


def _split(table: SampleTable, number: int, start: int, end: int, average: float) -> Json:
    metres, seconds = table.metres(start, end), table.moved[end] - table.moved[start]
    speed = metres / seconds if seconds else 0.0
    split: Json = {
        "distance": metres,
        "elapsed_time": table.time[end] - table.time[start],
        "elevation_difference": round(table.altitude[end] - table.altitude[start], 1) if table.altitude else 0,
        "moving_time": seconds,
        "split": number,
        "average_speed": round(speed, 2),
        "average_grade_adjusted_speed": round(speed * (1 + 0.03 * mean(table.grade[start : end + 1])), 2),
    }
    if table.heartrate:
        split["average_heartrate"] = mean(table.heartrate[start : end + 1])  # unrounded, as Strava sends it
    return split | {"pace_zone": pace_zone(speed, average)}


def best_efforts(table: SampleTable) -> list[Json]:
    """Return the fastest stretch of each classic distance that fits into a run."""
    efforts: list[Json] = []
    for number, (name, metres) in enumerate(_BEST):
        stretch = _fastest(table.time, table.distance, metres)
        if stretch is None:
            break
        start, end = stretch
        efforts.append(
            {"id": table.activity["id"] * 5 + number, "resource_state": 2, "name": name}
            | table.owners()
            | table.times(start, end)
            | {"distance": metres, "pr_rank": None, "achievements": [], "start_index": start, "end_index": end}
        )
    return efforts


def _fastest(time: Sequence[int], distance: Sequence[float], metres: float) -> tuple[int, int] | None:
    best: tuple[int, int] | None = None
    least = float("inf")
    start = 0
    for end, done in enumerate(distance):
        while start + 1 < end and done - distance[start + 1] >= metres:
            start += 1
        if done - distance[start] >= metres and time[end] - time[start] < least:
            best, least = (start, end), time[end] - time[start]
    return best
