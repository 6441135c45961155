"""What a device recorded of one activity, as parameters from which its streams are made, always the same ones."""

from __future__ import annotations

import random
from dataclasses import dataclass

from strava_async.testing.world.plan.sports import Sport
from strava_async.testing.world.routes.atlas import FINE, Course
from strava_async.testing.world.routes.polyline import Point

_JITTER = 4e-5  # degrees: what a receiver is wrong by, about two metres to either side


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The recipe of an activity's streams. The averages and maxima are those of its summary.

    Attributes:
        key: the seed of everything that is random.
        metres: the distance; 0 for a sport without.
        top_speed: metres per second.
        course: where; None indoors.
        barometer: metres by which the altitude is wrong.
        heartrate, watts: average and maximum; None if not measured.
        cadence: average while moving; None if not measured.
        temp: average, in whole degrees; None if not measured.
        pool: the length of the pool in metres, for swimming; else 0.
        device: its name.
    """

    key: str
    sport: Sport
    metres: float
    moving_seconds: int
    elapsed_seconds: int
    top_speed: float = 0.0
    course: Course | None = None
    barometer: float = 0.0
    heartrate: tuple[float, int] | None = None
    cadence: float | None = None
    watts: tuple[float, int] | None = None
    temp: int | None = None
    pool: int = 0
    device: str = ""

    def rng(self, purpose: str) -> random.Random:
        """Return the random numbers for one purpose."""
        return random.Random(f"{self.key}:{purpose}")


def node_track(recording_key: str, course: Course) -> list[Point]:
    """Return a course's nodes as this activity's receiver saw them: what the summary's polyline shows."""
    random_of = random.Random(f"{recording_key}:gps").random
    lat, lng = course.route.lat, course.route.lng
    half = _JITTER / 2
    return [
        (
            round((lat[i] + random_of() * _JITTER - half) * 1e6) / 1e6,
            round((lng[i] + random_of() * _JITTER - half) * 1e6) / 1e6,
        )
        for i in course.path()[::FINE]
    ]


def fine_track(recording_key: str, course: Course) -> list[Point]:
    """Return every point of a course's spline, bent so that it goes through ``node_track``."""
    lat, lng, path = course.route.lat, course.route.lng, course.path()
    nodes = node_track(recording_key, course)
    errors = [(node[0] - lat[i], node[1] - lng[i]) for node, i in zip(nodes, path[::FINE], strict=True)]
    errors.append(errors[-1])
    track: list[Point] = []
    for position, i in enumerate(path):
        node, step = divmod(position, FINE)
        (lat_a, lng_a), (lat_b, lng_b), share = errors[node], errors[node + 1], step / FINE
        track.append((lat[i] + lat_a + (lat_b - lat_a) * share, lng[i] + lng_a + (lng_b - lng_a) * share))
    return track
