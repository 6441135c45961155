"""Parameters as text: in a query, in a form, or as JSON; and which of them are secrets.

Rules:

- None is dropped; booleans become ``true`` and ``false``, lists are joined by commas, an aware datetime becomes epoch
  seconds, as does a date: its midnight in UTC.
- Parameters that are secrets are hidden on arrival, and revealed where the body is made (``_hidden``).
- No secret is put into a URL. The client secret that Strava wants in the query of ``/push_subscriptions`` is kept
  apart, with the client id; see ``take_credentials``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from enum import Enum
from typing import Any, cast
from urllib.parse import quote, quote_plus, urlencode

from strava_async._hidden import Hidden, hidden, revealed
from strava_async.errors import InputError

_NEVER_IN_A_URL = frozenset({"access_token", "refresh_token", "client_secret"})
_HIDDEN = _NEVER_IN_A_URL | {"verify_token", "code", "token"}
_CREDENTIALS = ("client_id", "client_secret")
# Of the parameters, what a response may echo in an error.
_ECHOED = ("client_secret", "verify_token")

Encoded = dict[str, "str | Hidden[str]"]
NO_SECRETS: Hidden[tuple[str, ...]] = Hidden(())


def hide_secrets(params: dict[str, Any]) -> None:
    """Hide those of the parameters that no report of an error is to show."""
    if not _HIDDEN.isdisjoint(params):
        for name in params.keys() & _HIDDEN:
            params[name] = hidden(params[name])


def encode(name: str, value: Any) -> str:
    """Return one parameter as text.

    Raises:
        InputError: its type has no agreed encoding.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return encode(name, value.value)
        case str():
            return _encodable(name, value)
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case datetime() if value.tzinfo is not None:
            return str(int(value.timestamp()))
        case datetime():
            raise InputError(f"{name} is a datetime without a time zone")
        case date():
            return str(int(datetime.combine(value, time(), UTC).timestamp()))
        case list() | tuple():
            return ",".join(encode(name, item) for item in cast("Iterable[Any]", value))
        case set() | frozenset():
            return ",".join(sorted(encode(name, item) for item in cast("Iterable[Any]", value)))
        case _:
            raise InputError(f"{name} cannot be sent: it is a {type(value).__name__}")


def _encodable(name: str, value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{name} holds half a surrogate pair, which UTF-8 cannot encode") from None
    return value


def encode_all(params: Mapping[str, Any]) -> Encoded:
    """Return the parameters as text, without those that are None; those that were hidden stay so.

    Raises:
        InputError: one of them cannot be sent.
    """
    if _HIDDEN.isdisjoint(params):
        return {name: encode(name, value) for name, value in params.items() if value is not None}
    encoded: Encoded = {}
    for name, value in params.items():
        if isinstance(value, Hidden):
            secret = cast(Any, value)
            if secret.reveal() is not None:
                encoded[name] = _encode_secret(name, secret)
        elif value is not None:
            encoded[name] = encode(name, value)
    return encoded


def _encode_secret(name: str, secret: Hidden[Any]) -> Hidden[str]:
    try:
        return Hidden(encode(name, secret.reveal()))
    except InputError as error:
        reason = str(error)
    raise InputError(reason)  # outside of the handler: an error whose frames have the value would be its context


def encode_form(params: Mapping[str, str | Hidden[str]]) -> bytes | Hidden[bytes]:
    """Return the parameters as a form (``application/x-www-form-urlencoded``); hidden if one of them is a secret."""
    if _HIDDEN.isdisjoint(params):
        return urlencode(params).encode("ascii")
    return Hidden(urlencode(reveal_all(params)).encode("ascii"))


def encode_query(written: str, params: Mapping[str, str | Hidden[str]]) -> str:
    """Return a query.

    Args:
        written: what the caller wrote into the URL.
        params: what goes behind it.

    Raises:
        InputError: a secret would be in it.
    """
    if not written and not params:
        return ""
    names = [*params, *(pair.partition("=")[0] for pair in written.split("&"))] if written else params
    for name in names:
        if name.lower() in _NEVER_IN_A_URL:
            raise InputError("a secret is never put into a URL")
    own = urlencode(reveal_all(params), quote_via=quote, safe=",:") if params else ""
    query = f"{written}&{own}" if written and own else written or own
    return quote(query, safe="%&=,:+;/?@!$'()*~-._") if written else query


def reveal_all(params: Mapping[str, str | Hidden[str]]) -> Mapping[str, str]:
    """Return the parameters as they are sent. Keep the result in no local variable."""
    if _HIDDEN.isdisjoint(params):
        return cast("Mapping[str, str]", params)
    return {name: revealed(value) for name, value in params.items()}


def take_credentials(params: Encoded) -> Hidden[str] | None:
    """Remove the application's credentials, and return them as the query that they are sent in; None without any."""
    taken = {name: revealed(params.pop(name)) for name in _CREDENTIALS if name in params}
    return Hidden(urlencode(taken, quote_via=quote)) if taken else None


def secrets_in(params: Mapping[str, str | Hidden[str]]) -> Hidden[tuple[str, ...]]:
    """Return the parameters that no error may show: plain, and as a query and a form hold them."""
    if not params or all(name not in params for name in _ECHOED):
        return NO_SECRETS
    values = [revealed(params[name]) for name in _ECHOED if name in params]
    forms = {text: None for value in values if value for text in (value, quote(value, safe=""), quote_plus(value))}
    return Hidden(tuple(forms))


def encode_json(body: Any) -> bytes:
    """Return a value as JSON.

    Raises:
        InputError: JSON has no form for it.
    """
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise InputError(f"the body cannot be sent as JSON: {error}") from None
