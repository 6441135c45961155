"""Tracks as lines on a map: cut at the date line, with their bounds. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from strava_async.tracks.samples import Samples

Point = tuple[float, ...]
"""Degrees east, degrees north, and metres above sea level, if these are known of every point of a track."""

_LINE, _MANY = 2, 5  # WKB's numbers for a LineString and a MultiLineString


@dataclass(frozen=True, slots=True)
class Bounds:
    """The box that holds points.

    Attributes:
        west: degrees east; greater than ``east`` if the date line lies between them.
        south: degrees north.
        east: degrees east.
        north: degrees north.
    """

    west: float
    south: float
    east: float
    north: float

    def __or__(self, other: Bounds) -> Bounds:
        """Return the box around both; around the whole Earth if one of them crosses the date line."""
        is_cut = self.west > self.east or other.west > other.east
        return Bounds(
            -180.0 if is_cut else min(self.west, other.west),
            min(self.south, other.south),
            180.0 if is_cut else max(self.east, other.east),
            max(self.north, other.north),
        )


@dataclass(frozen=True, slots=True)
class Track:
    """A track of at least two points.

    Attributes:
        lines: more than one where it crosses the date line: each ends there, on one side of the map.
        bounds: of all of them.
    """

    lines: Sequence[Sequence[Point]]
    bounds: Bounds

    @property
    def wkb(self) -> bytes:
        """The well-known binary of a LineString, or of a MultiLineString; little endian, without altitudes."""
        if len(self.lines) == 1:
            return _wkb_line(self.lines[0])
        return struct.pack("<BII", 1, _MANY, len(self.lines)) + b"".join(map(_wkb_line, self.lines))


def track_of(samples: Samples) -> Track | None:
    """Return the track; None if it has less than two places. Samples without a place are left out."""
    if "lat" not in samples.columns:
        return None
    latitudes, longitudes = samples.get("lat"), samples.get("lng")
    at = [index for index, lat in enumerate(latitudes) if lat is not None]
    if len(at) < 2:
        return None
    altitudes = samples.get("altitude")
    if all(altitudes[index] is not None for index in at):
        points: list[Point] = [(longitudes[index], latitudes[index], altitudes[index]) for index in at]
    else:
        points = [(longitudes[index], latitudes[index]) for index in at]
    lines = _cut(points)
    return Track(lines, _bounds(points, is_cut=len(lines) > 1))


def _cut(points: Sequence[Point]) -> list[list[Point]]:
    """Return the lines that points make, none of which leaves the map on one side to come back on the other."""
    lines: list[list[Point]] = [[points[0]]]
    for before, after in pairwise(points):
        if abs(after[0] - before[0]) > 180:
            edge = math.copysign(180.0, before[0])
            beyond = after[0] + 2 * edge
            share = (edge - before[0]) / (beyond - before[0]) if beyond != before[0] else 0.0
            rest = [low + share * (high - low) for low, high in zip(before[1:], after[1:], strict=True)]
            lines[-1].append((edge, *rest))
            lines.append([(-edge, *rest)])
        lines[-1].append(after)
    return lines


def _bounds(points: Sequence[Point], *, is_cut: bool) -> Bounds:
    latitudes = [point[1] for point in points]
    longitudes = [point[0] for point in points]
    west, east = min(longitudes), max(longitudes)
    if is_cut:
        west = min((one for one in longitudes if one > 0), default=180.0)
        east = max((one for one in longitudes if one < 0), default=-180.0)
    return Bounds(west, min(latitudes), east, max(latitudes))


def _wkb_line(points: Sequence[Point]) -> bytes:
    flat: Iterable[float] = (number for point in points for number in point[:2])
    return struct.pack(f"<BII{2 * len(points)}d", 1, _LINE, len(points), *flat)
