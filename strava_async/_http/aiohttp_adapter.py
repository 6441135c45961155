"""Requests over aiohttp, for asyncio alone: a fifth of the processor's time that httpx takes for a small one.

What aiohttp does by itself and must not, and how it is kept from it:

- It repeats an idempotent request where a kept connection turns out to be closed; each attempt has a permit of its own,
  so a middleware makes that error one that aiohttp does not know.
- It takes a connection into use on which bytes came while it was idle, as the head of the next reply: such a connection
  is closed here, and another one taken.
- Its frames, which a crash reporter looks into, have the header fields and the body that it was given: so it gets a
  body with secrets in a wrapper, and the bearer when it is about to send, as a text that hides itself.
- It does not watch over a body that goes out (see ``attempt``), and closes a connection only after what is buffered
  for it was taken, which may be never: after a failure the connection is aborted.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from strava_async._hidden import Hidden, SecretText
from strava_async._http.attempt import Attempt, Body
from strava_async._http.incoming import Collected
from strava_async.errors import InputError, TransportError
from strava_async.quota.headers import QUOTA_FIELDS
from strava_async.request.call import Call
from strava_async.request.reply import Reply

# Of a line of the head and of one field; aiohttp's own limit of 8 KB is less than what proxies let through.
MAX_FIELD_BYTES = 64 * 1024
MAX_URL_CHARACTERS = 64 * 1024  # as with httpx

_sending: ContextVar[_Sending] = ContextVar("the request that aiohttp is sending")


class AiohttpAdapter:
    """An ``Adapter`` with connections of its own.

    Args:
        tls: whom to trust.
        fields: header fields of every request.
        keepalive_seconds: how long an idle connection is kept.
    """

    def __init__(self, tls: ssl.SSLContext, fields: dict[str, str], keepalive_seconds: float) -> None:
        connector = _Connector(
            ssl=tls,
            limit=0,  # the sender has a gate
            keepalive_timeout=keepalive_seconds,
            resolver=aiohttp.ThreadedResolver(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=fields,
            skip_auto_headers=("Content-Type",),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            middlewares=(_once,),
        )

    async def send(self, attempt: Attempt) -> Reply:
        """See ``Adapter``."""
        sending = _Sending(attempt)
        mark = _sending.set(sending)
        try:
            return await self._send(attempt, sending)
        except (aiohttp.InvalidURL, UnicodeError) as error:
            failed: Exception = attempt.because(error, InputError(f"{attempt.call.path} makes no valid URL"))
        except (_LostError, aiohttp.ClientError, OSError) as error:
            failed = _no_reply(attempt, error) if attempt.failure is None else attempt.failure
        finally:
            _sending.reset(mark)
            sending.end()
        raise failed  # here, where aiohttp's error is its context no more

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    def forget(self) -> None:
        """See ``Adapter``. Without this aiohttp logs errors about what is left open."""
        closing = self._session.close()
        # In a loop that is closed it waits for nothing, and what it calls there is an error.
        with suppress(StopIteration, RuntimeError):
            closing.send(None)
        closing.close()

    async def _send(self, attempt: Attempt, sending: _Sending) -> Reply:
        call = attempt.call
        sending.authorization = attempt.authorization()
        body, fields = attempt.body()
        streamed = isinstance(body, Body)
        if isinstance(body, Body):
            sending.body_left = True
            body.all_taken = sending.body_taken
        response = await self._session.request(
            call.method,
            _url(call),
            data=aiohttp.BytesPayload(body.reveal()) if isinstance(body, Hidden) else body,
            headers=fields,
            allow_redirects=False,
            timeout=_timeouts(attempt.timeout, streamed=streamed),
        )
        try:
            if streamed:
                sending.head_came()
            reply = await _reply(response, call.path)
        except BaseException:
            response.close()
            raise
        response.release()
        sending.whole = True
        return reply


class _Sending:
    """A request that aiohttp has in hand."""

    __slots__ = ("_attempt", "authorization", "body_left", "connection", "transport", "whole")

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.authorization: Hidden[str] | None = None
        self.connection: Connection | None = None
        self.transport: asyncio.Transport | None = None
        self.body_left = False
        self.whole = False

    def begins(self, connection: Connection) -> None:
        """Note the connection on which it goes out now."""
        self._attempt.sent = "maybe"
        self.connection, self.transport = connection, connection.transport

    def body_taken(self) -> None:
        """Have aiohttp watch over the reply, which it does once the last of the body is on its way."""
        self.body_left = False
        self._attempt.all_taken()
        self._watch_reading()

    def head_came(self) -> None:
        """Watch over the reply, even if the body is not all out: the server does not wait for the rest."""
        self._attempt.all_taken()
        protocol = self._watch_reading()
        if protocol is not None:
            protocol.start_timeout()

    def _watch_reading(self) -> ResponseHandler | None:
        protocol = None if self.connection is None else self.connection.protocol
        if protocol is not None:
            protocol.read_timeout = self._attempt.timeout
        return protocol

    def end(self) -> None:
        """Let nothing of it stay behind: with half a request or half a reply the connection is of no use."""
        self.connection = None
        if (self.body_left or not self.whole) and self.transport is not None:
            self.transport.abort()


class _LostError(Exception):
    """A connection that broke, under a name that aiohttp does not take for a reason to repeat the request."""


async def _once(request: ClientRequest, handler: Any) -> aiohttp.ClientResponse:
    authorization = _sending.get().authorization
    if authorization is not None:
        request.headers["Authorization"] = SecretText(authorization.reveal())
    try:
        response: aiohttp.ClientResponse = await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise  # nothing was sent, and aiohttp does not repeat it
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError from error
    return response


def _no_reply(attempt: Attempt, error: Exception) -> TransportError:
    cause = error.__cause__ if isinstance(error, _LostError) and error.__cause__ is not None else error
    what = f"{attempt.call.method} {attempt.call.path}"
    # Those of aiohttp that say what is wrong with a reply show some of it: in one about tokens, it may be of those.
    match cause:
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            result = attempt.error(f"no whole reply to {what}: the server hung up")
        case aiohttp.ClientResponseError():
            result = attempt.error(f"no reply to {what} that is HTTP: {cause.message.partition(':')[0]}")
        case _:
            return attempt.because(cause, attempt.no_reply(cause, timed_out=isinstance(cause, TimeoutError)))
    return result if attempt.call.quota_class is None else attempt.because(cause, result)


class _Connector(aiohttp.TCPConnector):
    """Connections that are clean, begin one per turn of the loop, and tell when a request gets one."""

    def __init__(self, **options: Any) -> None:
        cast(Any, super()).__init__(**options)  # one of aiohttp's own types there is incomplete
        self._beginning = asyncio.Lock()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        connection = await super().connect(req, traces, timeout)
        while connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super().connect(req, traces, timeout)
        _sending.get().begins(connection)
        return connection

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        # Fifty that begin in one turn would stall the loop for as many milliseconds.
        async with self._beginning:
            await asyncio.sleep(0)
        return await super()._create_connection(req, traces, timeout)


async def _reply(response: aiohttp.ClientResponse, path: str) -> Reply:
    headers = response.headers
    fields = {name: ", ".join(values) for name in QUOTA_FIELDS if (values := headers.getall(name, None))}
    content_type, coding = headers.get("content-type", ""), ", ".join(headers.getall("content-encoding", ()))
    body = Collected(path)
    while body.add(await response.content.readany()):
        pass
    return Reply(response.status, fields, body.joined(), content_type, coding)


@lru_cache(maxsize=64)
def _timeouts(timeout: float, *, streamed: bool) -> aiohttp.ClientTimeout:
    # As long as a body goes out nobody waits for the reply.
    return aiohttp.ClientTimeout(total=None, connect=timeout, sock_read=None if streamed else timeout)


def _url(call: Call) -> URL:
    try:
        if len(call.url) <= MAX_URL_CHARACTERS:
            # It is encoded already; only a host may have letters that are not ASCII.
            return URL(call.url, encoded=call.url.isascii())
    except ValueError:
        pass
    raise InputError(f"{call.path} makes no valid URL")
