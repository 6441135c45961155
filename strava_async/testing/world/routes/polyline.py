"""Google's encoded polylines at precision 5, as Strava sends them.

Source:
    https://developers.google.com/maps/documentation/utilities/polylinealgorithm
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

Point = tuple[float, float]

_PRECISION = 1e5


@functools.lru_cache(maxsize=8192)  # neighbours differ by little: the same few steps come again and again
def _chunks(step: int) -> str:
    value = ~(step << 1) if step < 0 else step << 1
    text = ""
    while value >= 0x20:
        text += chr((0x20 | (value & 0x1F)) + 63)
        value >>= 5
    return text + chr(value + 63)


def encode(points: Iterable[Point]) -> str:
    """Encode latitude-longitude pairs in degrees; no points give the empty string."""
    last_lat = last_lng = 0
    parts: list[str] = []
    for lat, lng in points:
        north, east = round(lat * _PRECISION), round(lng * _PRECISION)
        parts.append(_chunks(north - last_lat))
        parts.append(_chunks(east - last_lng))
        last_lat, last_lng = north, east
    return "".join(parts)


def decode(text: str) -> list[Point]:
    """Decode a polyline into latitude-longitude pairs in degrees.

    Raises:
        ValueError: the text ends within a number or within a pair.
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 63
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits < 0x20:
            numbers.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    if shift or len(numbers) % 2:
        raise ValueError("a polyline that ends too early")
    points: list[Point] = []
    north = east = 0
    for step_north, step_east in zip(numbers[::2], numbers[1::2], strict=True):
        north += step_north
        east += step_east
        points.append((north / _PRECISION, east / _PRECISION))
    return points


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """Keep at most ``most`` points (two or more), evenly spaced by index, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(i * step)] for i in range(most)]
