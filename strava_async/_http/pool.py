"""The HTTP client that a sender makes where its caller brought none, and the connections below it.

- One TLS context per process, made on first use: loading the trust store stalls the loop for 20 ms.
- Each connection of httpx has a pool of its own (``Lanes``), all are kept alive.
- With the extra ``fast``, on asyncio, aiohttp has the connections, except for URLs that are not to be shown.
- No cookies: those of one athlete's answers are not to go along with another's requests.
- Where the environment names a proxy it is httpx alone, which knows the rules for it.
"""

from __future__ import annotations

import importlib
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache, partial
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import getproxies

import anyio
import anyio.to_thread
import httpx
import sniffio

from strava_async._http.quiet import QuietUrl

MAX_CONNECTIONS = 50
MAX_KEEPALIVE_CONNECTIONS = 10  # of a pool behind a proxy
KEEPALIVE_SECONDS = 5.0
USER_AGENT = "strava_async (Python)"


async def tls_context() -> ssl.SSLContext:
    """Return the TLS context of this process. The first time a thread loads the trust store."""
    loaded = _tls_context.cache_info().currsize
    return _tls_context() if loaded else await anyio.to_thread.run_sync(_tls_context)


@cache
def _tls_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def own_client(tls: ssl.SSLContext) -> httpx.AsyncClient:
    """Return a client on the fastest transport that is installed and runs on this event loop.

    It is for at most ``MAX_CONNECTIONS`` requests at a time.
    """
    proxied = bool(getproxies().keys() & {"http", "https", "all"})
    return httpx.AsyncClient(
        verify=tls,
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_KEEPALIVE_CONNECTIONS),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate", "Accept": "*/*"},
        cookies=_NoCookies(),
        transport=None if proxied else _transport(tls),
    )


def _transport(tls: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS)
    lanes = Lanes(partial(httpx.AsyncHTTPTransport, verify=tls, limits=one))
    if sniffio.current_async_library() == "asyncio":
        try:
            transport: httpx.AsyncBaseTransport = importlib.import_module("httpx_aiohttp").AiohttpTransport(
                verify=tls, client=partial(_aiohttp_session, tls)
            )
        except ImportError:
            pass  # the extra `fast` is not installed
        else:
            return _Parted(transport, lanes)
    return lanes


def _aiohttp_session(tls: ssl.SSLContext) -> Any:
    aiohttp: Any = importlib.import_module("aiohttp")
    connector = aiohttp.TCPConnector(ssl=tls, limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


class _Parted(httpx.AsyncBaseTransport):
    """aiohttp, and httpx for the URLs with a quiet part: aiohttp takes text, and shows it in its errors and traces."""

    def __init__(self, aiohttp: httpx.AsyncBaseTransport, lanes: Lanes) -> None:
        self._aiohttp = aiohttp
        self._lanes = lanes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._lanes if isinstance(request.url, QuietUrl) else self._aiohttp
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._lanes.aclose()
        await self._aiohttp.aclose()


class _NoCookies(CookieJar):
    """Keeps and sends none. To look for them costs httpx more than this library adds to a request."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep nothing."""

    def add_cookie_header(self, request: Any) -> None:
        """Send nothing."""


class Lanes(httpx.AsyncBaseTransport):
    """Connections, each in a pool of its own; the one used last is used first.

    httpcore's pool goes through all its connections on every request and asks the system about each idle one. To keep
    50 alive costs more than the requests themselves; to keep 10 alive makes the other 40 anew, time and again.

    How many there are is up to the caller: as many as it has requests under way. What has been idle for
    ``KEEPALIVE_SECONDS`` is closed when the next request comes.

    Args:
        open_lane: returns a transport that has one connection.
        now: seconds, monotonic.
    """

    def __init__(
        self, open_lane: Callable[[], httpx.AsyncBaseTransport], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_lane = open_lane
        self._now = now
        self._all: set[httpx.AsyncBaseTransport] = set()
        self._idle: deque[tuple[float, httpx.AsyncBaseTransport]] = deque()  # longest idle first

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on a lane that is free; the body's end frees it."""
        expired = self._now() - KEEPALIVE_SECONDS
        while self._idle and self._idle[0][0] < expired:
            await self._drop(self._idle.popleft()[1])
        lane = self._idle.pop()[1] if self._idle else self._open_lane()
        self._all.add(lane)
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            await self._drop(lane)
            raise
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Body(response.stream, partial(self._free, lane), partial(self._drop, lane))
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        self._idle.clear()
        while self._all:
            await self._drop(next(iter(self._all)))

    def _free(self, lane: httpx.AsyncBaseTransport) -> None:
        if lane in self._all:
            self._idle.append((self._now(), lane))

    async def _drop(self, lane: httpx.AsyncBaseTransport) -> None:
        self._all.discard(lane)
        with anyio.CancelScope(shield=True):
            await lane.aclose()


class _Body(httpx.AsyncByteStream):
    """A response's body that tells when it ends.

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
        """Close the body, and only the first time tell so."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._stream.aclose()
        except BaseException:
            await self._failed()
            raise
        self._done()
