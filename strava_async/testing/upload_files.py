"""Uploaded files: from the bytes and their declared type to what an activity is made of.

Source:
    https://developers.strava.com/docs/uploads/.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, cast

from strava_async.testing.replies import RefusalError
from strava_async.testing.track_files import FileError, TrackReader
from strava_async.testing.values import instant
from strava_async.testing.world import Sample

DATA_TYPES = frozenset({"fit", "fit.gz", "tcx", "tcx.gz", "gpx", "gpx.gz", "json"})
UNPACKED_LIMIT_BYTES = 32 << 20
LENGTH_LIMIT_SECONDS = 14 * 86_400

_STRENGTH = frozenset({"WeightTraining", "HighIntensityIntervalTraining", "Workout", "Crossfit"})


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file says.

    Attributes:
        start_at: Unix seconds; None if the file does not tell (FIT is not read here).
        samples: in order of time, without doubles; None if there are none.
        sport_type: None if the file does not tell.
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
    decompressor = zlib.decompressobj(wbits=31)
    try:
        unpacked = decompressor.decompress(content, UNPACKED_LIMIT_BYTES)
    except zlib.error as error:
        raise FileError("The file is not compressed with gzip, although its type says so.") from error
    if not decompressor.eof:
        raise FileError("The compressed file is cut off, or too large.")
    return unpacked


def check_header(content: bytes, data_type: str) -> None:
    """Raise ``FileError`` for what is refused at once: a FIT file that does not begin like one."""
    if data_type.startswith("fit") and not (len(content) > 14 and content[0] in (12, 14) and content[8:12] == b".FIT"):
        raise FileError("The file is not a FIT file.")


def read_file(content: bytes, data_type: str, sport_type: str | None) -> Recording:
    """Return what a file says; ``FileError`` if it cannot become an activity."""
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
        start_at = instant(str(values.get("start_time", "")), RefusalError(400, "Bad Request"))
    except RefusalError as error:
        raise FileError("Time information is missing from file.") from error
    elapsed_time = values.get("elapsed_time")
    if not isinstance(elapsed_time, int) or not 0 < elapsed_time <= LENGTH_LIMIT_SECONDS:
        raise malformed
    if not _are_sets(values.get("sets")):
        raise FileError("The file has no sets.")
    return Recording(
        start_at, [Sample(at=start_at), Sample(at=start_at + elapsed_time)], sport_type or "WeightTraining"
    )


def _are_sets(value: Any) -> bool:
    sets = cast("list[object]", value) if isinstance(value, list) else []
    return bool(sets) and all(_is_set(item) for item in sets)


def _is_set(value: object) -> bool:
    return isinstance(value, dict) and isinstance(cast("dict[str, object]", value).get("exercise_type"), str)
