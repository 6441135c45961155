"""The grants of OAuth 2 as Strava speaks it: what is sent to the token endpoint, and what its responses mean.

Rules:

- A 400 of the token endpoint does not mean that the grant is invalid, nor a 401 that a token expired: only
  ``errors[].resource`` tells the athlete's grant from the application's credentials.
- A refresh token may change with every refresh; the old one is invalid at once. So a response with a usable access
  token is accepted, whatever else is wrong with it: a refresh token that is missing is the old one (RFC 6749 §6), a
  number that comes as text is a number, and an invalid expiry is computed from ``expires_in``, or unknown.
- No frame that may be in a traceback has a secret among its locals; see ``_hidden``.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from strava_async._hidden import Hidden, hidden, masked
from strava_async._types import is_object
from strava_async.errors import DecodeError, ErrorDetails, InvalidClientError, InvalidGrantError, OAuthError
from strava_async.oauth.credentials import check_client_id, check_secret, fits_a_field
from strava_async.oauth.scopes import parse_scope
from strava_async.oauth.token_set import (
    TokenSet,
)

K = TypeVar("K")
V = TypeVar("V")

# 9999-12-31T23:59:59Z. Anything beyond is milliseconds, or invalid.
END_OF_THE_CALENDAR = 253_402_300_799


class AccessInfo(dict[str, Any]):
    """The response of the token endpoint. A dict; its repr masks the tokens, and so does theirs.

    Always there: ``access_token``. Nearly always: ``refresh_token``, the old one where a renewal brings none; and
    ``expires_at`` (int, epoch seconds), computed where only ``expires_in`` can be used, absent where neither can. Where
    Strava sends them: ``expires_in`` (int, seconds), ``token_type`` and ``scope`` (text, as it came), ``athlete``
    (a dict; after a code exchange only).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, masked(value) if key.endswith("_token") else value)

    @overload
    def __or__(self, other: dict[str, Any], /) -> Self: ...
    @overload
    def __or__(self, other: dict[K, V], /) -> dict[str | K, Any | V]: ...
    def __or__(self, other: dict[Any, Any], /) -> Any:
        return type(self)({**self, **other}) if is_object(other) else NotImplemented

    @overload
    def __ror__(self, other: dict[str, Any], /) -> Self: ...
    @overload
    def __ror__(self, other: dict[K, V], /) -> dict[str | K, Any | V]: ...
    def __ror__(self, other: dict[Any, Any], /) -> Any:
        return type(self)({**other, **self}) if is_object(other) else NotImplemented

    if not TYPE_CHECKING:  # the types are those of dict, which checkers accept there alone

        def __ior__(self, other: Any) -> Self:
            self.update(other)
            return self

    def copy(self) -> Self:
        """Return another one with the same content."""
        return type(self)(self)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Take what a mapping or pairs have, as ``dict`` does."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return what is there; ``default``, which is kept, if there is nothing."""
        if key not in self:
            self[key] = default
        return self[key]

    def token_set(self, before: TokenSet | None = None) -> TokenSet:
        """Return the tokens as a value.

        Args:
            before: what was known; its refresh token, scope and athlete apply where this response has none, and its
                generation. A response with another athlete begins a new grant: nothing is carried over.

        Raises:
            InputError: the access token is invalid.
        """
        athlete = self.get("athlete")
        athlete_id = _id_of(athlete.get("id")) if is_object(athlete) else None
        if before is None or (athlete_id is not None and before.athlete_id not in (None, athlete_id)):
            before = TokenSet("")
        refresh_token, scope = self.get("refresh_token"), self.get("scope")
        return TokenSet(
            self.get("access_token", ""),
            refresh_token if _is_token(refresh_token) else before.refresh_token,
            _seconds(self.get("expires_at")),
            (parse_scope(scope) if isinstance(scope, str) else None) or before.scope,
            before.athlete_id if athlete_id is None else athlete_id,
            before.generation,
        )


Form = Mapping[str, "str | Hidden[str]"]


