"""The connections of httpx that are made here, where the caller brought no client.

- Each connection of httpx has a pool of its own (``SingleConnectionPools``), all are kept alive.
- Proxies of the environment are ``proxies``' matter; httpx's own reading of ``NO_PROXY`` fails on networks.
- No cookies: one athlete's must not be sent with another's requests.
- No ``httpx.AsyncClient`` around them: what that adds to a request (settings, redirects, authentication, cookies, a
  line in its log) is not wanted here, and costs as much as this library does.
"""

from __future__ import annotations

import importlib.util
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
import httpx

from strava_async._http.proxies import Proxy
from strava_async.errors import InputError
from strava_async.request.decompression import ACCEPTED

KEEPALIVE_SECONDS = 5.0
MAX_IDLE_AT_A_PROXY = 10
FIELDS = {"User-Agent": "strava_async (Python)", "Accept-Encoding": ACCEPTED, "Accept": "*/*"}
_RAW_FIELDS = [(name.encode(), value.encode()) for name, value in FIELDS.items()]


def direct_transport(tls: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    """Return connections without a proxy. How many requests they carry at a time is up to the caller."""
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS)
    return SingleConnectionPools(partial(httpx.AsyncHTTPTransport, verify=tls, limits=one, trust_env=False))


def proxied_transport(tls: ssl.SSLContext, proxy: Proxy) -> httpx.AsyncBaseTransport:
    """Return connections behind a proxy.

    Raises:
        InputError: the proxy cannot be used. Its URL, which may hold a password, is not shown.
    """
    if proxy.is_socks and importlib.util.find_spec("socksio") is None:
        raise InputError(
            f"{proxy.variable} names a SOCKS proxy, which needs the package socksio: pip install 'httpx[socks]', or "
            "unset the variable"
        )
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=MAX_IDLE_AT_A_PROXY, keepalive_expiry=KEEPALIVE_SECONDS
    )
    try:
        return httpx.AsyncHTTPTransport(verify=tls, limits=limits, proxy=_proxy(tls, proxy), trust_env=False)
    except (ValueError, httpx.InvalidURL):
        raise InputError(
            f"{proxy.variable} names no proxy that can be used: correct the variable, or unset it"
        ) from None


def load_transport() -> None:
    """Import what httpx puts off to its first request."""
    httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False)


def _proxy(tls: ssl.SSLContext, proxy: Proxy) -> httpx.Proxy:
    return httpx.Proxy(proxy.url, ssl_context=tls if proxy.url.lower().startswith("https:") else None)


class TransportClient:
    """What is used of a client (``http_client.HttpClient``), over a transport alone.

    Args:
        transport: makes the requests, and is closed with this.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.is_closed = False

    def build_request(
        self, method: str, url: str, *, content: Any, headers: Mapping[str, str] | None, extensions: Any
    ) -> httpx.Request:
        """Return a request with the fields of all requests."""
        fields = _RAW_FIELDS
        if headers:
            fields = [*fields, *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())]
        return httpx.Request(method, url, content=content, headers=fields, extensions=extensions)

    async def send(self, request: httpx.Request, *, stream: bool, auth: Any, follow_redirects: bool) -> httpx.Response:
        """Return the response as soon as its fields are there; the arguments beside the request change nothing."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        self.is_closed = True
        await self._transport.aclose()


class SingleConnectionPools(httpx.AsyncBaseTransport):
    """Connections, each in a pool of its own; the one used last is used first.

    httpcore's pool goes through all its connections on every request and asks the system about each idle one. To keep
    all alive costs more than the requests themselves; to keep 10 alive opens the others again and again.

    How many there are is up to the caller: as many as it has requests in flight. What has been idle for
    ``KEEPALIVE_SECONDS`` is closed when the next request comes.

    Args:
        open_pool: returns a transport with one connection.
        now: seconds, monotonic.
    """

    def __init__(
        self, open_pool: Callable[[], httpx.AsyncBaseTransport], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_pool = open_pool
        self._now = now
        self._all: set[httpx.AsyncBaseTransport] = set()
        self._idle: deque[tuple[float, httpx.AsyncBaseTransport]] = deque()  # longest idle first

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection that is free; the end of the reply's body frees it."""
        expired = self._now() - KEEPALIVE_SECONDS
        while self._idle and self._idle[0][0] < expired:
            await self._drop(self._idle.popleft()[1])
        pool = self._idle.pop()[1] if self._idle else self._open_pool()
        self._all.add(pool)
        try:
            response = await pool.handle_async_request(request)
        except BaseException:
            await self._drop(pool)
            raise
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Body(response.stream, partial(self._free, pool), partial(self._drop, pool))
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        self._idle.clear()
        while self._all:
            await self._drop(next(iter(self._all)))

    def _free(self, pool: httpx.AsyncBaseTransport) -> None:
        if pool in self._all:
            self._idle.append((self._now(), pool))

    async def _drop(self, pool: httpx.AsyncBaseTransport) -> None:
        self._all.discard(pool)
        with anyio.CancelScope(shield=True):
            await pool.aclose()


class _Body(httpx.AsyncByteStream):
    """A response's body that reports its end.

    Args:
        stream: the body.
        done: called once it is closed.
        failed: called instead if it cannot be.
    """

    def __init__(
        self, stream: httpx.AsyncByteStream, done: Callable[[], None], failed: Callable[[], Awaitable[None]]
    ) -> None:
        self._stream = stream
        self._done = done
        self._failed = failed
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        """Close the body, and report it the first time."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._stream.aclose()
        except BaseException:
            await self._failed()
            raise
        self._done()
