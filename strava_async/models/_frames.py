"""Columns as arrays and tables of other libraries, each of which is loaded on first use.

===============  ==========  ================  ==========================  ================
a column of      has gaps    numpy             pandas                      pyarrow
===============  ==========  ================  ==========================  ================
integers         no          int64             int64                       int64
integers         yes         float64, NaN      Int64                       int64, null
numbers          no          float64           float64                     double
numbers          yes         float64, NaN      Float64                     double, null
truth values     no          bool              bool                        bool
truth values     yes         object, None      boolean                     bool, null
instants         both        object, None      datetime64[us, UTC], NaT    timestamp[us, UTC], null
local times      both        object, None      datetime64[us], NaT         timestamp[us], null
anything else                object, None      object, None                string, null
===============  ==========  ================  ==========================  ================

Integers beyond 64 bits, numbers beyond the range of floats, and instants among local times count as anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from strava_async.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = Mapping[str, list[Any]]
Kinds = Mapping[str, type]

_NULLABLE = {int: "Int64", float: "Float64", bool: "boolean"}
# Raised by the libraries for a value that their type cannot hold, such as 10**30.
_TOO_LARGE = (ValueError, TypeError, OverflowError)


def to_numpy(columns: Columns, kinds: Kinds) -> dict[str, NDArray[Any]]:
    """Return the columns as arrays.

    Args:
        columns: lists of equal length.
        kinds: what a column is documented to hold; for one that is not here, its values decide.

    Raises:
        InputError: numpy is not installed.
    """
    numpy = _library("numpy")

    def array(values: list[Any], documented: type | None) -> Any:
        kind, gaps = _kind_of(values, documented)
        if gaps:
            kind = float if kind is int else object if kind is bool else kind
        if kind not in (object, datetime):
            with suppress(*_TOO_LARGE):
                return numpy.array(values, _plain(kind))
        return numpy.fromiter(values, object, len(values))  # numpy.array would make lists a second dimension

    return {name: array(values, kinds.get(name)) for name, values in columns.items()}


def to_pandas(columns: Columns, kinds: Kinds) -> Any:
    """Return the columns as a DataFrame; arguments and errors as for ``to_numpy``, of pandas."""
    pandas = _library("pandas")

    def series(values: list[Any], documented: type | None) -> Any:
        kind, gaps = _kind_of(values, documented)
        try:
            if kind is datetime:
                return pandas.Series(values, dtype="datetime64[us, UTC]" if _are_instants(values) else "datetime64[us]")
            return pandas.Series(values, dtype=_NULLABLE[kind] if gaps and kind is not object else _plain(kind))
        except _TOO_LARGE:
            return pandas.Series(values, dtype=object)

    return pandas.DataFrame({_utf8(name): series(values, kinds.get(name)) for name, values in columns.items()})


def to_arrow(columns: Columns, kinds: Kinds) -> Any:
    """Return the columns as a Table; arguments and errors as for ``to_numpy``, of pyarrow."""
    arrow = _library("pyarrow")
    types = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_(), object: arrow.string()}

    def array(values: list[Any], documented: type | None) -> Any:
        kind, _ = _kind_of(values, documented)
        try:
            if kind is datetime:
                return arrow.array(values, arrow.timestamp("us", tz="UTC" if _are_instants(values) else None))
            return arrow.array(values, types[kind])
        except _TOO_LARGE:
            texts = [None if value is None else json.dumps(value, default=str) for value in values]
            return arrow.array([text and _utf8(text) for text in texts], arrow.string())

    return arrow.table({_utf8(name): array(values, kinds.get(name)) for name, values in columns.items()})


def _kind_of(values: list[Any], documented: type | None) -> tuple[type, bool]:
    """Return what a column holds, int, float, bool, datetime or object, and whether it has gaps."""
    came = set[type](map(type, values))
    gaps = type(None) in came
    came.discard(type(None))
    if documented is not None:
        came.add(documented)
    if came == {bool} or came == {int}:
        return came.pop(), gaps
    if came == {datetime} and _are_instants(values) == all(value.tzinfo is not None for value in values if value):
        return datetime, gaps
    return (float if came and came <= {int, float} else object), gaps


def _are_instants(values: list[Any]) -> bool:
    return any(value.tzinfo is not None for value in values if value is not None)


def _plain(kind: type) -> Any:
    return "int64" if kind is int else kind


def _utf8(name: str) -> str:
    """Return a name that can be encoded; an unpaired surrogate is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"this conversion needs {name}: pip install {name}") from error
