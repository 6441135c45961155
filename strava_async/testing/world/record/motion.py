"""The motion of an activity: which seconds were recorded, and the distance at each of them.

Rules:

- ``time`` is whole seconds since the start; its last value is the elapsed time.
- A sample's ``moving`` describes the interval that ends with it: the moving intervals add up to the moving time.
- A stop records a few seconds of standing, then nothing (auto-pause), then the second in which it ends. Now and then a
  sample is missing for no reason.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from dataclasses import dataclass

from strava_async.testing.world.record.noise import gaussians
from strava_async.testing.world.record.recording import Recording, fine_track
from strava_async.testing.world.routes.atlas import Course
from strava_async.testing.world.routes.polyline import Point

_STANDING_RECORDED = 4  # seconds of a stop before the device pauses
_STEP = 40.0  # metres between two points of a way without a map


@dataclass(frozen=True, slots=True)
class Timeline:
    """The seconds recorded. The lists have one entry per sample.

    Attributes:
        time: seconds since the start.
        moving: whether the interval that ends here was spent moving.
        moved: seconds spent moving until here.
    """

    time: list[int]
    moving: list[bool]
    moved: list[int]


def timeline(recording: Recording) -> Timeline:
    """Return the seconds that the device recorded."""
    rng = recording.rng("time")
    moving_seconds = recording.moving_seconds
    time: list[int] = [0]
    moving: list[bool] = [False]
    moved: list[int] = [0]
    clock = now = 0  # elapsed and moving seconds
    for upto, stop in [*_stops(rng, recording), (moving_seconds, 0)]:
        seconds = _recorded(rng, now + 1, upto)
        time.extend([second + clock - now for second in seconds])
        moved.extend(seconds)
        moving.extend([True] * len(seconds))
        clock, now = clock + upto - now, upto
        if stop:
            standing = [*range(1, min(stop, _STANDING_RECORDED)), stop]
            time.extend([clock + second for second in standing])
            moved.extend([now] * len(standing))
            moving.extend([False] * len(standing))
            clock += stop
    return Timeline(time, moving, moved)


def _stops(rng: random.Random, recording: Recording) -> list[tuple[int, int]]:
    """Cut the time spent standing into stops: (moving seconds before it, seconds)."""
    spare, moving = recording.elapsed_seconds - recording.moving_seconds, recording.moving_seconds
    if spare <= 0 or moving < 2:
        return []
    count = min(14, 1 + spare // 45, spare, moving - 1)
    befores = sorted(rng.sample(range(1, moving), count))
    cuts = [0, *sorted(rng.sample(range(1, spare), count - 1)), spare]
    return list(zip(befores, (after - before for before, after in itertools.pairwise(cuts)), strict=True))


def _recorded(rng: random.Random, first: int, last: int) -> list[int]:
    """Return the seconds from first to last, the last among them, with a hole here and there."""
    seconds: list[int] = []
    while first <= last:
        hole = first + int(rng.expovariate(1 / 700)) + 1
        seconds.extend(range(first, min(hole, last + 1)))
        first = hole + rng.randint(1, 5)
    if not seconds or seconds[-1] != last:
        seconds.append(last)
    return seconds if last >= 1 else []


@dataclass(frozen=True, slots=True)
class Way:
    """Where the samples are. One entry per sample in each list that isn't None.

    Attributes:
        distance: metres since the start.
        grade: percent; None without altitude.
        altitude: metres.
        track: latitude and longitude in degrees, a pair for each.
    """

    distance: list[float]
    grade: list[float] | None = None
    altitude: list[float] | None = None
    track: list[list[float]] | None = None


def way(recording: Recording, line: Timeline) -> Way | None:
    """Return where the activity was at every recorded second; None for a sport without distance."""
    if not recording.metres:
        return None
    if recording.pool:
        return _lengths(recording, line)
    if recording.course is None:
        return _treadmill(recording, line)
    track = fine_track(recording.key, recording.course)
    made = progress(recording, recording.course)
    return _along(line.moved, made.at_seconds, made.at_metres, [*made.grades, made.grades[-1]], made.altitudes, track)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a course was passed: one entry for each of its points, but for the grades of the steps between them.

    Attributes:
        at_seconds: the seconds spent moving until there.
        at_metres: the metres done.
        altitudes: metres, as wrong as the barometer.
        grades: rise over run.
    """

    at_seconds: list[float]
    at_metres: list[float]
    altitudes: list[float]
    grades: list[float]

    def metres_after(self, seconds: float) -> float:
        """Return the metres done after that much moving: the ``distance`` of a sample there."""
        at_seconds, at_metres = self.at_seconds, self.at_metres
        i = min(max(bisect.bisect_left(at_seconds, seconds, 1) - 1, 0), len(at_seconds) - 2)
        share = min((seconds - at_seconds[i]) / (at_seconds[i + 1] - at_seconds[i]), 1.0)
        return round((at_metres[i] * (1.0 - share) + at_metres[i + 1] * share) * 10) / 10


