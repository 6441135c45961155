"""Bounds in time, as callers pass them and as Strava expects them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from strava_async.errors import InputError

Moment = date | float | str
"""An aware datetime, a date (its midnight in UTC), either as text in ISO 8601, or epoch seconds."""

# In seconds that is the year 5138; in milliseconds it is 1973.
_MILLISECONDS_FROM = 100_000_000_000


def epoch_seconds(name: str, moment: object) -> int | None:
    """Return a moment as Strava expects it; None stays None.

    Args:
        name: for the error.
        moment: a ``Moment``.

    Raises:
        InputError: it is not a moment, it has a time but no time zone, or it is out of range.
    """
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = _parsed(name, moment)
    if isinstance(moment, date):
        moment = _seconds(name, moment)
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise InputError(f"{name} must be an aware datetime, a date, either as text in ISO 8601, or epoch seconds")
    if not 0 <= moment < _MILLISECONDS_FROM:
        raise InputError(f"{name} must be in epoch seconds: this is out of range, or in milliseconds")
    return int(moment)


def _parsed(name: str, text: str) -> date:
    for kind in (date, datetime):
        try:
            return kind.fromisoformat(text)
        except ValueError:
            pass
    raise InputError(f"{name} is not a date or time in ISO 8601, such as 2026-01-31 or 2026-01-31T06:00:00Z: {text!r}")


def _seconds(name: str, moment: date) -> float:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), UTC)
    if moment.utcoffset() is None:
        raise InputError(f"{name} is a time without a time zone: give it one, such as datetime.UTC, or Z in a text")
    try:
        return moment.timestamp()
    except OverflowError:
        raise InputError(f"{name} is out of range") from None
