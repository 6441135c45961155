"""From the arguments of ``get``, ``post``, ``put`` and ``delete`` to a ``Call``: a plain value, nothing sent yet.

Rules:

- ``{name}`` in a path is filled from the keyword of that name, as one percent-encoded segment. No value changes the
  path's shape, and a path never holds ``.`` or ``..`` as a segment.
- What is left goes to the query (GET, PUT, DELETE) or to the form (POST). None is dropped; booleans become ``true`` and
  ``false``, lists are joined by commas, an aware datetime becomes epoch seconds, as does a date: its midnight in UTC.
- An absolute URL has to be of the API's own origin: a bearer goes nowhere else.
- Parameters that are secrets are hidden as soon as they come, and shown where the body is made (``_hidden``).
- No secret is put into a URL. The client secret that Strava wants in the query of ``/push_subscriptions`` is kept
  apart, with the client id, as ``secret_query``.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast, get_args
from urllib.parse import SplitResult, quote, quote_plus, urlencode, urlsplit

from strava_async._hidden import Hidden, hidden, revealed
from strava_async.errors import InputError
from strava_async.quota.values import QuotaClass
from strava_async.request.endpoints import quota_class_of

Method = Literal["GET", "POST", "PUT", "DELETE"]
_METHODS = get_args(Method)

_FIELD = r"\{([A-Za-z_][A-Za-z0-9_]*)\}"
# A segment that a server may take for the folder itself, or the one above.
_DOTS = re.compile(r"(?:^|/)(?:\.|%2[eE]){1,2}(?:/|\Z)")
_NEVER_IN_A_URL = frozenset({"access_token", "refresh_token", "client_secret"})
_HIDDEN = _NEVER_IN_A_URL | {"verify_token", "code", "token"}
_CREDENTIALS = ("client_id", "client_secret")
_SUBSCRIPTIONS = "/push_subscriptions"
_FORM = "application/x-www-form-urlencoded"
_DEFAULT_PORTS = {"http": 80, "https": 443}

Encoded = dict[str, "str | Hidden[str]"]
NO_SECRETS: Hidden[tuple[str, ...]] = Hidden(())


@dataclass(frozen=True, slots=True)
class Call:
    """One request to be made, as often as it takes.

    Attributes:
        method: the HTTP method.
        url: the whole address, query included.
        path: what errors show: the path below the API, without query.
        quota_class: which meters it spends; None for the OAuth endpoints, which spend none and carry no bearer.
        content: the body as bytes, with its content_type; or
        fields, files: the parts of a multipart body; files as pairs of a name and a file, see ``multipart``.
        secret_query: what is added to the query when the request is sent, and shown nowhere.
        basic: the value of an Authorization field of the Basic scheme; a secret.
        idempotent: sending it twice does no harm.
        replayable: its body can be sent a second time.
        secrets: what no error may show, whatever the answer echoes.
    """

    method: Method
    url: str = field(repr=False)
    path: str
    quota_class: QuotaClass | None
    content: bytes | Hidden[bytes] | None = field(default=None, repr=False)
    content_type: str | None = None
    fields: Mapping[str, str] | None = field(default=None, repr=False)
    files: Sequence[tuple[str, Any]] | None = field(default=None, repr=False)
    secret_query: Hidden[str] | None = field(default=None, repr=False)
    basic: Hidden[str] | None = field(default=None, repr=False)
    idempotent: bool = True
    replayable: bool = True
    secrets: Hidden[tuple[str, ...]] = field(default=NO_SECRETS, repr=False)


def hide_secrets(params: dict[str, Any]) -> None:
    """Hide those of the parameters that no report of an error is to show."""
    if not _HIDDEN.isdisjoint(params):
        for name in params.keys() & _HIDDEN:
            params[name] = hidden(params[name])


def api_call(
    method: Method,
    url: str,
    params: Mapping[str, Any],
    *,
    api_url: str,
    files: Any = None,
    body: Any = None,
    form: Mapping[str, Any] | None = None,
) -> Call:
    """Return the call that the arguments mean.

    Args:
        method: the HTTP method.
        url: a path below the API, with ``{names}`` to fill, or an absolute URL of the API's origin.
        params: the values for the names, and whatever else is to be sent.
        api_url: the API's base, without a slash at the end.
        files: multipart files, as httpx takes them: a mapping or pairs; see ``multipart``.
        body: what to send as JSON, with PUT.
        form: what to send as a form, with PUT; for POST that is what is left of ``params``.

    Raises:
        InputError: the method, the path, a name or a value cannot be sent as it is.
    """
    if method not in _METHODS:
        raise InputError(f"not a method of Strava's API: {method!r}")
    if method != "PUT" and not (body is None and form is None):
        raise InputError("a body of JSON and a form of their own go with PUT; a POST sends its parameters")
    if method != "POST" and files:
        raise InputError("files go with POST")
    given = _given(files) if files else None
    template = _template(url, api_url)
    rest = dict(params)
    path = _fill(template, rest)
    encoded = _encoded(rest)
    if "access_token" in encoded:
        raise InputError("an access token travels in the Authorization field only, never as a parameter")
    below = path.removeprefix(_parse(api_url).path).rstrip("/") or "/"
    address = f"{_origin(api_url)}{path}"
    secrets = _secrets(encoded)
    if method != "POST":
        secret_query = _take_credentials(encoded) if f"{below}/".startswith(f"{_SUBSCRIPTIONS}/") else None
        query = _query(template.query, encoded)
        content, content_type = _content(body, form)
        return Call(
            method,
            f"{address}?{query}" if query else address,
            below,
            QuotaClass.READ,
            content=content,
            content_type=content_type,
            secret_query=secret_query,
            secrets=secrets,
        )
    query = _query(template.query, {})
    return Call(
        method,
        f"{address}?{query}" if query else address,
        below,
        quota_class_of(method, below),
        content=None if given else _form(encoded),
        content_type=None if given else _FORM,
        fields=_plain(encoded) if given else None,
        files=given or None,
        idempotent=False,
        replayable=given is None or all(_is_replayable(file) for _, file in given),
        secrets=secrets,
    )


def oauth_call(
    url: str,
    form: Mapping[str, str | Hidden[str]],
    *,
    idempotent: bool,
    credentials: tuple[int | str, Hidden[str]] | None = None,
) -> Call:
    """Return a POST to an OAuth endpoint: secrets in the form, or in a Basic Authorization field (RFC 6749 §2.3.1).

    Args:
        url: the endpoint.
        form: the fields.
        idempotent: whether it may be sent again when its fate is unknown.
        credentials: client id and client secret, for the Basic scheme.
    """
    secrets = [revealed(form[name]) for name in ("client_secret", "code", "refresh_token", "token") if form.get(name)]
    basic = None
    if credentials is not None:
        client_id, client_secret = credentials
        basic = b64encode(f"{client_id}:{client_secret.reveal()}".encode()).decode("ascii")
        secrets += [client_secret.reveal(), basic]
    return Call(
        "POST",
        url,
        urlsplit(url).path,
        None,
        _form(form),
        _FORM,
        basic=None if basic is None else Hidden(f"Basic {basic}"),
        idempotent=idempotent,
        secrets=Hidden(tuple(secrets)),
    )


def base_url(url: str) -> str:
    """Return the base of an API without a slash at its end.

    Raises:
        InputError: it is no absolute http or https URL, or it holds a query, a fragment or credentials.
    """
    parts = _parse(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise InputError(f"not an absolute http or https URL: {url!r}")
    if parts.query or parts.fragment or parts.username is not None:
        raise InputError("the base URL holds a query, a fragment or credentials")
    return url.rstrip("/")


def encode(name: str, value: Any) -> str:
    """Return one parameter as text.

    Raises:
        InputError: it is of a kind that has no agreed form.
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
        raise InputError(f"{name} holds half a surrogate pair, which UTF-8 has no form for") from None
    return value


