"""One request out, one reply in, over httpx, or httpx2 in its place.

No retry, no redirect, no cookie policy of its own. A caller's client is used as it is: never changed, never closed.

- At most ``MAX_CONNECTIONS`` requests of a client of its own are on the way, gated here: a queue inside of httpx costs
  more than its requests.
- Bodies are taken as they came, packed: a client that has a hundred large ones arriving unpacks them in its own time.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType, TracebackType
from typing import Any, Protocol, Self, cast

import anyio
import httpx
from anyio.lowlevel import current_token

from strava_async._http.pool import MAX_CONNECTIONS, own_client, tls_context
from strava_async._http.quiet import quiet_url
from strava_async.calls import Call
from strava_async.errors import DecodeError, InputError, Sent, TransportError
from strava_async.wire import Reply, redacted

_RAW_CODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_FIELDS = frozenset(
    {
        b"content-encoding",
        b"content-type",
        b"date",
        b"retry-after",
        b"x-ratelimit-limit",
        b"x-ratelimit-usage",
        b"x-readratelimit-limit",
        b"x-readratelimit-usage",
    }
)


class Sender(Protocol):
    """What the exchange needs to know about HTTP."""

    async def send(self, call: Call, bearer: str | None, timeout: float) -> Reply:
        """Make one request and return its reply, whatever the status.

        Raises:
            TransportError: no reply came.
        """
        ...

    async def aclose(self) -> None:
        """Close what this sender opened itself."""
        ...


class HttpClient(Protocol):
    """What is used of an ``httpx.AsyncClient``, or an ``httpx2.AsyncClient``."""

    @property
    def is_closed(self) -> bool:
        """Whether ``aclose`` was called."""
        ...

    def build_request(
        self, method: str, url: str, *, content: Any, data: Any, files: Any, headers: Any, extensions: Any
    ) -> Any:
        """Return a request with the client's own settings merged in."""
        ...

    async def send(self, request: Any, *, stream: bool, auth: Any, follow_redirects: bool) -> Any:
        """Return the response as soon as its fields are there."""
        ...

    async def aclose(self) -> None:
        """Close the pool."""
        ...


class HttpSender:
    """A sender over an HTTP client: the caller's, or one of its own that is made on first use.

    Args:
        client: None means one of its own.
    """

    def __init__(self, client: HttpClient | None = None) -> None:
        self._client = client
        self._owned = client is None
        self._gate: anyio.Semaphore | None = None
        self._loop: object = None
        self._closed = False
        self._library: Any = httpx if client is None else _library(type(client))

    async def send(self, call: Call, bearer: str | None, timeout: float) -> Reply:
        """Make one request; see ``Sender``. Waits for one of ``MAX_CONNECTIONS`` places, without a limit of time."""
        client = self._client or await self._open()
        if self._closed or client.is_closed:
            raise InputError("the HTTP client is closed; make a new one")
        if self._gate is None:
            return await self._send(client, call, bearer, timeout)
        if current_token() != self._loop:
            raise InputError("the connections belong to another event loop; make a new client for this one")
        async with self._gate:
            return await self._send(client, call, bearer, timeout)

    async def aclose(self) -> None:
        """Close the pool, if it is this sender's own. Sending afterwards raises InputError."""
        self._closed = True
        if self._owned and self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _open(self) -> HttpClient:
        if not self._closed:
            tls = await tls_context()
            if self._client is None:
                self._client = own_client(tls)
                self._loop = current_token()
                self._gate = anyio.Semaphore(MAX_CONNECTIONS, fast_acquire=True)
        if self._client is None:
            raise InputError("the HTTP client is closed; make a new one")
        return self._client

    async def _send(self, client: HttpClient, call: Call, bearer: str | None, timeout: float) -> Reply:
        try:
            request = self._request(client, call, bearer, timeout)
            response = await client.send(request, stream=True, auth=None, follow_redirects=False)
            try:
                reply = await _reply(response)
            finally:
                await response.aclose()
            _check_taken(request, call, reply)
            return reply
        except self._library.InvalidURL as error:
            raise InputError(f"{call.path} makes no valid URL") from error
        except self._library.DecodingError as error:
            _forget_request(error, self._library, call)
            raise DecodeError(f"the body of {call.path} cannot be unpacked", path=call.path) from error
        except (self._library.HTTPError, self._library.StreamError, OSError, *_aiohttp_errors()) as error:
            _forget_request(error, self._library, call)
            raise _transport_error(error, self._library, call, bearer) from error

    def _request(self, client: HttpClient, call: Call, bearer: str | None, timeout: float) -> Any:
        request = client.build_request(
            call.method,
            call.url,
            content=call.content,
            data=call.fields,
            files=call.files,
            headers=None if call.content_type is None else {"Content-Type": call.content_type},
            extensions={"timeout": {"connect": timeout, "read": timeout, "write": timeout, "pool": None}},
        )
        if call.basic is not None:
            request.headers["Authorization"] = call.basic
        elif bearer is not None:
            request.headers["Authorization"] = f"Bearer {bearer}"
        elif "Authorization" in request.headers:
            del request.headers["Authorization"]  # the caller's client has one for everything; OAuth calls carry none
        if call.secret_query is not None:
            request.url = quiet_url(request.url, call.secret_query)
        return request


