"""One attempt: how long it may take, how far it came. In time of trio's that jumps when nothing else is to be done."""

import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
import trio
import trio.testing

from strava_async._hidden import Hidden, revealed
from strava_async._http import HttpSender
from strava_async._http.incoming import Collected
from strava_async.errors import DecodeError, InputError, TransportError
from strava_async.request.call import Call, api_call
from strava_async.request.multipart import CHUNK_BYTES
from strava_async.request.outgoing import Body, OutgoingRequest
from strava_async.request.reply import MAX_BODY_BYTES

API = "https://www.strava.com/api/v3"
GET = api_call("GET", "/athlete", {}, api_url=API)


def in_no_time(test: Callable[[], Any]) -> None:
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def upload(content: bytes) -> Call:
    return api_call("POST", "/uploads", {}, api_url=API, files={"file": ("a", content)})


class Taking(httpx.AsyncBaseTransport):
    """Takes a piece of the body in that many seconds each, then answers after so many."""

    def __init__(self, *pauses: float, answer: float = 0.0) -> None:
        self.pauses, self.answer, self.taken = list(pauses), answer, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stream = request.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        async for chunk in stream:
            self.taken += len(chunk)
            await anyio.sleep(self.pauses.pop(0) if self.pauses else 0)
        await anyio.sleep(self.answer)
        return httpx.Response(200, content=b"{}")


async def sent(transport: httpx.AsyncBaseTransport, call: Call, timeout: float, total: float | None) -> Any:
    async with httpx.AsyncClient(transport=transport) as client:
        try:
            return await HttpSender(client).send(OutgoingRequest(call, Hidden("b"), timeout, total))
        except TransportError as error:
            return error


def test_a_body_that_is_taken_slowly_has_all_the_time_that_it_needs() -> None:
    async def test() -> None:
        reply = await sent(Taking(*[9.0] * 100, answer=9.0), upload(b"x" * 60 * CHUNK_BYTES), 10.0, None)
        assert reply.status_code == 200
        assert anyio.current_time() > 500

    in_no_time(test)


