"""OAuth 2 as Strava speaks it: the authorization URL, token answers, and what a failed grant means.

Rules:

- A 400 of the token endpoint does not mean that the grant is dead, and a 401 not that a token expired: only
  ``errors[].resource`` tells the athlete's grant from the application's credentials.
- A refresh token may change with every refresh; the old one is dead at once. So an answer with a usable access token
  is taken, whatever else is wrong with it: a refresh token that is missing is the old one (RFC 6749 §6), a number that
  comes as text is a number, and an expiry that makes no sense is computed from ``expires_in``, or unknown.
- No frame that may be in a traceback has a secret among its locals; see ``_hidden``.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, overload
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from strava_async._hidden import Hidden, SecretText, hidden
from strava_async._types import is_object
from strava_async.errors import (
    AuthorizationDeniedError,
    DecodeError,
    ErrorDetails,
    InputError,
    InvalidClientError,
    InvalidGrantError,
    OAuthError,
)
from strava_async.oauth.credentials import check_client_id, check_secret, fits_a_field
from strava_async.oauth.scopes import parse_scope, scope_names

K = TypeVar("K")
V = TypeVar("V")

ApprovalPrompt = Literal["auto", "force"]

GENERATION_LENGTH = 64  # fits a column of a database

# 9999-12-31T23:59:59Z. What lies beyond is no instant, but milliseconds, or nonsense.
END_OF_THE_CALENDAR = 253_402_300_799


@dataclass(frozen=True, slots=True, init=False)
class TokenSet:
    """The tokens of one athlete. Its repr shows neither of them, nor does theirs: ``str(token)`` is a plain text.

    Attributes:
        access_token: goes into the Authorization field; empty if there is none yet.
        refresh_token: brings the next access token; None if there is none.
        expires_at: when the access token dies; epoch seconds, None if unknown.
        scope: what the athlete granted; empty if unknown.
        athlete_id: whose tokens these are; None if unknown.
        generation: a text that ``Strava.connect`` makes, and that stays the same through renewals; it changes when
            Strava calls the grant dead. What was given out under another one, such as the session of a browser, has
            ended. Up to 64 printable ASCII characters without spaces; empty if none was made. It is no secret.

    An ``expires_at`` with a fraction is cut to seconds; a ``scope`` may be given as text, as Strava writes it, or as
    any collection of names.

    Raises:
        InputError: a token holds a character that no token holds, such as the line break of a file, or a value is of
            another kind than the above.
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
            object.__setattr__(self, each.name, _masked(value) if each.name.endswith("_token") else value)

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
        del access_token, refresh_token  # one that is refused is one of somebody's all the same
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


def _masked(value: Any) -> Any:
    return SecretText(value) if isinstance(value, str) else value


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


class AccessInfo(dict[str, Any]):
    """The answer of the token endpoint. A dict; its repr masks the tokens, and so does theirs.

    Always there: ``access_token``. As good as always: ``refresh_token``, the old one where a renewal brings none; and
    ``expires_at`` (int, epoch seconds), computed where only ``expires_in`` can be used, absent where neither can. Where
    Strava sends them: ``expires_in`` (int, seconds), ``token_type`` and ``scope`` (text, as it came), ``athlete``
    (a dict; after a code exchange only).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, _masked(value) if key.endswith("_token") else value)

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
            before: what was known; its refresh token, scope and athlete hold where this answer does not name them, and
                its generation. An answer with another athlete begins a new grant: nothing of the one before holds.

        Raises:
            InputError: the access token is none.
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
    address = Hidden(url)
    del url
    query = _query_of(address)
    code = Hidden(query.pop("code", ""))
    if "error" in query:
        # Anybody can write it, and it may be shown on a terminal (RFC 6749 §4.1.2.1 allows printable ASCII).
        raise AuthorizationDeniedError(re.sub(r"[^ -~]", "?", query["error"])[:100])
    if not code.reveal():
        raise InputError("the redirect holds neither a code nor an error")
    return Redirect(SecretText(code.reveal()), parse_scope(query.get("scope", "")), query.get("state"))


def redirect_state(url: str) -> str | None:
    """Return the ``state`` in the address that Strava sent the athlete back to, before anything in it is believed.

    Raises:
        InputError: that is no address.
    """
    address = Hidden(url)
    del url
    return _query_of(address).get("state")


def _query_of(url: Hidden[str]) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url.reveal()).query))
    except ValueError:
        pass  # its message would show the address, and with it the code
    raise InputError("the redirect is no address")


Form = Mapping[str, "str | Hidden[str]"]


def code_grant(client_id: int | str, client_secret: str | Hidden[str], code: str | Hidden[str]) -> Form:
    """Return the form that exchanges a code for tokens (RFC 6749 §4.1.3).

    Raises:
        InputError: one of the three cannot be what it is said to be; it is named, and not shown.
    """
    secret, grant = hidden(client_secret), hidden(code)
    del client_secret, code
    check_secret(grant, "the authorization code")
    return {**_credentials(client_id, secret), "grant_type": "authorization_code", "code": grant}


def refresh_grant(client_id: int | str, client_secret: str | Hidden[str], refresh_token: str | Hidden[str]) -> Form:
    """Return the form that brings the next tokens (RFC 6749 §6); raises as ``code_grant``."""
    secret, grant = hidden(client_secret), hidden(refresh_token)
    del client_secret, refresh_token
    check_secret(grant, "the refresh token")
    return {**_credentials(client_id, secret), "grant_type": "refresh_token", "refresh_token": grant}


def _credentials(client_id: int | str, client_secret: Hidden[str]) -> dict[str, str | Hidden[str]]:
    check_client_id(client_id)
    return {"client_id": str(client_id), "client_secret": check_secret(client_secret)}


def access_info(answer: object, *, now: float, refresh_token: str | Hidden[str] | None = None) -> AccessInfo:
    """Return what the decoded answer of the token endpoint says, as far as it can be used.

    Args:
        answer: any JSON value, hidden or not.
        now: Unix time; an expiry is computed from it where the answer tells only how long the token lives.
        refresh_token: the one that was sent; it goes on where the answer has none.

    Raises:
        DecodeError: there is no usable access token. Nothing of the body is shown.
    """
    came, sent = hidden(answer), hidden(refresh_token)
    del answer, refresh_token
    if not is_object(came.reveal()):
        raise DecodeError("the token endpoint did not answer with an object")
    if not _is_token(cast(Mapping[str, Any], came.reveal()).get("access_token")):
        raise DecodeError("the token endpoint sent no usable access_token")
    return _access_info(cast(Mapping[str, Any], came.reveal()), now, sent.reveal())


def _access_info(answer: Mapping[str, Any], now: float, refresh_token: str | None) -> AccessInfo:
    lives = _seconds(answer.get("expires_in"))
    dies_at = _seconds(answer.get("expires_at")) or (None if lives is None else _seconds(int(now) + lives))
    sent = answer.get("refresh_token")
    values: dict[str, Any] = {
        "access_token": answer["access_token"],
        "refresh_token": sent if _is_token(sent) else refresh_token,
        "expires_at": dies_at,
        "expires_in": lives,
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
