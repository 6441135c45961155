"""From the samples of an uploaded file to streams and a summary."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from strava_async.testing.world.plan.places import HOLIDAYS, HOMES, METRES_PER_DEGREE
from strava_async.testing.world.plan.timezones import Zone
from strava_async.testing.world.record.sample_table import mean
from strava_async.testing.world.record.samples import Sample
from strava_async.testing.world.record.streams import Streams, assemble, smooth_speed
from strava_async.testing.world.routes.polyline import Point, encode, thin
from strava_async.testing.world.view.summaries import Facts, Power

_STANDING = 0.3  # metres per second below which an athlete counts as standing
_NEAR = 3.0  # degrees
_POLYLINE_POINTS = 150
_SENSORS = ("heartrate", "cadence", "watts", "temp")

T = TypeVar("T")


def streams_of(samples: Sequence[Sample]) -> Streams:
    """Return the streams of a file; what a sample leaves out is taken from the one before, or the first that has it.

    Args:
        samples: at least one, in any order; of several in the same second the first counts. Numbers that no place
            on Earth has, and those that are none, count as left out.
    """
    kept = _one_per_second(samples)
    time = [round(sample.at - kept[0].at) for sample in kept]
    data: dict[str, Sequence[Any]] = {"time": time}
    track = _filled([_on_earth(sample.latlng) for sample in kept])
    distance = _filled([_finite(sample.distance) for sample in kept]) or _measured(track)
    if track:
        data["latlng"] = [[round(lat, 6), round(lng, 6)] for lat, lng in track]
    if distance:
        data["distance"] = [round(metres, 1) for metres in distance]
    data["moving"] = moving = _moving(time, distance)
    if distance:
        data["velocity_smooth"] = [round(speed, 3) for speed in smooth_speed(time, distance, moving)]
    altitude = _filled([_finite(sample.altitude) for sample in kept])
    if altitude:
        data["altitude"] = [round(metres, 1) for metres in altitude]
        if distance:
            data["grade_smooth"] = _grade(altitude, distance)
    for key in _SENSORS:
        values: list[int] = _filled([getattr(sample, key) for sample in kept])
        if values:
            data[key] = values
    return assemble(data)


def with_streams(facts: Facts, streams: Streams, home: Zone) -> Facts:
    """Return the facts completed by what the streams say."""

    def values(key: str) -> list[Any]:
        return streams[key]["data"] if key in streams else []

    time, track, speed, altitude = values("time"), values("latlng"), values("velocity_smooth"), values("altitude")
    heartrate, watts, temp = values("heartrate"), values("watts"), values("temp")
    cadence = [value for value in values("cadence") if value]
    steps = zip(itertools.pairwise(time), values("moving")[1:], strict=True)
    moving = sum(after - before for (before, after), moves in steps if moves)
    points = [(lat, lng) for lat, lng in track]
    return replace(
        facts,
        zone=_zone_at(points[0], home) if points else home,
        metres=values("distance")[-1] if "distance" in streams else 0.0,
        moving_seconds=moving,
        elapsed_seconds=time[-1],
        ascent=round(sum(max(b - a, 0.0) for a, b in itertools.pairwise(altitude)), 1) if altitude else 0,
        top_speed=max(speed) if speed else 0,
        polyline=encode(thin(points, _POLYLINE_POINTS)),
        start=points[0] if points else None,
        end=points[-1] if points else None,
        cadence=round(mean(cadence), 1) if cadence else None,
        temp=round(mean(temp)) if temp else None,
        power=Power(average=round(mean(watts), 1), highest=max(watts), weighted=round(mean(watts) * 1.05))
        if watts
        else None,
        heartrate=(round(mean(heartrate), 1), float(max(heartrate))) if heartrate else None,
        elevation=(max(altitude), min(altitude)) if altitude else None,
    )


def _one_per_second(samples: Sequence[Sample]) -> list[Sample]:
    ordered = sorted(samples, key=lambda sample: sample.at)
    first = ordered[0].at
    return [next(group) for _, group in itertools.groupby(ordered, key=lambda sample: round(sample.at - first))]


def _on_earth(point: Point | None) -> Point | None:
    return point if point is not None and abs(point[0]) <= 90 and abs(point[1]) <= 180 else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < 1e9 else None


def _filled(values: Sequence[T | None]) -> list[T]:
    """Fill holes with the value before; return nothing when nothing is known."""
    known = next((value for value in values if value is not None), None)
    if known is None:
        return []
    filled: list[T] = []
    for value in values:
        known = known if value is None else value
        filled.append(known)
    return filled


def _measured(track: Sequence[Point]) -> list[float]:
    if not track:
        return []
    return list(itertools.accumulate((metres_between(a, b) for a, b in itertools.pairwise(track)), initial=0.0))


def metres_between(a: Point, b: Point) -> float:
    """Return the distance of two points that aren't far apart, in metres."""
    east = (b[1] - a[1]) * math.cos(math.radians((a[0] + b[0]) / 2))
    return METRES_PER_DEGREE * math.hypot(b[0] - a[0], east)


def _moving(time: Sequence[int], distance: Sequence[float]) -> list[bool]:
    if not distance:
        return [False] + [True] * (len(time) - 1)
    steps = zip(itertools.pairwise(time), itertools.pairwise(distance), strict=True)
    return [False, *((later - far) > _STANDING * (b - a) for (a, b), (far, later) in steps)]


def _grade(altitude: Sequence[float], distance: Sequence[float]) -> list[float]:
    last = len(distance) - 1
    grades: list[float] = []
    for i in range(last + 1):
        before, after = max(i - 4, 0), min(i + 4, last)
        metres = distance[after] - distance[before]
        rise = altitude[after] - altitude[before]
        grades.append(round(min(max(100 * rise / metres, -45.0), 45.0), 1) if metres > 1 else 0.0)
    return grades


def _zone_at(point: Point, home: Zone) -> Zone:
    """Return the time zone of the nearest town that this world knows, or the athlete's if none is near."""
    near = min((*HOMES, *HOLIDAYS), key=lambda place: math.dist((place.lat, place.lng), point))
    return near.zone if math.dist((near.lat, near.lng), point) < _NEAR else home