class _Template(NamedTuple):
    """A path as it was asked for: the whole of it below the origin, its names, and the query it brought along."""

    path: str
    names: tuple[str, ...]
    query: str


@lru_cache(maxsize=512)
def _template(url: str, api_url: str) -> _Template:
    if "#" in url:
        raise InputError(f"a fragment is never sent: {url!r}")
    path, _, query = url.partition("?")
    if "://" in path or path.startswith("//"):
        if _origin(path) != _origin(api_url):
            raise InputError(f"not of the API's origin, so no token goes there: {_origin(path)}")
        path = _parse(path).path
    else:
        path = f"{_parse(api_url).path}/{path.strip('/')}"
    if re.search(r"[{}]", re.sub(_FIELD, "", path)):
        raise InputError(f"only plain {{names}} are filled in: {url!r}")
    return _Template(quote(path, safe="/%:@!$&'()*+,;=~{}"), tuple(re.findall(_FIELD, path)), query)


def _fill(template: _Template, values: dict[str, Any]) -> str:
    path = template.path
    for name in template.names:
        value = values.pop(name, None)
        text = "" if value is None else encode(name, revealed(value))
        if not text:
            raise InputError(f"the path needs {name}")
        path = path.replace(f"{{{name}}}", quote(text, safe=""))
    if _DOTS.search(path):
        raise InputError(f"a path holds no '.' or '..': {path!r}")
    return path


