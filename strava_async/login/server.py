"""The end of a login in a terminal: a server on 127.0.0.1 that waits for one redirect (RFC 8252 §7.3).

Rules:

- Only a GET of the path with the ``state`` of this login ends the wait, once. Any page in the browser can send anything
  else here; it gets a page that says so, and the wait goes on.
- The browser sees what came of the login: its page is sent after ``finish`` has ended. Whoever asks again meanwhile
  waits for the same page.
- A browser opens connections that it does not use. Each has ten seconds for a request, the oldest gives way when there
  are too many, and none is waited for at the end.
- Only requests to ``127.0.0.1`` or ``localhost`` are answered: another name that leads here is DNS rebinding.
"""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl

import anyio
import h11
from anyio.abc import Listener, SocketAttribute, SocketStream, TaskGroup

from strava_async.errors import AuthorizationDeniedError, AuthorizationTimeoutError, InputError, InvalidStateError
from strava_async.login import pages
from strava_async.login.pages import Page, Reply
from strava_async.oauth.grants import Redirect, parse_redirect
from strava_async.oauth.state import check_state

__all__ = ["Finish", "Page", "RedirectServer", "redirect_server"]

T = TypeVar("T")
Finish = Callable[[Redirect], Awaitable[tuple[Page, T]]]

CONNECTION_SECONDS = 10.0
MAX_CONNECTIONS = 100
_ACCEPT_AGAIN_SECONDS = 0.01


@asynccontextmanager
async def redirect_server(port: int = 0, *, path: str = "/callback") -> AsyncGenerator[RedirectServer, None]:
    """Listen on 127.0.0.1 as long as the block lasts.

    Args:
        port: 1024 to 65535; 0 takes a free one. Strava accepts any port of 127.0.0.1.
        path: where the redirect is to come.

    Raises:
        InputError: the port is taken or none, or the path is none.
    """
    if port != 0 and not 1024 <= port <= 65535:
        raise InputError(f"port {port} does not do: choose one from 1024 to 65535, or 0 for a free one")
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
        raise InputError(f"path has to begin with / and to need no escaping: {path!r}")
    try:
        listeners = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    except OSError as error:
        what = "is taken by another program" if error.errno == errno.EADDRINUSE else "cannot be used here"
        raise InputError(f"port {port} {what}; choose another, or 0 for a free one") from error
    async with listeners:
        yield RedirectServer(listeners.listeners[0], path)


