"""Numbers as people read them."""

from __future__ import annotations

import re
from datetime import date, datetime

_INSIDE_A_NAME = re.compile(r"(?<=[a-z])(?=[A-Z])")


def distance(metres: float) -> str:
    """Return a distance in kilometres, or a short one in metres."""
    return f"{metres:.0f} m" if 0 < metres < 1000 else f"{metres / 1000:.1f} km"


def duration(seconds: float) -> str:
    """Return a duration in hours and minutes, or a short one in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def day(instant: datetime) -> str:
    """Return the day and the time of an instant."""
    return f"{instant:%a} {instant.day} {instant:%b %Y, %H:%M}"


def day_of(day: date) -> str:
    """Return a day without its year: ``5 October``."""
    return f"{day.day} {day:%B}"


def words(name: str) -> str:
    """Return a sport's name with spaces: ``Weight Training`` for ``WeightTraining``."""
    return _INSIDE_A_NAME.sub(" ", name)
