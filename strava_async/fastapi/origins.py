"""The origin of a site, in one spelling (RFC 6454 §6.2)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

_PORTS = {"http": 80, "https": 443}
_SCHEMES = {"ws": "http", "wss": "https"}
_HOST = re.compile(r"[^\s/?#@\\]+")


def origin_of(url: str) -> str | None:
    """Return the origin of a URL, such as ``https://service.example``; None if it has none, as ``null`` has."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not parts.scheme or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    port = None if port == _PORTS.get(parts.scheme) else port
    return f"{parts.scheme}://{host}" if port is None else f"{parts.scheme}://{host}:{port}"


def origin_asked(connection: HTTPConnection) -> str | None:
    """Return the origin that a request or websocket names as its target, which a client can forge; None if invalid."""
    scheme = connection.scope.get("scheme", "http")
    hosts = connection.headers.getlist("host")
    if not hosts and connection.scope.get("server"):
        name, port = connection.scope["server"]
        hosts = [name if port is None else f"[{name}]:{port}" if ":" in name else f"{name}:{port}"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        return None
    return origin_of(f"{_SCHEMES.get(scheme, scheme)}://{hosts[0]}")