def asgi_client(app: Any, base_url: str, *, raise_app_exceptions: bool = True) -> httpx.AsyncClient:
    """Return an httpx client whose requests are answered by an ASGI application in this process, without a socket.

    Args:
        app: the application.
        base_url: what relative URLs are relative to.
        raise_app_exceptions: False answers 500 where the application raises, as a server does.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=raise_app_exceptions)
    return httpx.AsyncClient(transport=transport, base_url=base_url, trust_env=False)


def _check_taken(request: Any, call: Call, reply: Reply) -> None:
    """Raise InputError if the credentials were refused because the transport left them out; see ``quiet``."""
    if call.secret_query is not None and reply.status_code in (400, 401) and not request.url.taken:
        raise InputError(
            "the transport of http_client takes URLs as text, which holds no secret: use one of httpx for this call"
        )


async def _reply(response: Any) -> Reply:
    fields: dict[str, str] = {}
    for name, value in response.headers.raw:
        lowered = name.lower()
        if lowered in _FIELDS:
            key, text = lowered.decode("ascii"), value.decode("latin-1")
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
    content_type, coding = fields.pop("content-type", ""), fields.pop("content-encoding", "")
    if not response.is_stream_consumed and coding.lower() in _RAW_CODINGS:
        chunks = [chunk async for chunk in response.aiter_raw()]
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return Reply(response.status_code, fields, body, content_type, coding)
    # A coding that only the library knows, or a response that a mock transport has read already.
    return Reply(response.status_code, fields, await response.aread(), content_type)


def _transport_error(error: Exception, library: Any, call: Call, bearer: str | None) -> TransportError:
    reason = redacted(str(error), (*call.secrets, bearer or ""))
    text = f"no reply to {call.method} {call.path}: {type(error).__name__}{': ' if reason else ''}{reason}"
    sent, timed_out = _sent(error, library), _timed_out(error, library)
    return TransportError(text, sent=sent, timed_out=timed_out, method=call.method, path=call.path)


def _sent(error: Exception, library: Any) -> Sent:
    before_sending = (
        library.ConnectError,
        library.ConnectTimeout,
        library.PoolTimeout,
        library.ProxyError,
        ConnectionRefusedError,
    )
    cause = _aiohttp_cause(error)
    if cause is not None:
        aiohttp: Any = sys.modules["aiohttp"]
        # httpx-aiohttp calls it a ConnectTimeout too when the server hangs up on a request that it has.
        connecting = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
        return "never" if isinstance(cause, connecting) else "maybe"
    return "never" if isinstance(error, before_sending) else "maybe"


def _timed_out(error: Exception, library: Any) -> bool:
    cause = _aiohttp_cause(error)
    if cause is not None:
        return isinstance(cause, TimeoutError)
    return isinstance(error, library.TimeoutException | TimeoutError)


def _aiohttp_cause(error: Exception) -> BaseException | None:
    """Return aiohttp's own error, where the request went over it."""
    aiohttp = sys.modules.get("aiohttp")
    cause = error if error.__cause__ is None else error.__cause__
    return cause if aiohttp is not None and isinstance(cause, aiohttp.ClientError) else None


def _forget_request(error: Exception, library: Any, call: Call) -> None:
    """Replace the request that httpx hangs on its errors: its fields and body hold tokens and secrets."""
    if isinstance(error, library.RequestError):
        cast(Any, error).request = library.Request(call.method, call.url)


def _aiohttp_errors() -> tuple[type[Exception], ...]:
    aiohttp = sys.modules.get("aiohttp")
    return () if aiohttp is None else (aiohttp.ClientError,)


@cache
def _library(client: type) -> ModuleType:
    """Return httpx or httpx2, whichever the client's class comes from."""
    for base in client.__mro__:
        root = base.__module__.partition(".")[0]
        if root in ("httpx", "httpx2"):
            return importlib.import_module(root)
    raise InputError(f"http_client is an httpx.AsyncClient or an httpx2.AsyncClient, not a {client.__name__}")
