"""OAuth 2 as Strava speaks it: scopes, the authorization URL, token answers, and what a failed grant means.

Rules:

- Asked scopes go out comma separated. Granted ones come back comma separated on the redirect and space separated in
  the token answer, may be fewer than asked, and may be missing from the token answer.
- A 400 of the token endpoint does not mean that the grant is dead, and a 401 not that a token expired: only
  ``errors[].resource`` tells the athlete's grant from the application's credentials.
- A refresh token may change with every refresh; the old one is dead at once.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from strava_async._credentials import check_client_id, check_secret, fits_a_field
from strava_async._shapes import is_object
from strava_async.errors import (
    AuthorizationDeniedError,
    DecodeError,
    ErrorDetails,
    InputError,
    InvalidClientError,
    InvalidGrantError,
    MissingScopeError,
    OAuthError,
)

ApprovalPrompt = Literal["auto", "force"]

_MASK = "***"


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


@dataclass(frozen=True, slots=True)
class TokenSet:
    """The tokens of one athlete. Its repr shows neither of them.

    Attributes:
        access_token: goes into the Authorization field; empty if there is none yet.
        refresh_token: brings the next access token; None if there is none.
        expires_at: when the access token dies; epoch seconds, None if unknown.
        scope: what the athlete granted; empty if unknown.
        athlete_id: whose tokens these are; None if unknown.

    Raises:
        InputError: a token holds a character that no token holds, such as the line break of a file.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: int | None = None
    scope: frozenset[str] = frozenset()
    athlete_id: int | None = None

    def __post_init__(self) -> None:
        for name, token in (("access", self.access_token), ("refresh", self.refresh_token)):
            if token is not None and not fits_a_field(token):
                raise InputError(f"the {name} token holds white space or a character outside ASCII")


