"""GPX 1.1 of tracks, with Garmin's TrackPointExtension. Pure.

Source:
    https://www.topografix.com/GPX/1/1/ and https://www8.garmin.com/xmlschemas/TrackPointExtensionv1.xsd. Power is
    written as Strava's own files have it, which is what other programs read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from strava_async.tracks.samples import Samples
from strava_async.tracks.texts import clean

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="strava-async" xmlns="http://www.topografix.com/GPX/1/1"
 xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v1"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.topografix.com/GPX/1/1 http://www.topografix.com/GPX/1/1/gpx.xsd
 http://www.garmin.com/xmlschemas/TrackPointExtension/v1
 https://www8.garmin.com/xmlschemas/TrackPointExtensionv1.xsd">
"""
_TAIL = "  </trkseg></trk>\n</gpx>\n"
_LONGEST = timedelta(days=400).total_seconds()


def gpx_parts(
    samples: Samples, *, name: str = "", sport_type: str = "", start: datetime | None = None
) -> Iterator[str]:
    """Yield the parts of a GPX file with one track. Samples without a place are left out.

    Args:
        samples: what was recorded.
        name: of the track; empty leaves it out.
        sport_type: of the track; empty leaves it out.
        start: when it began; None leaves out all times.
    """
    yield _HEAD
    if start is not None:
        yield f"  <metadata><time>{_instant(start, 0)}</time></metadata>\n"
    yield "  <trk>"
    yield from (f"<{tag}>{escape(clean(text))}</{tag}>" for tag, text in (("name", name), ("type", sport_type)) if text)
    yield "<trkseg>\n"
    columns = [samples.get(name) for name in ("lat", "lng", "altitude", "time", *(name for name, _, _ in _EXTENSIONS))]
    for lat, lng, altitude, seconds, *values in zip(*columns, strict=True):
        if lat is not None:
            elevation = "" if altitude is None else f"<ele>{altitude:.1f}</ele>"
            instant = "" if start is None or seconds is None else _time(start, seconds)
            yield f'    <trkpt lat="{lat:.6f}" lon="{lng:.6f}">{elevation}{instant}{_extensions(values)}</trkpt>\n'
    yield _TAIL


def _extensions(values: list[Any]) -> str:
    power, *others = (
        f"<{tag}>{value}</{tag}>" if value is not None and is_valid(value) else ""
        for value, (_, tag, is_valid) in zip(values, _EXTENSIONS, strict=True)
    )
    inner = "".join(others)
    point = f"<gpxtpx:TrackPointExtension>{inner}</gpxtpx:TrackPointExtension>" if inner else ""
    return f"<extensions>{power}{point}</extensions>" if power or point else ""


def _time(start: datetime, seconds: int) -> str:
    return f"<time>{_instant(start, seconds)}</time>" if abs(seconds) < _LONGEST else ""


def _instant(start: datetime, seconds: int) -> str:
    try:
        moment = start.astimezone(UTC) + timedelta(seconds=seconds)
    except OverflowError:  # at the ends of the calendar
        moment = start.replace(tzinfo=UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


# In the order of the schema, which gives these bounds too.
_EXTENSIONS: tuple[tuple[str, str, Callable[[int], bool]], ...] = (
    ("watts", "power", lambda value: value >= 0),
    ("temp", "gpxtpx:atemp", lambda value: True),
    ("heartrate", "gpxtpx:hr", lambda value: 1 <= value <= 255),
    ("cadence", "gpxtpx:cad", lambda value: 0 <= value <= 254),
)
