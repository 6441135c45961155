"""GeoJSON (RFC 7946) of tracks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strava_async.tracks.lines import Bounds, Point, Track

# Six decimals of a degree are a tenth of a metre.
_DEGREE_DECIMALS = 6
_METRE_DECIMALS = 1


def feature(track: Track | None, properties: Mapping[str, Any], feature_id: int | str | None = None) -> dict[str, Any]:
    """Return a Feature: a LineString, or a MultiLineString where the track crosses the date line.

    Args:
        track: None makes a Feature without a geometry.
        properties: what else is known; values of JSON.
        feature_id: its id; None leaves it out.
    """
    found: dict[str, Any] = {"type": "Feature"}
    if feature_id is not None:
        found["id"] = feature_id
    if track is None:
        return {**found, "geometry": None, "properties": dict(properties)}
    lines = [[_position(point) for point in line] for line in track.lines]
    kind, coordinates = ("LineString", lines[0]) if len(lines) == 1 else ("MultiLineString", lines)
    geometry = {"type": kind, "coordinates": coordinates}
    return {**found, "bbox": bbox(track.bounds), "geometry": geometry, "properties": dict(properties)}


def bbox(bounds: Bounds) -> list[float]:
    """Return bounds as GeoJSON has them: west, south, east, north."""
    return [_degrees(bounds.west), _degrees(bounds.south), _degrees(bounds.east), _degrees(bounds.north)]


def _position(point: Point) -> list[float]:
    lng, lat, *altitude = point
    return [_degrees(lng), _degrees(lat), *(round(float(one), _METRE_DECIMALS) for one in altitude)]


def _degrees(number: float) -> float:
    return round(float(number), _DEGREE_DECIMALS)