class AccessInfo(dict[str, Any]):
    """The answer of the token endpoint. A dict; its repr masks the tokens.

    Always there: ``access_token``, ``refresh_token``, ``expires_at`` (int, epoch seconds). Where Strava sends them:
    ``expires_in`` (seconds), ``token_type``, ``scope`` (as it came), ``athlete`` (a dict; after a code exchange only).
    """

    def __repr__(self) -> str:
        return repr({key: _MASK if key.endswith("_token") else value for key, value in self.items()})

    def token_set(self, before: TokenSet | None = None) -> TokenSet:
        """Return the tokens as a value.

        Args:
            before: what was known; its scope and athlete hold where this answer does not name them. An answer with an
                athlete begins a new grant: nothing of the one before holds.
        """
        athlete = self.get("athlete")
        if athlete is not None:
            before = None
        athlete_id = athlete.get("id") if is_object(athlete) else None
        scope = parse_scope(self["scope"]) if isinstance(self.get("scope"), str) else frozenset[str]()
        return TokenSet(
            self["access_token"],
            self["refresh_token"],
            self["expires_at"],
            scope or (before.scope if before else frozenset()),
            athlete_id if isinstance(athlete_id, int) else (before.athlete_id if before else None),
        )


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
    document: it may include what is asked.
    """
    return bool(any_of and granted) and granted <= _KNOWN and granted.isdisjoint(any_of)


def authorization_url(
    oauth_url: str,
    *,
    client_id: int | str,
    redirect_uri: str,
    approval_prompt: str = "auto",
    scope: str | Iterable[str] | None = None,
    state: str | None = None,
) -> str:
    """Return the address of Strava's consent page for one athlete (RFC 6749 §4.1.1).

    Raises:
        InputError: a client id that is no number, an unknown scope or approval prompt, or a redirect URI that is not
            absolute.
    """
    check_client_id(client_id)
    if approval_prompt not in ("auto", "force"):
        raise InputError(f"approval_prompt is 'auto' or 'force', not {approval_prompt!r}")
    target = urlsplit(redirect_uri)
    if not target.scheme or not (target.netloc or target.path):
        raise InputError(f"redirect_uri is not an absolute URI: {redirect_uri!r}")
    query = {
        "client_id": str(client_id),
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "approval_prompt": approval_prompt,
        "scope": ",".join(scope_names(scope)),
    }
    if state is not None:
        query["state"] = state
    return f"{oauth_url}/authorize?{urlencode(query, quote_via=quote, safe=',:')}"


@dataclass(frozen=True, slots=True)
class Redirect:
    """What the consent page sent the athlete back with. Its repr does not show the code."""

    code: str = field(repr=False)
    scope: frozenset[str]
    state: str | None


def parse_redirect(url: str) -> Redirect:
    """Read the address that Strava sent the athlete back to.

    Raises:
        AuthorizationDeniedError: the athlete refused, or Strava reports another error.
        InputError: that is no address, or neither a code nor an error is in it.
    """
    query = _query_of(url)
    if "error" in query:
        # Anybody can write it, and it may be shown on a terminal (RFC 6749 §4.1.2.1 allows printable ASCII).
        raise AuthorizationDeniedError(re.sub(r"[^ -~]", "?", query["error"])[:100])
    if not query.get("code"):
        raise InputError("the redirect holds neither a code nor an error")
    return Redirect(query["code"], parse_scope(query.get("scope", "")), query.get("state"))


def redirect_state(url: str) -> str | None:
    """Return the ``state`` in the address that Strava sent the athlete back to, before anything in it is believed.

    Raises:
        InputError: that is no address.
    """
    return _query_of(url).get("state")


def _query_of(url: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url).query))
    except ValueError:
        pass  # its message would show the address, and with it the code
    raise InputError("the redirect is no address")


def code_grant(client_id: int | str, client_secret: str, code: str) -> dict[str, str]:
    """Return the form that exchanges a code for tokens (RFC 6749 §4.1.3).

    Raises:
        InputError: one of the three cannot be what it is said to be; it is named, and not shown.
    """
    code = check_secret(code, "the authorization code")
    return {**_credentials(client_id, client_secret), "grant_type": "authorization_code", "code": code}


def refresh_grant(client_id: int | str, client_secret: str, refresh_token: str) -> dict[str, str]:
    """Return the form that brings the next tokens (RFC 6749 §6); raises as ``code_grant``."""
    refresh_token = check_secret(refresh_token, "the refresh token")
    return {**_credentials(client_id, client_secret), "grant_type": "refresh_token", "refresh_token": refresh_token}


def _credentials(client_id: int | str, client_secret: str) -> dict[str, str]:
    check_client_id(client_id)
    return {"client_id": str(client_id), "client_secret": check_secret(client_secret)}


def access_info(answer: object) -> AccessInfo:
    """Check the decoded answer of the token endpoint and keep what it documents.

    Raises:
        DecodeError: a token or the expiry is missing or of the wrong kind. Nothing of the body is shown.
    """
    if not is_object(answer):
        raise DecodeError("the token endpoint did not answer with an object")
    info = AccessInfo()
    for name in ("access_token", "refresh_token"):
        token = answer.get(name)
        if not isinstance(token, str) or not token or not fits_a_field(token):
            raise DecodeError(f"the token endpoint sent no usable {name}")
        info[name] = token
    expires_at = answer.get("expires_at")
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        raise DecodeError("the token endpoint sent no usable expires_at")
    info["expires_at"] = int(expires_at)
    for name in ("expires_in", "token_type", "scope", "athlete"):
        if answer.get(name) is not None:
            info[name] = answer[name]
    return info


def grant_error(status_code: int, errors: ErrorDetails) -> OAuthError | None:
    """Return what a refusal of the token or revoke endpoint means for the grant; None if it says nothing about it.

    Source:
        the failure bodies of ``/oauth/token``, as probed in July 2026: ``RefreshToken`` and ``AuthorizationCode``
        (``RequestToken`` in 2018) name the grant, ``Application`` the credentials; a 401 is a wrong client secret.
    """
    resources = {str(error.get("resource", "")) for error in errors}
    if status_code == 400 and resources & {"RefreshToken", "AuthorizationCode", "RequestToken"}:
        what = "refresh token" if "RefreshToken" in resources else "authorization code"
        return InvalidGrantError(f"Strava does not accept the {what}: connect the athlete again", errors=errors)
    if status_code == 401 or (status_code == 400 and "Application" in resources):
        return InvalidClientError("Strava does not accept the client id or the client secret", errors=errors)
    return None
