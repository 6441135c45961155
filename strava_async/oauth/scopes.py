"""Scopes: what an athlete is asked to grant, and what was granted.

Rules:

- Asked scopes go out comma separated. Granted ones come back comma separated on the redirect and space separated in
  the token response, may be fewer than requested, and may be missing from the token response.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749 §3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from strava_async.errors import InputError, MissingScopeError


class Scope(StrEnum):
    """Every scope Strava knows."""

    READ = "read"
    READ_ALL = "read_all"
    PROFILE_READ_ALL = "profile:read_all"
    PROFILE_WRITE = "profile:write"
    ACTIVITY_READ = "activity:read"
    ACTIVITY_READ_ALL = "activity:read_all"
    ACTIVITY_WRITE = "activity:write"


DEFAULT_SCOPE = (Scope.READ, Scope.ACTIVITY_READ)

_KNOWN = frozenset(name.value for name in Scope)


def parse_scope(text: str) -> frozenset[str]:
    """Return the names in a scope list, whether commas or spaces separate them."""
    return frozenset(name for name in re.split(r"[\s,]+", text) if name)


def scope_names(scope: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return what to ask for, in order and without repetition; the default is ``read`` and ``activity:read``.

    Raises:
        InputError: a scope that Strava does not know, or none at all.
    """
    if scope is None:
        scope = DEFAULT_SCOPE
    asked = re.split(r"[\s,]+", scope.strip()) if isinstance(scope, str) else [str(name) for name in scope]
    for name in asked:
        if name not in _KNOWN:
            raise InputError(f"unknown scope {name!r}; Strava knows {', '.join(sorted(_KNOWN))}")
    if not asked:
        raise InputError("the scope is empty")
    return tuple(dict.fromkeys(asked))


def check_scope(granted: frozenset[str], required: Iterable[str]) -> None:
    """Raise MissingScopeError unless everything required was granted."""
    missing = frozenset(str(name) for name in required) - granted
    if missing:
        raise MissingScopeError(f"the athlete did not grant {', '.join(sorted(missing))}", missing=missing)


def lacks_scope(granted: frozenset[str], any_of: tuple[str, ...]) -> bool:
    """Say whether it is known that none of these was granted; never of no scopes at all.

    It is not known where nothing is said about what was granted, nor where that holds a name that Strava does not
    document: it may include what is required.
    """
    return bool(any_of and granted) and granted <= _KNOWN and granted.isdisjoint(any_of)
