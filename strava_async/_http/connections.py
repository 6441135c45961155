"""The connections that are made here, where the caller brought no client: over which library, and loaded when.

- With the extra ``fast``, on asyncio, aiohttp has them; but not those for requests with a secret in the query, which
  aiohttp shows in its errors and traces, and not those over a proxy of the environment, which httpx knows better.
- What is needed for the first is loaded in a thread: modules and the trust store hold up an event loop for 100 ms.
- An event loop that has ended leaves none behind: in the next they are made anew.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import getproxies

import anyio.to_thread
import httpx
import sniffio

from strava_async._http.attempt import Adapter
from strava_async._http.httpx_adapter import HttpxAdapter
from strava_async._http.pool import (
    FIELDS,
    KEEPALIVE_SECONDS,
    TransportClient,
    direct_transport,
    load,
    proxied_transport,
)
from strava_async._http.proxies import Proxies, Proxy
from strava_async._http.trust import tls_context
from strava_async._loop_binding import LoopBinding
from strava_async.calls import Call
from strava_async.errors import InputError

if TYPE_CHECKING:
    import asyncio

_DIRECT, _FAST = "httpx", "aiohttp"


class _Loaded(NamedTuple):
    """What the connections of an event loop are made from: the environment's proxies, and the module over aiohttp."""

    proxies: Proxies
    fast: Any


class Connections:
    """The connections of one sender.

    Args:
        fast: whether they are aiohttp's where it is installed, on asyncio.
    """

    def __init__(self, *, fast: bool = True) -> None:
        self._fast = fast
        self._binding = LoopBinding("this HTTP client")
        self._loaded: _Loaded | None = None
        self._loading: asyncio.Future[_Loaded] | None = None  # on asyncio: one thread for all who come meanwhile
        self._adapters: dict[str | Proxy, Adapter] = {}

    @property
    def are_loaded(self) -> bool:
        """Whether all is there that the first request needs."""
        return self._loaded is not None

    def enter(self) -> bool:
        """Note that they are used in this event loop.

        Returns:
            whether the event loop of before has ended: its connections are forgotten, and what waited in it.

        Raises:
            InputError: they belong to another event loop, which has not ended.
        """
        ended = self._binding.enter()
        if ended:
            self._loaded = self._loading = None
            for adapter in self._adapters.values():
                adapter.forget()
            self._adapters.clear()
        return ended

    async def load(self) -> None:
        """Load what the first request needs. Nothing is requested.

        Raises:
            InputError: the environment names certificates that cannot be used.
        """
        if self._loaded is not None:
            return
        if sniffio.current_async_library() != "asyncio":
            self._loaded = await _loaded(fast=False)
            return
        if self._loading is None:
            self._loading = _load_in_thread(fast=self._fast)
            self._loading.add_done_callback(self._end_loading)
        import asyncio  # see ``_load_in_thread``

        self._loaded = await asyncio.shield(self._loading)

    def adapter_for(self, call: Call) -> Adapter:
        """Return what sends a call; it is made on first use.

        Raises:
            InputError: the environment names a proxy that cannot be used.
        """
        if self._loaded is None:
            raise InputError("this HTTP client is closed; make a new one")
        try:
            return self._adapter_as_loaded(call, self._loaded)
        except InputError:
            self._loaded = self._loaded._replace(proxies=_proxies())  # they may have been corrected meanwhile
            return self._adapter_as_loaded(call, self._loaded)

    def _end_loading(self, loading: asyncio.Future[_Loaded]) -> None:
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # all to whom it is to be told may have been cancelled

    def _adapter_as_loaded(self, call: Call, loaded: _Loaded) -> Adapter:
        proxies, fast = loaded
        proxy = proxies.proxy_for(call.url)
        kind = proxy or (_FAST if fast is not None and call.secret_query is None else _DIRECT)
        adapter = self._adapters.get(kind)
        if adapter is None:
            adapter = self._adapters[kind] = _adapter(kind, fast)
        return adapter

    async def aclose(self) -> None:
        """Close them all.

        Raises:
            InputError: they belong to another event loop.
        """
        self.enter()
        adapters, self._adapters = self._adapters, {}
        for adapter in adapters.values():
            await adapter.aclose()


async def httpx_client_for(url: str) -> httpx.AsyncClient:
    """Return an httpx client for requests to one place, whatever is installed; whoever asks for it closes it.

    Raises:
        InputError: the environment names certificates or a proxy that cannot be used.
    """
    loaded = await _loaded(fast=False)
    transport = _httpx_transport(loaded.proxies.proxy_for(url))
    return httpx.AsyncClient(transport=transport, headers=FIELDS, trust_env=False)


def _httpx_transport(proxy: Proxy | None) -> httpx.AsyncBaseTransport:
    tls = tls_context()
    return direct_transport(tls) if proxy is None else proxied_transport(tls, proxy)


def _adapter(kind: str | Proxy, fast: Any) -> Adapter:
    if kind == _FAST:
        adapter: Adapter = fast.AiohttpAdapter(tls_context(), FIELDS, KEEPALIVE_SECONDS)
        return adapter
    transport = _httpx_transport(kind if isinstance(kind, Proxy) else None)
    return HttpxAdapter(TransportClient(transport), httpx, owned=True)


async def _loaded(*, fast: bool) -> _Loaded:
    library = sniffio.current_async_library()
    if library != "asyncio":
        return await anyio.to_thread.run_sync(_load, library, False)
    return await _load_in_thread(fast=fast)


def _load_in_thread(*, fast: bool) -> asyncio.Future[_Loaded]:
    import asyncio  # not above: it is a third of what importing this package takes, and loaded here anyway

    # Not by way of anyio, which would load its backend on the event loop first.
    return asyncio.get_running_loop().run_in_executor(None, _load, "asyncio", fast)


def _load(library: str, fast: bool) -> _Loaded:
    with suppress(ImportError):  # where it was once; to have it loaded by now is all that depends on it
        importlib.import_module(f"anyio._backends._{library}")
    "strava.com".encode("idna")  # which loads the codec that host names go through
    tls_context()
    module: Any = None
    if fast:
        with suppress(ImportError):  # the extra `fast` is not installed
            module = importlib.import_module("strava_async._http.aiohttp_adapter")
    if module is None:
        load()
    return _Loaded(_proxies(), module)


def _proxies() -> Proxies:
    return Proxies(getproxies(), os.environ)