def progress(recording: Recording, course: Course) -> Progress:
    """Return how a recording passes its course."""
    path, along, heights = course.path(), course.route.along, course.route.altitude
    altitudes = [heights[i] + recording.barometer for i in path]
    steps = [abs(along[b] - along[a]) for a, b in itertools.pairwise(path)]
    grades = [(b - a) / step for (a, b), step in zip(itertools.pairwise(altitudes), steps, strict=True)]
    at_metres = _scaled([0.0, *itertools.accumulate(steps)], recording.metres)
    at_seconds = _scaled(_pacing(recording, steps, grades), recording.moving_seconds)
    return Progress(at_seconds, at_metres, altitudes, grades)


def _pacing(recording: Recording, steps: list[float], grades: list[float]) -> list[float]:
    """Return the time at each point, in arbitrary units: slower uphill, with moods that come and go."""
    noise = gaussians(recording.rng("pace"), len(steps))
    hill, mood = recording.sport.hill, 0.0
    times: list[float] = [0.0]
    for step, grade, change in zip(steps, grades, noise, strict=True):
        mood = 0.9 * mood + 0.025 * change
        slowness = math.exp(hill * min(max(grade, -0.06), 0.25) - mood)
        times.append(times[-1] + step * slowness)
    return times


def _scaled(values: list[float], last: float) -> list[float]:
    factor = last / values[-1]
    scaled = [value * factor for value in values]
    scaled[-1] = float(last)
    return scaled


def _along(
    moved: list[int],
    at_seconds: list[float],
    at_metres: list[float],
    grades: list[float],
    altitudes: list[float],
    points: list[Point],
) -> Way:
    """Find for every second the two points of the way between which it falls, and interpolate."""
    distance: list[float] = []
    grade: list[float] = []
    altitude: list[float] = []
    track: list[list[float]] = []
    i, last = 0, len(at_seconds) - 2
    begins, ends = at_seconds[0], at_seconds[1]
    # A tenth is rounded by whole numbers throughout: a fourth of the time of ``round(x, 1)``.
    for second in moved:
        if ends < second and i < last:
            while i < last and at_seconds[i + 1] < second:
                i += 1
            begins, ends = at_seconds[i], at_seconds[i + 1]
        share = (second - begins) / (ends - begins)
        share = share if share < 1.0 else 1.0
        rest = 1.0 - share  # weights rather than differences: the last point comes out exactly
        j = i + 1
        (lat_a, lng_a), (lat_b, lng_b) = points[i], points[j]
        distance.append(round((at_metres[i] * rest + at_metres[j] * share) * 10) / 10)
        altitude.append(round((altitudes[i] * rest + altitudes[j] * share) * 10) / 10)
        lat, lng = lat_a * rest + lat_b * share, lng_a * rest + lng_b * share
        track.append([round(lat * 1e6) / 1e6, round(lng * 1e6) / 1e6])
        grade.append(round((grades[i] * rest + grades[j] * share) * 1000) / 10)
    return Way(distance, grade, altitude, track)


def _treadmill(recording: Recording, line: Timeline) -> Way:
    """A way that isn't on any map."""
    count = max(2, int(recording.metres / _STEP))
    steps = [1.0] * count
    at_seconds = _scaled(_pacing(recording, steps, [0.0] * count), recording.moving_seconds)
    at_metres = _scaled([0.0, *itertools.accumulate(steps)], recording.metres)
    distance: list[float] = []
    for second in line.moved:
        i = min(bisect.bisect_left(at_seconds, second, 1), count)
        share = (second - at_seconds[i - 1]) / (at_seconds[i] - at_seconds[i - 1])
        distance.append(round((at_metres[i - 1] + (at_metres[i] - at_metres[i - 1]) * share) * 10) / 10)
    return Way(distance)


def _lengths(recording: Recording, line: Timeline) -> Way:
    """A swimmer's watch knows of a length when it is done: the distance is a staircase."""
    done = [
        float(int(recording.metres * second / recording.moving_seconds) // recording.pool * recording.pool)
        for second in line.moved
    ]
    return Way(done)
