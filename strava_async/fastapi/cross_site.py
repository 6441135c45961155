"""Which pages may act for the athlete who is signed in: those of this site, and those that the service names.

Rules:

- SameSite=Lax keeps the cookie out of what other sites send, but not out of what a neighbour does, such as another
  subdomain or port; the cookies of a service with users of its own may not even do that.
- Requests that change something are checked by ``Sec-Fetch-Site``. Old browsers, and all on plain http, do not send it;
  then ``Origin`` decides.
- Browsers let any page open websockets anywhere and read what comes; ``Origin`` alone says whose page it is (RFC 6455
  §10.2). It is compared with ``Host``: a proxy that hides https, and leaves ``Host`` as it is, makes no difference. On
  ``wss`` a page that came over http is another one.
- ``Origin: null`` is rejected: a page that hides its origin, even if it is ours.
- A client without ``Origin`` is not a browser, and has no cookie that another site could use.

Source:
    RFC 6454, RFC 6455 §4.1 and §10.2, https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from strava_async.errors import InputError
from strava_async.fastapi.origins import origin_asked, origin_of


def is_a_site(url: str) -> bool:
    """Say whether it is the http or https URL of a site, perhaps with a path, and nothing more."""
    if not re.fullmatch(r"[!-~]+", url) or set(url) & set("?#\\"):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and port != 0


def read_origins(urls: Iterable[str]) -> frozenset[str]:
    """Return the origins that a service names.

    Raises:
        InputError: one is invalid.
    """
    if isinstance(urls, str):
        raise InputError("origins is a list of addresses, not a single text")
    found = [origin_of(url) if is_a_site(url) and urlsplit(url).path in ("", "/") else None for url in urls]
    if None in found:  # not shown: a user and password may be in it
        raise InputError("origins are addresses of sites without a path, like https://app.example")
    return frozenset(origin for origin in found if origin is not None)


def is_sent_from_here(request: HTTPConnection, here: str | None, others: Collection[str | None]) -> bool:
    """Say whether a request that changes something comes from a page that may send it.

    Args:
        request: the request.
        here: the origin of this site, as browsers see it.
        others: origins with the same rights as this site.
    """
    sent = _sent(request)
    if sent is not None and sent in others:
        return True
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    return "origin" not in request.headers or (sent is not None and sent == here)


def is_opened_from_here(websocket: HTTPConnection, others: Collection[str | None]) -> bool:
    """Say whether a websocket was opened by a page that may, or by no page at all."""
    if "origin" not in websocket.headers:
        return True
    sent, asked = _sent(websocket), origin_asked(websocket)
    if sent is None or sent in others:
        return sent is not None
    if asked is not None and asked.startswith("http:"):  # as it seems behind a proxy that hides https
        return sent in (asked, origin_of(asked.replace("http:", "https:", 1)))
    return sent == asked


def _sent(connection: HTTPConnection) -> str | None:
    values = connection.headers.getlist("origin")
    return origin_of(values[0]) if len(values) == 1 else None
