"""What every limiter's arguments have to be."""

from __future__ import annotations

from strava_async.errors import InputError
from strava_async.quota.values import Priority, QuotaClass

_SHORTEST_LEASE, _LONGEST_LEASE = 3.0, 300.0


def quota_class_of(value: str) -> QuotaClass:
    """Return the quota class of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return QuotaClass(value)
    except ValueError as error:
        raise InputError(f"no such quota class: {value!r}") from error


def priority_of(value: int) -> Priority:
    """Return the priority of that rank.

    Raises:
        InputError: there is none.
    """
    try:
        return Priority(value)
    except ValueError as error:
        raise InputError(f"no such priority: {value!r}") from error


def seconds_of(max_wait: float) -> float:
    """Return how long a call may wait.

    Raises:
        InputError: it is negative, or not a number.
    """
    if not max_wait >= 0:
        raise InputError(f"max_wait must not be negative, but is {max_wait}")
    return max_wait


def check_reserve(reserve: float) -> None:
    """Make sure that the reserve is a share.

    Raises:
        InputError: it is not from 0 to 1.
    """
    if not 0 <= reserve <= 1:
        raise InputError(f"reserve must be between 0 and 1, not {reserve}")


def check_lease(lease_seconds: float) -> None:
    """Make sure that a lease outlives a call or two, and that a quarter hour outlives what a dead process held.

    Raises:
        InputError: it is not from 3 to 300 seconds.
    """
    if not _SHORTEST_LEASE <= lease_seconds <= _LONGEST_LEASE:
        raise InputError(
            f"lease_seconds must be between {_SHORTEST_LEASE:g} and {_LONGEST_LEASE:g}, not {lease_seconds}"
        )
