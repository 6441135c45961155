"""Requests over aiohttp's connections, for asyncio alone: a tenth of the CPU time of httpx.

What is used of aiohttp is its connector, its protocol and its parser; not ``ClientSession``, ``ClientRequest`` and
``ClientResponse``, which take twice the time of those. So

- nothing repeats a request when a kept connection turns out to be closed, follows a redirect, or keeps a cookie: what
  would do so is in ``ClientSession``;
- no object of aiohttp holds a header field or a body, for a crash reporter to find; only bytes on their way;
- it is known whether a request was sent: nothing was, up to the one place here that writes.

Pitfalls:

- The connector returns connections on which bytes came while they were idle, as the head of the next reply. Such a
  connection is closed here, and another one taken.
- A connection is closed once what is buffered for it was taken, which may be never. After a failure it is aborted.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage, StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace
from yarl import URL

from strava_async._hidden import Hidden, revealed
from strava_async._http.failures import because, no_reply
from strava_async._http.incoming import Collected
from strava_async._http.request_head import address_and_target, is_chunked, request_head
from strava_async.errors import InputError, TransportError
from strava_async.quota.headers import QUOTA_FIELDS
from strava_async.request.outgoing import Body, OutgoingRequest
from strava_async.request.reply import Reply

# Of a line of the head and of one field; aiohttp's own limit of 8 KB is less than what proxies let through.
MAX_FIELD_BYTES = 64 * 1024


class AiohttpSender:
    """A ``Sender`` with connections of its own.

    Args:
        tls: whom to trust.
        fields: header fields of every request.
        keepalive_seconds: how long an idle connection is kept.
    """

    def __init__(self, tls: ssl.SSLContext, fields: dict[str, str], keepalive_seconds: float) -> None:
        self._connector = _Connector(
            ssl=tls,
            limit=0,  # HttpSender counts them
            keepalive_timeout=keepalive_seconds,
            resolver=aiohttp.ThreadedResolver(),
        )
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._origins: dict[str, _Origin] = {}

    async def send(self, outgoing: OutgoingRequest) -> Reply:
        """See ``Sender``."""
        try:
            return await self._send(outgoing)
        except (HttpProcessingError, aiohttp.ClientError, OSError) as error:
            failed = _no_reply(outgoing, error) if outgoing.failure is None else outgoing.failure
        raise failed  # here, where aiohttp's error is its context no more

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connector.close()

    def forget(self) -> None:
        """See ``OwnSender``. Without this aiohttp logs errors about what is left open."""
        closing = self._connector.close()
        # In a loop that is closed it waits for nothing, and what it calls there is an error.
        with suppress(StopIteration, RuntimeError):
            closing.send(None)
        closing.close()

    async def _send(self, outgoing: OutgoingRequest) -> Reply:
        origin, target = self._origin_and_target(outgoing)
        body, described_by = outgoing.body()
        head = request_head(outgoing, f"{target} HTTP/1.1\r\nHost: {origin.host}\r\n{self._fields}", body, described_by)
        connection = await self._connect(origin, outgoing)
        is_clean = False
        try:
            protocol = _prepared(connection, None if isinstance(body, Body) else outgoing.timeout)
            outgoing.sent = "maybe"
            if isinstance(body, Body):
                sending = _send_streamed(protocol, outgoing, head, body, chunked=is_chunked(described_by))
                reply, is_clean = await _reply_to_streamed(protocol, outgoing, sending)
            else:
                _transport_of(protocol).write(head.reveal() + (revealed(body) or b""))
                protocol.start_timeout()
                reply, is_clean = await _reply(protocol, outgoing), True
            return reply
        finally:
            # With half a request or half a reply on it, it is of no use; see above why it is aborted.
            if is_clean:
                connection.release()
            else:
                _abort(connection)

    def _origin_and_target(self, outgoing: OutgoingRequest) -> tuple[_Origin, str]:
        try:
            address, target = address_and_target(outgoing.call.url)
            return self._origins.get(address) or self._new_origin(address), target
        except ValueError:
            pass
        raise InputError(f"{outgoing.call.path} makes no valid URL")

    def _new_origin(self, address: str) -> _Origin:
        url = URL(address)
        if not url.raw_host or url != url.origin():
            raise ValueError("not the origin of a server")
        origin = self._origins[address] = _Origin(url)
        return origin

    async def _connect(self, origin: _Origin, outgoing: OutgoingRequest) -> Connection:
        timeout = _connect_timeout(outgoing.timeout)
        connection = await self._connector.connect(origin.request, [], timeout)
        while connection.protocol is not None and connection.protocol.should_close:  # bytes came that nobody asked for
            _abort(connection)
            connection = await self._connector.connect(origin.request, [], timeout)
        return connection


class _Origin:
    """Where requests go.

    Args:
        url: a scheme, a host, and maybe a port.

    Attributes:
        host: the value of a Host field.
        request: what the connector wants to know it by. It is never sent: a connection is all that it gets.
    """

    __slots__ = ("host", "request")

    def __init__(self, url: URL) -> None:
        self.host = url.host_port_subcomponent or ""
        self.request = ClientRequest("GET", url, loop=asyncio.get_running_loop())


class _Connector(aiohttp.TCPConnector):
    """Begins one connection per turn of the event loop: a hundred in one would stall it for 0.1 s."""

    def __init__(self, **options: Any) -> None:
        cast(Any, super()).__init__(**options)  # one of aiohttp's own types there is incomplete
        self._beginning = asyncio.Lock()

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        async with self._beginning:
            await asyncio.sleep(0)
        return await super()._create_connection(req, traces, timeout)


def _prepared(connection: Connection, read_timeout: float | None) -> ResponseHandler:
    """Return a connection's protocol, which expects a reply.

    Args:
        connection: fresh from the connector.
        read_timeout: the inactivity timeout while the reply is read; None for none yet.

    Raises:
        aiohttp.ClientConnectionError: it is closed already.
    """
    protocol = connection.protocol
    if protocol is None or not protocol.is_connected():
        raise aiohttp.ClientConnectionError("the server closed the connection before the request")
    protocol.set_response_params(
        read_until_eof=True,
        auto_decompress=False,
        read_timeout=None if read_timeout is None or math.isinf(read_timeout) else read_timeout,
        max_line_size=MAX_FIELD_BYTES,
        max_field_size=MAX_FIELD_BYTES,
    )
    return protocol


async def _reply(protocol: ResponseHandler, outgoing: OutgoingRequest) -> Reply:
    message, payload = await _final_head(protocol)
    return await _read(message, payload, outgoing)


async def _reply_to_streamed(
    protocol: ResponseHandler, outgoing: OutgoingRequest, sending: Coroutine[Any, Any, bool]
) -> tuple[Reply, bool]:
    """Read the reply while the body is sent piece by piece: it may come before the body is out.

    Args:
        protocol: the connection's.
        outgoing: the request.
        sending: sends it.

    Returns:
        the reply, and whether all of the body was sent.
    """
    sender = asyncio.create_task(sending)
    try:
        message, payload = await _final_head(protocol)
        outgoing.body_ended()  # the server waits for no more of it
        if not payload.is_eof():
            _watch_reading(protocol, outgoing)
        reply = await _read(message, payload, outgoing)
        return reply, sender.done() and sender.result()
    finally:
        sender.cancel()


async def _send_streamed(
    protocol: ResponseHandler, outgoing: OutgoingRequest, head: Hidden[bytes], body: Body, *, chunked: bool
) -> bool:
    """Send head and body; return whether all of it was sent."""
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    if chunked:
        writer.enable_chunking()
    try:
        _transport_of(protocol).write(head.reveal())
        async for piece in body:
            await writer.write(piece)
        await writer.write_eof()
    except Exception:
        if outgoing.failure is not None and protocol.transport is not None:
            protocol.transport.abort()  # which ends the wait for a reply
        # Else the connection broke; whether a reply came before that, who reads it finds out.
        outgoing.body_ended()
        return False
    finally:
        _watch_reading(protocol, outgoing)
    return True


def _watch_reading(protocol: ResponseHandler, outgoing: OutgoingRequest) -> None:
    """Begin the inactivity timeout of the reply; before, the body's own is running."""
    if protocol.transport is not None and not math.isinf(outgoing.timeout):
        protocol.read_timeout = outgoing.timeout
        protocol.start_timeout()


