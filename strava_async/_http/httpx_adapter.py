"""Requests over an ``httpx.AsyncClient``, or one of httpx2: the caller's, or one that was made here.

No retry, no redirect, no cookie policy of its own. A caller's client is used as it is: never changed, never closed.
Bodies are taken as they came, packed: a client that has a hundred large ones arriving unpacks them in its own time.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import AsyncIterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any, cast
from urllib.parse import urlsplit

from strava_async._hidden import revealed
from strava_async._http.attempt import Attempt, Body, HttpClient
from strava_async._http.incoming import Collected, fields_of
from strava_async._http.secret_url import quiet_url
from strava_async.errors import DecodeError, InputError, StravaError
from strava_async.request.call import Call
from strava_async.request.decompression import ACCEPTED, accepted
from strava_async.request.reply import Reply

_REFUSED_BY_A_PROXY = r"[3-5]\d\d\b"
# Its credentials, or where it leads to: not a matter of time.
_NOT_ALLOWED = frozenset({"401", "403", "407"})


class HttpxAdapter:
    """An ``Adapter`` over such a client.

    Args:
        client: makes the requests.
        library: httpx, or httpx2; the client's.
        owned: whether ``aclose`` closes it.
    """

    def __init__(self, client: HttpClient, library: ModuleType, *, owned: bool) -> None:
        self._client = client
        self._owned = owned
        self._library: Any = library
        self._telling: set[str] = set()

    async def send(self, attempt: Attempt) -> Reply:
        """See ``Adapter``."""
        library = self._library
        try:
            return await self._send(attempt)
        except (library.HTTPError, library.StreamError, library.InvalidURL, OSError, *_aiohttp_errors()) as error:
            failed = self._failure(error, attempt)
        raise failed  # here, where the library's error is its context no more

    async def aclose(self) -> None:
        """Close the client, unless it is the caller's."""
        if self._owned:
            await self._client.aclose()

    def forget(self) -> None:
        """See ``Adapter``: nothing of httpx is left to be done without an event loop."""

    async def _send(self, attempt: Attempt) -> Reply:
        request = self._request(attempt)
        response = await self._client.send(request, stream=True, auth=None, follow_redirects=False)
        attempt.all_taken()  # the server waits for no more of it
        try:
            reply = await _reply(response, attempt)
        finally:
            await response.aclose()
        _check_taken(request, attempt.call, reply)
        return reply

    def _failure(self, error: Exception, attempt: Attempt) -> StravaError:
        """Return what to raise for an error of the library, with that for its cause unless it shows too much."""
        call, library = attempt.call, self._library
        if isinstance(error, library.InvalidURL):
            return attempt.because(error, InputError(f"{call.path} makes no valid URL"))
        self._forget_request(error, call)
        if isinstance(error, library.DecodingError):
            return attempt.because(error, DecodeError(f"the body of {call.path} cannot be unpacked", path=call.path))
        self._judge(error, attempt)
        if call.quota_class is None and self._is_about_what_came(error):
            # It shows the bytes that make no sense, and they may be of tokens.
            return attempt.error(f"no reply to {call.method} {call.path} that is HTTP")
        refusal = re.match(_REFUSED_BY_A_PROXY, str(error)) if isinstance(error, library.ProxyError) else None
        if refusal is not None:
            # The rest of it is of the proxy's own wording, which may repeat the credentials that it was shown.
            text = f"no reply to {call.method} {call.path}: the proxy refuses the connection with {refusal[0]}"
            return attempt.error(text, permanent=refusal[0] in _NOT_ALLOWED)
        permanent = isinstance(error, library.LocalProtocolError | library.UnsupportedProtocol)
        return attempt.because(error, attempt.no_reply(error, timed_out=self._timed_out(error), permanent=permanent))

    def _request(self, attempt: Attempt) -> Any:
        call, timeout = attempt.call, attempt.timeout
        authorization = attempt.authorization()
        content, fields = attempt.body()
        extensions: dict[str, Any] = {"timeout": {"connect": timeout, "read": timeout, "write": timeout, "pool": None}}
        attempt.sent = "maybe"
        if attempt.total is not None:
            extensions["trace"] = self._watch(attempt)
        request = self._client.build_request(
            call.method, call.url, content=revealed(content), headers=fields or None, extensions=extensions
        )
        if isinstance(content, Body):
            # That of httpx is an async generator around it, which trio complains of if it is left half-way.
            request.stream = _stream_class(self._library)(content)
        if not self._owned:
            _accept_known_codings(request.headers)
        if authorization is not None:
            request.headers["Authorization"] = authorization.reveal()
        elif "Authorization" in request.headers:
            del request.headers["Authorization"]  # the caller's client has one for everything; OAuth calls carry none
        if call.secret_query is not None:
            request.url = quiet_url(request.url, call.secret_query.reveal())
        return request

    def _watch(self, attempt: Attempt) -> Any:
        """Return what httpcore tells how far the request came, so that an end says whether it may have been sent.

        Other transports tell nothing. One that has told something will do so again: as long as it is silent, the
        request waits for a connection.
        """
        parts = urlsplit(attempt.call.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in self._telling:
            attempt.sent = "never"

        async def told(event: str, info: Mapping[str, Any]) -> None:
            self._telling.add(origin)
            if not event.endswith("send_request_headers.started"):
                attempt.sent = "never" if event.startswith("connection.") else attempt.sent
            elif getattr(info.get("request"), "method", b"") != b"CONNECT":  # which goes to a proxy
                attempt.sent = "maybe"

        return told

    def _judge(self, error: Exception, attempt: Attempt) -> None:
        """Note whether the request may have been sent, by the error alone."""
        library = self._library
        never = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout, library.ProxyError)
        cause = _aiohttp_cause(error)
        if cause is not None:
            aiohttp: Any = sys.modules["aiohttp"]
            # httpx-aiohttp calls it a ConnectTimeout too when the server hangs up on a request that it has.
            connecting = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
            attempt.sent = "never" if isinstance(cause, connecting) else "maybe"
        else:
            attempt.sent = "never" if isinstance(error, (*never, ConnectionRefusedError)) else "maybe"

    def _is_about_what_came(self, error: Exception) -> bool:
        cause = _aiohttp_cause(error)
        if cause is not None:
            aiohttp: Any = sys.modules["aiohttp"]
            return isinstance(cause, aiohttp.ClientResponseError)
        return isinstance(error, self._library.RemoteProtocolError)

    def _timed_out(self, error: Exception) -> bool:
        cause = _aiohttp_cause(error)
        if cause is not None:
            return isinstance(cause, TimeoutError)
        return isinstance(error, self._library.TimeoutException | TimeoutError)

    def _forget_request(self, error: Exception, call: Call) -> None:
        """Replace the request that httpx hangs on its errors: its fields and body hold tokens and secrets."""
        library, shown = self._library, cast(Any, error)
        if isinstance(error, library.RequestError | library.HTTPStatusError):
            shown.request = library.Request(call.method, call.url)
        if isinstance(error, library.HTTPStatusError):  # of a hook of the caller's client
            shown.response = library.Response(shown.response.status_code, request=shown.request)


