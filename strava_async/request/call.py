"""From the arguments of ``get``, ``post``, ``put`` and ``delete`` to a ``Call``: a plain value, nothing sent yet.

Rules:

- The path is filled from the parameters that it names (``templates``).
- The rest goes to the query (GET, PUT, DELETE) or to the form (POST); how each value is written, ``parameters`` says.
- The endpoint is looked up here, once. All that depends on it reads it from the call.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, cast, get_args
from urllib.parse import urlencode, urlsplit

from strava_async._hidden import Hidden, revealed
from strava_async.errors import InputError
from strava_async.quota.values import QuotaClass
from strava_async.request.endpoints import Endpoint, Method, endpoint_of, oauth_endpoint, unlisted_endpoint
from strava_async.request.parameters import (
    NO_SECRETS,
    Encoded,
    encode,
    encode_all,
    encode_form,
    encode_json,
    encode_query,
    reveal_all,
    secrets_in,
    take_credentials,
)
from strava_async.request.templates import Template, fill, origin_of, parse_template, path_below

_METHODS = get_args(Method)
_SUBSCRIPTIONS = "/push_subscriptions"
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to be made, as often as it takes.

    Attributes:
        method: the HTTP method.
        url: the whole address, query included.
        path: what errors show: the path below the API, without query.
        endpoint: what is known about the address: its template, its scopes, what it spends.
        content: the body as bytes, with its content_type; or
        fields, files: the parts of a multipart body; files as pairs of a name and a file, see ``multipart``.
        secret_query: what is added to the query when the request is sent, and is shown nowhere.
        basic: the value of an Authorization field of the Basic scheme; a secret.
        idempotent: sending it twice does no harm.
        replayable: its body can be sent a second time.
        secrets: what no error may show, whatever the answer echoes.
    """

    method: Method
    url: str = field(repr=False)
    path: str
    endpoint: Endpoint
    content: bytes | Hidden[bytes] | None = field(default=None, repr=False)
    content_type: str | None = None
    fields: Mapping[str, str] | None = field(default=None, repr=False)
    files: Sequence[tuple[str, Any]] | None = field(default=None, repr=False)
    secret_query: Hidden[str] | None = field(default=None, repr=False)
    basic: Hidden[str] | None = field(default=None, repr=False)
    idempotent: bool = True
    replayable: bool = True
    secrets: Hidden[tuple[str, ...]] = field(default=NO_SECRETS, repr=False)

    @property
    def quota_class(self) -> QuotaClass | None:
        """Which meters it spends; None for the OAuth endpoints, which spend none and carry no bearer."""
        return self.endpoint.quota_class

    def secrets_with(self, bearer: Hidden[str] | None) -> tuple[str, ...]:
        """Return what no error about it may show, the access token included. Keep the result in no local variable."""
        return self.secrets.reveal() if bearer is None else (*self.secrets.reveal(), bearer.reveal())


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
    """Return the call for the arguments.

    Args:
        method: the HTTP method.
        url: a path below the API, with ``{names}`` to fill, or an absolute URL of the API's origin.
        params: the values for the names, and everything else that is sent.
        api_url: the API's base, without a slash at the end.
        files: multipart files, as httpx takes them: a mapping or pairs; see ``multipart``.
        body: what to send as JSON, with PUT.
        form: what to send as a form, with PUT; for POST that is what is left of ``params``.

    Raises:
        InputError: the method, the path, a name or a value cannot be sent.
    """
    _check(method, files=files, body=body, form=form)
    to = _destination(method, url, api_url)
    rest = dict(params)
    path = fill(to.template, rest)
    below = path_below(path, api_url)
    endpoint = to.endpoint
    if to.template.names and not endpoint.client_method:
        # A parameter may complete the address of a listed one: ``/{kind}/{id}``.
        endpoint = endpoint_of(method, below) or endpoint
    encoded = encode_all(rest)
    if "access_token" in encoded:
        raise InputError("an access token travels in the Authorization field only, never as a parameter")
    secrets = secrets_in(encoded)
    address = f"{origin_of(api_url)}{path}"
    if method == "POST":
        query = encode_query(to.template.query, {})
        return _post(f"{address}?{query}" if query else address, below, endpoint, encoded, files, secrets)
    secret_query = take_credentials(encoded) if f"{below}/".startswith(f"{_SUBSCRIPTIONS}/") else None
    query = encode_query(to.template.query, encoded)
    content, content_type = _content(body, form)
    return Call(
        method,
        f"{address}?{query}" if query else address,
        below,
        endpoint,
        content=content,
        content_type=content_type,
        secret_query=secret_query,
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
    path = urlsplit(url).path
    return Call(
        "POST",
        url,
        path,
        oauth_endpoint(path),
        encode_form(form),
        _FORM,
        basic=None if basic is None else Hidden(f"Basic {basic}"),
        idempotent=idempotent,
        secrets=Hidden(tuple(secrets)),
    )


class _Destination(NamedTuple):
    """Where a path of the caller's leads: its template, and the endpoint that this is."""

    template: Template
    endpoint: Endpoint


@lru_cache(maxsize=512)
def _destination(method: Method, url: str, api_url: str) -> _Destination:
    template = parse_template(url, api_url)
    below = path_below(template.path, api_url)
    return _Destination(template, endpoint_of(method, below) or unlisted_endpoint(method, below))


def _check(method: Method, *, files: Any, body: Any, form: Mapping[str, Any] | None) -> None:
    if method not in _METHODS:
        raise InputError(f"not a method of Strava's API: {method!r}")
    if method != "PUT" and not (body is None and form is None):
        raise InputError("a body of JSON and a form of their own go with PUT; a POST sends its parameters")
    if method != "POST" and files:
        raise InputError("files go with POST")


def _post(
    address: str, path: str, endpoint: Endpoint, params: Encoded, files: Any, secrets: Hidden[tuple[str, ...]]
) -> Call:
    given = _given(files) if files else None
    return Call(
        "POST",
        address,
        path,
        endpoint,
        content=None if given else encode_form(params),
        content_type=None if given else _FORM,
        fields=reveal_all(params) if given else None,
        files=given or None,
        idempotent=False,
        replayable=given is None or all(_is_replayable(file) for _, file in given),
        secrets=secrets,
    )


def _content(body: Any, form: Mapping[str, Any] | None) -> tuple[bytes | None, str | None]:
    if form is not None:
        fields = {name: encode(name, value) for name, value in form.items() if value is not None}
        return urlencode(fields).encode("ascii"), _FORM
    return (None, None) if body is None else (encode_json(body), _JSON)


def _given(files: Any) -> Any:
    # Not above: most programs send no file, and every import takes time.
    from strava_async.request.multipart import given_files

    return given_files(files)


def _is_replayable(file: Any) -> bool:
    """Say whether a file is text or bytes, or declares itself ``replayable``; the first attempt consumes a stream."""
    contents: Any = cast("Sequence[Any]", file)[1:2] if isinstance(file, tuple) else [file]
    return all(isinstance(one, str | bytes) or getattr(one, "replayable", False) for one in contents)