async def _final_head(protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader]:
    """Return the head of a reply, and its body to be read; interim ones are passed over (RFC 9110 §15.2)."""
    while True:
        message, payload = await protocol.read()
        if not 100 <= message.code < 200 or message.code == 101:
            return message, payload


async def _read(message: RawResponseMessage, payload: StreamReader, outgoing: OutgoingRequest) -> Reply:
    headers = message.headers
    fields = {name: ", ".join(values) for name in QUOTA_FIELDS if (values := headers.getall(name, None))}
    content_type, coding = headers.get("content-type", ""), ", ".join(headers.getall("content-encoding", ()))
    body = Collected(outgoing.call.path)
    while body.add(await payload.readany()):
        pass
    return Reply(message.code, fields, body.joined(), content_type, coding)


def _transport_of(protocol: ResponseHandler) -> asyncio.Transport:
    if protocol.transport is None:
        raise aiohttp.ClientConnectionError("the server closed the connection")
    return protocol.transport


def _abort(connection: Connection) -> None:
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


def _no_reply(outgoing: OutgoingRequest, error: Exception) -> TransportError:
    what = f"{outgoing.call.method} {outgoing.call.path}"
    # Those of aiohttp that say what is wrong with a reply show some of it: in one about tokens, it may be of those.
    match error:
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            failed = outgoing.error(f"no whole reply to {what}: the server hung up")
        case HttpProcessingError():
            failed = outgoing.error(f"no reply to {what} that is HTTP: {error.message.partition(':')[0]}")
        case _:
            return no_reply(outgoing, error, timed_out=isinstance(error, TimeoutError))
    return failed if outgoing.call.quota_class is None else because(outgoing, error, failed)


@lru_cache(maxsize=64)
def _connect_timeout(timeout: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=None if math.isinf(timeout) else timeout)
