"""The sender: places, closing, event loops, and what is loaded when."""

import asyncio
import gc
import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from strava_async._http import HttpSender
from strava_async._http.connections import Connections
from strava_async._http.pool import proxied_transport
from strava_async._http.proxies import Proxy
from strava_async._http.sender import MAX_CONNECTIONS, URGENT_CONNECTIONS
from strava_async._http.trust import tls_context
from strava_async.errors import InputError, StravaError, TransportError
from strava_async.request.call import Call, api_call
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.reply import Reply
from tests.http import hostile_peers as peers
from tests.http.hostile_peers import OK, Connection, Server, answers, listening
from tests.plain_http import NO_TRUST

SHORT, LONG = 0.2, 60.0
ROOT = Path(__file__).parent.parent.parent
both_libraries = pytest.mark.parametrize("fast", [True, False], ids=["aiohttp if it runs", "httpx"])


def get(url: str) -> Call:
    return api_call("GET", "/x", {}, api_url=url)


async def sent(sender: HttpSender, call: Call) -> Reply:
    return await sender.send(OutgoingRequest(call, None, LONG))


async def answers_each(connection: Connection, server: Server) -> None:
    while True:
        await connection.request()
        server.requests += 1
        await connection.send(OK)


@asynccontextmanager
async def crowded(fast: bool) -> AsyncIterator[tuple[HttpSender, Server, list[StravaError]]]:
    """Open a sender all of whose places are taken by requests that nobody answers."""
    errors: list[StravaError] = []

    async def wait() -> None:
        try:
            await sender.send(OutgoingRequest(get(server.url), None, LONG))
        except StravaError as error:
            errors.append(error)

    async with (
        listening(peers.is_silent) as server,
        HttpSender(fast=fast) as sender,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(MAX_CONNECTIONS):
            tasks.start_soon(wait)
        await server.heard(MAX_CONNECTIONS)
        yield sender, server, errors
        await sender.aclose()


@pytest.mark.anyio
@both_libraries
async def test_waiting_for_a_place_counts_and_has_sent_nothing(fast: bool) -> None:
    async with crowded(fast) as (sender, server, _):
        with pytest.raises(TransportError, match="no connection") as caught:
            await sender.send(OutgoingRequest(get(server.url), None, LONG, SHORT))
        assert (caught.value.sent, caught.value.timed_out) == ("never", True)
        assert server.connections == MAX_CONNECTIONS


@pytest.mark.anyio
@both_libraries
async def test_what_a_person_waits_for_finds_a_place(fast: bool) -> None:
    async with crowded(fast) as (sender, server, _), anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(TransportError):
                await sender.send(OutgoingRequest(get(server.url), None, LONG, urgent=True))

        for _ in range(URGENT_CONNECTIONS):
            tasks.start_soon(wait)
        await server.heard(MAX_CONNECTIONS + URGENT_CONNECTIONS)
        with pytest.raises(TransportError) as caught:
            await sender.send(OutgoingRequest(get(server.url), None, LONG, SHORT, urgent=True))
        assert caught.value.sent == "never"
        await sender.aclose()


@pytest.mark.anyio
@both_libraries
async def test_closing_ends_what_is_in_progress_and_what_waits(fast: bool) -> None:
    async with crowded(fast) as (sender, server, errors), anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(TransportError, match="closed") as caught:
                await sender.send(OutgoingRequest(get(server.url), None, LONG))
            assert caught.value.sent == "never"

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(4):
            await sender.aclose()
    assert len(errors) == MAX_CONNECTIONS
    told = {(type(error), getattr(error, "permanent", None), getattr(error, "timed_out", None)) for error in errors}
    assert told == {(TransportError, True, False)}
    assert "the client was closed during GET /x" in str(errors[0])


@pytest.mark.anyio
async def test_closing_ends_requests_over_a_callers_client_and_leaves_it_open() -> None:
    async with listening(peers.drips_the_body) as server, httpx.AsyncClient(verify=NO_TRUST) as client:
        sender = HttpSender(client)
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                with pytest.raises(TransportError, match="closed"):
                    await sender.send(OutgoingRequest(get(server.url), None, LONG))

            tasks.start_soon(wait)
            await server.heard(1)
            await sender.aclose()
        assert not client.is_closed


@pytest.mark.anyio
@both_libraries
async def test_closing_twice_at_a_time_takes_no_longer(fast: bool) -> None:
    async with crowded(fast) as (sender, _, errors):
        with anyio.fail_after(4):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sender.aclose)
                tasks.start_soon(sender.aclose)
        assert len(errors) == MAX_CONNECTIONS


