"""GPX and TCX: from XML to samples. A document type declaration is refused, which prevents entity expansion attacks.

The reader parses incrementally and keeps track points only; any namespace is accepted.
"""

from __future__ import annotations

import math
from xml.parsers import expat

from strava_async.testing.http.parameters import instant
from strava_async.testing.http.responses import HttpError
from strava_async.testing.world import Sample

SAMPLES_LIMIT = 500_000
TEXT_LIMIT = 200
DEPTH_LIMIT = 100

_POINTS = frozenset({"trkpt", "Trackpoint"})
_SPORT_TYPES = {
    "running": "Run",
    "cycling": "Ride",
    "biking": "Ride",
    "walking": "Walk",
    "hiking": "Hike",
    "swimming": "Swim",
}


class FileError(ValueError):
    """A file that cannot become an activity; the text is that of Strava's response."""


class TrackReader:
    """Reads one GPX or TCX document.

    Attributes:
        samples: the track points, in the order of the file.
        sport_type: the file's sport; None if it is missing or unknown.
        name: the name of the track; None if there is none.
    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.sport_type: str | None = None
        self.name: str | None = None
        self._tags: list[str] = []
        self._point: dict[str, str] | None = None
        self._text = ""

    def read(self, content: bytes) -> None:
        """Read a whole document; ``FileError`` if it is not well formed, declares a DTD or has points without time."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = _refuse_doctype
        try:
            parser.Parse(content, True)
        except FileError:
            raise
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise FileError("The file appears to be malformed.") from error

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if len(self._tags) >= DEPTH_LIMIT:
            raise FileError("The file appears to be malformed.")
        self._tags.append(name)
        self._text = ""
        if name in _POINTS:
            self._point = dict(attributes)
        elif name == "Activity":
            self.sport_type = _SPORT_TYPES.get(attributes.get("Sport", "").lower())

    def _characters(self, characters: str) -> None:
        if len(self._text) < TEXT_LIMIT:
            self._text += characters[:TEXT_LIMIT]

    def _end(self, tag: str) -> None:
        name = self._tags.pop()
        content = self._text.strip()
        self._text = ""
        if self._point is not None:
            if name in _POINTS:
                self._keep(self._point)
                self._point = None
            elif content:
                self._point[name] = content
        elif content and self._tags and self._tags[-1] == "trk":
            if name == "name":
                self.name = content
            elif name == "type":
                self.sport_type = _SPORT_TYPES.get(content.lower())

    def _keep(self, point: dict[str, str]) -> None:
        if len(self.samples) >= SAMPLES_LIMIT:
            raise FileError("The file has too many records.")
        try:
            at = instant(point.get("time") or point.get("Time") or "", HttpError(400, "Bad Request"))
        except HttpError as error:
            raise FileError("Time information is missing from file.") from error
        self.samples.append(_sample(at, point))


def _refuse_doctype(name: str, system_id: str | None, public_id: str | None, has_internal_subset: bool) -> None:
    raise FileError("The file appears to be malformed.")


def _sample(at: float, point: dict[str, str]) -> Sample:
    latitude = _number(point, "lat", "LatitudeDegrees", low=-90, high=90)
    longitude = _number(point, "lon", "LongitudeDegrees", low=-180, high=180)
    return Sample(
        at=at,
        latlng=None if latitude is None or longitude is None else (latitude, longitude),
        altitude=_number(point, "ele", "AltitudeMeters", low=-1_000, high=20_000),
        distance=_number(point, "DistanceMeters", low=0, high=1e8),
        heartrate=_whole(_number(point, "hr", "Value", low=1, high=300)),
        cadence=_whole(_number(point, "cad", "Cadence", "RunCadence", low=0, high=400)),
        watts=_whole(_number(point, "power", "Watts", low=0, high=5_000)),
        temp=_whole(_number(point, "atemp", low=-90, high=90)),
    )


def _number(point: dict[str, str], *names: str, low: float, high: float) -> float | None:
    for name in names:
        try:
            value = float(point[name])
        except (KeyError, ValueError):
            continue
        if math.isfinite(value) and low <= value <= high:
            return value
    return None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
