"""A path as a caller gives it, such as ``/activities/{id}``: checked, filled in, and kept to the API's own origin.

Rules:

- ``{name}`` is filled from the parameter of that name, as one percent-encoded segment. No value changes the path's
  shape, and a path never holds ``.`` or ``..`` as a segment.
- An absolute URL has to be of the API's own origin: a bearer is sent nowhere else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from strava_async._hidden import revealed
from strava_async.errors import InputError
from strava_async.request.parameters import encode

_FIELD = r"\{([A-Za-z_][A-Za-z0-9_]*)\}"
# A segment that a server may take for the folder itself, or the one above.
_DOTS = r"(?:^|/)(?:\.|%2[eE]){1,2}(?:/|\Z)"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Template(NamedTuple):
    """A path before its names are filled in.

    Attributes:
        path: all of it below the origin.
        names: to be filled in.
        query: what the caller wrote behind a ``?``.
    """

    path: str
    names: tuple[str, ...]
    query: str


def parse_template(url: str, api_url: str) -> Template:
    """Return the template that a caller's path or URL is.

    Args:
        url: a path below the API, or an absolute URL of the API's origin.
        api_url: see ``base_url``.

    Raises:
        InputError: a fragment, another origin, or braces around anything but a plain name.
    """
    if "#" in url:
        raise InputError(f"a fragment is never sent: {url!r}")
    path, _, query = url.partition("?")
    if "://" in path or path.startswith("//"):
        if origin_of(path) != origin_of(api_url):
            raise InputError(f"not of the API's origin, so no token goes there: {origin_of(path)}")
        path = _parse(path).path
    else:
        path = f"{_parse(api_url).path}/{path.strip('/')}"
    if re.search(r"[{}]", re.sub(_FIELD, "", path)):
        raise InputError(f"only plain {{names}} are filled in: {url!r}")
    return Template(quote(path, safe="/%:@!$&'()*+,;=~{}"), tuple(re.findall(_FIELD, path)), query)


def fill(template: Template, values: dict[str, Any]) -> str:
    """Return the path with its names filled in; the values used are removed.

    Raises:
        InputError: a value is missing, cannot be sent, or makes a segment of dots.
    """
    path = template.path
    for name in template.names:
        value = values.pop(name, None)
        text = "" if value is None else encode(name, revealed(value))
        if not text:
            raise InputError(f"the path needs {name}")
        path = path.replace(f"{{{name}}}", quote(text, safe=""))
    if ("." in path or "%2" in path) and re.search(_DOTS, path):
        raise InputError(f"a path holds no '.' or '..': {path!r}")
    return path


def path_below(path: str, api_url: str) -> str:
    """Return a path as it is below the API, without a slash at the end; one that is elsewhere stays as it is."""
    return path.removeprefix(_parse(api_url).path).rstrip("/") or "/"


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


@lru_cache(maxsize=64)
def origin_of(url: str) -> str:
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
        _host(parts)  # a port that is not a number is detected only when it is read
    except ValueError:
        raise InputError(f"not a URL: {url!r}") from None
    return parts
