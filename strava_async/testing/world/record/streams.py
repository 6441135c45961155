"""The streams of a recording: one list per measurement, aligned by index."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from strava_async.testing.world.record.motion import Timeline, Way, timeline, way
from strava_async.testing.world.record.noise import gaussians, waves
from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.record.scaling import rescale

Streams = dict[str, Json]

# The order in which Strava's own lists name them.
KEYS = (
    "time",
    "distance",
    "latlng",
    "altitude",
    "velocity_smooth",
    "heartrate",
    "cadence",
    "watts",
    "temp",
    "moving",
    "grade_smooth",
)
_WINDOW = 4  # samples to either side that a smooth value is taken over


def record(recording: Recording) -> Streams:
    """Make the streams of a recording. A recording of an hour takes some tens of milliseconds."""
    line = timeline(recording)
    where = way(recording, line)
    data: dict[str, Sequence[Any]] = {"time": line.time, "moving": line.moving}
    speed: list[float] = []
    if where is not None:
        speed = _speed(recording, line, where.distance)
        data |= {"distance": where.distance, "velocity_smooth": speed}
        if where.altitude is not None and where.grade is not None and where.track is not None:
            data["altitude"], data["grade_smooth"], data["latlng"] = where.altitude, where.grade, where.track
    return assemble(data | _sensors(recording, line, where, speed))


def assemble(data: Mapping[str, Sequence[Any]]) -> Streams:
    """Wrap lists of equal length as a StreamSet keyed by type.

    Without a distance ``series_type`` is ``time``: such streams are sent only if that is requested.
    """
    series = "distance" if "distance" in data else "time"
    return {
        key: {"data": data[key], "series_type": series, "original_size": len(data[key]), "resolution": "high"}
        for key in KEYS
        if key in data
    }


def smooth_speed(time: Sequence[float], distance: Sequence[float], moving: Sequence[bool]) -> list[float]:
    """Return metres per second over a few samples to either side; 0 where nothing moves."""
    over_seconds, over_metres = _across(time), _across(distance)
    return [
        metres / seconds if moves and seconds > 0 else 0.0
        for seconds, metres, moves in zip(over_seconds, over_metres, moving, strict=True)
    ]


def _across(values: Sequence[float]) -> Iterator[float]:
    """Return for each value by how much it rises over the window around it, which ends where the series does."""
    before = itertools.chain(itertools.repeat(values[0], min(_WINDOW, len(values))), values)
    after = itertools.chain(values[_WINDOW:], itertools.repeat(values[-1], min(_WINDOW, len(values))))
    return (late - early for early, late in zip(before, after, strict=False))


def _speed(recording: Recording, line: Timeline, distance: list[float]) -> list[float]:
    """Smooth speed whose maximum is the summary's: values above the average are scaled."""
    if recording.pool:
        steady = round(recording.metres / recording.moving_seconds, 3)
        speeds = [steady if moves else 0.0 for moves in line.moving]
        speeds[len(speeds) // 2] = recording.top_speed
        return speeds
    speeds = smooth_speed(line.moved, distance, line.moving)
    average, top = recording.metres / recording.moving_seconds, max(speeds)
    stretch = (recording.top_speed - average) / (top - average) if top > average else 1.0
    return [round((average + (v - average) * stretch if v > average else v) * 1000) / 1000 for v in speeds]


def _sensors(recording: Recording, line: Timeline, where: Way | None, speed: list[float]) -> dict[str, list[int]]:
    sensors: dict[str, list[int]] = {}
    effort = _effort(recording, line, where, speed)
    if recording.heartrate is not None:
        average, peak = recording.heartrate
        sensors["heartrate"] = rescale(
            _heart(effort, recording.rng("heart")), average=average, peak=peak, floor=round(0.62 * average)
        )
    if recording.cadence is not None:
        sensors["cadence"] = _cadence(recording, line, where)
    if recording.watts is not None:
        noise = iter(gaussians(recording.rng("watts"), sum(value > 0.05 for value in effort)))
        raw = [max(0.0, value + 0.12 * next(noise)) if value > 0.05 else 0.0 for value in effort]
        average, peak = recording.watts
        sensors["watts"] = rescale(raw, average=average, peak=peak)
    if recording.temp is not None:
        slow = waves(recording.rng("temp"), len(line.time), 900.0)
        sensors["temp"] = rescale(slow, average=recording.temp, peak=recording.temp + 2, floor=recording.temp - 3)
    return sensors


def _effort(recording: Recording, line: Timeline, where: Way | None, speed: list[float]) -> list[float]:
    """Return how hard it was, about 1 on average: the work against slope and air, or moods indoors."""
    count = len(line.time)
    moods = waves(recording.rng("effort"), count, 240.0)
    if where is None or recording.pool:
        return [1.0 + 0.35 * mood if moves else 0.4 for mood, moves in zip(moods, line.moving, strict=True)]
    average = recording.metres / recording.moving_seconds
    if where.grade is None:
        return [0.4 * v / average + 0.6 + 0.25 * mood if v else 0.0 for v, mood in zip(speed, moods, strict=True)]
    slope = 0.10 if recording.sport.on_bike else 0.045
    return [
        max(0.0, v / average * (1.0 + slope * grade) + 0.12 * mood) if v else 0.0
        for v, grade, mood in zip(speed, where.grade, moods, strict=True)
    ]


def _heart(effort: Sequence[float], rng: random.Random) -> list[float]:
    """Follow the effort with delay, faster up than down, from rest, with a slow drift upwards."""
    heart, drift, draw = 0.25, 0.12 / len(effort), rng.random
    values: list[float] = []
    for i, value in enumerate(effort):
        further = value + drift * i - heart
        heart += further * (0.03 if further > 0 else 0.02)
        values.append(heart + draw() * 0.01)
    return values


def _cadence(recording: Recording, line: Timeline, where: Way | None) -> list[int]:
    """Return turns per minute: 0 when standing, and downhill on a bike; the average is of the others."""
    coasting = where.grade if where is not None and recording.sport.on_bike else None
    turning = [
        i for i, moves in enumerate(line.moving) if moves and (coasting is None or coasting[i] > -2.5 or i % 20 == 0)
    ]
    cadence = [0] * len(line.moving)
    if turning and recording.cadence is not None:
        average = recording.cadence
        raw = waves(recording.rng("cadence"), len(turning), 30.0)
        for i, value in zip(
            turning, rescale(raw, average=average, peak=int(average * 1.2), floor=int(average * 0.6)), strict=True
        ):
            cadence[i] = value
    return cadence