def code_grant(client_id: int | str, client_secret: str | Hidden[str], code: str | Hidden[str]) -> Form:
    """Return the form that exchanges a code for tokens (RFC 6749 §4.1.3).

    Raises:
        InputError: one of the three is invalid; it is named, and not shown.
    """
    secret, grant = hidden(client_secret), hidden(code)
    del client_secret, code
    check_secret(grant, "the authorization code")
    return {**_credentials(client_id, secret), "grant_type": "authorization_code", "code": grant}


def refresh_grant(client_id: int | str, client_secret: str | Hidden[str], refresh_token: str | Hidden[str]) -> Form:
    """Return the form that requests the next tokens (RFC 6749 §6); raises as ``code_grant``."""
    secret, grant = hidden(client_secret), hidden(refresh_token)
    del client_secret, refresh_token
    check_secret(grant, "the refresh token")
    return {**_credentials(client_id, secret), "grant_type": "refresh_token", "refresh_token": grant}


def _credentials(client_id: int | str, client_secret: Hidden[str]) -> dict[str, str | Hidden[str]]:
    check_client_id(client_id)
    return {"client_id": str(client_id), "client_secret": check_secret(client_secret)}


def access_info(answer: object, *, now: float, refresh_token: str | Hidden[str] | None = None) -> AccessInfo:
    """Return what is usable of a decoded response of the token endpoint.

    Args:
        answer: any JSON value, hidden or not.
        now: Unix time; an expiry is computed from it where the response has only the lifetime of the token.
        refresh_token: the one that was sent; kept where the response has none.

    Raises:
        DecodeError: there is no usable access token. Nothing of the body is shown.
    """
    came, sent = hidden(answer), hidden(refresh_token)
    del answer, refresh_token
    if not is_object(came.reveal()):
        raise DecodeError("the response of the token endpoint is not a JSON object")
    if not _is_token(cast(Mapping[str, Any], came.reveal()).get("access_token")):
        raise DecodeError("the token endpoint sent no usable access_token")
    return _access_info(cast(Mapping[str, Any], came.reveal()), now, sent.reveal())


def _access_info(answer: Mapping[str, Any], now: float, refresh_token: str | None) -> AccessInfo:
    lifetime = _seconds(answer.get("expires_in"))
    expires_at = _seconds(answer.get("expires_at")) or (None if lifetime is None else _seconds(int(now) + lifetime))
    sent = answer.get("refresh_token")
    values: dict[str, Any] = {
        "access_token": answer["access_token"],
        "refresh_token": sent if _is_token(sent) else refresh_token,
        "expires_at": expires_at,
        "expires_in": lifetime,
        **{name: value for name in ("token_type", "scope") if isinstance(value := answer.get(name), str)},
        "athlete": athlete if is_object(athlete := answer.get("athlete")) else None,
    }
    return AccessInfo({name: value for name, value in values.items() if value is not None})


def _is_token(value: object) -> bool:
    return isinstance(value, str) and bool(value) and fits_a_field(value)


def _seconds(value: object) -> int | None:
    """Return a number of seconds that a calendar can hold, be it text; None for anything else."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", value.strip(), re.ASCII) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= END_OF_THE_CALENDAR:
        return None
    return int(value)


def _id_of(value: object) -> int | None:
    """Return an athlete's id, be it text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value, re.ASCII):
        value = int(value)
    return value if type(value) is int and 0 < value < 2**63 else None  # True is an int to Python


def grant_error(status_code: int, errors: ErrorDetails) -> OAuthError | None:
    """Return what an error response of the token or revoke endpoint means for the grant; None if nothing.

    Source:
        the error bodies of ``/oauth/token``, as probed in July 2026: ``RefreshToken`` and ``AuthorizationCode``
        (``RequestToken`` in 2018) name the grant, ``Application`` the credentials; a 401 is a wrong client secret.
    """
    resources = {str(error.get("resource", "")) for error in errors}
    if status_code == 400 and resources & {"RefreshToken", "AuthorizationCode", "RequestToken"}:
        what = "refresh token" if "RefreshToken" in resources else "authorization code"
        return InvalidGrantError(f"Strava does not accept the {what}: connect the athlete again", errors=errors)
    if status_code == 401 or (status_code == 400 and "Application" in resources):
        return InvalidClientError("Strava does not accept the client id or the client secret", errors=errors)
    return None