def _accept_known_codings(headers: Any) -> None:
    """Ask for no coding that only the library knows: it has no bound for what comes out of it."""
    asked = headers.get("Accept-Encoding", "")
    if asked != ACCEPTED and (known := accepted(asked)) != asked:
        headers["Accept-Encoding"] = known


@cache
def library_of(client: type) -> ModuleType:
    """Return httpx or httpx2, whichever the client's class comes from.

    Raises:
        InputError: neither.
    """
    for base in client.__mro__:
        root = base.__module__.partition(".")[0]
        if root in ("httpx", "httpx2"):
            return importlib.import_module(root)
    raise InputError(f"http_client is an httpx.AsyncClient or an httpx2.AsyncClient, not a {client.__name__}")


class _BodyStream:
    """What goes before a library's own class of request bodies."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()


@cache
def _stream_class(library: Any) -> type[_BodyStream]:
    return type("BodyStream", (_BodyStream, library.AsyncByteStream), {})


def _check_taken(request: Any, call: Call, reply: Reply) -> None:
    """Raise InputError if the credentials were refused because the transport left them out; see ``quiet``."""
    if call.secret_query is not None and reply.status_code in (400, 401) and not request.url.taken:
        raise InputError(
            "the transport of http_client takes URLs as text, which holds no secret: use one of httpx for this call"
        )


async def _reply(response: Any, attempt: Attempt) -> Reply:
    fields = fields_of(response.headers.raw)
    content_type, coding = fields.pop("content-type", ""), fields.pop("content-encoding", "")
    body = Collected(attempt.call.path)
    if response.is_stream_consumed:  # a mock transport has read and unpacked it already
        body.add(response.content)
        return Reply(response.status_code, fields, body.joined(), content_type)
    # Not aiter_raw(), which puts three generators around it, for what is not needed here.
    chunks = aiter(response.stream)
    while True:
        try:
            body.add(await anext(chunks))
        except StopAsyncIteration:
            break
        except DecodeError as error:
            # Raised here it would leave three generators of httpx open; a cancelled wait closes them from the inside.
            if attempt.scope.cancel_called:
                raise  # what is buffered is read without a wait
            attempt.end(error)
    return Reply(response.status_code, fields, body.joined(), content_type, coding)


def _aiohttp_cause(error: Exception) -> BaseException | None:
    """Return aiohttp's own error, where a caller's client runs over httpx-aiohttp."""
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is None:
        return None
    return next((one for one in (error.__cause__, error) if isinstance(one, aiohttp.ClientError)), None)


def _aiohttp_errors() -> tuple[type[Exception], ...]:
    aiohttp = sys.modules.get("aiohttp")
    return () if aiohttp is None else (aiohttp.ClientError,)
