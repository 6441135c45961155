"""Uploaded files: from the bytes and their declared type to the data of an activity.

Source:
    https://developers.strava.com/docs/uploads/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeGuard, cast

from strava_async._types import is_list
from strava_async.request.decompression import GZIP_MAGIC, DecompressionError, decompressed
from strava_async.testing.api.track_files import FileError, TrackReader
from strava_async.testing.http.parameters import instant
from strava_async.testing.http.responses import HttpError
from strava_async.testing.world import Sample

DATA_TYPES = frozenset({"fit", "fit.gz", "tcx", "tcx.gz", "gpx", "gpx.gz", "json"})
UNPACKED_LIMIT_BYTES = 32 << 20
LENGTH_LIMIT_SECONDS = 14 * 86_400

_STRENGTH = frozenset({"WeightTraining", "HighIntensityIntervalTraining", "Workout", "Crossfit"})


@dataclass(frozen=True, slots=True)
class Recording:
    """The contents of a file.

    Attributes:
        start_at: Unix seconds; None if the file does not say (FIT is not parsed here).
        samples: in order of time, without doubles; None if there are none.
        sport_type: None if the file does not say.
        name: None if the file has none.
    """

    start_at: float | None
    samples: list[Sample] | None = field(repr=False)
    sport_type: str | None = None
    name: str | None = None


def unpack(content: bytes, data_type: str) -> bytes:
    """Return the file itself: decompressed if the type ends in ``.gz``; ``FileError`` if that fails."""
    if not data_type.endswith(".gz"):
        return content
    if not content.startswith(GZIP_MAGIC):
        raise FileError("The file is not compressed with gzip, although its type says so.")
    try:
        return decompressed(content, "gzip", UNPACKED_LIMIT_BYTES)
    except DecompressionError as error:
        raise FileError("The compressed file is damaged, cut off, or too large.") from error


def check_header(content: bytes, data_type: str) -> None:
    """Raise ``FileError`` for a file that is refused at once: a FIT file without a FIT header."""
    if data_type.startswith("fit") and not (len(content) > 14 and content[0] in (12, 14) and content[8:12] == b".FIT"):
        raise FileError("The file is not a FIT file.")


def read_file(content: bytes, data_type: str, sport_type: str | None) -> Recording:
    """Return the contents of a file; ``FileError`` if it cannot become an activity."""
    if data_type == "json":
        return _read_strength(content, sport_type)
    if data_type.startswith("fit"):
        return Recording(None, None)
    reader = TrackReader()
    reader.read(content)
    by_time = {sample.at: sample for sample in reader.samples}
    samples = [by_time[at] for at in sorted(by_time)]
    if not samples:
        raise FileError("The file has no records.")
    if samples[-1].at - samples[0].at > LENGTH_LIMIT_SECONDS:
        raise FileError("The activity is too long.")
    return Recording(samples[0].at, samples, reader.sport_type, reader.name)


def _read_strength(content: bytes, sport_type: str | None) -> Recording:
    malformed = FileError("The file appears to be malformed.")
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise malformed from error
    if not isinstance(value, dict):
        raise malformed
    values = cast("dict[str, Any]", value)
    if values.get("version") != "1.0" or sport_type not in (None, *_STRENGTH):
        raise FileError("The file is not of a supported version or sport.")
    try:
        start_at = instant(str(values.get("start_time", "")), HttpError(400, "Bad Request"))
    except HttpError as error:
        raise FileError("Time information is missing from file.") from error
    elapsed_time = values.get("elapsed_time")
    if not _is_whole(elapsed_time) or not 0 < elapsed_time <= LENGTH_LIMIT_SECONDS:
        raise malformed
    if not _is_whole(values.get("utc_offset")):
        raise malformed
    if not _are_sets(values.get("sets")):
        raise FileError("The file has no sets.")
    by_time = {start_at: Sample(at=start_at), start_at + elapsed_time: Sample(at=start_at + elapsed_time)}
    for second, heartrate in _heartrates(values.get("streams"), malformed).items():
        if 0 <= second <= elapsed_time:
            by_time[start_at + second] = Sample(at=start_at + second, heartrate=heartrate)
    samples = [by_time[at] for at in sorted(by_time)]
    return Recording(start_at, samples, sport_type or "WeightTraining")


def _heartrates(value: object, malformed: FileError) -> dict[int, int | None]:
    """Return the heart rate by the second since the start; ``malformed`` if the streams do not fit together."""
    if value is None:
        return {}
    streams = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    lengths = {len(column) if is_list(column) else -1 for column in streams.values()}
    time: list[Any] = streams.get("time", [None])
    if len(lengths) != 1 or lengths == {-1} or not all(map(_is_whole, time)):
        raise malformed
    heartrate: list[Any] = streams.get("heartrate", [None] * len(time))
    return {
        second: rate if _is_whole(rate) and 0 < rate < 300 else None
        for second, rate in zip(time, heartrate, strict=True)
    }


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_sets(value: Any) -> bool:
    sets = cast("list[object]", value) if isinstance(value, list) else []
    return bool(sets) and all(_is_set(item) for item in sets)


def _is_set(value: object) -> bool:
    return isinstance(value, dict) and isinstance(cast("dict[str, object]", value).get("exercise_type"), str)
