"""Models as columns of a table.

A column is there if an item has the field. Objects inside become columns of their own, ``athlete.id``, as pandas'
``json_normalize`` names them; places two, ``start_lat`` and ``start_lng``; lists stay lists of JSON's values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, get_args

from strava_async._types import is_list
from strava_async.errors import InputError
from strava_async.models._fields import LatLng
from strava_async.models._model import StravaModel


def columns_of(items: Iterable[object]) -> tuple[dict[str, list[Any]], dict[str, type]]:
    """Return columns of equal length, and what some of them are documented to hold.

    Raises:
        InputError: an item is no model.
    """
    rows: list[dict[str, Any]] = []
    kinds: dict[str, type] = {}
    seen: set[type] = set()
    for item in items:
        if not isinstance(item, StravaModel):
            raise InputError(f"only models make a table, and not {type(item).__name__}")
        rows.append(dict(_flat(item)))
        if type(item) not in seen:
            seen.add(type(item))
            kinds.update(_kinds(type(item)))
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}, kinds


def _flat(model: StravaModel, before: str = "") -> Iterator[tuple[str, Any]]:
    values = {**{name: vars(model)[name] for name in type(model).model_fields}, **(model.model_extra or {})}
    for name, value in values.items():
        if name not in model.model_fields_set:
            continue
        if isinstance(value, StravaModel):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, LatLng):
            place = before + name.removesuffix("latlng")
            yield from ((f"{place}lat", value.lat), (f"{place}lng", value.lng))
        elif not name.endswith("latlng") or value is not None:
            yield before + name, _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if is_list(value):
        return [_plain(each) for each in value]
    return value.raw if isinstance(value, StravaModel) else value


def _kinds(model: type[StravaModel]) -> Iterator[tuple[str, type]]:
    for name, field in model.model_fields.items():
        kinds = set(get_args(field.annotation)) & {int, float, bool}
        if len(kinds) == 1:
            yield name, kinds.pop()
