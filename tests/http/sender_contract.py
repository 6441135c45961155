"""What every sender does. Derive a class named ``Test...`` from ``SenderContract`` and override ``sender``.

The rules are those of ``strava_async.request.sender``; the table of hostile peers is what servers should not do, and
how a request to them ends: in time, and with an error that says enough.
"""

import gc
import gzip
import io
import ssl
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import anyio
import pytest

from strava_async._hidden import Hidden
from strava_async.errors import DecodeError, InputError, TransportError
from strava_async.request.call import Call, api_call, oauth_call
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.reply import Reply
from strava_async.request.sender import Sender
from tests.http import hostile_peers as peers
from tests.http.hostile_peers import OK, Connection, Peer, Server, answers, listening

# What ends a request is either this short, or so long that no test waits for it.
SHORT, LONG = 0.2, 60.0
BIG = b"x" * 12_000_000  # more than the buffers of a connection take


def get(server: Server) -> Call:
    return api_call("GET", "/x", {}, api_url=server.url)


def upload(server: Server) -> Call:
    return api_call("POST", "/uploads", {"data_type": "fit"}, api_url=server.url, files={"file": ("a.fit", BIG)})


async def sent(sender: Sender, call: Call, timeout: float = LONG, total: float | None = LONG) -> Reply:
    """Send a call as ``HttpSender`` does: within the bounds of its request."""
    outgoing = OutgoingRequest(call, Hidden("token-of-7"), timeout, total)
    with anyio.fail_after(LONG):
        with outgoing.begin():
            return await sender.send(outgoing)
        raise outgoing.end_error()


async def outcome(
    sender: Sender, call: Call, timeout: float = LONG, total: float | None = LONG
) -> Reply | TransportError | DecodeError:
    try:
        return await sent(sender, call, timeout, total)
    except (TransportError, DecodeError) as error:
        return error


def told(result: Reply | TransportError | DecodeError) -> str:
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
    "hangs up at once": Case(peers.hangs_up_at_once, {"maybe", "never"}),
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


class Recorder:
    """A peer that answers each request of a connection, and keeps what came.

    Args:
        answer: the bytes of each answer.
    """

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, connection: Connection, server: Server) -> None:
        while True:
            head = await connection.head()
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            chunked = fields.get(b"transfer-encoding") == b"chunked"
            length = int(fields.get(b"content-length", b"0"))
            self.heads.append(head)
            self.bodies.append(await (connection.chunks() if chunked else connection.exactly(length)))
            server.requests += 1
            await connection.send(self.answer)


class Pipe(io.RawIOBase):
    """A file that cannot be wound back."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(size)


class Breaking(io.BytesIO):
    """A file that fails half-way."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 500_000:
            raise ZeroDivisionError
        return super().read(size)


