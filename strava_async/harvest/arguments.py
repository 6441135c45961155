"""What is passed to a harvest, checked before anything is asked or written. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeGuard

from strava_async._concurrency.callbacks import is_async
from strava_async.errors import InputError
from strava_async.harvest.plan import Plan
from strava_async.stores._values import check_athlete_id

MOST_CALLERS = 1_000
_MOST = 1e18


def check_positive(number: object, name: str) -> None:
    """Raise InputError unless it is a finite number of more than zero, or None."""
    if number is not None and not (_is_number(number) and number > 0):
        raise InputError(f"{name} is a number of more than zero")


def check_count(number: object, name: str) -> None:
    """Raise InputError unless it is a whole number of 1 or more, or None."""
    if number is not None and not (type(number) is int and number >= 1):
        raise InputError(f"{name} is a whole number of 1 or more")


def check_concurrency(number: object) -> None:
    """Raise InputError unless so many requests can be under way at once."""
    if type(number) is not int or not 1 <= number <= MOST_CALLERS:
        raise InputError(f"concurrency is a whole number from 1 to {MOST_CALLERS:,}")


def check_instant(instant: object, name: str) -> None:
    """Raise InputError unless it is an instant in epoch seconds, or None."""
    if instant is not None and not _is_number(instant):
        raise InputError(f"{name} is an instant in epoch seconds, such as moment.timestamp(), or None")


def check_share(share: object, name: str) -> None:
    """Raise InputError unless it is a number from 0 to 1."""
    if not (_is_number(share) and 0 <= share <= 1):
        raise InputError(f"{name} is a number from 0 to 1")


def checked_age(age: object, name: str) -> timedelta:
    """Return a timedelta of zero or more.

    Raises:
        InputError: it is none.
    """
    if not (isinstance(age, timedelta) and age >= timedelta()):
        raise InputError(f"{name} is a timedelta of zero or more")
    return age


def check_function(function: object, name: str) -> None:
    """Raise InputError unless it is a plain function, or None."""
    if function is not None and (not callable(function) or is_async(function)):
        raise InputError(f"{name} has to be a plain function: it is called, not awaited")


def check_keep(keep: object) -> None:
    """Raise InputError unless it is a timedelta of more than zero, or None."""
    if keep is not None and not (isinstance(keep, timedelta) and keep > timedelta()):
        raise InputError("keep is a timedelta of more than zero, or None for until it is deleted")


def check_plan(plan: object) -> None:
    """Raise InputError unless it is a plan."""
    if not isinstance(plan, Plan):
        raise InputError("plan is a Plan, such as Plan() or Plan.of(['details'])")


def checked_ids(athlete_ids: Iterable[int]) -> list[int]:
    """Return ids of athletes, each once.

    Raises:
        InputError: one is none.
    """
    try:
        ids = list(athlete_ids)
    except TypeError:
        raise InputError(
            "athlete_ids are the ids of athletes, such as [7]; None means every connected athlete"
        ) from None
    for each in ids:
        check_athlete_id(each)
    return list(dict.fromkeys(ids))


def _is_number(value: object) -> TypeGuard[float]:
    """Say whether it is a finite number; a bool is none, nor is an integer beyond a double."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST
