"""Strength workouts in Strava's JSON upload format: sets in place of a track. Pure.

Source:
    https://developers.strava.com/docs/uploads/ (JSON, version 1.0, since May 2026).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from strava_async._types import is_object
from strava_async.errors import InputError
from strava_async.models.sports import SportType

Seconds = float | timedelta
StrengthStreams = Mapping[str, Sequence[int | bool]]

STRENGTH_SPORT_TYPES = frozenset(
    {
        SportType.WEIGHT_TRAINING,
        SportType.HIGH_INTENSITY_INTERVAL_TRAINING,
        SportType.WORKOUT,
        SportType.CROSSFIT,
    }
)
_EXERCISE_TYPE = re.compile("[A-Z0-9_]+")


@dataclass(frozen=True, slots=True)
class StrengthSet:
    """One set of one exercise.

    Attributes:
        exercise_type: Strava's name, such as ``BENCH_PRESS``. There are more than 650, and new ones are added: only the
            form is checked.
        repetitions: how many.
        weight: kilograms.
        duration: how long it took; seconds or a timedelta, sent in whole seconds.
        start_time: when it began; an aware datetime.

    Raises:
        InputError: a value is invalid.
    """

    exercise_type: str
    repetitions: int | None = None
    weight: float | None = None
    duration: Seconds | None = None
    start_time: datetime | None = None

    def __post_init__(self) -> None:
        _check_exercise_type(self.exercise_type)
        if self.repetitions is not None and not _is_whole(_checked("repetitions", self.repetitions)):
            raise InputError("repetitions must be a whole number")
        _checked("weight", self.weight)
        self.document()

    def document(self) -> dict[str, Any]:
        """Return the set in the form of the format."""
        return _given(
            exercise_type=self.exercise_type,
            repetitions=self.repetitions,
            weight=self.weight,
            duration=_whole_seconds("duration", self.duration),
            start_time=_instant("start_time", self.start_time),
        )


def strength_document(
    *,
    start_time: datetime,
    elapsed_time: Seconds,
    sets: Iterable[StrengthSet],
    active_time: Seconds | None = None,
    total_calories: float | None = None,
    creator: str | None = None,
    streams: StrengthStreams | None = None,
    utc_offset: int | None = None,
) -> dict[str, Any]:
    """Return a workout in the form of the format.

    Args:
        start_time: when it began; an aware datetime.
        elapsed_time: how long it took; seconds or a timedelta, sent in whole seconds.
        sets: at least one; Strava shows them in this order.
        active_time: how much of it was exercise; seconds or a timedelta.
        total_calories: kilocalories.
        creator: what made the file.
        streams: lists of equal lengths by name: ``time`` (whole seconds since the start, not decreasing), which is
            required, ``active`` (truth values) and ``heartrate`` (beats per minute).
        utc_offset: the offset of local time from UTC; whole seconds. None means that of ``start_time``.

    Raises:
        InputError: a time without a time zone, an invalid value, no set, or streams of unequal lengths.
    """
    written = _instant("start_time", start_time)
    if written is None:
        raise InputError("start_time must be a datetime with a time zone")
    offset = start_time.utcoffset()
    if offset is not None and utc_offset is None:
        utc_offset = round(offset.total_seconds())
    if not _is_whole(utc_offset):
        raise InputError("utc_offset must be a whole number of seconds")
    elapsed_seconds = _whole_seconds("elapsed_time", elapsed_time)
    if not elapsed_seconds:
        raise InputError("elapsed_time must be at least a second")
    return _given(
        version="1.0",
        start_time=written,
        utc_offset=utc_offset,
        elapsed_time=elapsed_seconds,
        active_time=_whole_seconds("active_time", active_time),
        total_calories=_checked("total_calories", total_calories),
        creator=None if creator is None else {"name": creator},
        streams=None if streams is None else _aligned(streams),
        sets=_listed(sets),
    )


def checked_strength_sport(sport_type: str) -> str:
    """Return the sport, unless it is one for which Strava is known to accept no sets; new ones pass.

    Raises:
        InputError: it is such a sport.
    """
    if sport_type in frozenset(SportType) - STRENGTH_SPORT_TYPES:
        allowed = ", ".join(sorted(STRENGTH_SPORT_TYPES))
        raise InputError(f"Strava accepts sets for {allowed}; not for {sport_type}")
    return sport_type


def _check_exercise_type(name: Any) -> None:
    if not (isinstance(name, str) and _EXERCISE_TYPE.fullmatch(name)):
        raise InputError(f"an exercise type is written like BENCH_PRESS, not {name!r}")


def _listed(sets: Any) -> list[dict[str, Any]]:
    if not hasattr(sets, "__iter__"):
        raise InputError("sets must be a list of StrengthSet")
    listed: list[Any] = list(sets)
    for one in listed:
        if not isinstance(one, StrengthSet):
            raise InputError(f"sets holds a {type(one).__name__}: make it a StrengthSet")
    if not listed:
        raise InputError("a strength workout needs at least one set")
    return [one.document() for one in listed]


def _aligned(streams: Any) -> dict[str, list[Any]]:
    if not is_object(streams):
        raise InputError("streams must be lists by name")
    listed = {name: _numbers(name, values) for name, values in streams.items()}
    if "time" not in listed:
        raise InputError("streams need one named time")
    if len(set(map(len, listed.values()))) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in listed.items())
        raise InputError(f"the streams are of unequal lengths: {lengths}")
    times = listed["time"]
    if not all(map(_is_whole, times)) or times != sorted(times) or min(times, default=0) < 0:
        raise InputError("the times of the streams must be whole seconds since the start that do not decrease")
    return listed


def _numbers(name: Any, values: Any) -> list[Any]:
    if not _is_sequence(values) or not all(isinstance(value, bool) or _is_number(value) for value in values):
        raise InputError(f"the stream {name} is not a list of numbers")
    return list(values)


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _checked(name: str, number: Any) -> Any:
    if number is not None and not (_is_number(number) and number >= 0):
        raise InputError(f"{name} must be a number that is not negative")
    return number


def _whole_seconds(name: str, duration: Seconds | None) -> int | None:
    seconds = _checked(name, duration.total_seconds() if isinstance(duration, timedelta) else duration)
    return None if seconds is None else round(seconds)


def _instant(name: str, moment: Any) -> str | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise InputError(f"{name} is not a datetime")
    if moment.utcoffset() is None:
        raise InputError(f"{name} is a datetime without a time zone")
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        raise InputError(f"{name} is out of range") from None


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
