"""What the options of ``strava-async harvest`` say: durations, instants, kinds and shares. No clock is read here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from strava_async.cli.terminal import UsageError
from strava_async.errors import InputError
from strava_async.harvest.plan import Plan

FOREVER = "forever"
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def duration(text: str, option: str) -> timedelta:
    """Return a duration such as ``7d``, ``12h`` or ``90m``.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,6})([dhm])", text.strip().lower())
    if match is None or not int(match[1]):
        raise UsageError(f"{option} takes a number of days, hours or minutes, such as 7d, 12h or 90m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def keep_seconds(text: str) -> float | None:
    """Return for how many seconds ``--keep`` says; None for forever."""
    if text.strip().lower() == FOREVER:
        return None
    try:
        return duration(text, "--keep").total_seconds()
    except UsageError:
        raise UsageError("--keep takes a duration such as 7d, or forever") from None


def next_time(text: str, now: float, zone: tzinfo | None = None) -> float:
    """Return the next instant at which a clock shows ``06:00``; epoch seconds.

    Args:
        text: the time.
        now: epoch seconds.
        zone: the clock's; None means the machine's.

    Raises:
        UsageError: it is no time.
    """
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text.strip())
    if match is None:
        raise UsageError("--until takes a time of the day, such as 06:00")
    today = datetime.fromtimestamp(now, UTC).astimezone(zone)
    for days in (0, 1, 2):
        day = today.date() + timedelta(days=days)
        wall = datetime(day.year, day.month, day.day, int(match[1]), int(match[2]), tzinfo=zone)
        if wall.timestamp() > now:  # of a naive one by the machine's zone
            return wall.timestamp()
    raise UsageError("--until lies at the end of the calendar")


def since(text: str, now: float, zone: tzinfo | None = None) -> float:
    """Return the instant of ``2026-01-31``, of ``2026-01-31T06:00Z``, or of so long ago as ``90d``; epoch seconds.

    Raises:
        UsageError: it is none, or lies in the future.
    """
    try:
        at = now - duration(text, "--since").total_seconds()
    except UsageError:
        try:
            given = datetime.fromisoformat(text.strip())
            at = (given if given.tzinfo is not None or zone is None else given.replace(tzinfo=zone)).timestamp()
        except (ValueError, OverflowError, OSError):
            raise UsageError("--since takes a date such as 2026-01-31, or a duration such as 90d") from None
    if at > now:
        raise UsageError(f"--since {text} lies in the future")
    return max(0.0, at)


def share(text: str) -> float:
    """Return the share that ``20%`` or ``0.2`` is.

    Raises:
        UsageError: it is none from 0 to 1.
    """
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)(%?)", text.strip())
    value = -1.0 if match is None else float(match[1]) / (100.0 if match[2] else 1.0)
    if not 0.0 <= value <= 1.0:
        raise UsageError("--reserve takes a share from 0% to 100%, such as 20%")
    return value


def plan_of(kinds: str | None, since_at: float | None) -> Plan:
    """Return the plan of ``--kinds details,streams``; None is what is harvested by default.

    Raises:
        UsageError: there is no such kind.
    """
    if kinds is None:
        return Plan(since=since_at)
    names = [name.strip() for name in kinds.split(",") if name.strip()]
    try:
        return Plan.of(names, since=since_at)
    except InputError as error:
        raise UsageError(f"--kinds: {error}") from None
