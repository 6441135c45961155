"""The end of a login in a terminal: a server on 127.0.0.1 that waits for one redirect (RFC 8252 §7.3).

Rules:

- Only a GET of the path with the ``state`` of this login ends the wait, once. Any page in the browser can send anything
  else here; it gets a page that says so, and the wait goes on.
- The browser shows how the login ended: its page is sent after ``finish`` has returned. Repeated requests meanwhile
  wait for the same page.
- Browsers open connections that they do not use. Each has ten seconds for a request, the oldest is closed when there
  are too many, and none is waited for at the end.
- Only requests to ``127.0.0.1`` or ``localhost`` are accepted: another name that resolves to here is DNS rebinding.
"""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qsl

import anyio
import h11
from anyio.abc import Listener, SocketAttribute, SocketStream

from strava_async._concurrency.task_group import TaskGroup
from strava_async.errors import AuthorizationDeniedError, AuthorizationTimeoutError, InputError, InvalidStateError
from strava_async.login import pages
from strava_async.login.browser import BrowserConnection
from strava_async.login.pages import Page, Reply
from strava_async.oauth.redirect import Redirect, parse_redirect
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
        InputError: the port is taken or invalid, or the path is invalid.
    """
    if port != 0 and not 1024 <= port <= 65535:
        raise InputError(f"port {port} is out of range: choose one from 1024 to 65535, or 0 for a free one")
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
        raise InputError(f"path has to begin with / and hold no character that needs escaping: {path!r}")
    try:
        listeners = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    except OSError as error:
        what = "is taken by another program" if error.errno == errno.EADDRINUSE else "cannot be used here"
        raise InputError(f"port {port} {what}; choose another, or 0 for a free one") from error
    async with listeners:
        yield RedirectServer(listeners.listeners[0], path)


class RedirectServer:
    """A server that is bound and not serving yet; ``redirect_server`` makes it.

    Attributes:
        redirect_uri: where Strava is to send the athlete back to.

    Args:
        listener: where connections come from; closed by its opener.
        path: where the redirect is to come.
        connection_seconds: how long a connection may take for its request, for receiving the page, and for closing.
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
        """Serve until the redirect has come, finish the login, and show the browser how it ended.

        Connections made before the call wait for it.

        Args:
            state: what the redirect has to carry; a random value that only this login knows.
            finish: gets the redirect, and returns the page to show and the result. It is called at most once and in
                this task, and only cancellation interrupts it. What it raises is raised from here; of MissingScopeError
                the browser shows the names, of anything else nothing.
            timeout: seconds until the redirect has to have come; ``finish`` may take longer. None waits for ever.

        Returns:
            the result of ``finish``, after the page was sent or the browser has gone.

        Raises:
            AuthorizationDeniedError: the athlete denied access, or Strava reports another error; without a call of
                ``finish``.
            AuthorizationTimeoutError: nothing came in time.
            InputError: the server is waiting for another redirect.
        """
        if self._waits:
            raise InputError("this server is waiting for a redirect already; a second login needs its own server")
        self._waits = True
        try:
            login = _Login(state)
            async with self._serving(login):
                return await login.conclude(finish, timeout)
        finally:
            self._waits = False

    @asynccontextmanager
    async def _serving(self, login: _Login) -> AsyncGenerator[None, None]:
        async with TaskGroup() as tasks:
            tasks.start_soon(self._accept, login)
            yield
            tasks.cancel_scope.cancel()

    async def _accept(self, login: _Login) -> None:
        async with anyio.create_task_group() as connections:
            while True:
                # A connection that breaks while it is accepted, or no file descriptor left: neither ends the login.
                with suppress(OSError, anyio.BrokenResourceError):
                    await self._listener.serve(partial(self._converse, login), connections)
                await anyio.sleep(_ACCEPT_AGAIN_SECONDS)

    async def _converse(self, login: _Login, stream: SocketStream) -> None:
        async with stream:
            with suppress(OSError, anyio.BrokenResourceError, anyio.EndOfStream):  # the browser has gone
                browser = BrowserConnection(stream, self._deadline)
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
        """Return the reply to send at once; None for the redirect of this login, whose reply comes at its end."""
        path, _, query = request.target.decode("latin-1").partition("?")
        if dict(request.headers).get(b"host", b"").lower() not in self._hosts:
            return pages.OTHER_HOST
        if path != self._path:
            return pages.NOT_FOUND
        if request.method != b"GET":
            return pages.METHOD_NOT_ALLOWED
        return login.take(query)

    @contextmanager
    def _deadline(self) -> Generator[None, None, None]:
        """Bound the time that a connection takes, and how many there are at a time: the oldest is closed."""
        with anyio.move_on_after(self._connection_seconds) as scope:
            self._slow.append(scope)
            if len(self._slow) > self._max_connections:
                self._slow.popleft().cancel()
            try:
                yield
            finally:
                with suppress(ValueError):
                    self._slow.remove(scope)


class _Login:
    """One login: what the redirect brought, what the browser is to show, and which connections still wait for it."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._brought: Redirect | AuthorizationDeniedError | None = None
        self._came = anyio.Event()
        self._reply: Reply
        self._ended = anyio.Event()
        self._attending = 0
        self._attended = anyio.Event()

    def take(self, query: str) -> Reply | None:
        """Keep what the first redirect brings. Return the reply to one of another login, or to an incomplete one."""
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
        """Wait for the redirect, call ``finish``, show the result, and return or raise it."""
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
            raise AuthorizationTimeoutError(f"no redirect came from Strava's page within {timeout} s: begin again")
        if isinstance(self._brought, AuthorizationDeniedError):
            raise self._brought
        return self._brought

    async def _show(self, reply: Reply) -> None:
        """Release the connections that wait for the reply, and wait until it is sent."""
        self._reply = reply
        self._ended.set()
        if self._attending:
            await self._attended.wait()

    @contextmanager
    def attending(self) -> Generator[None, None, None]:
        """Delay the end of the login until the block has ended."""
        self._attending += 1
        try:
            yield
        finally:
            self._attending -= 1
            if not self._attending:
                self._attended.set()

    async def reply(self) -> Reply:
        """Wait for the result, and return the reply that shows it."""
        await self._ended.wait()
        return self._reply