@pytest.mark.anyio
@both_libraries
async def test_a_cancelled_caller_ends_at_once(fast: bool) -> None:
    async with listening(peers.drips_the_body) as server, HttpSender(fast=fast) as sender:
        with anyio.move_on_after(SHORT) as scope, anyio.fail_after(LONG):
            await sender.send(OutgoingRequest(get(server.url), None, LONG))
        assert scope.cancelled_caught
        with pytest.raises(TransportError):  # the place is free again, and the sender in order
            await sender.send(OutgoingRequest(get(server.url), None, LONG, SHORT))


class Breaking(io.BytesIO):
    """A file on a disk that is gone half-way."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 500_000:
            raise OSError("the disk is gone")
        return super().read(size)


@pytest.mark.anyio
@both_libraries
async def test_what_fails_half_way_may_have_been_sent_and_what_fails_before_was_not(fast: bool) -> None:
    async with listening(answers_each) as server, HttpSender(fast=fast) as sender:
        for file, sent in ((Breaking(b"x" * 1_000_000), "maybe"), (7, "never")):
            call = api_call("POST", "/uploads", {}, api_url=server.url, files={"file": file})
            with pytest.raises(InputError) as caught:
                await sender.send(OutgoingRequest(call, None, LONG))
            assert caught.value.sent == sent


@pytest.mark.anyio
@both_libraries
async def test_a_pipe_that_nobody_writes_to_holds_up_no_other_work(fast: bool) -> None:
    async def peer(connection: Connection, server: Server) -> None:
        await connection.head()
        server.requests += 1
        await anyio.sleep_forever()

    read_end, write_end = os.pipe()
    writer = io.FileIO(write_end, "w")
    rescue = threading.Timer(20, writer.close)  # or a test that fails would never end
    rescue.start()
    errors: list[TransportError] = []

    async def send(sender: HttpSender, call: Call) -> None:
        try:
            await sender.send(OutgoingRequest(call, None, LONG))
        except TransportError as error:
            errors.append(error)

    with io.FileIO(read_end) as file:
        try:
            async with listening(peer) as server, HttpSender(fast=fast) as sender, anyio.create_task_group() as tasks:
                call = api_call("POST", "/uploads", {}, api_url=server.url, files={"file": file})
                tasks.start_soon(send, sender, call)
                await server.heard(1)
                assert rescue.is_alive()
                await sender.aclose()
        finally:
            rescue.cancel()
            writer.close()
    assert "the client was closed" in str(errors[0])


# --- event loops ---


@contextmanager
def serving() -> Iterator[str]:
    """Serve in a thread, beyond the life of any event loop; connections are kept."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None: ...

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None: ...  # a connection that was reset

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # what the ended event loops have left behind


BACKENDS = pytest.mark.parametrize(
    "backends", [("asyncio", "asyncio"), ("trio", "trio"), ("asyncio", "trio"), ("trio", "asyncio")], ids="-".join
)


@BACKENDS
@both_libraries
def test_a_loop_that_has_ended_is_forgotten(
    backends: tuple[str, str], fast: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sender = HttpSender(fast=fast)

    async def ask(url: str, close: bool) -> Reply:
        reply = await sender.send(OutgoingRequest(get(url), None, LONG))
        if close:
            await sender.aclose()
        return reply

    with serving() as url, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for number, backend in enumerate(backends):
            assert anyio.run(ask, url, number == 1, backend=backend).body == b"{}"
        gc.collect()
    assert not caplog.records  # aiohttp has asyncio log as an error what is left open


@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio"), ("trio", "asyncio")], ids="-".join)
def test_a_callers_client_with_connections_of_an_ended_loop_is_reported(backends: tuple[str, str]) -> None:
    with serving() as url, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        client = httpx.AsyncClient(verify=NO_TRUST)
        sender = HttpSender(client)
        assert anyio.run(sent, sender, get(url), backend=backends[0]).status_code == 200
        with pytest.raises(InputError, match="make one for each event loop"):
            anyio.run(sent, sender, get(url), backend=backends[1])
        del client, sender


@pytest.mark.anyio
async def test_a_callers_client_in_two_running_loops_is_an_error_at_once() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b"{}"))
    async with httpx.AsyncClient(transport=transport) as client:
        await HttpSender(client).send(OutgoingRequest(get("http://x"), None, LONG))

        async def elsewhere() -> None:
            with pytest.raises(InputError, match="another event loop, which has not ended"):
                await HttpSender(client).send(OutgoingRequest(get("http://x"), None, LONG))

        await anyio.to_thread.run_sync(anyio.run, elsewhere)
        assert (await HttpSender(client).send(OutgoingRequest(get("http://x"), None, LONG))).status_code == 200


