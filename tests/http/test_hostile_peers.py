"""What servers should not do, over each transport: every request ends, in time, and with an error that says enough."""

import gc
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx
import httpx2
import pytest
from httpx_aiohttp import AiohttpTransport

from strava_async._hidden import Hidden
from strava_async._http import HttpSender
from strava_async.errors import DecodeError, TransportError
from strava_async.request.call import Call, api_call, oauth_call
from strava_async.request.reply import Reply
from tests.http import hostile_peers as peers
from tests.http.hostile_peers import Peer, Server, answers, listening
from tests.plain_http import NO_TRUST

pytestmark = pytest.mark.anyio

# What ends a request is either this short, or so long that no test waits for it.
SHORT, LONG = 0.2, 60.0
BIG = b"x" * 12_000_000  # more than the buffers of a connection take

TRANSPORTS: dict[str, Callable[[], Any]] = {
    "httpx": lambda: httpx.AsyncClient(verify=NO_TRUST),
    "httpx2": lambda: httpx2.AsyncClient(verify=NO_TRUST),
    "httpx over aiohttp": lambda: httpx.AsyncClient(transport=AiohttpTransport(verify=NO_TRUST)),
}
OWN = {"own aiohttp": True, "own httpx": False}
ON = {"asyncio": [*OWN, *TRANSPORTS], "trio": ["own httpx", "httpx", "httpx2"]}
EACH = [
    pytest.param(backend, transport, id=f"{transport} on {backend}") for backend, own in ON.items() for transport in own
]
each_transport = pytest.mark.parametrize(("anyio_backend", "transport"), EACH)


@asynccontextmanager
async def sender_over(transport: str) -> AsyncIterator[HttpSender]:
    """Open a sender over a transport; closing it must not wait for the server."""
    client = None if transport in OWN else TRANSPORTS[transport]()
    sender = HttpSender(client, fast=OWN.get(transport, True))
    await sender.prepare()
    try:
        yield sender
    finally:
        with anyio.fail_after(3):
            await sender.aclose()
        if client is not None:
            await client.aclose()


def get(server: Server) -> Call:
    return api_call("GET", "/x", {}, api_url=server.url)


def upload(server: Server) -> Call:
    return api_call("POST", "/uploads", {"data_type": "fit"}, api_url=server.url, files={"file": ("a.fit", BIG)})


async def outcome(
    sender: HttpSender, call: Call, timeout: float = LONG, total: float | None = LONG
) -> Reply | TransportError | DecodeError:
    with anyio.fail_after(LONG):
        try:
            return await sender.send(call, Hidden("b"), timeout, total)
        except (TransportError, DecodeError) as error:
            return error


def said(result: Reply | TransportError | DecodeError) -> str:
    """Return what matters of an outcome, in a few words."""
    match result:
        case Reply():
            return f"{result.status_code}"
        case DecodeError():
            return "too large"
        case TransportError():
            more = " timed out" * result.timed_out + " permanent" * result.permanent
            return f"{result.sent}{more}"


