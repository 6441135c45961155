"""Reading parameters: strict, bounded, and a 400 for everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import HttpError, bad_request

PER_PAGE = 30
PER_PAGE_LIMIT = 200
TEXT_LIMIT = 20_000

SPORT_TYPES = frozenset(
    {
        "AlpineSki",
        "BackcountrySki",
        "Badminton",
        "Basketball",
        "Canoeing",
        "Cricket",
        "Crossfit",
        "Dance",
        "EBikeRide",
        "Elliptical",
        "EMountainBikeRide",
        "Golf",
        "GravelRide",
        "Handcycle",
        "HighIntensityIntervalTraining",
        "Hike",
        "IceSkate",
        "InlineSkate",
        "Kayaking",
        "Kitesurf",
        "MountainBikeRide",
        "NordicSki",
        "Padel",
        "PhysicalTherapy",
        "Pickleball",
        "Pilates",
        "Racquetball",
        "Ride",
        "RockClimbing",
        "RollerSki",
        "Rowing",
        "Run",
        "Sail",
        "Skateboard",
        "Snowboard",
        "Snowshoe",
        "Soccer",
        "Squash",
        "StairStepper",
        "StandUpPaddling",
        "Surfing",
        "Swim",
        "TableTennis",
        "Tennis",
        "TrailRun",
        "Velomobile",
        "VirtualRide",
        "VirtualRow",
        "VirtualRun",
        "Volleyball",
        "Walk",
        "WeightTraining",
        "Wheelchair",
        "Windsurf",
        "Workout",
        "Yoga",
        "Snowkiting",
    }
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_TRUE = frozenset({"1", "true"})
_ANY_CASE = {name.lower(): name for name in SPORT_TYPES}


def integer(values: Mapping[str, str], name: str, resource: str = "Application") -> int | None:
    """Return a whole number; None if it was not sent."""
    text = values.get(name)
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise bad_request(resource, name)
    return int(text)


def decimal(values: Mapping[str, str], name: str, resource: str, *, low: float, high: float) -> float | None:
    """Return a number within bounds; None if it was not sent."""
    text = values.get(name)
    if text is None or text == "":
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise bad_request(resource, name) from error
    if not low <= number <= high:  # NaN fails the comparison, too
        raise bad_request(resource, name)
    return number


def truth(values: Mapping[str, str], name: str) -> bool:
    """Return whether a flag is set: 1 or true."""
    return values.get(name, "").lower() in _TRUE


def text(values: Mapping[str, str], name: str, resource: str) -> str | None:
    """Return text of sane length; None if it was not sent."""
    value = values.get(name)
    if value is not None and len(value) > TEXT_LIMIT:
        raise bad_request(resource, name)
    return value


def required(values: Mapping[str, str], name: str, resource: str) -> str:
    """Return text that must be there."""
    value = text(values, name, resource)
    if not value:
        raise bad_request(resource, name, "missing")
    return value


def sport_type(values: Mapping[str, str], resource: str, *, older: str = "type") -> str | None:
    """Return a sport type that Strava knows; None if none was sent.

    Args:
        values: what was sent.
        resource: what the answer blames.
        older: the older parameter, used if ``sport_type`` is not sent. Its case does not matter, because clients
            write it in lower case; that of ``sport_type`` does.
    """
    value = values.get("sport_type")
    if value:
        known = value if value in SPORT_TYPES else None
    else:
        value = values.get(older)
        known = _ANY_CASE.get(value.lower()) if value else None
    if value and known is None:
        raise bad_request(resource, "sport_type")
    return known


def instant(written: str, refusal: HttpError) -> float:
    """Return the Unix time of an ISO 8601 text; without a zone it is taken as UTC."""
    try:
        moment = datetime.fromisoformat(written)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise refusal from error
    if not 0 <= seconds < 4e9:
        raise refusal
    return seconds


def page_of(request: EmulatorRequest, *, clamp: bool) -> tuple[int, int]:
    """Return ``page`` and ``per_page`` of the query.

    More than 200 per page: Strava's answer is not documented; a 400, or 200 items if ``clamp``.
    """
    page = integer(request.query, "page")
    per_page = integer(request.query, "per_page")
    page = 1 if page is None else page
    per_page = PER_PAGE if per_page is None else per_page
    if page < 1:
        raise bad_request("Application", "page")
    if per_page > PER_PAGE_LIMIT and clamp:
        per_page = PER_PAGE_LIMIT
    if not 1 <= per_page <= PER_PAGE_LIMIT:
        raise bad_request("Application", "per page", "limit exceeded" if per_page > 0 else "invalid")
    return page, per_page