@pytest.mark.anyio
class SenderContract:
    # False for a caller's own transport, which keeps rules 1, 2 and 4 only as far as it is able to.

    is_strict: ClassVar[bool] = True
    keeps_cookies: ClassVar[bool] = False

    @pytest.fixture
    def sender(self) -> Sender:
        """Return the sender. An override may be an async fixture, which closes it."""
        raise NotImplementedError("override the fixture")

    @pytest.fixture(scope="class")
    @classmethod
    def self_signed(cls, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
        folder: Path = tmp_path_factory.mktemp("tls")
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        subject = ["-subj", "/CN=127.0.0.1", "-days", "2", "-nodes", "-keyout", str(key), "-out", str(certificate)]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        subprocess.run(["openssl", "req", "-x509", *curve, *subject], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    # What is sent

    async def test_a_get_goes_out_as_it_is(self, sender: Sender) -> None:
        peer = Recorder()
        async with listening(peer) as server:
            call = api_call("GET", "/a b/{id}", {"id": "ü/", "q": "x&y", "n": [1, 2]}, api_url=server.url)
            await sent(sender, call)
        line, *fields = peer.heads[0].decode("ascii").split("\r\n")
        assert line == "GET /a%20b/%C3%BC%2F?q=x%26y&n=1,2 HTTP/1.1"
        given = {field.partition(": ")[0].lower(): field.partition(": ")[2] for field in fields}
        assert len(given) == len(fields)
        assert given["authorization"] == "Bearer token-of-7"
        assert given["host"] == server.url.removeprefix("http://")
        assert "content-length" not in given
        assert "transfer-encoding" not in given

    @pytest.mark.parametrize(
        ("method", "arguments", "media_type", "body"),
        [
            ("POST", {"params": {"name": "a b"}}, b"application/x-www-form-urlencoded", b"name=a+b"),
            ("POST", {"params": {}}, b"application/x-www-form-urlencoded", b""),
            (
                "POST",
                {"params": {"name": "x" * 200_000}},
                b"application/x-www-form-urlencoded",
                b"name=" + b"x" * 200_000,
            ),
            ("PUT", {"params": {}, "body": {"a": 1}}, b"application/json", b'{"a":1}'),
        ],
        ids=["form", "empty", "large", "json"],
    )
    async def test_a_body_goes_out_as_it_is(
        self, sender: Sender, method: Any, arguments: dict[str, Any], media_type: bytes, body: bytes
    ) -> None:
        peer = Recorder()
        async with listening(peer) as server:
            assert told(await outcome(sender, api_call(method, "/x", api_url=server.url, **arguments))) == "200"
        assert peer.bodies == [body]
        head = peer.heads[0].lower()
        assert b"\r\ncontent-type: " + media_type in head
        assert b"\r\ncontent-length: %d" % len(body) in head

    @pytest.mark.parametrize("is_known", [True, False], ids=["of known length", "chunked"])
    async def test_an_upload_goes_out_as_it_is(self, sender: Sender, is_known: bool) -> None:
        content = bytes(range(256)) * 4_000
        file = io.BytesIO(content) if is_known else Pipe(content)
        peer = Recorder()
        async with listening(peer) as server:
            call = api_call("POST", "/uploads", {"a": "ü"}, api_url=server.url, files={"file": ("a", file)})
            assert told(await outcome(sender, call)) == "200"
        assert content in peer.bodies[0]
        assert "ü".encode() in peer.bodies[0]
        assert (b"\r\ntransfer-encoding: chunked" in peer.heads[0].lower()) is not is_known

    async def test_a_url_that_cannot_be_sent_is_bad_input(self, sender: Sender) -> None:
        call = api_call("GET", "/x", {"q": "x" * 70_000}, api_url="http://127.0.0.1:9")
        with pytest.raises(InputError, match="makes no valid URL"):
            await sent(sender, call)

    async def test_an_error_of_the_callers_file_is_passed_on(self, sender: Sender) -> None:
        peer = Recorder()
        async with listening(peer) as server:
            call = api_call("POST", "/uploads", {}, api_url=server.url, files={"file": Breaking(b"x" * 1_000_000)})
            with pytest.raises(ZeroDivisionError):
                await sent(sender, call)
            assert server.requests == 0

    # What comes back

    async def test_a_reply_comes_back_as_it_is(self, sender: Sender) -> None:
        packed = gzip.compress(b"{}", mtime=0)
        fields = (
            b"Content-Type: text/x; charset=a\r\nX-RateLimit-Limit: 1,2\r\nx-ratelimit-limit: 3\r\n"
            b"Content-Encoding: gzip\r\nContent-Encoding: identity\r\nDate: now\r\nAge: 3\r\nX-Other: o\r\n"
        )
        answer = b"HTTP/1.1 418 T\r\n%sContent-Length: %d\r\n\r\n%s" % (fields, len(packed), packed)
        async with listening(answers(answer)) as server:
            reply = await sent(sender, get(server))
        quota = {"x-ratelimit-limit": "1,2, 3", "date": "now", "age": "3"}
        assert (reply.status_code, reply.headers, reply.body) == (418, quota, packed)
        assert (reply.content_type, reply.content_encoding) == ("text/x; charset=a", "gzip, identity")

    @pytest.mark.parametrize(
        ("answer", "body"),
        [
            (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;e=1\r\nab\r\n1\r\nc\r\n0\r\nT: t\r\n\r\n", b"abc"),
            (b"200 OK\r\nConnection: close\r\n\r\nabc", b"abc"),
            (b"204 No Content\r\n\r\n", b""),
            (
                b"103 Early Hints\r\nX: x\r\n\r\nHTTP/1.1 100 Go\r\n\r\nHTTP/1.1 201 C\r\nContent-Length: 1\r\n\r\na",
                b"a",
            ),
            (b"404\r\nContent-Length: 0\r\n\r\n", b""),
        ],
        ids=["chunked", "to the end", "without a body", "after interim ones", "without a reason"],
    )
    async def test_a_body_is_read_to_its_end(self, sender: Sender, answer: bytes, body: bytes) -> None:
        async with listening(answers(b"HTTP/1.1 " + answer)) as server:
            assert (await sent(sender, get(server))).body == body

    async def test_connections_are_kept_and_cookies_are_not(self, sender: Sender) -> None:
        peer = Recorder(b"HTTP/1.1 200 OK\r\nset-cookie: who=first; path=/\r\ncontent-length: 0\r\n\r\n")
        async with listening(peer) as server:
            # By name: aiohttp's own jar takes no cookies from an address.
            url = server.url.replace("127.0.0.1", "localhost")
            for _ in range(3):
                await sent(sender, api_call("GET", "/x", {}, api_url=url))
            assert (server.requests, server.connections) == (3, 1)
        # A caller's client has a jar of its own, which is the caller's matter.
        assert self.keeps_cookies or not any(b"\r\ncookie:" in head.lower() for head in peer.heads)

    async def test_many_at_once_get_each_its_own_reply(self, sender: Sender) -> None:
        async def echo(connection: Connection, server: Server) -> None:
            while True:
                target = (await connection.request()).split(b" ")[1]
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target))

        async with listening(echo) as server, anyio.create_task_group() as tasks:

            async def ask(number: int) -> None:
                call = api_call("GET", f"/{number}", {}, api_url=server.url)
                for _ in range(3):
                    assert (await sent(sender, call)).body == b"/%d" % number

            for number in range(20):
                tasks.start_soon(ask, number)

    # Hostile peers

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
    async def test_every_request_ends(self, sender: Sender, case: Case) -> None:
        async with listening(case.peer) as server:
            result = await outcome(sender, case.call(server), case.timeout, case.total)
            # On a machine that is busy the time may be over before the request is out.
            too_slow = not server.requests and told(result) == "never timed out"
            assert told(result) in case.ends or too_slow
            # httpx-aiohttp lets aiohttp repeat a GET; nothing here does.
            assert server.connections <= 1 or not self.is_strict

    async def test_a_connection_that_closes_on_the_second_request_is_no_reason_to_repeat_it(
        self, sender: Sender
    ) -> None:
        async with listening(peers.hangs_up_on_the_second_request) as server:
            assert told(await outcome(sender, get(server))) == "200"
            if self.is_strict:
                assert told(await outcome(sender, get(server))) == "maybe"
                assert server.requests == 2

    async def test_an_unsolicited_answer_reaches_no_caller(self, sender: Sender) -> None:
        if not self.is_strict:
            pytest.skip("a caller's own transport, which takes it for the next answer")
        async with listening(peers.says_more_than_was_asked) as server:
            assert told(await outcome(sender, get(server))) == "200"
            server.told_more.set()
            await server.more_is_out.wait()
            await anyio.wait_all_tasks_blocked()
            second = await outcome(sender, get(server))
            assert told(second) in ("200", "maybe")
            assert not isinstance(second, Reply) or second.body == b"{}"

    async def test_the_late_answer_to_an_abandoned_request_reaches_no_caller(self, sender: Sender) -> None:
        async with listening(peers.answers_late) as server:
            assert told(await outcome(sender, get(server), total=SHORT)) == "maybe timed out"
            server.told_more.set()
            second = await sent(sender, get(server))
            assert (second.body, server.connections) == (b"{}", 2)

    async def test_a_handshake_that_takes_too_long_has_sent_nothing(self, sender: Sender) -> None:
        async with listening(peers.shakes_no_hands, https=True) as server:
            assert told(await outcome(sender, get(server), timeout=SHORT)) == "never timed out"
            in_all = told(await outcome(sender, get(server), total=SHORT))
            # A caller's own transport that does not tell how far it is leaves it open.
            assert in_all == ("maybe timed out" if not self.is_strict else "never timed out")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # which httpcore leaves a socket to, where it is cancelled in a handshake

    async def test_a_handshake_that_breaks_off_may_be_tried_again(self, sender: Sender) -> None:
        async with listening(peers.hangs_up_on_the_handshake, https=True) as server:
            assert told(await outcome(sender, get(server))) == "never"

    async def test_a_server_without_tls_is_not_tried_again(self, sender: Sender) -> None:
        async with listening(peers.speaks_no_tls, https=True) as server:
            assert told(await outcome(sender, get(server))) == "never permanent"

    async def test_a_certificate_that_is_refused_is_refused_once(
        self, sender: Sender, self_signed: ssl.SSLContext
    ) -> None:
        async with listening(peers.is_silent, self_signed) as server:
            result = await outcome(sender, get(server))
            assert told(result) == "never permanent"
            assert "CERTIFICATE_VERIFY_FAILED" in str(result)
            assert server.connections == 1

    async def test_an_invalid_reply_about_tokens_is_not_shown(self, sender: Sender) -> None:
        for answer in (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"access_token": "sekret"\r\n',
            b"HTTP/1.1 200 OK\r\nX-sekret",
            b"sekret\r\n\r\n",
        ):
            async with listening(answers(answer)) as server:
                call = oauth_call(f"{server.url}/oauth/token", {"code": "code-of-7"}, idempotent=False)
                error = await outcome(sender, call)
            assert told(error) == "maybe"
            shown = "".join(f"{chained!r} {chained}" for chained in _shown(error))
            assert not self.is_strict or "sekret" not in shown


def _shown(error: Any) -> list[BaseException]:
    """Return the errors that a traceback shows."""
    chain: list[BaseException] = []
    while error is not None:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain
