"""The types of fields that Strava's JSON needs and pydantic does not have.

Source:
    https://developers.strava.com/docs/ (dates, polylines), and what Strava was observed to send: ``[]`` for no
    coordinates, ``""`` for no polyline and no date, a false ``Z`` at the end of local times, -1 for no upper bound.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from operator import methodcaller
from typing import Annotated, Any, NamedTuple, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Known = TypeVar("Known", bound=StrEnum)


class LatLng(NamedTuple):
    """A place on Earth (WGS 84).

    Attributes:
        lat: degrees north.
        lng: degrees east.
    """

    lat: float
    lng: float

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _latlng, serialization=core_schema.plain_serializer_function_ser_schema(list, when_used="json-unless-none")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # Strava writes an empty list where there is no place, and a dump returns it.
        return {"type": "array", "items": {"type": "number"}, "maxItems": 2}


def _latlng(value: Any) -> LatLng:
    if not isinstance(value, list | tuple):
        raise ValueError("not a pair of coordinates")
    lat, lng = cast("tuple[Any, ...]", value)  # too few and too many are ValueErrors as well
    if lat.__class__ is float and lng.__class__ is float:  # nearly always
        return LatLng(lat, lng)
    if not (isinstance(lat, float | int) and isinstance(lng, float | int)):
        raise ValueError("not a pair of numbers")
    try:
        return LatLng(float(lat), float(lng))
    except OverflowError:
        raise ValueError("not a pair of degrees") from None


def _place(value: Any) -> LatLng | None:
    return _latlng(value) if value or value not in (None, "", []) else None


def _none_if_empty(value: Any) -> Any:
    return value or None if value in ("", []) else value


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _bound(value: float) -> float | None:
    return None if value == -1 else value


def _text_or_none(value: str) -> str | None:
    return value or None


Place = Annotated[LatLng | None, PlainValidator(_place, json_schema_input_type=LatLng | None)]
"""Coordinates; ``[]`` is None."""

Instant = Annotated[datetime, AfterValidator(_aware)]
"""An instant: an aware datetime."""

InstantOrEmpty = Annotated[Instant | None, BeforeValidator(_none_if_empty)]
"""An instant that Strava writes as ``""`` where there is none."""

# A function of Python's own would take twice as long, for each activity of each page.
LocalTime = Annotated[datetime, AfterValidator(methodcaller("replace", tzinfo=None))]
"""A local time: a naive datetime. The ``Z`` that Strava writes at its end is false."""

Day = date
"""A day without a time."""

EncodedPolyline = Annotated[str, AfterValidator(_text_or_none)]
"""Coordinates encoded (Google's polyline, precision 5); ``""`` is None."""

UpperBound = Annotated[float | None, AfterValidator(_bound)]
"""A bound that is None where Strava sends -1: there is none."""

LeftToRight = Field(union_mode="left_to_right")
"""Tries the known values first; so ``Annotated[SportType | str, LeftToRight]`` keeps new ones."""
