"""A stream: one measurement of a recording, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast, overload

from strava_async._types import is_list
from strava_async.models._fields import LatLng
from strava_async.models._stream_shapes import places
from strava_async.models.stream_type import StreamType

T = TypeVar("T")


class Stream(Sequence[T | None]):
    """A stream. It is the sequence of its samples; None is a gap.

    Streams of one ``StreamSet`` align by index. A sample that does not fit is kept as it came.

    Args:
        kind: its type.
        raw: the JSON object that came.
    """

    __slots__ = ("_came", "_data", "_raw", "_type")

    def __init__(self, kind: str, raw: Mapping[str, Any]) -> None:
        self._type = kind
        self._raw = raw
        came = raw.get("data")
        self._came = tuple(came) if is_list(came) else ()
        self._data: tuple[T | None, ...] | None = None if kind == StreamType.LATLNG else self._came

    @property
    def type(self) -> str:
        """The measurement: a ``StreamType``, or the name of one that is newer than this library."""
        return self._type

    @property
    def data(self) -> tuple[T | None, ...]:
        """The samples; empty where Strava sent no list."""
        if self._data is None:  # pairs of coordinates become places on first use
            self._data = cast("tuple[T | None, ...]", places(self._came))
        return self._data

    @property
    def series_type(self) -> str | None:
        """Whether samples of a downsampled stream are evenly spaced in ``distance`` or ``time``."""
        return self._raw.get("series_type")

    @property
    def original_size(self) -> int | None:
        """How many samples the recording has; this stream may have fewer."""
        return self._raw.get("original_size")

    @property
    def resolution(self) -> str | None:
        """``low``, ``medium`` or ``high``. ``high`` can have more than the documented 10,000 samples."""
        return self._raw.get("resolution")

    @property
    def raw(self) -> Mapping[str, Any]:
        """The JSON as it came. Changing it changes no samples."""
        return self._raw

    @overload
    def __getitem__(self, index: int) -> T | None: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T | None, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T | None, ...] | None:
        return self.data[index]

    def __iter__(self) -> Iterator[T | None]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self._came)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self._type, self._raw) == (other._type, other._raw)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._type, self._raw)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._type}: {len(self)} samples>"


class Sample(NamedTuple):
    """The values of the documented streams at one index. None where a stream is missing or has a gap.

    Attributes:
        time: seconds since the start.
        distance: metres since the start.
        latlng: the place.
        altitude: metres above sea level.
        velocity_smooth: metres per second.
        heartrate: beats per minute.
        cadence: revolutions per minute; of a run, those of one leg.
        watts: power.
        temp: degrees Celsius.
        moving: whether the athlete was moving.
        grade_smooth: percent.
    """

    time: int | None = None
    distance: float | None = None
    latlng: LatLng | None = None
    altitude: float | None = None
    velocity_smooth: float | None = None
    heartrate: int | None = None
    cadence: int | None = None
    watts: int | None = None
    temp: int | None = None
    moving: bool | None = None
    grade_smooth: float | None = None
