"""The emulator under load, and behind a socket."""

import asyncio
import json
import signal

import anyio
import anyio.to_thread
import httpx
import pytest
import pytest_asyncio

from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits, serve
from strava_async.testing.callbacks import NetworkCallbacks, call_callback
from tests.plain_http import NO_TRUST


def bearer(emulator):
    return {"Authorization": f"Bearer {emulator.grant()['access_token']}"}


@pytest.mark.anyio
async def test_a_thousand_requests_at_once_are_counted_exactly():
    emulator = Emulator(clock=FakeClock(), years=0.2, limits=MeterLimits(2_000, 2_000, 900, 2_000))
    usages, statuses = [], []

    async def ask(http):
        reply = await http.get("/api/v3/athlete")
        usages.append(int(reply.headers["X-Ratelimit-Usage"].split(",")[0]))
        statuses.append(reply.status_code)

    transport = httpx.ASGITransport(emulator.app)
    http = httpx.AsyncClient(transport=transport, base_url="https://x", headers=bearer(emulator))
    async with http, anyio.create_task_group() as tasks:
        for _ in range(1_000):
            tasks.start_soon(ask, http)
    assert sorted(usages) == list(range(1, 1_001))
    assert (statuses.count(200), statuses.count(429)) == (900, 100)


@pytest.mark.anyio
async def test_a_caller_who_gives_up_while_it_waits_was_never_counted():
    clock = FakeClock()
    emulator = Emulator(clock=clock, years=0.2, latency_seconds=10)
    transport = httpx.ASGITransport(emulator.app)
    http = httpx.AsyncClient(transport=transport, base_url="https://x", headers=bearer(emulator))
    async with http, anyio.create_task_group() as tasks:
        tasks.start_soon(http.get, "/api/v3/athlete")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert emulator.count() == 0
    assert clock.sleeping == 0


@pytest.mark.anyio
async def test_the_lifespan_of_asgi_is_answered_and_a_websocket_is_closed():
    emulator = Emulator(clock=FakeClock())
    sent = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message["type"])

    await emulator.app({"type": "lifespan"}, receive, send)
    await emulator.app({"type": "websocket", "path": "/"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


@pytest.mark.asyncio
async def test_a_served_emulator_speaks_http_with_its_own_date():
    emulator = Emulator(clock=FakeClock(), years=0.2)
    async with (
        serve(emulator) as url,
        httpx.AsyncClient(verify=NO_TRUST, base_url=url, headers=bearer(emulator)) as http,
    ):
        reply = await http.get("/api/v3/athlete/activities")
    assert reply.status_code == 200
    assert reply.json() == emulator.world().activities[-30:][::-1]
    assert reply.headers.get_list("Date") == ["Tue, 06 Jan 2026 10:00:00 GMT"]
    assert "Server" not in reply.headers
    assert (b"X-Ratelimit-Usage", b"1,1") in reply.headers.raw


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [Fault.lost(), Fault.refused()])
async def test_a_lost_answer_cuts_the_connection(fault):
    emulator = Emulator(clock=FakeClock(), years=0.2)
    emulator.faults.add(fault)
    async with (
        serve(emulator) as url,
        httpx.AsyncClient(verify=NO_TRUST, base_url=url, headers=bearer(emulator)) as http,
    ):
        with pytest.raises(httpx.TransportError):
            await http.get("/api/v3/athlete")
        assert (await http.get("/api/v3/athlete")).status_code == 200


@pytest.mark.asyncio
async def test_serving_leaves_signal_handlers_and_tasks_as_they_were():
    before = signal.getsignal(signal.SIGINT), asyncio.all_tasks()
    async with serve(Emulator(clock=FakeClock())) as url:
        assert signal.getsignal(signal.SIGINT) is before[0]
        async with httpx.AsyncClient(verify=NO_TRUST) as http:
            assert (await http.get(f"{url}/nothing")).status_code == 404
    assert (signal.getsignal(signal.SIGINT), asyncio.all_tasks()) == before


@pytest.mark.asyncio
async def test_the_port_is_free_again_afterwards():
    async with serve(Emulator(clock=FakeClock())) as url:
        port = httpx.URL(url).port
    async with serve(Emulator(clock=FakeClock()), port=port) as again:
        assert again == url


@pytest.mark.asyncio
async def test_another_task_may_leave_the_block():
    served = serve(Emulator(clock=FakeClock()))
    await asyncio.create_task(served.__aenter__())
    await asyncio.create_task(served.__aexit__(None, None, None))


@pytest_asyncio.fixture
async def served():
    async with serve(Emulator(clock=FakeClock())) as url:
        yield url


@pytest.mark.asyncio
async def test_a_fixture_may_serve_an_emulator(served):
    async with httpx.AsyncClient(verify=NO_TRUST) as http:
        assert (await http.get(f"{served}/nothing")).status_code == 404


@pytest.mark.asyncio
async def test_an_error_in_the_block_ends_the_server_too():
    with pytest.raises(RuntimeError, match="mine"):
        async with serve(Emulator(clock=FakeClock())) as url:
            raise RuntimeError("mine")
    async with httpx.AsyncClient(verify=NO_TRUST) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url)


@pytest.mark.asyncio
async def test_a_served_emulator_sends_its_events_over_the_network():
    told = []

    async def answer(stream):
        async with stream:
            head, _, body = (await stream.receive()).partition(b"\r\n\r\n")
            while head.startswith(b"POST") and not body.endswith(b"}}"):
                body += await stream.receive()
            target = httpx.URL(head.split(b" ")[1].decode())
            reply = json.dumps({"hub.challenge": target.params.get("hub.challenge")}).encode()
            await stream.send(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply
            )
            if head.startswith(b"POST"):
                told.append((head, body))
                heard.set()

    heard = anyio.Event()
    emulator = Emulator(years=0.1, signing_secret="key")
    emulator.grant()
    credentials = {"client_id": emulator.client_id, "client_secret": emulator.client_secret, "verify_token": "v"}
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    hook = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/hook"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        async with serve(emulator) as url, httpx.AsyncClient(verify=NO_TRUST, base_url=url) as http:
            reply = await http.post("/api/v3/push_subscriptions", data={**credentials, "callback_url": hook})
            assert reply.status_code == 201
            await http.post("/emulator/record", data={"athlete_id": emulator.athlete_ids[0]})
            await heard.wait()
        tasks.cancel_scope.cancel()
    [(head, body)] = told
    assert json.loads(body)["object_id"] == emulator.world().activities[-1]["id"]
    assert b"\r\nx-strava-signature: t=" in head.lower()


@pytest.mark.anyio
async def test_the_time_of_a_callback_begins_when_all_is_loaded_that_reaches_it():
    order = []
    threads = anyio.to_thread.current_default_thread_limiter()  # they load modules and the trust store
    threads.total_tokens = 1
    threads.acquire_on_behalf_of_nowait("another")

    async def ask_without_time():
        assert await call_callback(NetworkCallbacks(), "GET", "http://127.0.0.1:9/hook", seconds=0) is None
        order.append("given up")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_without_time)
        await anyio.wait_all_tasks_blocked()
        order.append("loading")
        threads.release_on_behalf_of("another")
    assert order == ["loading", "given up"]
