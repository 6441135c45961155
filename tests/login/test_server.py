"""One redirect ends the login, once; nothing else that a browser or a program sends does, or holds it up."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
import pytest

from strava_async.errors import (
    AuthorizationDeniedError,
    AuthorizationTimeoutError,
    InputError,
    InvalidGrantError,
    MissingScopeError,
)
from strava_async.login.pages import Page, failure
from strava_async.login.server import RedirectServer, _Login, redirect_server
from strava_async.oauth.redirect import Redirect
from tests.plain_http import NO_TRUST

pytestmark = pytest.mark.anyio

STATE = "the-state_of~this.login"
GOOD = {"state": STATE, "code": "the-code", "scope": "read,activity:read"}
CONNECTED = Page("Connected", "Connected: Marianne T.")


class Finish:
    """What the caller does with the redirect.

    Attributes:
        seen: the redirects it got.
        began: is set when it is called.
        gate: it ends no sooner than this is set.
        error: raised at the end.
        page: returned with the number of calls.
    """

    def __init__(self, error: Exception | None = None, page: Page = CONNECTED) -> None:
        self.seen: list[Redirect] = []
        self.began = anyio.Event()
        self.gate = anyio.Event()
        self.gate.set()
        self.error = error
        self.page = page

    async def __call__(self, redirect: Redirect) -> tuple[Page, int]:
        self.seen.append(redirect)
        self.began.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.page, len(self.seen)

    def hold(self) -> None:
        self.gate = anyio.Event()


class Login:
    """A wait in progress: its server, its ``finish``, what came of it, and a browser."""

    def __init__(self, server: RedirectServer, finish: Finish) -> None:
        self.server = server
        self.finish = finish
        self.result: int | None = None
        self.error: BaseException | None = None
        self.ended = anyio.Event()
        self.scope = anyio.CancelScope()
        self.browser = httpx.AsyncClient(verify=NO_TRUST, trust_env=False)
        self.port = urlsplit(server.redirect_uri).port or 0

    async def run(self) -> None:
        try:
            with self.scope:
                self.result = await self.server.wait_for(STATE, self.finish)
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()

    async def get(self, **query: Any) -> httpx.Response:
        return await self.browser.get(self.server.redirect_uri, params=query)

    async def complete(self) -> httpx.Response:
        """Send the good redirect, and wait until the login has ended."""
        response = await self.get(**GOOD)
        await self.ended.wait()
        return response

    async def connect(self) -> anyio.abc.SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)

    async def raw(self, sent: bytes) -> bytes:
        """Return all that comes for some bytes."""
        async with await self.connect() as stream:
            await stream.send(sent)
            return await everything(stream)

    async def caught_up(self) -> None:
        """Wait until the server has read what was sent before: it takes connections in their order."""
        await self.raw(self.request("state=another"))

    def request(self, query: str = f"state={STATE}&code=the-code", method: str = "GET") -> bytes:
        return f"{method} /callback?{query} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()

    @property
    def waits(self) -> bool:
        return not self.ended.is_set() and not self.finish.seen


async def everything(stream: anyio.abc.SocketStream) -> bytes:
    received = b""
    try:
        while True:
            received += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return received


@asynccontextmanager
async def login(finish: Finish | None = None, **limits: Any) -> AsyncIterator[Login]:
    async with redirect_server() as server, anyio.create_task_group() as tasks:
        if limits:
            server = RedirectServer(server._listener, "/callback", **limits)
        attempt = Login(server, finish or Finish())
        async with attempt.browser:
            tasks.start_soon(attempt.run)
            with anyio.fail_after(5):  # what hangs fails
                yield attempt
            tasks.cancel_scope.cancel()


# The one redirect


async def test_the_redirect_ends_the_wait_and_the_browser_sees_what_came_of_it() -> None:
    async with login() as attempt:
        response = await attempt.complete()
    assert attempt.result == 1
    assert attempt.finish.seen == [Redirect("the-code", frozenset({"read", "activity:read"}), STATE)]
    assert response.status_code == 200
    assert "Connected: Marianne T." in response.text


async def test_the_page_is_sent_after_finish_has_ended() -> None:
    finish = Finish()
    finish.hold()
    async with login(finish) as attempt, anyio.create_task_group() as tasks:
        pages: list[httpx.Response] = []

        async def browse() -> None:
            pages.append(await attempt.get(**GOOD))

        tasks.start_soon(browse)
        await finish.began.wait()
        await anyio.wait_all_tasks_blocked()
        assert not pages
        assert not attempt.ended.is_set()
        finish.gate.set()
    assert [page.status_code for page in pages] == [200]


async def test_percent_encoding_is_undone() -> None:
    async with login() as attempt:
        await attempt.raw(
            attempt.request("stat%65=the%2Dstate_of%7Ethis.login&code=a%26b%3Dc%2B&scope=read%2Cread_all")
        )
        await attempt.ended.wait()
    assert attempt.finish.seen == [Redirect("a&b=c+", frozenset({"read", "read_all"}), STATE)]


async def test_the_redirect_may_come_under_the_name_localhost() -> None:
    async with login() as attempt:
        response = await attempt.browser.get(
            attempt.server.redirect_uri, params=GOOD, headers={"Host": f"LocalHost:{attempt.port}"}
        )
        await attempt.ended.wait()
    assert response.status_code == 200


async def test_a_redirect_that_comes_before_the_wait_waits_for_it() -> None:
    async with redirect_server() as server, anyio.create_task_group() as tasks:
        attempt = Login(server, Finish())
        async with attempt.browser, await attempt.connect() as stream:
            await stream.send(attempt.request())
            tasks.start_soon(attempt.run)
            assert b"Marianne" in await everything(stream)
    assert attempt.result == 1


async def test_a_server_can_wait_again_for_another_state() -> None:
    async with redirect_server() as server, httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as browser:
        for state in ("first", "second"):
            async with anyio.create_task_group() as tasks:
                finish = Finish()
                tasks.start_soon(server.wait_for, state, finish)
                await browser.get(server.redirect_uri, params=GOOD | {"state": state})
            assert len(finish.seen) == 1


async def test_a_server_waits_for_one_redirect_at_a_time() -> None:
    async with login() as attempt:
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(InputError, match="waiting for a redirect already"):
            await attempt.server.wait_for("another", Finish())
        assert (await attempt.complete()).status_code == 200


# Ends that are no success


async def test_a_refusal_ends_the_wait_without_finish() -> None:
    async with login() as attempt:
        response = await attempt.get(error="access_denied", state=STATE)
        await attempt.ended.wait()
    assert isinstance(attempt.error, AuthorizationDeniedError)
    assert attempt.error.error == "access_denied"
    assert attempt.finish.seen == []
    assert response.status_code == 403
    assert "You said no" in response.text


async def test_another_error_of_strava_is_named_in_the_terminal_only() -> None:
    async with login() as attempt:
        response = await attempt.get(error="<server_error>", state=STATE)
        await attempt.ended.wait()
    assert isinstance(attempt.error, AuthorizationDeniedError)
    assert attempt.error.error == "<server_error>"
    assert response.status_code == 500
    assert "server_error" not in response.text


async def test_unticked_scopes_are_named_in_the_browser() -> None:
    error = MissingScopeError("secret-message", missing={"activity:read", "read_all"})
    async with login(Finish(error)) as attempt:
        response = await attempt.complete()
    assert attempt.error is error
    assert response.status_code == 403
    assert "You left out activity:read, read_all." in response.text
    assert "secret-message" not in response.text


@pytest.mark.parametrize("error", [InvalidGrantError("secret-message"), RuntimeError("secret-message"), KeyError()])
async def test_a_finish_that_fails_is_shown_without_its_message_and_raised(error: Exception) -> None:
    async with login(Finish(error)) as attempt:
        response = await attempt.complete()
    assert attempt.error is error
    assert response.status_code == 500
    assert "The terminal says why" in response.text
    assert "secret-message" not in response.text


async def test_a_timeout_ends_the_wait() -> None:
    async with redirect_server() as server:
        for timeout in (0.01, 0):
            with pytest.raises(AuthorizationTimeoutError, match=rf"within {timeout} s"):
                await server.wait_for(STATE, Finish(), timeout=timeout)


async def test_the_timeout_does_not_cut_finish_off() -> None:
    async with redirect_server() as server, anyio.create_task_group() as tasks:
        attempt = Login(server, Finish())

        async def finish(redirect: Redirect) -> tuple[Page, str]:
            await anyio.sleep(0.03)
            return CONNECTED, "in time"

        async with attempt.browser, await attempt.connect() as stream:
            await stream.send(attempt.request())
            tasks.start_soon(everything, stream)
            assert await server.wait_for(STATE, finish, timeout=0.02) == "in time"


# What does not end it


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=the-code",
        "state=&code=the-code",
        "state=another&code=the-code",
        f"state={STATE}x&code=the-code",
        f"state={STATE[:-1]}&code=the-code",
        "state=another&error=access_denied",
        "error=access_denied",
        f"state={STATE}&state={STATE}&code=the-code",
        f"state={STATE}&state=another&code=the-code",
        f"state=another&state={STATE}&code=the-code",
        f"state=&state={STATE}&code=the-code",
        f"State={STATE}&code=the-code",
        "state=%ff%00%ed%a0%80&code=the-code",
        f"state={STATE}%00&code=the-code",
        f"%73tate=another;state={STATE}&code=the-code",
    ],
)
async def test_another_state_belongs_to_another_login(query: str) -> None:
    async with login() as attempt:
        reply = await attempt.raw(attempt.request(query))
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"belongs to another login" in reply
        assert attempt.waits
        assert (await attempt.complete()).status_code == 200


@pytest.mark.parametrize(
    "query",
    ["", "code=", "scope=read", "code=a&code=b", "code=a&code=", "error=a&error=b&code=c", "code=a&scope=b&scope=c"],
)
async def test_an_answer_that_is_not_whole_is_refused_and_the_wait_goes_on(query: str) -> None:
    async with login() as attempt:
        reply = await attempt.raw(attempt.request(f"state={STATE}&{query}"))
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"incomplete" in reply
        assert attempt.waits
        assert (await attempt.complete()).status_code == 200


@pytest.mark.parametrize("path", ["/favicon.ico", "/", "/callback/", "/Callback", "//callback", "/%63allback", "*"])
async def test_nothing_is_at_another_path(path: str) -> None:
    async with login() as attempt:
        reply = await attempt.raw(
            f"GET {path}?state={STATE}&code=c HTTP/1.1\r\nHost: 127.0.0.1:{attempt.port}\r\n\r\n".encode()
        )
        assert reply.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert attempt.waits


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "PUT", "CONNECT", "get"])
async def test_another_method_does_not_spend_the_code(method: str) -> None:
    async with login() as attempt:
        reply = await attempt.raw(attempt.request(method=method))
        assert reply.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        assert b"\r\nAllow: GET\r\n" in reply
        assert reply.endswith(b"\r\n\r\n") is (method == "HEAD")
        assert attempt.waits


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
async def test_another_host_is_refused(host: str) -> None:
    async with login() as attempt:
        field = f"Host: {host.format(port=attempt.port)}"
        reply = await attempt.raw(attempt.request().replace(f"Host: 127.0.0.1:{attempt.port}".encode(), field.encode()))
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"Another address" in reply
        assert attempt.waits


@pytest.mark.parametrize(
    ("sent", "status_code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\0\0\0\0\r\n\r\n", 400),
        (b"GET /callback HTTP/1.1\r\n\r\n", 400),
        (b"GET /callback HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /callback HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /callback HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: odd\r\n\r\n", 501),
        (b"GET /callback?state=\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /callback HTTP/3.9\r\nHost: a\r\n\r\n", 400),
        (b"GET /callback?" + b"a" * 100_000, 431),
        (b"GET /callback HTTP/1.1\r\n" + b"X-Filler: abcdefgh\r\n" * 5_000, 431),
    ],
)
async def test_what_is_no_request_or_too_long_is_refused(sent: bytes, status_code: int) -> None:
    async with login() as attempt:
        reply = await attempt.raw(sent)
        assert reply.startswith(b"HTTP/1.1 %d " % status_code)
        assert attempt.waits
        assert (await attempt.complete()).status_code == 200


# Once


async def test_a_reload_while_finish_runs_gets_the_same_page() -> None:
    finish = Finish()
    finish.hold()
    async with login(finish) as attempt, await attempt.connect() as first:
        await first.send(attempt.request())
        await finish.began.wait()
        async with await attempt.connect() as second, await attempt.connect() as third:
            await second.send(attempt.request(f"state={STATE}&code=other"))
            await third.send(attempt.request(f"state={STATE}&error=access_denied"))
            await attempt.caught_up()
            finish.gate.set()
            pages = [await everything(stream) for stream in (first, second, third)]
        await attempt.ended.wait()
    assert attempt.result == 1
    assert [redirect.code for redirect in finish.seen] == ["the-code"]
    assert all(page.startswith(b"HTTP/1.1 200 ") and b"Marianne" in page for page in pages)


async def test_of_two_redirects_at_the_same_time_the_first_counts() -> None:
    login, finish = _Login(STATE), Finish()
    for code in ("first", "second"):
        assert login.take(f"state={STATE}&code={code}") is None
    await login.conclude(finish, None)
    assert [redirect.code for redirect in finish.seen] == ["first"]


async def test_a_reload_after_the_browser_gave_the_first_one_up_gets_the_page() -> None:
    finish = Finish()
    finish.hold()
    async with login(finish) as attempt:
        async with await attempt.connect() as stream:
            await stream.send(attempt.request())
            await finish.began.wait()
        async with await attempt.connect() as stream:
            await stream.send(attempt.request())
            await attempt.caught_up()
            finish.gate.set()
            assert b"Marianne" in await everything(stream)
        await attempt.ended.wait()
    assert attempt.result == 1


async def test_a_login_whose_browser_has_gone_ends_all_the_same() -> None:
    finish = Finish()
    finish.hold()
    async with login(finish) as attempt:
        async with await attempt.connect() as stream:
            await stream.send(attempt.request())
            await finish.began.wait()
            # Closing with this option resets the connection.
            stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
        finish.gate.set()
        await attempt.ended.wait()
    assert attempt.result == 1


# Connections that a browser, or somebody else, holds open


async def test_a_connection_that_sends_nothing_holds_nothing_up() -> None:
    async with login() as attempt, await attempt.connect() as silent, await attempt.connect() as half:
        await half.send(b"GET /callback?state=")
        assert (await attempt.complete()).status_code == 200
        assert attempt.result == 1
        assert await everything(silent) == b""
        assert await everything(half) == b""


async def test_a_browser_that_does_not_close_its_connection_does_not_hold_up_the_end() -> None:
    async with login() as attempt, await attempt.connect() as stream:
        await stream.send(attempt.request())
        await attempt.ended.wait()
        assert b"Marianne" in await everything(stream)
    assert attempt.result == 1


async def test_of_pipelined_requests_the_first_is_answered_and_the_connection_closed() -> None:
    async with login() as attempt:
        reply = await attempt.raw(attempt.request("state=another") + attempt.request())
        assert reply.count(b"HTTP/1.1 ") == 1
        assert b"\r\nConnection: close\r\n" in reply
        assert attempt.waits


async def test_fifty_connections_at_once_are_answered() -> None:
    async with login() as attempt:
        replies: list[bytes] = []

        async def browse(query: str) -> None:
            replies.append(await attempt.raw(attempt.request(query)))

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(browse, f"state={number}")
        assert [reply[:13] for reply in replies] == [b"HTTP/1.1 400 "] * 50
        assert attempt.waits
        assert (await attempt.complete()).status_code == 200


async def test_a_request_that_trickles_in_is_cut_off() -> None:
    async with login(connection_seconds=0.03) as attempt:
        async with await attempt.connect() as stream, anyio.create_task_group() as tasks:

            async def trickle() -> None:
                with suppress(anyio.BrokenResourceError):
                    await stream.send(b"GET /callback HTTP/1.1\r\n")
                    while True:
                        await stream.send(b"X: y\r\n")
                        await anyio.sleep(0.01)

            tasks.start_soon(trickle)
            assert await everything(stream) == b""
            tasks.cancel_scope.cancel()
        assert attempt.waits
        assert (await attempt.complete()).status_code == 200


async def test_waiting_for_finish_is_not_cut_off() -> None:
    finish = Finish()
    finish.hold()
    async with login(finish, connection_seconds=0.01) as attempt, await attempt.connect() as stream:
        await stream.send(attempt.request())
        await finish.began.wait()
        await anyio.sleep(0.02)
        finish.gate.set()
        assert b"Marianne" in await everything(stream)


async def test_the_oldest_silent_connection_gives_way_to_the_newest() -> None:
    async with login(max_connections=3) as attempt:
        silent = [await attempt.connect() for _ in range(5)]
        for stream in silent[:2]:
            assert await everything(stream) == b""
        await silent[2].send(attempt.request("state=another"))
        assert b"another login" in await everything(silent[2])
        assert (await attempt.complete()).status_code == 200
        for stream in silent:
            await stream.aclose()


async def test_a_connection_that_breaks_while_it_is_accepted_does_not_end_the_wait() -> None:
    class Breaking:
        """A listener whose first two accepts fail."""

        def __init__(self, listener: Any) -> None:
            self.listener = listener
            self.failures: list[Exception] = [OSError(22, "Invalid argument"), anyio.BrokenResourceError()]

        def extra(self, attribute: Any) -> Any:
            return self.listener.extra(attribute)

        async def serve(self, handler: Callable[[Any], Awaitable[None]], tasks: anyio.abc.TaskGroup) -> None:
            if self.failures:
                raise self.failures.pop()
            await self.listener.serve(handler, tasks)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        attempt = Login(RedirectServer(Breaking(listener), "/callback"), Finish())
        async with attempt.browser:
            tasks.start_soon(attempt.run)
            await attempt.complete()
    assert attempt.result == 1


# The page


async def test_a_page_is_kept_nowhere_and_loads_nothing() -> None:
    async with login() as attempt:
        response = await attempt.complete()
    fields = response.headers
    assert fields["Content-Type"] == "text/html; charset=utf-8"
    assert fields["Cache-Control"] == "no-store"
    assert fields["Referrer-Policy"] == "no-referrer"
    assert fields["Connection"] == "close"
    assert int(fields["Content-Length"]) == len(response.content)
    policy = fields["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "; script-src 'sha256-" in policy


async def test_a_page_shows_text_and_not_markup() -> None:
    page = Page("<script>alert(1)</script>", '"Marianne" & <b>T.</b> {title} é \ud800')
    async with login(Finish(page=page)) as attempt:
        response = await attempt.complete()
    assert "<script>alert" not in response.text
    assert "<title>&lt;script&gt;alert(1)&lt;/script&gt;</title>" in response.text
    assert "&quot;Marianne&quot; &amp; &lt;b&gt;T.&lt;/b&gt; {title} é ?" in response.text


@pytest.mark.parametrize("error", [None, InvalidGrantError("no")])
async def test_no_page_repeats_what_the_redirect_brought(error: Exception | None) -> None:
    async with login(Finish(error)) as attempt:
        response = await attempt.complete()
    assert "the-code" not in response.text
    assert STATE not in response.text


def test_a_missing_scope_without_a_name_has_a_page_too() -> None:
    assert "You left out something" in failure(MissingScopeError("no")).page.text


# Binding and letting go


async def test_the_redirect_uri_names_a_free_port_of_this_machine() -> None:
    async with redirect_server(path="/back/again") as server:
        target = urlsplit(server.redirect_uri)
        assert (target.scheme, target.hostname, target.path) == ("http", "127.0.0.1", "/back/again")
        assert target.port


async def test_a_port_can_be_chosen_and_is_free_again_after_the_block() -> None:
    async with login() as first:
        await first.complete()
    async with redirect_server(first.port) as server:
        assert server.redirect_uri == f"http://127.0.0.1:{first.port}/callback"


async def test_a_port_that_is_taken_is_named() -> None:
    async with login() as attempt:
        with pytest.raises(InputError, match=f"port {attempt.port} is taken .*0 for a free one"):
            async with redirect_server(attempt.port):
                pass


@pytest.mark.parametrize("port", [-1, 1, 80, 1023, 65536, 10**9])
async def test_a_port_that_does_not_do_is_refused(port: int) -> None:
    with pytest.raises(InputError, match=f"port {port} is out of range"):
        async with redirect_server(port):
            pass


@pytest.mark.parametrize("path", ["", "callback", "/a b", "/a?b", "/a#b", "/é", "/a\n", "/%41"])
async def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="path"):
        async with redirect_server(path=path):
            pass


async def test_nobody_but_this_machine_can_connect() -> None:
    async with redirect_server() as server:
        assert server._listener.extra(anyio.abc.SocketAttribute.local_address)[0] == "127.0.0.1"


async def test_a_wait_can_be_cancelled_at_any_step() -> None:
    steps = 0
    cut_off = True
    while cut_off:
        steps += 1
        cut_off = await cancelled_after(steps)
    assert steps > 3


async def cancelled_after(steps: int) -> bool:
    """Cancel a login after that many steps of the loop; return whether that cut it off. Its port is free then."""
    async with login() as attempt, await attempt.connect() as stream:
        await stream.send(attempt.request())
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        attempt.scope.cancel()
        await attempt.ended.wait()
        assert attempt.error is None
    async with redirect_server(attempt.port):
        return attempt.result is None


async def test_cancelling_the_wait_cancels_finish_and_closes_the_connections() -> None:
    finish = Finish()
    finish.hold()
    async with login(finish) as attempt, await attempt.connect() as stream:
        await stream.send(attempt.request())
        await finish.began.wait()
        attempt.scope.cancel()
        await attempt.ended.wait()
        assert await everything(stream) == b""
    assert attempt.scope.cancelled_caught
