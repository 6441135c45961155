"""An export as Parquet: activities with typed columns; and streams, an activity in each row, lists of samples.

The file of the streams is GeoParquet 1.1: ``track`` is the well-known binary of a line, in WGS 84.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from strava_async._extras import extra
from strava_async.harvest.base import Held
from strava_async.harvest.export.base import Written
from strava_async.harvest.export.columns import COLUMNS, instant, values_of
from strava_async.harvest.export.files import open_private_file
from strava_async.harvest.reading import decoded
from strava_async.tracks import samples as sampled
from strava_async.tracks.lines import track_of

with extra("parquet", "an export to parquet", "pyarrow"):
    # It has no types of its own.
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")

_GROUP_BYTES = 8 * 2**20
_GROUP_ROWS = 50_000
_TYPES: Mapping[str, Any] = {
    "integer": arrow.int64(),
    "number": arrow.float64(),
    "truth": arrow.bool_(),
    "text": arrow.string(),
    "instant": arrow.timestamp("us", tz="UTC"),
    "local": arrow.timestamp("us"),
}
ACTIVITIES = arrow.schema(
    [arrow.field(column.name, _TYPES[column.type], nullable=not column.is_required) for column in COLUMNS]
)


def _list_type(name: str) -> Any:
    if name in sampled.INTEGERS:
        return arrow.list_(arrow.int32())
    return arrow.list_(arrow.bool_() if name in sampled.TRUTHS else arrow.float64())


# Other programs look for it in the schema, which is written first: so it gives no bounds, and all types there may be.
_GEO = {
    "version": "1.1.0",
    "primary_column": "track",
    "columns": {"track": {"encoding": "WKB", "geometry_types": ["LineString", "MultiLineString"]}},
}
STREAMS = arrow.schema(
    [
        arrow.field("id", arrow.int64(), nullable=False),
        arrow.field("start", _TYPES["instant"], nullable=False),
        arrow.field("samples", arrow.int32(), nullable=False),
        *(arrow.field(name, _list_type(name)) for name in sampled.COLUMNS),
        arrow.field("track", arrow.binary()),
    ],
    metadata={"geo": json.dumps(_GEO)},
)


class ParquetWriter:
    """See ``Writer``."""

    def __init__(self, paths: Sequence[str], athlete_id: int) -> None:
        self._activities, self._streams = (
            _Table(path, schema) for path, schema in zip(paths, (ACTIVITIES, STREAMS), strict=True)
        )
        self._written = Written()

    def add(self, activities: Sequence[Held]) -> None:
        """See ``Writer``."""
        rows: list[list[Any]] = []
        streams: list[list[Any]] = []
        unreadable = 0
        for held in activities:
            stored = decoded(held)
            values, odd = values_of(held.activity, stored.fields())
            rows.append(values)
            samples = sampled.read_samples(stored.streams)
            unreadable += odd + samples.unreadable + len(stored.unreadable)
            if samples.columns:
                streams.append(_stream_row(held, samples))
        self._activities.add(rows)
        self._streams.add(streams)
        self._written += Written(len(rows), len(streams), 0, unreadable)

    def finish(self) -> Written:
        """See ``Writer``."""
        self._activities.finish()
        self._streams.finish()
        return self._written

    def abort(self) -> None:
        """See ``Writer``."""
        self._activities.abort()
        self._streams.abort()


def _stream_row(held: Held, samples: sampled.Samples) -> list[Any]:
    track = track_of(samples)
    columns = (samples.columns.get(name) for name in sampled.COLUMNS)
    return [held.activity.id, instant(held.activity.start), samples.size, *columns, track and track.wkb]


class _Table:
    """A file, of which a group of rows is in memory."""

    def __init__(self, path: str, schema: Any) -> None:
        self._path = path
        self._schema = schema
        self._file: Any = None
        self._batches: list[Any] = []
        self._bytes = self._rows = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        arrays = [
            arrow.array(values, field.type) for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        batch = arrow.record_batch(arrays, schema=self._schema)
        self._batches.append(batch)
        self._bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._bytes >= _GROUP_BYTES or self._rows >= _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._batches:
            return
        if self._file is None:
            os.close(open_private_file(self._path))
            self._file = parquet.ParquetWriter(self._path, self._schema, compression="zstd")
        table = arrow.Table.from_batches(self._batches, self._schema)
        self._batches, self._bytes, self._rows = [], 0, 0
        self._file.write_table(table, row_group_size=_GROUP_ROWS)

    def finish(self) -> None:
        self._flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def abort(self) -> None:
        self._batches = []
        if self._file is not None:
            self._file.close()
            self._file = None
