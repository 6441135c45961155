"""The senders of one event loop over connections that are made here: which library for which call.

- With the extra ``fast``, on asyncio, aiohttp sends; but not requests with a secret in the query, which only
  ``secret_url`` keeps out of sight, and not those over a proxy of the environment, which httpx knows better.
- To import this module loads httpx, and with ``load`` the trust store: together a tenth of a second, for a thread.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import Any, Protocol
from urllib.request import getproxies

import httpx

from strava_async._http.httpx_sender import HttpxSender
from strava_async._http.pool import (
    FIELDS,
    KEEPALIVE_SECONDS,
    TransportClient,
    direct_transport,
    load_transport,
    proxied_transport,
)
from strava_async._http.proxies import Proxies, Proxy
from strava_async._http.trust import tls_context
from strava_async.request.call import Call
from strava_async.request.sender import Sender

_DIRECT, _FAST = "httpx", "aiohttp"


class OwnSender(Sender, Protocol):
    """A sender whose connections are made here."""

    def forget(self) -> None:
        """Let go of its connections, whose event loop has ended."""
        ...


class OwnSenders:
    """The senders of one event loop; each is made on first use.

    Args:
        fast: the module over aiohttp; None without it.
    """

    def __init__(self, fast: Any) -> None:
        self._fast = fast
        self._proxies = _proxies()
        self._senders: dict[str | Proxy, OwnSender] = {}

    def sender_for(self, call: Call) -> OwnSender:
        """Return what sends a call.

        Raises:
            InputError: the environment names a proxy that cannot be used.
        """
        proxy = self._proxies.proxy_for(call.url)
        kind = proxy or (_FAST if self._fast is not None and call.secret_query is None else _DIRECT)
        sender = self._senders.get(kind)
        if sender is None:
            sender = self._senders[kind] = self._sender(kind)
        return sender

    def reread_environment(self) -> None:
        """Read the proxies from the environment again: they may have been corrected meanwhile."""
        self._proxies = _proxies()

    def forget(self) -> None:
        """Let go of all connections: their event loop has ended."""
        for sender in self._senders.values():
            sender.forget()

    async def aclose(self) -> None:
        """Close all connections."""
        while self._senders:
            await self._senders.popitem()[1].aclose()

    def _sender(self, kind: str | Proxy) -> OwnSender:
        if kind == _FAST:
            sender: OwnSender = self._fast.AiohttpSender(tls_context(), FIELDS, KEEPALIVE_SECONDS)
            return sender
        return HttpxSender(TransportClient(_transport(None if isinstance(kind, str) else kind)), httpx, owned=True)


def load(library: str, *, fast: bool) -> OwnSenders:
    """Load what the first request needs; it blocks.

    Args:
        library: ``asyncio`` or ``trio``.
        fast: whether aiohttp is taken where it is installed.

    Raises:
        InputError: the environment names certificates that cannot be used.
    """
    with suppress(ImportError):  # where it was once; to have it loaded by now is all that depends on it
        importlib.import_module(f"anyio._backends._{library}")
    "strava.com".encode("idna")  # which loads the codec that host names go through
    tls_context()
    module: Any = None
    if fast:
        with suppress(ImportError):  # the extra `fast` is not installed
            module = importlib.import_module("strava_async._http.aiohttp_sender")
    if module is None:
        load_transport()
    return OwnSenders(module)


def httpx_client_for(url: str) -> httpx.AsyncClient:
    """Return an httpx client for requests to one place; the caller closes it. Blocks the first time.

    Raises:
        InputError: the environment names certificates or a proxy that cannot be used.
    """
    transport = _transport(_proxies().proxy_for(url))
    return httpx.AsyncClient(transport=transport, headers=FIELDS, trust_env=False)


def _transport(proxy: Proxy | None) -> httpx.AsyncBaseTransport:
    tls = tls_context()
    return direct_transport(tls) if proxy is None else proxied_transport(tls, proxy)


def _proxies() -> Proxies:
    return Proxies(getproxies(), os.environ)