@lru_cache(maxsize=64)
def _origin(url: str) -> str:
    """Return scheme, host and port; credentials in the URL make it an origin of its own."""
    parts = _parse(url)
    user = "" if parts.username is None else "user@"
    return f"{parts.scheme}://{user}{_host(parts)}"


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = parts.port
    return host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}"


@lru_cache(maxsize=64)
def _parse(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _host(parts)  # a port that is no number shows only when it is asked for
    except ValueError:
        raise InputError(f"not a URL: {url!r}") from None
    return parts


def _encoded(params: Mapping[str, Any]) -> Encoded:
    if _HIDDEN.isdisjoint(params):
        return {name: encode(name, value) for name, value in params.items() if value is not None}
    encoded: Encoded = {}
    for name, value in params.items():
        if isinstance(value, Hidden):
            secret = cast(Any, value)
            if secret.reveal() is not None:
                encoded[name] = _encoded_secret(name, secret)
        elif value is not None:
            encoded[name] = encode(name, value)
    return encoded


def _encoded_secret(name: str, secret: Hidden[Any]) -> Hidden[str]:
    try:
        return Hidden(encode(name, secret.reveal()))
    except InputError as error:
        reason = str(error)
    raise InputError(reason)  # here, where no error whose frames have the value is its context


def _form(params: Mapping[str, str | Hidden[str]]) -> bytes | Hidden[bytes]:
    if _HIDDEN.isdisjoint(params):
        return urlencode(params).encode("ascii")
    return Hidden(urlencode(_plain(params)).encode("ascii"))


def _query(brought: str, params: Mapping[str, str | Hidden[str]]) -> str:
    if not brought and not params:
        return ""
    names = [*params, *(pair.partition("=")[0] for pair in brought.split("&"))] if brought else params
    for name in names:
        if name.lower() in _NEVER_IN_A_URL:
            raise InputError("a secret is never put into a URL")
    own = urlencode(_plain(params), quote_via=quote, safe=",:") if params else ""
    query = f"{brought}&{own}" if brought and own else brought or own
    return quote(query, safe="%&=,:+;/?@!$'()*~-._") if brought else query


def _plain(params: Mapping[str, str | Hidden[str]]) -> Mapping[str, str]:
    if _HIDDEN.isdisjoint(params):
        return cast("Mapping[str, str]", params)
    return {name: revealed(value) for name, value in params.items()}


def _take_credentials(params: Encoded) -> Hidden[str] | None:
    taken = {name: revealed(params.pop(name)) for name in _CREDENTIALS if name in params}
    return Hidden(urlencode(taken, quote_via=quote)) if taken else None


def _secrets(params: Mapping[str, str | Hidden[str]]) -> Hidden[tuple[str, ...]]:
    """Return the parameters that no error may show: plain, and as a query and a form hold them."""
    if not params or ("client_secret" not in params and "verify_token" not in params):
        return NO_SECRETS
    values = [revealed(params[name]) for name in ("client_secret", "verify_token") if name in params]
    forms = {text: None for value in values if value for text in (value, quote(value, safe=""), quote_plus(value))}
    return Hidden(tuple(forms))


def _content(body: Any, form: Mapping[str, Any] | None) -> tuple[bytes | None, str | None]:
    if form is not None:
        fields = {name: encode(name, value) for name, value in form.items() if value is not None}
        return urlencode(fields).encode("ascii"), _FORM
    return (None, None) if body is None else (_json(body), "application/json")


def _json(body: Any) -> bytes:
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise InputError(f"the body cannot be sent as JSON: {error}") from None


def _given(files: Any) -> Any:
    # Not above: most programs send no file, and all wait for what an import loads.
    from strava_async.request.multipart import given_files

    return given_files(files)


def _is_replayable(file: Any) -> bool:
    """Say whether a file is text or bytes, or says itself that it is; a stream is used up by the first attempt."""
    contents: Any = cast("Sequence[Any]", file)[1:2] if isinstance(file, tuple) else [file]
    return all(isinstance(one, str | bytes) or getattr(one, "replayable", False) for one in contents)
