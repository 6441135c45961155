"""Which requests an emulator on a socket accepts: not those of any web page that is open in a browser on this machine.

Rules:

- The ``Host`` of a request has to be a name of this machine. Any other name that resolves to it is DNS rebinding, by
  which a foreign page would count as one of the emulator's own. Loopback is always allowed, and so is the address that
  is listened on; further names have to be given. The port does not matter: it may be mapped.
- HTTP/1.0 needs no ``Host``, but every browser sends it. Otherwise it is required.
- A request of a page that may change something has to come from one of the emulator's own pages. Browsers state this
  in ``Sec-Fetch-Site``; where the site is plain http and not loopback, only in ``Origin``. A request with neither does
  not come from a browser.

Source:
    RFC 9110 §7.2, RFC 6454 §7, https://w3c.github.io/webappsec-fetch-metadata/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async.testing.http.responses import json_bytes

ANY = "*"

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\x00-\x20\x7f\[\]:/?#@\\<>\"']+)(?::[0-9]{0,5})?", re.IGNORECASE)
_ZONE = re.compile(r"%[^\]]*")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

Address = IPv4Address | IPv6Address


def address_of(text: str) -> Address | None:
    """Return the IP address in a text, with or without brackets and zone; None if it is not one."""
    try:
        address = ip_address(_ZONE.sub("", text).strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def host_of(authority: str) -> Address | str | None:
    """Return the address, or the normalized name, of a host with or without a port; None if it is invalid."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    name = match[1]
    if name.startswith("["):
        return address_of(name)
    try:
        name = name.encode("idna").decode()
    except UnicodeError:
        return None
    name = name.lower().removesuffix(".")
    return address_of(name) or name or None


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens there; a name counts as one that others reach."""
    return _leads_back(address_of(host) or host.lower())


def _leads_back(host: Address | str) -> bool:
    return host == "localhost" if isinstance(host, str) else host.is_loopback


class AllowedHosts:
    """The names that a request may have in its ``Host`` field.

    Args:
        bound: what the server listens on: a name, an address, or empty for every interface.
        further: names and addresses, with or without a port, which does not matter; ``*`` allows any.

    Raises:
        ValueError: one of them is invalid.
    """

    def __init__(self, bound: str, further: Iterable[str] = ()) -> None:
        given = [further] if isinstance(further, str) else list(further)
        self._any = ANY in given
        self._known = {_checked(name) for name in given if name != ANY}
        here = address_of(bound) or host_of(bound)
        if here is not None:
            self._known.add(here)

    def has(self, host: Address | str, local_address: str | None) -> bool:
        """Say whether a request may name that host.

        Args:
            host: see ``host_of``.
            local_address: where the connection came in, which is what is listened on if that is every interface; None
                where it has none.
        """
        if self._any or host in self._known or _leads_back(host):
            return True
        return local_address is not None and host == address_of(local_address)


def _checked(name: str) -> Address | str:
    host = address_of(name) or host_of(name)
    if host is None or ANY in name:
        raise ValueError(f"{name!r} is not a host name or address")
    return host


def restrict_hosts(allowed: AllowedHosts, app: ASGIApp) -> ASGIApp:
    """Return the application for requests to these hosts; others are refused before they reach it."""

    async def serve_or_refuse(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(allowed, scope) if scope["type"] == "http" else None
        if refusal is None:
            await app(scope, receive, send)
            return
        status_code, message = refusal
        body = json_bytes({"message": message, "errors": []})
        fields = [(b"Content-Type", b"application/json; charset=utf-8"), (b"Content-Length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status_code, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return serve_or_refuse


def _refusal(allowed: AllowedHosts, scope: Scope) -> tuple[int, str] | None:
    named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if not named and scope["http_version"] == "1.0":
        return None
    host = host_of(named[0].strip(" \t")) if len(named) == 1 else None
    if host is None:
        return 400, "A request has one Host field, and it names a host"
    local = scope.get("server")
    if allowed.has(host, None if local is None else local[0]):
        return None
    name = f"[{host}]" if isinstance(host, IPv6Address) else host
    return 403, (
        f"This emulator does not answer for the host {name}. If that is one of your own: "
        f'strava-async emulate --allow-host {name}, or serve(emulator, allowed_hosts=["{name}"])'
    )


def is_cross_site(method: str, headers: Mapping[str, str]) -> bool:
    """Say whether a page of another origin sends what may change something.

    Args:
        method: of the request.
        headers: its fields, by names in lower case.
    """
    if method in _SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and _authority(origin) != headers.get("host", "").lower()


def _authority(origin: str) -> str | None:
    """Return the authority of an origin; None for ``null``, which is a sandbox, a file or a page without a referrer."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
