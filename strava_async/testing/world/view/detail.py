"""The DetailedActivity: a summary, and the fields that only the detail has."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from strava_async.testing.world.plan.gear import summary as gear_summary
from strava_async.testing.world.plan.names import DESCRIPTIONS
from strava_async.testing.world.plan.people import Person
from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.sample_table import SampleTable
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.polyline import encode, thin
from strava_async.testing.world.segments.efforts import efforts
from strava_async.testing.world.view import splits
from strava_async.testing.world.view.rare_values import perceived_exertion, ranked
from strava_async.testing.world.view.zones import pace_zone

_POLYLINE_POINTS = 700
_NOT_RATED: Json = {"perceived_exertion": None, "prefer_perceived_exertion": None, "hide_from_home": False}
_VISIBLE = ("heart_rate", "pace", "power", "speed", "calories")


@dataclass(frozen=True, slots=True)
class Sources:
    """What a detail is made from.

    Attributes:
        table: None for a manual entry.
        track: degrees; empty without GPS.
        recording: None for an upload with samples and for a manual entry.
        similar: the average speeds of the activities along the same course, oldest first, with this one's index.
        photos: what the detail says of them.
        overrides: fields set by the athlete or the upload: ``description``, ``hide_from_home``, ``device_name``.
        rare: the random numbers for its rare values; None for an activity that was just added.
    """

    table: SampleTable | None
    track: Sequence[Any] = ()
    recording: Recording | None = None
    gear: Json | None = None
    similar: tuple[list[float], int] | None = None
    photos: Json = field(default_factory=dict[str, Any])
    overrides: Json = field(default_factory=dict[str, Any])
    rare: random.Random | None = None


def detailed(rng: random.Random, someone: Person, summary: Json, sources: Sources) -> Json:
    """Return the DetailedActivity. Laps, splits and efforts are cut from the streams.

    A run that was entered by hand has ``best_efforts: []`` and ``similar_activities`` of nothing: so in the answer to
    ``POST /activities`` of 2025 and to a ``PUT`` of 2018; for other sports, and for GET, no recording says.
    """
    invented = rng.choice(DESCRIPTIONS) if rng.random() < 0.3 else None
    felt = perceived_exertion(sources.rare) if sources.rare else dict(_NOT_RATED)
    overrides = {"description": invented} | felt | sources.overrides
    table, recording = sources.table, sources.recording
    by_hand = table is None and summary["manual"] and summary["type"] == "Run"
    points = [(point[0], point[1]) for point in sources.track]
    detail = summary | {"resource_state": 3, "athlete": dict(summary["athlete"])}
    detail["map"] = {
        "id": summary["map"]["id"],
        "polyline": encode(thin(points, _POLYLINE_POINTS)),
        "resource_state": 3,
        "summary_polyline": summary["map"]["summary_polyline"],
    }
    detail |= {
        "description": overrides["description"],
        "calories": _calories(someone, summary),
        "perceived_exertion": overrides["perceived_exertion"],
        "prefer_perceived_exertion": overrides["prefer_perceived_exertion"],
        "segment_efforts": efforts(table, recording) if table and recording else [],
    }
    if table is not None:
        detail |= _cut(someone, summary, table, sources)
    if by_hand:
        detail["best_efforts"] = []
    if sources.gear is not None:
        detail["gear"] = gear_summary(sources.gear)
    detail |= {
        "photos": sources.photos,
        "stats_visibility": [{"type": name, "visibility": "everyone"} for name in _VISIBLE],
        "hide_from_home": overrides["hide_from_home"],
    }
    device = overrides.get("device_name", recording.device if recording else None)
    if device is not None:
        detail["device_name"] = device
    detail["embed_token"] = f"{rng.getrandbits(160):040x}"
    if sources.similar is not None:
        detail["similar_activities"] = _similar(*sources.similar)
    if by_hand:
        detail["similar_activities"] = _nothing_similar()
    detail["available_zones"] = ["pace"] if by_hand else _zones(summary, table)
    return detail


def _cut(someone: Person, summary: Json, table: SampleTable, sources: Sources) -> Json:
    """Return the parts cut from the samples: splits, laps, and the best efforts of a run."""
    part: Json = {}
    if table.distance and summary["type"] != "Swim":
        part["splits_metric"] = splits.splits(table, 1000.0)
        part["splits_standard"] = splits.splits(table, splits.MILE)
    part["laps"] = laps(someone, summary, table, sources.recording)
    if table.distance and summary["type"] == "Run":
        best, race = splits.best_efforts(table), summary.get("workout_type") == 1
        part["best_efforts"] = ranked(sources.rare, best, race=race) if sources.rare else best
    return part


def laps(someone: Person, summary: Json, table: SampleTable, recording: Recording | None) -> list[Json]:
    """Return the laps: a watch makes one per kilometre (mile), five on a bike; other devices a single one."""
    every = None
    if recording is not None and recording.device.startswith("Garmin") and not recording.pool:
        every = someone.metres_per_unit * (5 if recording.sport.on_bike else 1)
    found = splits.laps(table, every)
    if summary["type"] == "Run":
        average = summary["average_speed"]
        return [lap | {"pace_zone": pace_zone(lap["average_speed"], average)} for lap in found]
    return found


def _calories(someone: Person, summary: Json) -> float:
    if "kilojoules" in summary:
        return float(round(summary["kilojoules"] * 1.1))
    if summary["type"] in ("Run", "Walk", "Hike"):
        return float(round(summary["distance"] / 1000 * someone.weight))
    return float(round(summary["moving_time"] / 60 * 7.5))


def _similar(speeds: list[float], current: int) -> Json:
    least, most = min(speeds), max(speeds)
    middle = sorted(speeds)[len(speeds) // 2]
    return {
        "effort_count": len(speeds),
        "average_speed": statistics.fmean(speeds),
        "min_average_speed": least,
        "mid_average_speed": middle,
        "max_average_speed": most,
        "pr_rank": 1 if speeds[current] == most else None,
        "frequency_milestone": None,
        "trend": {
            "speeds": speeds,
            "current_activity_index": current,
            "min_speed": least,
            "mid_speed": middle,
            "max_speed": most,
            "direction": (speeds[-1] > speeds[0]) - (speeds[-1] < speeds[0]),
        },
        "resource_state": 2,
    }


def _nothing_similar() -> Json:
    speeds = {"average_speed": 0, "min_average_speed": 0, "mid_average_speed": 0, "max_average_speed": 0}
    trend: Json = {"speeds": [], "current_activity_index": None, "min_speed": 0, "mid_speed": 0, "max_speed": 0}
    return {
        "effort_count": 0,
        **speeds,
        "pr_rank": None,
        "frequency_milestone": None,
        "trend": {**trend, "direction": 0},
        "resource_state": 2,
    }


def _zones(summary: Json, table: SampleTable | None) -> list[str]:
    if table is None:
        return []
    measured = (
        ("heartrate", table.heartrate),
        ("pace", table.speed and summary["type"] == "Run"),
        ("power", table.watts),
    )
    return [name for name, values in measured if values]
