"""The server's bodies: the data of an invented athlete, encoded once."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strava_async.testing.http.responses import json_bytes
from strava_async.testing.world import AthleteWorld, generate_athlete

SMALL_BYTES = 2_500
PAGE_ITEMS = 200
DISTINCT = 40
LONG_SECONDS = 3 * 3_600

_NOW = 1_767_225_600.0  # any; the same data every time


@dataclass(frozen=True, slots=True)
class Bodies:
    """Bodies by kind. All but ``small`` are gzipped; a number in a path picks one, modulo their count.

    Attributes:
        small: one JSON object of about ``SMALL_BYTES``, plain.
        pages: arrays of ``PAGE_ITEMS`` summaries.
        details: detailed activities.
        streams: stream sets with every stream that there is, 1 Hz.
    """

    small: bytes
    pages: tuple[bytes, ...]
    details: tuple[bytes, ...]
    streams: tuple[bytes, ...]


def make_bodies(distinct: int = DISTINCT) -> Bodies:
    """Make the bodies. Takes a second or two for 40 activities.

    Args:
        distinct: how many different details and stream sets; spread evenly over five years.
    """
    world = generate_athlete(1_234_567, seed=7, now=_NOW)
    summaries = [json_bytes(activity) for activity in world.activities]
    chosen = _recorded(world, distinct)
    return Bodies(
        small=min(summaries, key=lambda body: abs(len(body) - SMALL_BYTES)),
        pages=tuple(
            _packed(world.activities[start : start + PAGE_ITEMS])
            for start in range(0, len(summaries) - PAGE_ITEMS + 1, PAGE_ITEMS)
        ),
        details=tuple(_packed(world.detail(number)) for number in chosen),
        streams=tuple(_packed(world.streams(number)) for number in chosen),
    )


def write_long_bodies(folder: str) -> None:
    """Write ``page.json``, an array of ``PAGE_ITEMS`` summaries, and ``streams.json``, the streams of three hours."""
    world = generate_athlete(1_234_567, seed=7, now=_NOW)
    samples = range(LONG_SECONDS)
    streams = max(filter(None, (world.streams(number) for number in _recorded(world, DISTINCT))), key=len)
    long = {kind: {**stream, "data": _as_long(stream["data"], samples)} for kind, stream in streams.items()}
    Path(folder, "page.json").write_bytes(json_bytes(world.activities[:PAGE_ITEMS]))
    Path(folder, "streams.json").write_bytes(json_bytes(long))


def _as_long(data: list[Any], samples: range) -> list[Any]:
    return [data[index % len(data)] for index in samples]


def _recorded(world: AthleteWorld, count: int) -> list[int]:
    ids = [activity["id"] for activity in world.activities if not activity["manual"]]
    return [ids[index * len(ids) // count] for index in range(count)]


def _packed(value: Any) -> bytes:
    return gzip.compress(json_bytes(value), mtime=0)
