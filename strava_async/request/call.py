"""From the arguments of ``get``, ``post``, ``put`` and ``delete`` to a ``Call``: a plain value, nothing sent yet.

Rules:

- The path is filled from the parameters that it names (``templates``).
- The rest goes to the query (GET, PUT, DELETE) or to the form (POST); how each value is written, ``parameters`` says.
- The endpoint is looked up here, once. All that depends on it reads it from the call.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast, get_args
from urllib.parse import urlencode, urlsplit

from strava_async._hidden import Hidden, revealed
from strava_async.errors import InputError
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


class Call:
    """One request to be made, as often as it takes. It does not change.

    No dataclass: the import would take a millisecond longer, and each call one microsecond.

    Attributes:
        method: the HTTP method.
        url: the whole address, query included.
        path: what errors show: the path below the API, without query.
        endpoint: what is known about the address: its template, its scopes, what it spends.
        quota_class: which meters it spends; None for the OAuth endpoints, which spend none and carry no bearer.
        content: the body as bytes, with its content_type; or
        fields, files: the parts of a multipart body; files as pairs of a name and a file, see ``multipart``.
        secret_query: what is added to the query when the request is sent, and is shown nowhere.
        basic: the value of an Authorization field of the Basic scheme; a secret.
        idempotent: sending it twice does no harm.
        replayable: its body can be sent a second time.
        secrets: what no error may show, whatever the response echoes.
    """

    __slots__ = (
        "basic",
        "content",
        "content_type",
        "endpoint",
        "fields",
        "files",
        "idempotent",
        "method",
        "path",
        "quota_class",
        "replayable",
        "secret_query",
        "secrets",
        "url",
    )

    def __init__(
        self,
        method: Method,
        url: str,
        path: str,
        endpoint: Endpoint,
        content: bytes | Hidden[bytes] | None = None,
        content_type: str | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        files: Sequence[tuple[str, Any]] | None = None,
        secret_query: Hidden[str] | None = None,
        basic: Hidden[str] | None = None,
        idempotent: bool = True,
        replayable: bool = True,
        secrets: Hidden[tuple[str, ...]] = NO_SECRETS,
    ) -> None:
        self.method: Final = method
        self.url: Final = url
        self.path: Final = path
        self.endpoint: Final = endpoint
        self.quota_class: Final = endpoint.quota_class
        self.content: Final = content
        self.content_type: Final = content_type
        self.fields: Final = fields
        self.files: Final = files
        self.secret_query: Final = secret_query
        self.basic: Final = basic
        self.idempotent: Final = idempotent
        self.replayable: Final = replayable
        self.secrets: Final = secrets

    def __repr__(self) -> str:
        return f"<Call {self.method} {self.path}>"

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
    rest = dict(params)
    to = _destination(method, url, api_url)
    if to.template.names:
        to = _filled(to, method, rest, api_url)
    encoded = encode_all(rest)
    if "access_token" in encoded:
        raise InputError("an access token travels in the Authorization field only, never as a parameter")
    if method == "POST":
        return _post(to, encoded, files)
    secrets = secrets_in(encoded)
    secret_query = take_credentials(encoded) if f"{to.path}/".startswith(f"{_SUBSCRIPTIONS}/") else None
    content, content_type = _content(body, form)
    return Call(
        method,
        to.url_with(encoded),
        to.path,
        to.endpoint,
        content,
        content_type,
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


class _Destination:
    """Where a path of the caller's leads. It does not change.

    Attributes:
        template: the path as given; once its names are filled in, the rest is that of the path that results.
        address: the URL without its query.
        path: the path below the API.
        endpoint: what is known about it.
    """

    __slots__ = ("address", "endpoint", "path", "template")

    def __init__(self, template: Template, address: str, path: str, endpoint: Endpoint) -> None:
        self.template: Final = template
        self.address: Final = address
        self.path: Final = path
        self.endpoint: Final = endpoint

    def url_with(self, params: Mapping[str, str | Hidden[str]]) -> str:
        """Return the URL, with the parameters in its query."""
        query = encode_query(self.template.query, params)
        return f"{self.address}?{query}" if query else self.address


@lru_cache(maxsize=512)
def _destination(method: Method, url: str, api_url: str) -> _Destination:
    template = parse_template(url, api_url)
    path = template.path if template.names else fill(template, {})
    below = path_below(path, api_url)
    endpoint = endpoint_of(method, below) or unlisted_endpoint(method, below)
    return _Destination(template, f"{origin_of(api_url)}{path}", below, endpoint)


def _filled(to: _Destination, method: Method, values: dict[str, Any], api_url: str) -> _Destination:
    """Return the destination with its names filled in; the values used are removed."""
    path = fill(to.template, values)
    below, endpoint = path_below(path, api_url), to.endpoint
    if not endpoint.client_method:
        # A parameter may complete the address of a listed one: ``/{kind}/{id}``.
        endpoint = endpoint_of(method, below) or endpoint
    return _Destination(to.template, f"{origin_of(api_url)}{path}", below, endpoint)


def _check(method: Method, *, files: Any, body: Any, form: Mapping[str, Any] | None) -> None:
    if method not in _METHODS:
        raise InputError(f"not a method of Strava's API: {method!r}")
    if method != "PUT" and not (body is None and form is None):
        raise InputError("a body of JSON and a form of their own go with PUT; a POST sends its parameters")
    if method != "POST" and files:
        raise InputError("files go with POST")


def _post(to: _Destination, params: Encoded, files: Any) -> Call:
    given = _given(files) if files else None
    return Call(
        "POST",
        to.url_with({}),
        to.path,
        to.endpoint,
        None if given else encode_form(params),
        None if given else _FORM,
        fields=reveal_all(params) if given else None,
        files=given or None,
        idempotent=False,
        replayable=given is None or all(_is_replayable(file) for _, file in given),
        secrets=secrets_in(params),
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