class Slow(io.RawIOBase):
    """A file that is an hour of the event loop's in giving each of its pieces."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces

    def read(self, size: int = -1, /) -> bytes:
        self.pieces -= 1
        if self.pieces < 0:
            return b""
        trio.from_thread.run(trio.sleep, 3600.0)
        return b"x"


def test_a_file_that_gives_its_bytes_slowly_is_not_the_other_sides_fault() -> None:
    async def test() -> None:
        call = api_call("POST", "/uploads", {}, api_url=API, files={"file": Slow(2)})
        assert (await sent(Taking(), call, 10.0, None)).status_code == 200
        assert anyio.current_time() == pytest.approx(2 * 3600)
        call = api_call("POST", "/uploads", {}, api_url=API, files={"file": Slow(2)})
        error = await sent(Taking(), call, 10.0, 100.0)
        assert (error.sent, error.timed_out, anyio.current_time()) == ("maybe", True, pytest.approx(2 * 3600 + 100))
        assert "within 100 s" in str(error)

    in_no_time(test)


def test_a_body_that_is_no_longer_read_times_out() -> None:
    async def test() -> None:
        began = anyio.current_time()
        error = await sent(Taking(0, 0, 3.0, 1e6), upload(b"x" * 60 * CHUNK_BYTES), 10.0, None)
        assert (error.sent, error.timed_out) == ("maybe", True)
        assert "the server accepted nothing of the body for 10 s" in str(error)
        assert anyio.current_time() - began == pytest.approx(13.0)

    in_no_time(test)


def test_total_counts_body_and_reply_together() -> None:
    async def test() -> None:
        began = anyio.current_time()
        error = await sent(Taking(*[9.0] * 100), upload(b"x" * 60 * CHUNK_BYTES), 10.0, 25.0)
        assert (error.sent, error.timed_out) == ("maybe", True)
        assert "within 25 s" in str(error)
        assert anyio.current_time() - began == pytest.approx(25.0)

    in_no_time(test)


def test_the_timeout_of_the_body_does_not_count_for_the_reply() -> None:
    async def test() -> None:
        # A transport that reads has a timeout of its own; this one has none.
        reply = await sent(Taking(answer=1000.0), upload(b"x" * 2 * CHUNK_BYTES), 10.0, None)
        assert reply.status_code == 200

    in_no_time(test)


@pytest.mark.anyio
async def test_a_large_body_that_is_no_file_goes_out_piece_by_piece_too() -> None:
    transport = Taking()
    call = api_call("POST", "/activities", {"description": "x" * 200_000}, api_url=API)
    assert (await sent(transport, call, 10.0, None)).status_code == 200
    assert transport.taken == len(revealed(call.content) or b"")
    body, fields = OutgoingRequest(call, None, 10.0, None).body()
    assert isinstance(body, Body)
    assert fields["Content-Length"] == str(len(revealed(call.content) or b""))


@pytest.mark.anyio
async def test_a_body_can_be_gone_through_twice() -> None:
    outgoing = OutgoingRequest(upload(b"x" * 200_000), None, 10.0, None)
    outgoing.begin()
    body, _ = outgoing.body()
    assert isinstance(body, Body)
    first = b"".join([chunk async for chunk in body])
    assert first == b"".join([chunk async for chunk in body])
    assert len(first) > 200_000


@pytest.mark.anyio
@pytest.mark.parametrize("bearer", ["tok\n", "a\r\nX: y", "a\0", "é"])
async def test_a_token_that_no_field_can_hold_is_bad_input_and_not_shown(bearer: str) -> None:
    with pytest.raises(InputError, match="no header field") as caught:
        OutgoingRequest(GET, Hidden(bearer), 10.0, None).authorization()
    assert bearer not in str(caught.value)


@pytest.mark.anyio
async def test_more_than_strava_ever_sends_is_not_collected() -> None:
    body = Collected("/x")
    block = bytes(MAX_BODY_BYTES // 4)
    for _ in range(4):
        body.add(block)
    with pytest.raises(DecodeError, match="64 MB") as caught:
        body.add(b"x")
    assert caught.value.path == "/x"


def test_a_body_in_tiny_chunks_takes_no_more_memory_than_it_has_bytes() -> None:
    tracemalloc.start()
    try:
        body = Collected("/x")
        for number in range(200_000):
            body.add(number.to_bytes(2, "big", signed=False) if number < 65_536 else b"%c%c" % (number & 255, 7))
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < 1_500_000
    assert len(body.joined()) == 400_000


def test_a_body_is_what_was_added() -> None:
    for chunks in ([], [b""], [b"ab"], [b"", b"ab"], [b"ab", b""], [b"a", b"", b"b", b"c"]):
        body = Collected("/x")
        for chunk in chunks:
            body.add(chunk)
        assert body.joined() == b"".join(chunks)


@pytest.mark.anyio
async def test_a_file_that_cannot_be_read_is_the_callers_matter_and_not_the_networks() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    call = api_call("POST", "/uploads", {}, api_url=API, files={"file": Broken(b"x")})
    with pytest.raises(InputError, match="the disk is gone"):
        await sent(Taking(), call, 10.0, None)


@pytest.mark.parametrize("begins", [False, True], ids=["never answers", "never ends its answer"])
def test_total_holds_for_an_application_in_this_process(begins: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await anyio.sleep(1.0)
            if begins:
                await send({"type": "http.response.body", "body": b" ", "more_body": True})

    async def test() -> None:
        error = await sent(httpx.ASGITransport(app), GET, 10.0, 25.0)
        assert (error.sent, error.timed_out, anyio.current_time()) == ("maybe", True, pytest.approx(25.0))

    in_no_time(test)