def test_a_callers_client_without_connections_goes_from_loop_to_loop() -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=b"{}")))
    for _ in range(3):
        assert asyncio.run(sent(HttpSender(client), get("http://x"))).body == b"{}"


# --- the environment, and what is loaded: each in a process of its own ---

SCRIPT = """
import asyncio, json, sys
from strava_async import ApiV3, RetryPolicy, StravaError
async def main():
    api = ApiV3("t", api_url=sys.argv[1], retry=RetryPolicy(max_attempts=1))
    try:
        result = await api.get("/x")
    except Exception as error:
        result = [type(error).__name__, isinstance(error, StravaError), str(error), api.quota.overall_15min.reserved]
    await api.aclose()
    print(json.dumps(result))
asyncio.run(main())
"""


def in_environment(url: str, **variables: str) -> Any:
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environ = {name: value for name, value in environ.items() if not name.startswith("SSL")} | variables
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, url], env=environ, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"SSL_CERT_FILE": "/nonexistent/ca.pem"}, "SSL_CERT_FILE"),
        ({"SSL_CERT_DIR": "/nonexistent"}, "SSL_CERT_DIR"),
        ({"SSLKEYLOGFILE": "/nonexistent/log"}, "SSLKEYLOGFILE"),
        ({"HTTP_PROXY": "foo://user:sekret@x"}, "HTTP_PROXY"),
        ({"all_proxy": "http://user:sekret@x:y"}, "all_proxy"),
    ],
)
def test_an_invalid_environment_is_one_error_that_names_the_variable(variables: dict[str, str], name: str) -> None:
    kind, ours, text, reserved = in_environment("http://127.0.0.1:9/api/v3", **variables)
    assert (kind, ours, reserved) == ("InputError", True, 0)
    assert text.startswith(name)
    assert "unset" in text
    assert "sekret" not in text


def test_networks_in_no_proxy_work_and_other_hosts_go_over_the_proxy() -> None:
    with serving() as url:
        dead = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost,127.0.0.0/8,::1/128"}
        assert in_environment(f"{url}/api/v3", **dead) == {}
        # The server answers whatever it is asked, as a proxy too.
        assert in_environment("http://strava.invalid/api/v3", **{**dead, "HTTP_PROXY": url}) == {}


CORRECTED = """
import asyncio, os, sys
from strava_async import ApiV3, InputError
async def main():
    async with ApiV3("t", api_url=sys.argv[1]) as api:
        for variable, value in (("SSL_CERT_FILE", "/nonexistent"), ("HTTP_PROXY", "foo://x")):
            os.environ[variable] = value
            try:
                await api.get("/x")
            except InputError as error:
                assert str(error).startswith(variable), error
            else:
                raise SystemExit(f"{variable} was not read")
            del os.environ[variable]
        assert await api.get("/x") == {}
        print("served")
asyncio.run(main())
"""


def test_an_environment_that_was_corrected_serves_the_same_object() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with serving() as url:
        command = [sys.executable, "-c", CORRECTED, f"{url}/api/v3"]
        run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (run.stdout, run.stderr) == ("served\n", "")


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "permanent"), [(407, True), (403, True), (503, False)])
async def test_a_proxy_that_refuses_is_reported_without_its_text(status: int, permanent: bool) -> None:
    answer = f"HTTP/1.1 {status} sekret\r\nContent-Length: 0\r\n\r\n".encode()
    async with listening(answers(answer)) as server:
        url = server.url.replace("http://", "http://user:sekret@")
        async with httpx.AsyncClient(transport=proxied_transport(tls_context(), Proxy(url, "ALL_PROXY"))) as client:
            with pytest.raises(TransportError, match=f"the proxy refuses the connection with {status}") as caught:
                await HttpSender(client).send(OutgoingRequest(get("https://strava.invalid"), None, LONG))
    assert (caught.value.sent, caught.value.permanent) == ("never", permanent)
    assert "sekret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.skipif(importlib.util.find_spec("socksio") is not None, reason="socksio is installed")
