"""The sender of an application: over the caller's client, or over connections of its own."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from strava_async._http.connections import Connections
from strava_async._http.gate import Gate
from strava_async._http.http_client import HttpClient
from strava_async.errors import InputError
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.reply import Reply

if TYPE_CHECKING:
    from strava_async._http.callers_client import CallersClient

MAX_CONNECTIONS = 100  # as httpx and aiohttp do unless told otherwise
URGENT_CONNECTIONS = 10
# Closing takes no longer than this, whatever a server or an HTTP library does.
CLOSING_SECONDS = 5.0


class HttpSender:
    """A ``Sender`` over the caller's HTTP client, or over connections of its own that are made on first use.

    It bounds each request, ends them all when it is closed, and is used in one event loop at a time.

    Of its own connections at most ``MAX_CONNECTIONS`` are in use, and ``URGENT_CONNECTIONS`` more for requests that a
    person waits for. They are counted here: a queue inside of httpx costs more than its requests. A caller's client
    has its own limits.

    Args:
        client: None means connections of its own.
        fast: whether those are aiohttp's where it is installed, on asyncio.
    """

    def __init__(self, client: HttpClient | None = None, *, fast: bool = True) -> None:
        self._callers = None if client is None else _callers(client)
        self._connections = Connections(fast=fast)
        self._gate = Gate(MAX_CONNECTIONS, URGENT_CONNECTIONS)
        self._in_flight: set[OutgoingRequest] = set()
        self._closers: set[anyio.Event] = set()  # of each task that closes it and waits for what is in flight
        self._closed = False

    async def prepare(self) -> None:
        """Load what the first request needs, in a thread: modules and the trust store. Makes no requests.

        Raises:
            InputError: the environment names certificates that cannot be used; or this sender is closed, or belongs to
                another event loop.
        """
        self._check_open()
        self._enter()
        if self._callers is None:
            await self._connections.load()

    async def send(self, outgoing: OutgoingRequest) -> Reply:
        """Send one request; see ``Sender``."""
        self._check_open()
        self._enter()
        if self._callers is None and not self._connections.are_loaded:
            await self._connections.load()
            self._check_open()
        scope = outgoing.begin()
        self._in_flight.add(outgoing)
        try:
            with scope:
                if self._callers is not None:
                    return await self._callers.send(outgoing)
                gate = self._gate
                if not gate.take(outgoing.urgent):
                    await gate.acquire(outgoing.urgent)
                try:
                    return await self._connections.sender_for(outgoing.call).send(outgoing)
                finally:
                    gate.release()
        except InputError as error:
            if error is outgoing.failure:
                error.sent = outgoing.sent
            raise
        except RuntimeError as error:
            if self._callers is not None:
                self._callers.check_loop(error)
            raise
        finally:
            self._in_flight.discard(outgoing)
            if self._closers and not self._in_flight:
                for none_left in self._closers:
                    none_left.set()
        raise outgoing.end_error()

    async def aclose(self) -> None:
        """End the requests in flight, and close its own connections.

        Takes no longer than ``CLOSING_SECONDS``. To send afterwards is an InputError.
        """
        self._closed = True
        try:
            with anyio.move_on_after(CLOSING_SECONDS):
                for outgoing in self._in_flight:
                    outgoing.close()
                await self._wait_idle()
                await self._connections.aclose()
        finally:  # what that did not get to, as on a machine that stood still for as long
            self._connections.forget()

    async def _wait_idle(self) -> None:
        if self._in_flight:
            none_left = anyio.Event()
            self._closers.add(none_left)
            try:
                await none_left.wait()
            finally:
                self._closers.discard(none_left)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _enter(self) -> None:
        """Note that this event loop uses it; what waited in one that has ended is forgotten."""
        if self._callers is not None:
            self._callers.enter()
        elif self._connections.enter():
            self._gate = Gate(MAX_CONNECTIONS, URGENT_CONNECTIONS)
            self._in_flight.clear()

    def _check_open(self) -> None:
        if self._closed or (self._callers is not None and self._callers.is_closed):
            raise InputError("the HTTP client is closed; make a new one")


def _callers(client: HttpClient) -> CallersClient:
    from strava_async._http.callers_client import CallersClient  # not above: most programs bring none

    return CallersClient(client)
