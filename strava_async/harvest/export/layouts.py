"""Where each format has what in an export's folder. Pure.

A year is that of an activity's start in UTC: so partitions follow each other as activities do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from strava_async.harvest.base import Activity
from strava_async.harvest.export.base import Format
from strava_async.harvest.export.columns import instant


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a format has what.

    An athlete's files are in ``TOP/athlete_id=ID/``, and are made of partitions. A partition has a file in each top
    folder, unless there is nothing to be in it.

    Attributes:
        tops: the top folders, and how a partition's file in it ends, after the partition's key.
        key: returns the partition of an activity. Activities of one partition follow each other by their start.
        files: what the paths of an athlete's files look like, below the athlete's folder.
    """

    tops: Mapping[str, str]
    key: Callable[[Activity], str]
    files: re.Pattern[str]

    def paths(self, athlete_id: int, key: str) -> list[str]:
        """Return the paths of a partition's files below the export's folder."""
        return [f"{athlete_folder(top, athlete_id)}/{key}{end}" for top, end in self.tops.items()]


def athlete_folder(top: str, athlete_id: int) -> str:
    """Return the folder of an athlete below that of the export."""
    return f"{top}/athlete_id={athlete_id}"


def _year(activity: Activity) -> str:
    return f"year={instant(activity.start).year}"


def _activity(activity: Activity) -> str:
    return f"{_year(activity)}/{activity.id}"


def _all(activity: Activity) -> str:
    return "tracks"


LAYOUTS: Mapping[Format, Layout] = {
    Format.PARQUET: Layout(
        {"activities": "/part-0.parquet", "streams": "/part-0.parquet"},
        _year,
        re.compile(r"year=[0-9]{1,4}/part-0\.parquet"),
    ),
    Format.CSV: Layout({"activities": "/activities.csv"}, _year, re.compile(r"year=[0-9]{1,4}/activities\.csv")),
    Format.JSONL: Layout(
        {"activities": "/activities.jsonl", "streams": "/streams.jsonl"},
        _year,
        re.compile(r"year=[0-9]{1,4}/(activities|streams)\.jsonl"),
    ),
    Format.GEOJSON: Layout({"tracks": ".geojson"}, _all, re.compile(r"tracks\.geojson")),
    Format.GPX: Layout({"tracks": ".gpx"}, _activity, re.compile(r"year=[0-9]{1,4}/[0-9]{1,19}\.gpx")),
}
TOPS = frozenset(top for layout in LAYOUTS.values() for top in layout.tops)
