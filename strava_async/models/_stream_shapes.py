"""Which parts of an answer are streams, and which values in them are invalid.

Strava was observed to send an object by type, or a list of objects with their types, and null for a missing sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, starmap
from typing import Any

from strava_async._types import is_list, is_object
from strava_async.models._fields import LatLng
from strava_async.models._reading import InvalidValue, kind_of
from strava_async.models.stream_type import ELEMENTS

_WHOLE = "StreamSet"
# For ten thousand samples, `map` over these sets' methods stays in C and takes a tenth of a Python loop's time.
_NUMBERS = frozenset((int, float))
_KINDS: Mapping[type, frozenset[type]] = {
    int: frozenset((int, type(None))),
    bool: frozenset((bool, type(None))),
    float: frozenset((int, float, type(None))),
}
_PAIR = frozenset((list,))
_TWO = frozenset((2,))
_NO_PAIR = "a list that is not a pair of numbers"
_ABOUT = {"series_type": str, "resolution": str, "original_size": int}


def by_type(raw: Any, invalid: list[InvalidValue]) -> dict[str, Mapping[str, Any]]:
    """Return the streams by type, from either form. Anything that is not a stream goes to ``invalid``; null is ignored.

    Args:
        raw: the JSON value that came.
        invalid: receives the values that are not streams.
    """
    streams: dict[str, Mapping[str, Any]] = {}
    for where, kind, stream in _entries(raw):
        if stream is None and where != _WHOLE:
            continue
        if not is_object(stream):
            invalid.append(InvalidValue(where, kind_of(stream)))
        elif not isinstance(kind, str):
            invalid.append(InvalidValue(f"{where}.type", kind_of(kind)))
        elif kind in streams:
            invalid.append(InvalidValue(f"{_WHOLE}.{kind}", "there twice"))
        else:
            streams[kind] = stream
    return streams


def _entries(raw: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place of each stream, its type and its value."""
    if is_object(raw):
        yield from ((f"{_WHOLE}.{kind}", kind, stream) for kind, stream in raw.items())
    elif is_list(raw):
        yield from ((f"{_WHOLE}[]", entry.get("type") if is_object(entry) else None, entry) for entry in raw)
    else:
        yield _WHOLE, None, raw


def invalid_values_in(kind: str, stream: Mapping[str, Any]) -> Iterator[InvalidValue]:
    """Yield the invalid values of a stream, each kind of them once.

    Args:
        kind: the stream's type.
        stream: the JSON object that came.
    """
    where = f"StreamSet.{kind}"
    for name, about in _ABOUT.items():
        value = stream.get(name)
        if value is not None and value.__class__ is not about:
            yield InvalidValue(f"{where}.{name}", kind_of(value))
    data = stream.get("data")
    if not is_list(data):
        yield InvalidValue(f"{where}.data", kind_of(data))
    elif ELEMENTS.get(kind) is LatLng:
        yield from (InvalidValue(f"{where}.data[]", came) for came in _no_places(data))
    else:
        known = _KINDS.get(ELEMENTS.get(kind, object))
        if known is not None and not known.issuperset(map(type, data)):
            strangers = {value.__class__: value for value in data if value.__class__ not in known}
            yield from (InvalidValue(f"{where}.data[]", kind_of(value)) for value in strangers.values())


def _no_places(data: list[Any]) -> list[str]:
    if _are_pairs(data):
        return []
    strangers = (value for value in data if value not in (None, []) and not _are_pairs([value]))
    return list(dict.fromkeys(_NO_PAIR if is_list(value) else kind_of(value) for value in strangers))


def places(data: Sequence[Any]) -> tuple[Any, ...]:
    """Return the samples of a ``latlng`` stream as places; gaps are None, invalid values stay as they came."""
    return tuple(starmap(LatLng, data) if _are_pairs(data) else map(_place, data))


def _place(value: Any) -> Any:
    if value == []:
        return None
    return LatLng(*value) if _are_pairs([value]) else value


def _are_pairs(data: Sequence[Any]) -> bool:
    return (
        _PAIR.issuperset(map(type, data))
        and _TWO.issuperset(map(len, data))
        and _NUMBERS.issuperset(map(type, chain.from_iterable(data)))
    )
