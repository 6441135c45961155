"""One request out, one reply in, whichever HTTP library is below."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import anyio

from strava_async._hidden import Hidden
from strava_async._http.attempt import Attempt, HttpClient
from strava_async._http.connections import Connections
from strava_async._http.gate import Gate
from strava_async.errors import InputError
from strava_async.request.call import Call
from strava_async.request.reply import Reply

if TYPE_CHECKING:
    from strava_async._http.callers_client import CallersClient

MAX_CONNECTIONS = 50
URGENT_CONNECTIONS = 10
# Whatever a peer or a transport does, closing is over by then.
CLOSING_SECONDS = 5.0


class Sender(Protocol):
    """What the exchange needs to know about HTTP."""

    async def send(
        self,
        call: Call,
        bearer: Hidden[str] | None,
        timeout: float,
        total: float | None = None,
        *,
        urgent: bool = False,
    ) -> Reply:
        """Make one request and return its reply, whatever the status.

        Args:
            call: what is asked.
            bearer: the access token that goes along; None for none.
            timeout: seconds without a byte of the other side.
            total: seconds from asking for a connection to the last byte of the body; None for no bound.
            urgent: whether a person waits for it.

        Raises:
            TransportError: no reply came.
            DecodeError: its body is too large, or cannot be unpacked.
            InputError: it cannot be sent.
        """
        ...

    async def aclose(self) -> None:
        """End the requests on their way, and close what this sender opened itself."""
        ...


class HttpSender:
    """A sender over an HTTP client: the caller's, or connections of its own that are made on first use.

    Of its own at most ``MAX_CONNECTIONS`` requests are on the way, and ``URGENT_CONNECTIONS`` more that a person waits
    for, gated here: a queue inside of httpx costs more than its requests. A caller's client has its own limits.

    Args:
        client: None means connections of its own.
        fast: whether those are aiohttp's where it is installed, on asyncio.
    """

    def __init__(self, client: HttpClient | None = None, *, fast: bool = True) -> None:
        self._callers = None if client is None else _callers(client)
        self._connections = Connections(fast=fast)
        self._gate = Gate(MAX_CONNECTIONS, URGENT_CONNECTIONS)
        self._attempts: set[Attempt] = set()
        self._none_left: anyio.Event | None = None
        self._closed = False

    async def prepare(self) -> None:
        """Load what the first request needs, in a thread: modules and the trust store. Nothing is requested.

        Raises:
            InputError: the environment names certificates that cannot be used; or this sender is closed, or belongs to
                another event loop.
        """
        self._check_open()
        self._enter()
        if self._callers is None:
            await self._connections.load()

    async def send(
        self,
        call: Call,
        bearer: Hidden[str] | None,
        timeout: float,
        total: float | None = None,
        *,
        urgent: bool = False,
    ) -> Reply:
        """Make one request; see ``Sender``."""
        self._check_open()
        self._enter()
        if self._callers is None and not self._connections.are_loaded:
            await self._connections.load()
            self._check_open()
        attempt = Attempt(call, bearer, timeout, total)
        self._attempts.add(attempt)
        try:
            with attempt.scope:
                if self._callers is not None:
                    return await self._callers.send(attempt)
                gate = self._gate
                if not gate.take(urgent):
                    await gate.acquire(urgent)
                try:
                    return await self._connections.adapter_for(call).send(attempt)
                finally:
                    gate.release()
        except InputError as error:
            if error is attempt.failure:
                error.sent = attempt.sent
            raise
        finally:
            self._attempts.discard(attempt)
            if self._none_left is not None and not self._attempts:
                self._none_left.set()
        raise attempt.ended()

    async def aclose(self) -> None:
        """End the requests on their way, and close the connections that are its own.

        Takes no longer than ``CLOSING_SECONDS``. To send afterwards is an InputError.
        """
        self._closed = True
        with anyio.move_on_after(CLOSING_SECONDS):
            for attempt in self._attempts:
                attempt.close()
            if self._attempts:
                self._none_left = anyio.Event()
                await self._none_left.wait()
            await self._connections.aclose()

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
            self._attempts.clear()

    def _check_open(self) -> None:
        if self._closed or (self._callers is not None and self._callers.is_closed):
            raise InputError("the HTTP client is closed; make a new one")


def _callers(client: HttpClient) -> CallersClient:
    from strava_async._http.callers_client import CallersClient  # not above: most programs bring none

    return CallersClient(client)
