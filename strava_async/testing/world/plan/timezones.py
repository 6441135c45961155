"""Local time without a database of time zones: a fixed offset and one of three summer-time rules.

As with Strava, ``timezone`` names the offset of winter, ``utc_offset`` is the one in force, and
``start_date_local`` is local time with a wrong ``Z``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

DAY = 86_400
_EPOCH = date(1970, 1, 1)

SummerTime = Literal["us", "eu", "none"]


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone.

    Attributes:
        name: the name in the tz database.
        standard_offset: seconds east of Greenwich in winter.
        summer_time: the rule by which an hour is added.
    """

    name: str
    standard_offset: int
    summer_time: SummerTime = "none"

    @property
    def label(self) -> str:
        """The zone as Strava writes it, such as ``(GMT-05:00) America/New_York``, in summer too."""
        sign = "-" if self.standard_offset < 0 else "+"
        hours, minutes = divmod(abs(self.standard_offset) // 60, 60)
        return f"(GMT{sign}{hours:02}:{minutes:02}) {self.name}"

    def offset_at(self, at: float) -> int:
        """Return the offset in force at Unix time ``at``, in seconds."""
        if self.summer_time == "none":
            return self.standard_offset
        begins, ends = _summer(self.summer_time, self.standard_offset, _year_of(at + self.standard_offset))
        return self.standard_offset + (3600 if begins <= at < ends else 0)

    def at_wall(self, wall: float) -> float:
        """Return the Unix time at which clocks here show ``wall`` (seconds since 1970-01-01 on the wall)."""
        at = wall - self.offset_at(wall - self.standard_offset)
        return wall - self.offset_at(at)


def _year_of(seconds: float) -> int:
    return (_EPOCH + timedelta(days=seconds // DAY)).year


@functools.cache
def _summer(rule: SummerTime, standard_offset: int, year: int) -> tuple[float, float]:
    if rule == "us":  # from the second Sunday of March to the first of November, at two on the wall
        two_oclock = 2 * 3600 - standard_offset
        begins = _sunday_from(date(year, 3, 8)) + two_oclock
        return begins, _sunday_from(date(year, 11, 1)) + two_oclock - 3600
    # from the last Sunday of March to the last of October, at one in Greenwich
    return _sunday_from(date(year, 3, 25)) + 3600.0, _sunday_from(date(year, 10, 25)) + 3600.0


def _sunday_from(day: date) -> float:
    return ((day - _EPOCH).days + 6 - day.weekday()) * float(DAY)


def iso(seconds: float) -> str:
    """Write seconds since 1970 as Strava does: whole seconds and a ``Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def start_of(activity: dict[str, Any]) -> float:
    """Return the Unix time at which an activity starts, from its ``start_date``."""
    return datetime.fromisoformat(activity["start_date"]).timestamp()