class RedirectServer:
    """A server that is bound and waits for nothing yet; ``redirect_server`` makes it.

    Attributes:
        redirect_uri: where Strava is to send the athlete back to.

    Args:
        listener: where connections come from; closed by whoever opened it.
        path: where the redirect is to come.
        connection_seconds: how long a connection may take over its request, over taking the page, and over closing.
        max_connections: how many may do so at the same time.
    """

    def __init__(
        self,
        listener: Listener[SocketStream],
        path: str,
        *,
        connection_seconds: float = CONNECTION_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        port = listener.extra(SocketAttribute.local_port)
        self.redirect_uri = f"http://127.0.0.1:{port}{path}"
        self._hosts = (f"127.0.0.1:{port}".encode(), f"localhost:{port}".encode())
        self._path = path
        self._listener = listener
        self._connection_seconds = connection_seconds
        self._max_connections = max_connections
        self._waits = False
        self._slow: deque[anyio.CancelScope] = deque()

    async def wait_for(self, state: str, finish: Finish[T], *, timeout: float | None = None) -> T:
        """Serve until the redirect has come, do the rest of the login, and show the browser what came of it.

        What comes before the wait waits for it.

        Args:
            state: what the redirect has to carry; a random value that only this login knows.
            finish: gets the redirect, and returns the page to show and the result. It is called at most once and in
                this task, and only cancellation cuts it off. What it raises is raised from here; of MissingScopeError
                the browser shows the names, of anything else nothing.
            timeout: seconds until the redirect has to have come; ``finish`` may take longer. None waits for ever.

        Returns:
            the result of ``finish``, after the page was sent or the browser has gone.

        Raises:
            AuthorizationDeniedError: the athlete refused, or Strava reports another error; ``finish`` is not called.
            AuthorizationTimeoutError: nothing came in time.
            InputError: the server waits for another redirect already.
        """
        if self._waits:
            raise InputError("this server waits for a redirect already; a second login needs a server of its own")
        self._waits = True
        try:
            login = _Login(state)
            async with self._serving(login):
                return await login.conclude(finish, timeout)
        finally:
            self._waits = False

    @asynccontextmanager
    async def _serving(self, login: _Login) -> AsyncGenerator[None, None]:
        failure: Exception | None = None
        async with anyio.create_task_group() as connections:
            connections.start_soon(self._accept, login, connections)
            try:
                yield
            except Exception as error:  # raised below: the task group would wrap it
                failure = error
            connections.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _accept(self, login: _Login, connections: TaskGroup) -> None:
        while True:
            # A connection that breaks while it is accepted, or no file descriptor left: neither ends the login.
            with suppress(OSError, anyio.BrokenResourceError):
                await self._listener.serve(partial(self._converse, login), connections)
            await anyio.sleep(_ACCEPT_AGAIN_SECONDS)

    async def _converse(self, login: _Login, stream: SocketStream) -> None:
        async with stream:
            with suppress(OSError, anyio.BrokenResourceError, anyio.EndOfStream):  # the browser has gone
                browser = _Browser(stream, self._hurrying)
                request = await browser.request()
                if request is None:
                    return
                refusal = request if isinstance(request, Reply) else self._refusal(login, request)
                if refusal is not None:
                    await browser.send(refusal)
                else:
                    with login.attending():
                        await browser.send(await login.reply())
                await browser.gone()

    def _refusal(self, login: _Login, request: h11.Request) -> Reply | None:
        """Return what to answer at once; None for the redirect of this login, whose answer takes its time."""
        path, _, query = request.target.decode("latin-1").partition("?")
        if dict(request.headers).get(b"host", b"").lower() not in self._hosts:
            return pages.OTHER_HOST
        if path != self._path:
            return pages.NOT_FOUND
        if request.method != b"GET":
            return pages.METHOD_NOT_ALLOWED
        return login.take(query)

    @contextmanager
    def _hurrying(self) -> Generator[None, None, None]:
        """Bound the time that a connection takes, and the number of those that take it: the oldest gives way."""
        with anyio.move_on_after(self._connection_seconds) as scope:
            self._slow.append(scope)
            if len(self._slow) > self._max_connections:
                self._slow.popleft().cancel()
            try:
                yield
            finally:
                with suppress(ValueError):
                    self._slow.remove(scope)


class _Browser:
    """One connection: a request, a reply, and the end, each within the time that ``hurrying`` gives."""

    def __init__(self, stream: SocketStream, hurrying: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._hurrying = hurrying
        self._http = h11.Connection(h11.SERVER)
        self._wants_body = True

    async def request(self) -> h11.Request | Reply | None:
        """Return the first request; the reply to what is no HTTP or too long; None if it takes too long to come."""
        try:
            with self._hurrying():
                while not isinstance(event := self._http.next_event(), h11.Request):
                    self._http.receive_data(await self._stream.receive())
                self._wants_body = event.method != b"HEAD"
                return event
        except h11.RemoteProtocolError as error:
            return pages.unreadable(error.error_status_hint)
        return None

    async def send(self, reply: Reply) -> None:
        """Send a page, and say that no more comes."""
        body = reply.page.html()
        phrase = HTTPStatus(reply.status_code).phrase
        head = h11.Response(status_code=reply.status_code, reason=phrase, headers=reply.fields(len(body)))
        message = (self._http.send(head) or b"") + (body if self._wants_body else b"")
        with self._hurrying():
            await self._stream.send(message)
            await self._stream.send_eof()

    async def gone(self) -> None:
        """Read until the browser closes too: closing before what it sends is read could cost it the page."""
        with self._hurrying():
            while True:
                await self._stream.receive()


class _Login:
    """One wait: what the redirect brought, what the browser is to see, and who has yet to see it."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._brought: Redirect | AuthorizationDeniedError | None = None
        self._came = anyio.Event()
        self._reply: Reply
        self._ended = anyio.Event()
        self._attending = 0
        self._attended = anyio.Event()

    def take(self, query: str) -> Reply | None:
        """Keep what the first redirect brings. Return the refusal of one of another login, or one that is not whole."""
        parameters = parse_qsl(query, keep_blank_values=True)
        states = [value for name, value in parameters if name == "state"]
        try:
            check_state(states[0] if len(states) == 1 else None, self._state)
            if len(dict(parameters)) < len(parameters):  # RFC 6749 §3.1 allows each once
                return pages.INCOMPLETE
            brought: Redirect | AuthorizationDeniedError = parse_redirect(f"?{query}")
        except InvalidStateError:
            return pages.OTHER_LOGIN
        except InputError:
            return pages.INCOMPLETE
        except AuthorizationDeniedError as denial:
            brought = denial
        if self._brought is None:
            self._brought = brought
            self._came.set()
        return None

    async def conclude(self, finish: Finish[T], timeout: float | None) -> T:
        """Wait for the redirect, call ``finish``, show what came of it, and return or raise that."""
        try:
            page, result = await finish(await self._redirect(timeout))
        except Exception as error:
            await self._show(pages.failure(error))
            raise
        await self._show(Reply(200, page))
        return result

    async def _redirect(self, timeout: float | None) -> Redirect:
        with anyio.move_on_after(timeout):
            await self._came.wait()
        if self._brought is None:
            raise AuthorizationTimeoutError(f"nobody came back from Strava's page within {timeout} s: begin again")
        if isinstance(self._brought, AuthorizationDeniedError):
            raise self._brought
        return self._brought

    async def _show(self, reply: Reply) -> None:
        """Let go those who wait for the reply, and wait until they have it."""
        self._reply = reply
        self._ended.set()
        if self._attending:
            await self._attended.wait()

    @contextmanager
    def attending(self) -> Generator[None, None, None]:
        """Hold back the end of the login until the block has ended."""
        self._attending += 1
        try:
            yield
        finally:
            self._attending -= 1
            if not self._attending:
                self._attended.set()

    async def reply(self) -> Reply:
        """Return what to show, as soon as that is known."""
        await self._ended.wait()
        return self._reply
