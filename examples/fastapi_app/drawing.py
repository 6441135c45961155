"""Lines and bars as SVG. Pure: numbers in, numbers and path data out.

A track is projected onto the plane that touches the Earth at its middle, which is true enough for the distances of a
day, and scaled so that its longer side is 1000 units. The drawing does not say where on Earth it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

SIDE = 1000.0
MOST_POINTS = 400
WEEKS = 12
CHART_WIDTH, CHART_HEIGHT, GAP = 480.0, 150.0, 8.0


@dataclass(frozen=True)
class Track:
    """A line to draw.

    Attributes:
        path: the ``d`` of an SVG path.
        width: of the drawing, at most 1000.
        height: of the drawing, at most 1000.
        start: where the line begins.
        end: where it ends.
    """

    path: str
    width: float
    height: float
    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True)
class Week:
    """A week, and its bar in the chart.

    Attributes:
        monday: its first day.
        metres: the distance of its activities.
        count: how many there are.
        x: the bar's left side.
        y: the bar's top.
        width: of the bar.
        height: of the bar; zero for nothing.
        is_new_month: whether a month begins in this week; always true for the chart's first bar.
    """

    monday: date
    metres: float
    count: int
    x: float
    y: float
    width: float
    height: float
    is_new_month: bool


def track(points: Sequence[tuple[float, float]]) -> Track | None:
    """Return the line through points of latitude and longitude in degrees; None if they are all in one place."""
    plane = _on_plane(_thinned(points))
    if not plane:
        return None
    left, top = min(x for x, _ in plane), min(y for _, y in plane)
    width, height = max(x for x, _ in plane) - left, max(y for _, y in plane) - top
    longer = max(width, height)
    if longer < 1e-6:
        return None
    scale = SIDE / longer
    drawn = [(round((x - left) * scale, 1), round((y - top) * scale, 1)) for x, y in plane]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in drawn)
    return Track(path, round(width * scale, 1), round(height * scale, 1), drawn[0], drawn[-1])


def weeks(distances: Iterable[tuple[date, float]], today: date) -> list[Week]:
    """Return the last twelve weeks, the oldest first; weeks begin on Monday.

    Args:
        distances: day and metres of each activity.
        today: in the last of the weeks.
    """
    first = today - timedelta(days=today.weekday(), weeks=WEEKS - 1)
    metres, counts = [0.0] * WEEKS, [0] * WEEKS
    for day, distance in distances:
        index = (day - first).days // 7
        if 0 <= index < WEEKS:
            metres[index] += distance
            counts[index] += 1
    most = max(metres)
    width = (CHART_WIDTH + GAP) / WEEKS - GAP
    bars: list[Week] = []
    for index, (length, count) in enumerate(zip(metres, counts, strict=True)):
        monday = first + timedelta(weeks=index)
        height = round(CHART_HEIGHT * length / most, 1) if most > 0 else 0.0
        x, y = round(index * (width + GAP), 1), round(CHART_HEIGHT - height, 1)
        is_new_month = index == 0 or monday.month != (monday - timedelta(weeks=1)).month
        bars.append(Week(monday, length, count, x, y, round(width, 1), height, is_new_month))
    return bars


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return list(points)
    step = -(-len(points) // MOST_POINTS)
    return [*points[:-1:step], points[-1]]


def _on_plane(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points in degrees of latitude, to the right and downwards."""
    if not points:
        return []
    middle = math.radians((min(lat for lat, _ in points) + max(lat for lat, _ in points)) / 2)
    shrink = max(math.cos(middle), 1e-3)
    plane: list[tuple[float, float]] = []
    unrolled = before = points[0][1]
    for lat, lng in points:
        unrolled += (lng - before + 180) % 360 - 180  # the short way, across the date line if that is shorter
        before = lng
        plane.append((unrolled * shrink, -lat))
    return plane