class Case(NamedTuple):
    """A peer, and how a request to it may end."""

    peer: Peer
    ends: set[str]
    timeout: float = LONG
    total: float = LONG
    call: Callable[[Server], Call] = get


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CASES = {
    "silent": Case(peers.is_silent, {"maybe timed out"}, timeout=SHORT),
    "stops reading": Case(peers.stops_reading, {"maybe timed out"}, timeout=SHORT, call=upload),
    "drips the head": Case(peers.drips_the_head, {"maybe timed out"}, total=SHORT),
    "drips the body": Case(peers.drips_the_body, {"maybe timed out"}, total=SHORT),
    "drips chunks": Case(peers.drips_chunks, {"maybe timed out"}, total=SHORT),
    "sends only hints": Case(peers.sends_only_hints, {"maybe timed out"}, total=SHORT),
    "never ends": Case(peers.never_ends, {"too large"}),
    "hangs up at once": Case(peers.hangs_up_at_once, {"maybe"}),
    "hangs up on the request": Case(peers.hangs_up_on_the_request, {"maybe"}),
    "resets at once": Case(peers.resets_at_once, {"maybe", "never"}),
    "resets on the request": Case(peers.resets_on_the_request, {"maybe"}),
    "cuts the head": Case(answers(HEAD + b"Content-Le"), {"maybe"}),
    "cuts the body": Case(answers(HEAD + b"Content-Length: 20\r\n\r\n{}"), {"maybe"}),
    "cuts a chunk": Case(answers(CHUNKED + b"5\r\nab"), {"maybe"}),
    "cuts between chunks": Case(answers(CHUNKED + b"2\r\nab\r\n"), {"maybe"}),
    "talks nonsense": Case(answers(b"nonsense\r\n\r\n"), {"maybe"}),
    "sends bytes": Case(answers(bytes(range(256)) * 4), {"maybe"}),
    "counts a chunk in letters": Case(answers(CHUNKED + b"zz\r\nab\r\n"), {"maybe"}),
    "counts a chunk beyond 64 bits": Case(answers(CHUNKED + b"F" * 17 + b"\r\nab\r\n"), {"maybe"}),
    "has a negative length": Case(answers(HEAD + b"Content-Length: -5\r\n\r\n{}"), {"maybe"}),
    "has two lengths": Case(answers(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), {"maybe"}),
    "has a field of 1 MB": Case(answers(HEAD + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n{}"), {"maybe"}),
    "redirects to itself": Case(answers(b"HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), {"302"}),
    # Where the connection is reset before its answer was read, the answer is lost.
    "refuses an upload": Case(peers.refuses_an_upload_and_hangs_up, {"413", "maybe"}, call=upload),
    "refuses an upload and is silent": Case(
        peers.refuses_an_upload_and_stops_reading, {"413", "maybe timed out"}, timeout=SHORT, call=upload
    ),
}


@each_transport
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_every_request_ends(transport: str, case: Case) -> None:
    async with listening(case.peer) as server, sender_over(transport) as sender:
        result = await outcome(sender, case.call(server), case.timeout, case.total)
        # On a machine that is busy the time may be over before the request is out.
        too_slow = not server.requests and said(result) == "never timed out"
        assert said(result) in case.ends or too_slow
        # httpx-aiohttp lets aiohttp repeat a GET; nothing here does.
        assert server.connections == 1 or transport == "httpx over aiohttp"


@each_transport
async def test_a_connection_that_closes_on_the_second_request_is_no_reason_to_repeat_it(transport: str) -> None:
    async with listening(peers.hangs_up_on_the_second_request) as server, sender_over(transport) as sender:
        assert said(await outcome(sender, get(server))) == "200"
        if transport != "httpx over aiohttp":
            assert said(await outcome(sender, get(server))) == "maybe"
            assert server.requests == 2


@each_transport
async def test_an_answer_that_nobody_asked_for_is_given_to_nobody(transport: str) -> None:
    if transport == "httpx over aiohttp":
        pytest.skip("a caller's own transport, which takes it for the next answer")
    async with listening(peers.says_more_than_was_asked) as server, sender_over(transport) as sender:
        assert said(await outcome(sender, get(server))) == "200"
        server.told_more.set()
        await server.more_is_out.wait()
        await anyio.wait_all_tasks_blocked()
        second = await outcome(sender, get(server))
        assert said(second) in ("200", "maybe")
        assert not isinstance(second, Reply) or second.body == b"{}"


@each_transport
async def test_a_handshake_that_takes_too_long_has_sent_nothing(transport: str) -> None:
    async with listening(peers.shakes_no_hands, https=True) as server, sender_over(transport) as sender:
        assert said(await outcome(sender, get(server), timeout=SHORT)) == "never timed out"
        in_all = said(await outcome(sender, get(server), total=SHORT))
        # A caller's own transport that does not tell how far it is leaves it open.
        assert in_all == ("maybe timed out" if transport == "httpx over aiohttp" else "never timed out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # which httpcore leaves a socket to, where it is cancelled in a handshake


@each_transport
async def test_a_handshake_that_breaks_off_may_be_tried_again(transport: str) -> None:
    async with listening(peers.hangs_up_on_the_handshake, https=True) as server, sender_over(transport) as sender:
        assert said(await outcome(sender, get(server))) == "never"


@each_transport
async def test_a_server_without_tls_is_not_tried_again(transport: str) -> None:
    async with listening(peers.speaks_no_tls, https=True) as server, sender_over(transport) as sender:
        assert said(await outcome(sender, get(server))) == "never permanent"


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-days", "2", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@each_transport
async def test_a_certificate_that_is_refused_is_refused_once(transport: str, self_signed: ssl.SSLContext) -> None:
    async with listening(peers.is_silent, self_signed) as server, sender_over(transport) as sender:
        result = await outcome(sender, get(server))
        assert said(result) == "never permanent"
        assert "CERTIFICATE_VERIFY_FAILED" in str(result)
        assert server.connections == 1


@each_transport
async def test_a_reply_about_tokens_that_makes_no_sense_is_not_shown(transport: str) -> None:
    for answer in (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"access_token": "sekret"\r\n',
        b"HTTP/1.1 200 OK\r\nX-sekret",
        b"sekret\r\n\r\n",
    ):
        async with listening(answers(answer)) as server, sender_over(transport) as sender:
            call = oauth_call(f"{server.url}/oauth/token", {"code": "c"}, idempotent=False)
            error = await outcome(sender, call)
        assert said(error) == "maybe"
        shown = "".join(f"{chained!r} {chained}" for chained in _shown(error))
        assert transport == "httpx over aiohttp" or "sekret" not in shown


def _shown(error: Any) -> list[BaseException]:
    """Return the errors that a traceback shows."""
    chain: list[BaseException] = []
    while error is not None:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain
