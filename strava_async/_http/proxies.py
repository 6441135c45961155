"""Which proxy the environment names for a URL: ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``.

Rules, those of curl and Go where they agree:

- A scheme's own variable goes before ``ALL_PROXY``. A value without a scheme is an HTTP proxy.
- ``NO_PROXY`` lists what is reached directly, separated by commas or white space: a host name, with or without a dot or
  ``*.`` before it, stands for itself and what is below it; an address, for itself; a network such as ``10.0.0.0/8`` or
  ``::1/128``, for the addresses in it. Each may end in a port, which then has to be the URL's. ``*`` is everything.
- What is none of these matches nothing.

Pure: the variables are arguments. No message shows the value of a proxy variable: it may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from strava_async.errors import InputError

_PORTS = {"http": 80, "https": 443}
_SCHEMES = ("http", "https", "socks5", "socks5h")


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        url: where it is, with its credentials.
        variable: where it is named.
    """

    url: str
    variable: str

    def __repr__(self) -> str:
        """Not with the URL: it may hold a password."""
        return f"Proxy(variable={self.variable!r})"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS."""
        return self.url.startswith("socks")


class Proxies:
    """The proxies of an environment.

    Args:
        named: the proxies by scheme, ``all`` and ``no`` included, as ``urllib.request.getproxies`` returns them.
        environ: the variables, to say in an error which of them it was.
    """

    def __init__(self, named: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._named = named
        self._environ = environ
        self._direct = [pattern for text in re.split(r"[,\s]+", named.get("no", "")) if (pattern := _Pattern.of(text))]

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy for a URL; None to connect directly.

        Raises:
            InputError: the variable that names it is invalid.
        """
        if not self._named:
            return None
        parts = urlsplit(url)
        scheme = next((name for name in (parts.scheme, "all") if self._named.get(name)), None)
        if scheme is None:
            return None
        host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
        if any(pattern.matches(host, port) for pattern in self._direct):
            return None
        return _checked(self._named[scheme], self._variable(f"{scheme}_proxy"))

    def _variable(self, name: str) -> str:
        # As with urllib, the lower case goes first.
        for spelled in (name, name.upper()):
            if self._environ.get(spelled):
                return spelled
        return next((key for key in self._environ if key.lower() == name), "the proxy settings of the system")


def _checked(value: str, variable: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in _SCHEMES and parts.hostname and parts.port != 0:
            # With the scheme as it is compared: in lower case.
            return Proxy(f"{parts.scheme}://{url.partition('://')[2]}", variable)
    raise InputError(
        f"{variable} names no proxy that can be used: it is http://host:port, or the same with one of "
        f"{', '.join(_SCHEMES[1:])}; correct the variable, or unset it"
    )


class _Pattern(NamedTuple):
    """One entry of ``NO_PROXY``."""

    host: str
    network: IPv4Network | IPv6Network | None
    port: int | None

    @classmethod
    def of(cls, text: str) -> _Pattern | None:
        text = text.rpartition("://")[2].lower()
        network = _network(text)
        if network is not None:
            return cls("", network, None)
        bracketed = re.fullmatch(r"\[([^]]*)\](?::(\d{1,5}))?", text)
        plain = re.fullmatch(r"([^:]*)(?::(\d{1,5}))?", text)
        match = bracketed or plain
        if match is None or not match[1]:
            return None
        port = None if match[2] is None else int(match[2])
        network = _network(match[1])
        host = match[1] if match[1] == "*" else match[1].removeprefix("*").strip(".")
        return cls(host, network, port) if host else None

    def matches(self, host: str, port: int | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is None:
            return self.host == "*" or host == self.host or host.endswith(f".{self.host}")
        try:
            address = ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return address in self.network or (mapped is not None and mapped in self.network)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Return the network, or the one address, that a text stands for."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