def test_socks_without_its_package_names_variable_and_package() -> None:
    with pytest.raises(InputError, match=r"^ALL_PROXY names a SOCKS proxy, which needs the package socksio"):
        proxied_transport(tls_context(), Proxy("socks5://user:sekret@proxy:1", "ALL_PROXY"))


IMPORTS = """
import sys, threading, {module}
from strava_async import ApiV3, Client
from tests.plain_http import NO_TRUST
main, imported, watched = threading.get_ident(), [], False
class Finder:
    def find_spec(self, name, path=None, target=None):
        if watched and threading.get_ident() == main:
            imported.append(name)
sys.meta_path.insert(0, Finder())
if {slow}:
    sys.modules["aiohttp"] = None
async def run():
    global watched
    watched = True
    api = ApiV3("t", api_url=sys.argv[1])
    client = Client(api)
    await client.api.get("/x")
    client.athlete, client.activities, client.streams
    watched = False
    await api.aclose()
{module}.run({coroutine})
print(*imported)
"""


@pytest.mark.parametrize(("module", "slow"), [("asyncio", False), ("asyncio", True), ("trio", True)])
def test_the_first_request_imports_next_to_nothing_on_the_event_loop(module: str, slow: bool) -> None:
    with serving() as url:
        script = IMPORTS.format(module=module, slow=slow, coroutine="run" if module == "trio" else "run()")
        run = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=True, cwd=ROOT)
    # What starts the thread that imports the rest.
    threads = {"concurrent.futures.thread", "queue", "_queue"}
    on_trio = {name for name in run.stdout.split() if name.split(".")[0] == "anyio"} if module == "trio" else set[str]()
    assert set(run.stdout.split()) - threads - on_trio == set()


class _CountingExecutor(ThreadPoolExecutor):
    """Counts what it is given to do."""

    submitted = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        return super().submit(fn, *args, **kwargs)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_all_requests_that_come_at_once_wait_for_one_thread_that_loads() -> None:
    executor = _CountingExecutor(max_workers=4)
    asyncio.get_running_loop().set_default_executor(executor)
    connections = Connections()
    connections.enter()
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(connections.load)
    assert (executor.submitted, connections.are_loaded) == (1, True)
    await connections.aclose()


@pytest.mark.anyio
async def test_all_requests_that_come_at_once_share_the_connections() -> None:
    connections = Connections()
    connections.enter()
    senders: list[object] = []

    async def request() -> None:
        await connections.load()
        senders.append(connections.sender_for(api_call("GET", "/athlete", {}, api_url="https://x.test")))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(request)
    assert len(senders) == 10
    assert len({id(each) for each in senders}) == 1  # what others have is closed by nobody
    await connections.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_waits_for_what_is_loaded_can_be_cancelled_without_the_others() -> None:
    connections = Connections()
    connections.enter()
    first, second = (asyncio.ensure_future(connections.load()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    assert connections.are_loaded
    await connections.aclose()


def test_to_import_the_package_loads_no_http_library() -> None:
    loaded = "import sys, strava_async; print({'httpx', 'httpx2', 'aiohttp', 'asyncio'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "set()\n"


class TurnCounter(asyncio.SelectorEventLoop):
    """An event loop that notes the turn in which each connection begins."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.begun_in: list[int] = []

    def count(self) -> None:
        self.turn += 1
        self.call_soon(self.count)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.begun_in.append(self.turn)
        await super().sock_connect(sock, address)


def test_connections_of_aiohttp_begin_one_per_turn_of_the_loop() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TurnCounter)
        loop.count()
        async with (
            listening(answers(OK)) as server,
            HttpSender() as sender,
        ):
            await sender.prepare()
            await asyncio.gather(*(sender.send(OutgoingRequest(get(server.url), None, LONG)) for _ in range(20)))
        return loop.begun_in

    with asyncio.Runner(loop_factory=TurnCounter) as runner:
        begun_in = runner.run(main())
    assert len(begun_in) == len({*begun_in}) == 20
