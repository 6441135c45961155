"""The samples of an activity, by what each stream is documented to hold. Pure.

Rules:

- A column holds values of its own type, and None for a gap. Anything else becomes None, and is counted: text, NaN, a
  number beyond what the type holds, a place that is not on Earth.
- Columns are of equal length. One that is shorter is filled up with None, and counted once. No column is longer than
  ``MAX_SAMPLES``.
- A longitude past the date line (181) is turned into one that is not (-179).
- Streams without a documented type are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from strava_async._types import is_list, is_object

MAX_SAMPLES = 1_000_000
INTEGERS = ("time", "heartrate", "cadence", "watts", "temp")
NUMBERS = ("distance", "altitude", "velocity_smooth", "grade_smooth")
TRUTHS = ("moving",)
# The order in which Strava's own lists name them.
KEYS: Final = (
    "time",
    "distance",
    "latlng",
    "altitude",
    "velocity_smooth",
    "heartrate",
    "cadence",
    "watts",
    "temp",
    "moving",
    "grade_smooth",
)
COLUMNS: Final = tuple(column for key in KEYS for column in (("lat", "lng") if key == "latlng" else (key,)))
_MAX_INTEGER = 2**31
_MAX_NUMBER = 1e15
_INT, _NUMBER, _TRUTH, _LIST = frozenset((int,)), frozenset((int, float)), frozenset((bool,)), frozenset((list,))
_TWO = frozenset((2,))

Column = list[Any]


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of equal length.

    Attributes:
        columns: by the names in ``COLUMNS``; those without a value are not there.
        size: how long they are.
        unreadable: how many values, or whole streams, were not what they are documented to be.
    """

    columns: Mapping[str, Column] = field(repr=False)
    size: int
    unreadable: int = 0

    def get(self, name: str) -> Sequence[Any]:
        """Return a column; one of gaps if there is none."""
        column = self.columns.get(name)
        return [None] * self.size if column is None else column


def read_samples(streams: object) -> Samples:
    """Return the samples of streams by type, as ``GET /activities/{id}/streams`` returns them."""
    if not is_object(streams):
        return Samples({}, 0, 1 if streams is not None else 0)
    columns: dict[str, Column] = {}
    unreadable = 0
    for name, read in _READERS.items():
        stream = streams.get(name)
        if stream is None:
            continue
        data = stream.get("data") if is_object(stream) else None
        if not is_list(data):
            unreadable += 1
            continue
        found, odd = read(data[:MAX_SAMPLES])
        unreadable += odd + max(0, len(data) - MAX_SAMPLES)
        columns.update(zip((name,) if len(found) == 1 else ("lat", "lng"), found, strict=True))
    return _aligned(columns, unreadable)


def _aligned(columns: dict[str, Column], unreadable: int) -> Samples:
    size = max(map(len, columns.values()), default=0)
    for name, column in columns.items():
        if len(column) < size:
            unreadable += name != "lng"  # it is as long as the latitudes
            columns[name] = column + [None] * (size - len(column))
    some = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    return Samples(some, size, unreadable)


# Of ten thousand values, sets of their types, and their bounds, cost a tenth of a loop. That comes only where they do
# not fit.


def _integers(data: Column) -> tuple[tuple[Column], int]:
    if _INT.issuperset(map(type, data)) and (not data or (min(data) >= -_MAX_INTEGER and max(data) < _MAX_INTEGER)):
        return (data,), 0
    return _each(_integer, data)


def _numbers(data: Column) -> tuple[tuple[Column], int]:
    if _NUMBER.issuperset(map(type, data)) and _are_within(data, _MAX_NUMBER):
        return (data,), 0
    return _each(_number, data)


def _truths(data: Column) -> tuple[tuple[Column], int]:
    return ((data,), 0) if _TRUTH.issuperset(map(type, data)) else _each(_truth, data)


def _each(read: Callable[[Any], Any], data: Column) -> tuple[tuple[Column], int]:
    values = [None if value is None else read(value) for value in data]
    return (values,), sum(value is None for value in values) - sum(value is None for value in data)


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and abs(number) < _MAX_INTEGER and number == int(number) else None


def _number(value: Any) -> float | None:
    # NaN compares as false.
    return value if type(value) in _NUMBER and abs(value) <= _MAX_NUMBER else None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _places(data: Column) -> tuple[tuple[Column, Column], int]:
    if _are_pairs(data):
        latitudes, longitudes = [pair[0] for pair in data], [pair[1] for pair in data]
        if _are_within(latitudes, 90) and _are_within(longitudes, 180):
            return (latitudes, longitudes), 0
    places = [_place(value) for value in data]
    odd = sum(place is None and value not in (None, []) for place, value in zip(places, data, strict=True))
    return ([place and place[0] for place in places], [place and place[1] for place in places]), odd


def _are_pairs(data: Column) -> bool:
    return (
        _LIST.issuperset(map(type, data))
        and _TWO.issuperset(map(len, data))
        and _NUMBER.issuperset(map(type, chain.from_iterable(data)))
    )


def _are_within(data: Sequence[Any], bound: float) -> bool:
    try:
        is_finite = math.isfinite(sum(data))  # a NaN would hide from min and max
    except OverflowError:
        return False
    return is_finite and (not data or (min(data) >= -bound and max(data) <= bound))


def _place(value: Any) -> tuple[float, float] | None:
    if not is_list(value) or len(value) != 2 or not _are_pairs([value]):
        return None
    lat, lng = value
    if not (abs(lat) <= 90 and abs(lng) <= 360):
        return None
    return lat, lng if abs(lng) <= 180 else lng - math.copysign(360, lng)


_READERS: Mapping[str, Callable[[Column], tuple[tuple[Column, ...], int]]] = {
    **dict.fromkeys(INTEGERS, _integers),
    **dict.fromkeys(NUMBERS, _numbers),
    **dict.fromkeys(TRUTHS, _truths),
    "latlng": _places,
}
