"""Which class writes which format; each is loaded when it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from strava_async.errors import InputError
from strava_async.harvest.export.base import Format
from strava_async.harvest.export.partitions import Open

_WRITERS = {
    Format.PARQUET: ("parquet", "ParquetWriter"),
    Format.CSV: ("csv_files", "CsvWriter"),
    Format.JSONL: ("jsonl_files", "JsonlWriter"),
    Format.GEOJSON: ("track_files", "GeoJsonWriter"),
    Format.GPX: ("track_files", "GpxWriter"),
}


def writer_of(kind: Format) -> Open:
    """Return what writes a format.

    Raises:
        InputError: it needs a package that is not installed.
    """
    module, name = _WRITERS[kind]
    try:
        found: Any = import_module(f"strava_async.harvest.export.{module}")
    except ModuleNotFoundError as error:
        raise InputError(str(error)) from error
    writer: Open = getattr(found, name)
    return writer
