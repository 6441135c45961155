"""Checks of the arguments of ``webhook_router``; each raises InputError."""

from __future__ import annotations

from strava_async.errors import InputError


def check_positive(name: str, number: object) -> None:
    """Raise InputError unless it is an int above zero."""
    if type(number) is not int or number < 1:  # True is an int to Python
        raise InputError(f"{name} has to be an int above zero")


def check_callable(name: str, function: object, *, or_none: bool = False) -> None:
    """Raise InputError unless it is callable, or None where that is allowed."""
    if not callable(function) and not (or_none and function is None):
        raise InputError(f"{name} has to be a function, sync or async")


def check_error_classes(name: str, kinds: tuple[type[Exception], ...]) -> None:
    """Raise InputError unless an ``except`` clause accepts it."""
    try:
        isinstance(Exception(), kinds)
    except TypeError:
        raise InputError(f"{name} has to be a tuple of classes of exceptions, such as (OSError,)") from None
