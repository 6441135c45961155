"""What the stores keep: an application's name, an athlete's id, and a token set as JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from strava_async._types import is_list, is_object
from strava_async.errors import InputError
from strava_async.oauth.token_set import TokenSet

_NAME = re.compile("[^{}]{1,200}")


def check_application(application: object) -> None:
    """Raise InputError unless it is a name for what processes share: it is in keys, and in what is logged."""
    if not isinstance(application, str) or not _NAME.fullmatch(application) or not application.isprintable():
        raise InputError("application is a text of up to 200 printable characters without braces: pass the client id")


def check_athlete_id(athlete_id: int) -> None:
    """Raise InputError unless it is an integer that fits a database's 64 bits."""
    # A caller without a type checker may pass anything; True is an int in Python.
    if type(athlete_id) is not int or not -(2**63) <= athlete_id < 2**63:
        raise InputError("an athlete id is an int of 64 bits")


def to_json(token: TokenSet) -> dict[str, Any]:
    """Return the tokens as a JSON object."""
    return {
        "access_token": token.access_token,
        "refresh_token": token.refresh_token,
        "expires_at": token.expires_at,
        "scope": sorted(token.scope),
        "athlete_id": token.athlete_id,
        "generation": token.generation,
    }


def from_json(value: object) -> TokenSet | None:
    """Return the tokens, or None if the value is not such an object. No error carries a part of it.

    One without a generation was written before there were any.
    """
    if not is_object(value):
        return None
    access_token, refresh_token = value.get("access_token"), value.get("refresh_token")
    expires_at, athlete_id, scope = value.get("expires_at"), value.get("athlete_id"), value.get("scope")
    if not isinstance(access_token, str) or not isinstance(refresh_token, str | None):
        return None
    if not isinstance(expires_at, int | None) or not isinstance(athlete_id, int | None):
        return None
    generation = value.get("generation", "")
    if not is_list(scope) or not isinstance(generation, str) or not all(isinstance(name, str) for name in scope):
        return None
    try:
        return TokenSet(access_token, refresh_token, expires_at, frozenset(scope), athlete_id, generation)
    except InputError:
        return None


def parse(text: str) -> object:
    """Return the JSON value, or None if the text is not JSON. A JSONDecodeError would carry the text."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value
