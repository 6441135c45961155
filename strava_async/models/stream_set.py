"""The streams of one answer, aligned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence
from datetime import datetime
from itertools import chain, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, overload

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from strava_async.errors import InputError
from strava_async.models import _frames
from strava_async.models._fields import LatLng
from strava_async.models._reading import InvalidValue
from strava_async.models._stream_shapes import by_type, invalid_values_in
from strava_async.models.stream import Sample, Stream
from strava_async.models.stream_type import ELEMENTS, StreamType
from strava_async.tracks import geojson, gpx
from strava_async.tracks.lines import track_of
from strava_async.tracks.samples import Samples, read_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLACE = ("lat", "lng")
_COLUMNS: Mapping[str, type] = {**dict.fromkeys(_PLACE, float), **ELEMENTS}


class StreamSet:
    """The streams of an activity, a segment effort, a segment or a route. It does not change.

    ::

        streams.heartrate  # a Stream[int], or None
        streams["heartrate"]  # the same, or KeyError; so are streams that are newer than this library
        for sample in streams:  # sample by sample
            print(sample.time, sample.latlng)
        streams[0], streams[:60]  # a Sample, and a list of them

    ``len`` is the number of samples, so a set without any is false. ``in`` and ``keys`` are about the streams' names.

    Streams align by index. One that is shorter than the others is filled up with None; that, and any other invalid
    value, is listed in ``misfits``, and the rest is unaffected. What cannot be a stream is in ``raw`` alone.

    Args:
        raw: the JSON value that came: an object by type, or a list of objects with their types. It is not copied.
    """

    __slots__ = ("_misfits", "_raw", "_size", "_streams")

    def __init__(self, raw: Any) -> None:
        invalid: list[InvalidValue] = []
        streams = by_type(raw, invalid)
        self._raw = raw
        self._streams: dict[str, Stream[Any]] = {kind: Stream(kind, stream) for kind, stream in streams.items()}
        self._size = max(map(len, self._streams.values()), default=0)
        for kind, stream in self._streams.items():
            invalid.extend(invalid_values_in(kind, stream.raw))
            if len(stream) < self._size:
                invalid.append(InvalidValue(f"StreamSet.{kind}.data", "shorter than others"))
        self._misfits = tuple(invalid)

    @property
    def time(self) -> Stream[int] | None:
        """Seconds since the start."""
        return self.get("time")

    @property
    def distance(self) -> Stream[float] | None:
        """Metres since the start."""
        return self.get("distance")

    @property
    def latlng(self) -> Stream[LatLng] | None:
        """Places (WGS 84). Without ``activity:read_all`` those in the athlete's privacy zones are left out."""
        return self.get("latlng")

    @property
    def altitude(self) -> Stream[float] | None:
        """Metres above sea level."""
        return self.get("altitude")

    @property
    def velocity_smooth(self) -> Stream[float] | None:
        """Metres per second, smoothed."""
        return self.get("velocity_smooth")

    @property
    def heartrate(self) -> Stream[int] | None:
        """Beats per minute."""
        return self.get("heartrate")

    @property
    def cadence(self) -> Stream[int] | None:
        """Revolutions per minute; of a run, those of one leg."""
        return self.get("cadence")

    @property
    def watts(self) -> Stream[int] | None:
        """Power; watts."""
        return self.get("watts")

    @property
    def temp(self) -> Stream[int] | None:
        """Degrees Celsius."""
        return self.get("temp")

    @property
    def moving(self) -> Stream[bool] | None:
        """Whether the athlete was moving."""
        return self.get("moving")

    @property
    def grade_smooth(self) -> Stream[float] | None:
        """The slope, smoothed; percent."""
        return self.get("grade_smooth")

    @property
    def raw(self) -> Any:
        """The JSON as it came."""
        return self._raw

    @property
    def misfits(self) -> tuple[InvalidValue, ...]:
        """The invalid values: where they are, and what kind of value came. They were kept."""
        return self._misfits

    def keys(self) -> KeysView[str]:
        """Return the names of the streams that are there, in the order in which they came."""
        return self._streams.keys()

    def get(self, kind: str) -> Stream[Any] | None:
        """Return a stream by name; None if it is missing."""
        return self._streams.get(kind)

    @overload
    def __getitem__(self, key: str) -> Stream[Any]: ...
    @overload
    def __getitem__(self, key: int) -> Sample: ...
    @overload
    def __getitem__(self, key: slice) -> list[Sample]: ...
    def __getitem__(self, key: str | int | slice) -> Stream[Any] | Sample | list[Sample]:
        if isinstance(key, str):
            return self._streams[key]
        if isinstance(key, slice):
            return list(map(self._sample, range(self._size)[key]))
        return self._sample(range(self._size)[key])

    def __iter__(self) -> Iterator[Sample]:
        return map(Sample, *map(self._aligned, StreamType))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return an iterator over the samples as dictionaries: of all streams that are there, by name."""
        names = list(self._streams)
        return (dict(zip(names, values, strict=True)) for values in zip(*map(self._aligned, names), strict=True))

    def to_columns(self) -> dict[str, list[Any]]:
        """Return new lists of equal length by name; gaps are None. ``latlng`` becomes ``lat`` and ``lng``.

        Should there be a stream of one of these names beside it, that one's column is called ``lat_`` or ``lng_``, with
        more underscores if that is a stream's name too.
        """
        columns: dict[str, list[Any]] = {}
        for kind in self._streams:
            values = list(self._aligned(kind))
            if kind == StreamType.LATLNG:
                columns["lat"] = [value.lat if isinstance(value, LatLng) else None for value in values]
                columns["lng"] = [value.lng if isinstance(value, LatLng) else None for value in values]
            else:
                columns[self._column(kind)] = values
        return columns

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """Return the columns as arrays: int64, float64, bool, or object for anything else.

        Gaps are NaN: integers with gaps become float64. Booleans have no NaN: with gaps they become object, and gaps
        are None.

        Raises:
            InputError: numpy is not installed.
        """
        return _frames.to_numpy(self.to_columns(), _COLUMNS)

    def to_pandas(self) -> Any:
        """Return the columns as a ``pandas.DataFrame`` whose index counts the samples from 0.

        Columns with gaps have the nullable kinds ``Int64``, ``Float64`` and ``boolean``; those without, ``int64``,
        ``float64`` and ``bool``; anything else, ``object``.

        Raises:
            InputError: pandas is not installed.
        """
        return _frames.to_pandas(self.to_columns(), _COLUMNS)

    def to_arrow(self) -> Any:
        """Return the columns as a ``pyarrow.Table``: int64, double or bool, with nulls for gaps.

        Any other column is one of strings: values that are not text are encoded as JSON.

        Raises:
            InputError: pyarrow is not installed.
        """
        return _frames.to_arrow(self.to_columns(), _COLUMNS)

    def to_geojson(self, properties: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the track as a Feature of GeoJSON (RFC 7946), as JSON's values.

        Longitude first, six decimals, altitudes where all places have one. It is a ``MultiLineString`` where the track
        crosses the date line, and has no geometry if there are less than two places. Gaps and invalid values are left
        out.

        Args:
            properties: of the Feature; values of JSON.
        """
        return geojson.feature(track_of(self._samples()), properties or {})

    def to_gpx(self, *, start: datetime | None = None, name: str = "", sport_type: str = "") -> str:
        """Return the track as a file of GPX 1.1, with heart rate, cadence, temperature and power.

        Gaps and invalid values are left out, and samples without a place.

        Args:
            start: when the activity began (``start_date``); an aware datetime. None leaves out all times.
            name: of the track.
            sport_type: of the track.

        Raises:
            InputError: ``start`` is not aware.
        """
        if start is not None and start.tzinfo is None:
            raise InputError("start is an aware datetime, such as an activity's start_date")
        return "".join(gpx.gpx_parts(self._samples(), name=name, sport_type=sport_type, start=start))

    def to_json(self) -> str:
        """Return the JSON as it came, as text. ``StreamSet(json.loads(text))`` is equal to this.

        NaN and infinities, which JSON does not have, are null.
        """
        try:
            return json.dumps(self._raw, separators=(",", ":"), allow_nan=False)
        except ValueError:
            finite = json.loads(json.dumps(self._raw), parse_constant=lambda _: None)
            return json.dumps(finite, separators=(",", ":"))

    def __contains__(self, kind: object) -> bool:
        return kind in self._streams

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamSet) and self._raw == other._raw

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._raw,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._size} samples: {', '.join(self._streams) or 'no streams'}>"

    def _samples(self) -> Samples:
        return read_samples({kind: stream.raw for kind, stream in self._streams.items()})

    def _sample(self, index: int) -> Sample:
        streams = map(self._streams.get, StreamType)
        return Sample(*(stream[index] if stream and index < len(stream) else None for stream in streams))

    def _column(self, kind: str) -> str:
        if kind in _PLACE and StreamType.LATLNG in self._streams:
            kind += "_"
            while kind in self._streams:
                kind += "_"
        return kind

    def _aligned(self, kind: str) -> Iterator[Any]:
        data: Sequence[Any] = self._streams.get(kind, ())
        return chain(data, repeat(None, self._size - len(data)))

    # A StreamSet may be a field of a user's pydantic model, or the result of a FastAPI route: it is serialized as JSON.

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.plain_serializer_function_ser_schema(_RAW_OF, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": ["object", "array"]}


_RAW_OF: Callable[[StreamSet], Any] = attrgetter("raw")
