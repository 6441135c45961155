"""An athlete's routes: loops and lines around a town, smooth as roads are, used again and again.

A route is drawn with a few dozen nodes (a summary's polyline shows them) and made smooth by a Catmull-Rom spline
through them (a stream runs along it). A course is what one activity takes of a route: all of it, or out to a node and
back.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from strava_async.testing.world.plan.places import METRES_PER_DEGREE, Place, terrain

FINE = 5  # points of the spline per node
_TRIES = 5  # walks of which a loop is the one that ends nearest to its start

# Lengths in metres, by what the ways are good for.
LENGTHS: dict[str, tuple[int, ...]] = {
    "run": (5_200, 7_100, 8_600, 10_300, 12_400, 15_600, 18_700, 23_000, 29_000),
    "race": (42_480,),
    "trail": (8_200, 12_600, 17_500, 25_000),
    "ride": (22_000, 32_000, 41_000, 56_000, 74_000, 98_000),
    "dirt": (14_000, 21_500, 30_000),
    "walk": (2_600, 4_100, 6_300),
    "hike": (7_400, 11_200, 16_500, 22_000),
    "field": (9_000, 16_000),
}


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A way, once along. All but the spans have one entry for each point of the spline.

    Attributes:
        along: metres since the start.
        up, down: metres climbed and descended since the start.
        spans: segments that Strava knows on it, as pairs of indices.
    """

    key: str
    place: Place
    loop: bool
    lat: tuple[float, ...]
    lng: tuple[float, ...]
    along: tuple[float, ...]
    altitude: tuple[float, ...]
    up: tuple[float, ...]
    down: tuple[float, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Course:
    """What one activity takes of a route.

    Attributes:
        turn: the index at which it turns round; None when it takes the route whole, once.
        backwards: a whole route from its end to its start.
    """

    route: Route
    turn: int | None = None
    backwards: bool = False

    @property
    def length(self) -> float:
        """Metres."""
        return self.route.along[-1] if self.turn is None else 2 * self.route.along[self.turn]

    @property
    def ascent(self) -> float:
        """Metres climbed."""
        if self.turn is None:
            return self.route.down[-1] if self.backwards else self.route.up[-1]
        return self.route.up[self.turn] + self.route.down[self.turn]

    @property
    def altitudes(self) -> Sequence[float]:
        """The altitudes that it touches, in metres."""
        return self.route.altitude if self.turn is None else self.route.altitude[: self.turn + 1]

    def path(self) -> list[int]:
        """Return the route's indices in the order of passing."""
        if self.turn is not None:
            return [*range(self.turn + 1), *range(self.turn - 1, -1, -1)]
        last = len(self.route.lat) - 1
        return list(range(last, -1, -1)) if self.backwards else list(range(last + 1))

    def spans(self) -> list[tuple[int, int]]:
        """Return the segments passed, as pairs of indices into ``path()``."""
        if self.backwards:
            return []
        return [span for span in self.route.spans if self.turn is None or span[1] <= self.turn]


class Atlas:
    """All routes of one athlete, drawn when first needed.

    Args:
        key: what makes this athlete's routes differ from others'.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._routes: dict[tuple[str, str], tuple[Route, ...]] = {}

    def copy(self) -> Atlas:
        """Return an atlas of its own, in which the same routes are drawn."""
        atlas = Atlas(self._key)
        atlas._routes |= self._routes
        return atlas

    def routes(self, place: Place, family: str) -> tuple[Route, ...]:
        """Return the routes of one family at a place, shortest first."""
        known = self._routes.get((place.town, family))
        if known is None:
            keys = {length: f"{self._key}:{place.town}:{family}:{length}" for length in LENGTHS[family]}
            known = self._routes[place.town, family] = tuple(_draw(keys[length], place, length) for length in keys)
        return known

    def course(self, rng: random.Random, place: Place, family: str, metres: float) -> Course:
        """Choose a course of about that length."""
        routes = self.routes(place, family)
        loops = [route for route in routes if route.loop and 0.85 < route.along[-1] / metres < 1.18]
        if loops and rng.random() < 0.7:
            return Course(rng.choice(loops), backwards=rng.random() < 0.3)
        long_enough = [route for route in routes if route.along[-1] > 0.55 * metres] or routes[-1:]
        route = rng.choice(long_enough[:3])
        node = bisect.bisect_left(route.along, metres / 2) // FINE * FINE
        return Course(route, turn=min(max(node, 2 * FINE), len(route.lat) - 1))


def _draw(key: str, place: Place, length: float) -> Route:
    rng = random.Random(key)
    loop = rng.random() < 0.7 or length > 40_000
    count = min(104, max(26, int(length / 140)))
    walks = [_wander(rng, count, loop) for _ in range(_TRIES if loop else 1)]
    nodes = min(walks, key=lambda walk: math.hypot(*walk[-1])) if loop else walks[0]
    east, north = _smooth(_close(nodes, loop), loop)
    drawn = list(
        itertools.accumulate(
            itertools.starmap(math.dist, itertools.pairwise(zip(east, north, strict=True))), initial=0.0
        )
    )
    scale = length * rng.uniform(0.97, 1.03) / drawn[-1] if length < 42_000 else length / drawn[-1]
    offset_east, offset_north = rng.uniform(-350, 350), rng.uniform(-350, 350)
    east = [value * scale + offset_east for value in east]
    north = [value * scale + offset_north for value in north]
    height = terrain(place)
    altitude = tuple([height(x, y) for x, y in zip(east, north, strict=True)])
    steps = [after - before for before, after in itertools.pairwise(altitude)]
    metres_per_lng = METRES_PER_DEGREE * math.cos(math.radians(place.lat))
    return Route(
        key=key,
        place=place,
        loop=loop,
        lat=tuple([place.lat + value / METRES_PER_DEGREE for value in north]),
        lng=tuple([place.lng + value / metres_per_lng for value in east]),
        along=tuple([value * scale for value in drawn]),
        altitude=altitude,
        up=tuple(itertools.accumulate((max(step, 0.0) for step in steps), initial=0.0)),
        down=tuple(itertools.accumulate((max(-step, 0.0) for step in steps), initial=0.0)),
        spans=tuple(_spans(rng, len(altitude))),
    )


def _wander(rng: random.Random, count: int, loop: bool) -> list[tuple[float, float]]:
    """Walk ``count`` steps of length one: long bends, corners now and then, a full turn in all for a loop."""
    heading = rng.uniform(0.0, math.tau)
    bend = rng.choice((-1, 1)) * math.tau / count if loop else 0.0
    wiggle = x = y = 0.0
    nodes = [(x, y)]
    for _ in range(count):
        wiggle = 0.55 * wiggle + rng.gauss(0.0, 0.16)
        if rng.random() < 0.1:
            wiggle -= math.copysign(rng.uniform(0.5, 1.1), wiggle)
        heading += bend + wiggle
        x += math.cos(heading)
        y += math.sin(heading)
        nodes.append((x, y))
    return nodes


def _close(nodes: list[tuple[float, float]], loop: bool) -> list[tuple[float, float]]:
    """Spread over all nodes what a loop misses its start by."""
    if not loop:
        return nodes
    last = len(nodes) - 1
    miss_x, miss_y = nodes[-1]
    return [(x - miss_x * i / last, y - miss_y * i / last) for i, (x, y) in enumerate(nodes)]


def _smooth(nodes: list[tuple[float, float]], loop: bool) -> tuple[list[float], list[float]]:
    before, after = (nodes[-2], nodes[1]) if loop else (nodes[0], nodes[-1])
    framed = [before, *nodes, after]
    weights = [_catmull_rom(i / FINE) for i in range(FINE)]
    east: list[float] = []
    north: list[float] = []
    for i in range(len(nodes) - 1):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = framed[i : i + 4]
        for a, b, c, d in weights:
            east.append(a * ax + b * bx + c * cx + d * dx)
            north.append(a * ay + b * by + c * cy + d * dy)
    east.append(nodes[-1][0])
    north.append(nodes[-1][1])
    return east, north


def _catmull_rom(t: float) -> tuple[float, float, float, float]:
    return (
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (t**3 - t**2),
    )


def _spans(rng: random.Random, points: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = rng.randint(4, 20)
    while start < points - 12:
        end = min(start + rng.randint(6, 42), points - 1)
        spans.append((start, end))
        start = end - 4 if rng.random() < 0.25 else end + rng.randint(5, 70)
    return spans
