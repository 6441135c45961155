"""What an export is, and what writes a part of one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Protocol

from strava_async.harvest.base import Held
from strava_async.harvest.kinds import Kind

KINDS = (Kind.DETAIL, Kind.STREAMS)
"""What is exported of an activity, beside its list row."""


class Format(StrEnum):
    """What an export is written as."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    GEOJSON = "geojson"
    GPX = "gpx"


@dataclass(frozen=True, slots=True)
class Written:
    """What is in a part of an export.

    Attributes:
        activities: how many activities.
        streams: how many of them have streams in it.
        without_track: how many are left out of GeoJSON or GPX, because they have less than two places.
        unreadable: how many values were not what they are documented to be. They are missing in it.
    """

    activities: int = 0
    streams: int = 0
    without_track: int = 0
    unreadable: int = 0

    def __add__(self, other: Written) -> Written:
        """Return the sums."""
        return Written(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has come to.

    Attributes:
        folder: where it is; absolute.
        format: what it was written as.
        athletes: how many athletes were exported.
        content: what of theirs is in it.
        files_written: how many files were written.
        files_kept: how many were left as they were, because nothing in them has changed.
        files_removed: how many were removed, because what was in them is not held any more.
    """

    folder: str
    format: Format
    athletes: int = 0
    content: Written = Written()
    files_written: int = 0
    files_kept: int = 0
    files_removed: int = 0


class Writer(Protocol):
    """Writes the files of one partition. Its methods block, and are called in threads, one at a time."""

    def add(self, activities: Sequence[Held]) -> None:
        """Write activities, which were read with their rows and bodies."""
        ...

    def finish(self) -> Written:
        """Write the ends of the files, and close them. A file without anything in it does not exist."""
        ...

    def abort(self) -> None:
        """Close what is open."""
        ...


Open = Callable[[Sequence[str], int], Writer]
"""Returns a writer, given the paths of a partition's files, which do not exist, and the athlete's id."""
