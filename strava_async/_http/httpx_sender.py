"""Requests over an ``httpx.AsyncClient``, or one of httpx2: the caller's, or one that was made here.

No retry, no redirect, no cookie policy of its own. A caller's client is used as it is: never changed, never closed.
Bodies are taken as they came, compressed: a hundred large ones that arrive together are decompressed one by one.
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
from strava_async._http.failures import because, no_reply
from strava_async._http.http_client import HttpClient
from strava_async._http.incoming import Collected, fields_of
from strava_async._http.secret_url import secret_query_url
from strava_async.errors import DecodeError, InputError, StravaError
from strava_async.request.call import Call
from strava_async.request.decompression import ACCEPTED, accepted
from strava_async.request.outgoing import Body, OutgoingRequest
from strava_async.request.reply import Reply

_REFUSED_BY_A_PROXY = r"[3-5]\d\d\b"
# Its credentials, or where it leads to: not a matter of time.
_NOT_ALLOWED = frozenset({"401", "403", "407"})


class HttpxSender:
    """A ``Sender`` over such a client.

    Args:
        client: makes the requests.
        library: httpx, or httpx2; the client's.
        owned: whether ``aclose`` closes it.
    """

    def __init__(self, client: HttpClient, library: ModuleType, *, owned: bool) -> None:
        self._client = client
        self._owned = owned
        self._library: Any = library
        self._traced: set[str] = set()

    async def send(self, outgoing: OutgoingRequest) -> Reply:
        """See ``Sender``."""
        library = self._library
        try:
            request = self._request(outgoing)
            response = await self._client.send(request, stream=True, auth=None, follow_redirects=False)
            outgoing.body_ended()  # the server waits for no more of it
            try:
                reply = await _reply(response, outgoing)
            finally:
                # Not the response's own, which goes through a context manager that notes the request in errors.
                await response.stream.aclose()
        except (library.HTTPError, library.StreamError, library.InvalidURL, OSError, *_aiohttp_errors()) as error:
            # Some transports wrap what the source of the body raised.
            failed = self._failure(error, outgoing) if outgoing.failure is None else outgoing.failure
        else:
            if outgoing.call.secret_query is not None:
                _check_taken(request, reply)
            return reply
        raise failed  # here, where the library's error is its context no more

    async def aclose(self) -> None:
        """Close the client, unless it is the caller's."""
        if self._owned:
            await self._client.aclose()

    def forget(self) -> None:
        """See ``OwnSender``: nothing of httpx is left to be done without an event loop."""

    def _failure(self, error: Exception, outgoing: OutgoingRequest) -> StravaError:
        """Return what to raise for an error of the library, with that for its cause unless it shows too much."""
        call, library = outgoing.call, self._library
        if isinstance(error, library.InvalidURL):
            return because(outgoing, error, InputError(f"{call.path} makes no valid URL"))
        self._forget_request(error, call)
        if isinstance(error, library.DecodingError):
            return because(
                outgoing, error, DecodeError(f"the body of {call.path} cannot be decompressed", path=call.path)
            )
        self._judge(error, outgoing)
        if call.quota_class is None and self._is_about_what_came(error):
            # It shows the invalid bytes, which may be of tokens.
            return outgoing.error(f"no reply to {call.method} {call.path} that is HTTP")
        refusal = re.match(_REFUSED_BY_A_PROXY, str(error)) if isinstance(error, library.ProxyError) else None
        if refusal is not None:
            # The rest is the proxy's own wording, which may repeat the credentials that it received.
            text = f"no reply to {call.method} {call.path}: the proxy refuses the connection with {refusal[0]}"
            return outgoing.error(text, permanent=refusal[0] in _NOT_ALLOWED)
        permanent = isinstance(error, library.LocalProtocolError | library.UnsupportedProtocol)
        return no_reply(outgoing, error, timed_out=self._timed_out(error), permanent=permanent)

    def _request(self, outgoing: OutgoingRequest) -> Any:
        call, timeout = outgoing.call, outgoing.timeout
        authorization = outgoing.authorization()
        content, fields = outgoing.body()
        extensions: dict[str, Any] = {"timeout": {"connect": timeout, "read": timeout, "write": timeout, "pool": None}}
        outgoing.sent = "maybe"
        if outgoing.total is not None:
            extensions["trace"] = self._watch(outgoing)
        request = self._client.build_request(
            call.method, call.url, content=revealed(content), headers=fields or None, extensions=extensions
        )
        if isinstance(content, Body):
            # httpx's own is an async generator around it, which trio warns about if it is left unfinished.
            request.stream = _stream_class(self._library)(content)
        if not self._owned:
            _accept_known_codings(request.headers)
        if authorization is not None:
            request.headers["Authorization"] = authorization.reveal()
        elif "Authorization" in request.headers:
            del request.headers["Authorization"]  # the caller's client has one for everything; OAuth calls carry none
        if call.secret_query is not None:
            request.url = secret_query_url(request.url, call.secret_query.reveal())
        return request

    def _watch(self, outgoing: OutgoingRequest) -> Any:
        """Return a trace callback of httpcore's, which notes how far the request came: whether it may have been sent.

        Other transports call none. One that has called it will do so again: until then the request waits for a
        connection.
        """
        parts = urlsplit(outgoing.call.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in self._traced:
            outgoing.sent = "never"

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            self._traced.add(origin)
            if not event.endswith("send_request_headers.started"):
                outgoing.sent = "never" if event.startswith("connection.") else outgoing.sent
            elif getattr(info.get("request"), "method", b"") != b"CONNECT":  # which goes to a proxy
                outgoing.sent = "maybe"

        return trace

    def _judge(self, error: Exception, outgoing: OutgoingRequest) -> None:
        """Note whether the request may have been sent, by the error alone."""
        library = self._library
        never = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout, library.ProxyError)
        cause = _aiohttp_cause(error)
        if cause is not None:
            aiohttp: Any = sys.modules["aiohttp"]
            # httpx-aiohttp calls it a ConnectTimeout too when the server hangs up on a request that it has.
            connecting = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
            outgoing.sent = "never" if isinstance(cause, connecting) else "maybe"
        else:
            outgoing.sent = "never" if isinstance(error, (*never, ConnectionRefusedError)) else "maybe"

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
    """A mixin for a library's own class of request bodies."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()


@cache
def _stream_class(library: Any) -> type[_BodyStream]:
    return type("BodyStream", (_BodyStream, library.AsyncByteStream), {})


def _check_taken(request: Any, reply: Reply) -> None:
    """Raise InputError if the credentials were refused because the transport left them out; see ``SecretQueryUrl``."""
    if reply.status_code in (400, 401) and not request.url.taken:
        raise InputError(
            "the transport of http_client takes URLs as text, which holds no secret: use one of httpx for this call"
        )


async def _reply(response: Any, outgoing: OutgoingRequest) -> Reply:
    fields = fields_of(response.headers.raw)
    content_type, coding = fields.pop("content-type", ""), fields.pop("content-encoding", "")
    body = Collected(outgoing.call.path)
    if response.is_stream_consumed:  # a mock transport has read and decompressed it already
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
            # Raised here it would leave three generators of httpx unfinished; a cancelled wait closes them from inside.
            if outgoing.scope.cancel_called:
                raise  # what is buffered is read without a wait
            outgoing.end(error)
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
