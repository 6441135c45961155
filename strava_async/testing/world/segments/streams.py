"""The streams of a segment, and those of an effort: a section of its activity's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.record.streams import Streams
from strava_async.testing.world.segments.index import Segment

SEGMENT_KEYS = ("distance", "altitude", "latlng")


def segment_streams(segment: Segment) -> Streams:
    """Return the streams of a segment: its points, not anybody's recording."""
    start, end = segment.span
    route = segment.route
    points = range(start, end + 1)
    return {
        "distance": _stream([round(route.along[i] - route.along[start], 1) for i in points]),
        "altitude": _stream([round(route.altitude[i], 1) for i in points]),
        "latlng": _stream([[round(route.lat[i], 6), round(route.lng[i], 6)] for i in points]),
    }


def cut(streams: Streams, start_index: int, end_index: int) -> Streams:
    """Return the streams from one sample to another, both included; time and distance go on from the activity's."""
    return {
        key: stream
        | {"data": stream["data"][start_index : end_index + 1], "original_size": end_index - start_index + 1}
        for key, stream in streams.items()
    }


def chosen(streams: Streams, keys: Collection[str], *, by_type: bool) -> Streams | list[Json]:
    """Return some of the streams: keyed by type, or as the older list. Missing ones are left out."""
    some = {key: stream for key, stream in streams.items() if key in keys}
    return some if by_type else [{"type": key, **stream} for key, stream in some.items()]


def _stream(data: list[Any]) -> Json:
    return {"data": data, "series_type": "distance", "original_size": len(data), "resolution": "high"}
