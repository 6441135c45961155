"""``TokenSet``: the tokens of one athlete as a value.

No frame that may be in a traceback has a secret among its locals; see ``_hidden``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from strava_async._hidden import Hidden, SecretText, masked
from strava_async.errors import InputError
from strava_async.oauth.credentials import fits_a_field
from strava_async.oauth.scopes import parse_scope

GENERATION_LENGTH = 64  # fits a column of a database


@dataclass(frozen=True, slots=True, init=False)
class TokenSet:
    """The tokens of one athlete. Its repr shows neither of them, nor does theirs: ``str(token)`` is a plain text.

    Attributes:
        access_token: sent in the Authorization field; empty if there is none yet.
        refresh_token: exchanged for the next access token; None if there is none.
        expires_at: when the access token expires; epoch seconds, None if unknown.
        scope: what the athlete granted; empty if unknown.
        athlete_id: whose tokens these are; None if unknown.
        generation: a text that ``Strava.connect`` makes, and that stays the same through renewals; it changes when
            Strava reports the grant as revoked. What was issued under another one, such as a browser's session, has
            ended. Up to 64 printable ASCII characters without spaces; empty if none was made. It is no secret.

    An ``expires_at`` with a fraction is cut to seconds; a ``scope`` may be given as text, as Strava writes it, or as
    any collection of names.

    Raises:
        InputError: a token holds a character that tokens cannot hold, such as the line break of a file, or a value has
            another type than the above.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: int | None = None
    scope: frozenset[str] = frozenset()
    athlete_id: int | None = None
    generation: str = field(default="", repr=False)

    def __setstate__(self, state: Sequence[object]) -> None:
        """Take what was pickled, perhaps before there was the last field."""
        for index, each in enumerate(fields(self)):
            value = state[index] if index < len(state) else each.default
            object.__setattr__(self, each.name, masked(value) if each.name.endswith("_token") else value)

    def __init__(
        self,
        access_token: str,
        refresh_token: str | None = None,
        expires_at: int | None = None,
        scope: frozenset[str] = frozenset(),
        athlete_id: int | None = None,
        generation: str = "",
    ) -> None:
        access, refresh = Hidden(access_token), Hidden(refresh_token)
        del access_token, refresh_token  # an invalid one is a secret all the same
        put = object.__setattr__
        put(self, "access_token", _checked_token("access", access))
        put(self, "refresh_token", None if refresh.reveal() is None else _checked_token("refresh", refresh))
        put(self, "expires_at", _checked_expiry(expires_at))
        put(self, "scope", _checked_scope(scope))
        if athlete_id is not None and type(athlete_id) is not int:  # True is an int to Python
            raise InputError("the athlete_id of tokens is an integer, or None")
        put(self, "athlete_id", athlete_id)
        put(self, "generation", _checked_generation(generation))


def _checked_token(name: str, token: Hidden[Any]) -> SecretText:
    if not isinstance(token.reveal(), str):
        raise InputError(f"the {name} token is a text")
    if not fits_a_field(token.reveal()):
        raise InputError(f"the {name} token holds white space or a character outside ASCII")
    return SecretText(token.reveal())


def _checked_generation(value: object) -> str:
    if not isinstance(value, str) or len(value) > GENERATION_LENGTH or not fits_a_field(value):
        raise InputError(f"the generation of tokens is a text of up to {GENERATION_LENGTH} ASCII letters and digits")
    return value


def with_generation(token: TokenSet, generation: str) -> TokenSet:
    """Return the tokens with another generation."""
    same = token.generation == generation
    return token if same else _with(token, "generation", _checked_generation(generation))


def are_same_tokens(one: TokenSet | None, other: TokenSet | None) -> bool:
    """Say whether two are equal but for their generation, which changes without Strava."""
    if one is None or other is None:
        return one is other
    return with_generation(one, other.generation) == other


def with_expiry(token: TokenSet, expires_at: float | None) -> TokenSet:
    """Return the tokens with another expiry; see ``TokenSet``."""
    return _with(token, "expires_at", _checked_expiry(expires_at))


def with_access_token(token: TokenSet, access_token: Hidden[str]) -> TokenSet:
    """Return them with another access token; see ``TokenSet``."""
    return _with(token, "access_token", _checked_token("access", access_token))


def with_refresh_token(token: TokenSet, refresh_token: Hidden[str | None]) -> TokenSet:
    """Return them with another refresh token; see ``TokenSet``."""
    other = None if refresh_token.reveal() is None else _checked_token("refresh", refresh_token)
    return _with(token, "refresh_token", other)


def _with(token: TokenSet, name: str, value: object) -> TokenSet:
    # ``dataclasses.replace`` would have all values among its locals.
    other = copy.copy(token)
    object.__setattr__(other, name, value)
    return other


def _checked_expiry(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**63) <= value < 2**63:
        raise InputError("the expires_at of tokens is epoch seconds that fit in 64 bits, or None")
    return math.floor(value)


def _checked_scope(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return parse_scope(value)
    names = set(cast(Iterable[object], value)) if isinstance(value, Iterable) else {value}
    if not all(isinstance(name, str) for name in names):
        raise InputError("the scope of tokens is a collection of names")
    return frozenset(map(str, names))
