"""The client that a sender makes for itself: its lanes."""

from collections.abc import AsyncIterator

import anyio
import httpx
import pytest

from strava_async._http.pool import KEEPALIVE_SECONDS, Lanes

URL = "http://strava.example/"


class Body(httpx.AsyncByteStream):
    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.closings = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"body"

    async def aclose(self) -> None:
        self.closings += 1
        if self.broken:
            raise httpx.ReadError("broken")


class Lane(httpx.AsyncBaseTransport):
    """A transport of one connection that remembers what became of it."""

    def __init__(self) -> None:
        self.requests = 0
        self.open = True
        self.body = Body()
        self.error: Exception | None = None
        self.gate: anyio.Event | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return httpx.Response(200, stream=self.body)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.open = False


class Bench:
    """Lanes over transports that a test can look at, at a time that it sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[Lane] = []
        self.next = Lane()
        self.lanes = Lanes(self.make, lambda: self.now)

    def make(self) -> Lane:
        lane, self.next = self.next, Lane()
        self.made.append(lane)
        return lane

    async def send(self) -> httpx.Response:
        return await self.lanes.handle_async_request(httpx.Request("GET", URL))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.anyio
async def test_one_request_after_the_other_shares_a_connection(bench: Bench) -> None:
    for _ in range(3):
        response = await bench.send()
        assert await response.aread() == b"body"
    assert [lane.requests for lane in bench.made] == [3]


@pytest.mark.anyio
async def test_a_connection_is_not_shared_while_its_body_is_open(bench: Bench) -> None:
    first, second = await bench.send(), await bench.send()
    assert [lane.requests for lane in bench.made] == [1, 1]
    await first.aclose()
    await second.aclose()
    await (await bench.send()).aclose()
    assert [lane.requests for lane in bench.made] == [1, 2]  # the one used last


@pytest.mark.anyio
async def test_a_body_closed_twice_frees_its_connection_once(bench: Bench) -> None:
    response = await bench.send()
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    await stream.aclose()
    await stream.aclose()
    first, second = await bench.send(), await bench.send()
    assert len(bench.made) == 2
    await first.aclose()
    await second.aclose()


@pytest.mark.anyio
async def test_a_connection_that_failed_is_closed_and_not_used_again(bench: Bench) -> None:
    bench.next.error = httpx.ReadError("gone")
    with pytest.raises(httpx.ReadError):
        await bench.send()
    await (await bench.send()).aclose()
    assert [(lane.requests, lane.open) for lane in bench.made] == [(1, False), (1, True)]


@pytest.mark.anyio
async def test_a_body_that_cannot_be_closed_costs_its_connection(bench: Bench) -> None:
    bench.next.body = Body(broken=True)
    response = await bench.send()
    with pytest.raises(httpx.ReadError):
        await response.aclose()
    assert not bench.made[0].open
    await (await bench.send()).aclose()
    assert len(bench.made) == 2


@pytest.mark.anyio
async def test_a_cancelled_request_costs_its_connection(bench: Bench) -> None:
    bench.next.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.send)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [lane.open for lane in bench.made] == [False]


@pytest.mark.anyio
async def test_what_was_idle_too_long_is_closed(bench: Bench) -> None:
    responses = [await bench.send() for _ in range(3)]
    for second, response in enumerate(responses):
        bench.now = float(second)
        await response.aclose()
    bench.now = 1.5 + KEEPALIVE_SECONDS
    await (await bench.send()).aclose()
    assert [lane.open for lane in bench.made] == [False, False, True]


@pytest.mark.anyio
async def test_closing_closes_what_is_idle_and_what_is_not(bench: Bench) -> None:
    idle, busy = await bench.send(), await bench.send()
    await idle.aclose()
    await bench.lanes.aclose()
    assert [lane.open for lane in bench.made] == [False, False]
    await busy.aclose()
    await (await bench.send()).aclose()
    assert len(bench.made) == 3
