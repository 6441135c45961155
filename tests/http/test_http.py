"""One request out, one reply in: what is sent, what comes back, and whose fault it was."""

import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import aiohttp
import anyio
import anyio.abc
import anyio.to_thread
import httpx
import httpx2
import pytest

from strava_async._hidden import Hidden
from strava_async._http import HttpClient, HttpSender
from strava_async.errors import DecodeError, InputError, TransportError
from strava_async.request.call import Call, api_call, oauth_call
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.reply import Reply
from strava_async.request.results import read
from tests.plain_http import NO_TRUST

pytestmark = pytest.mark.anyio

API = "https://www.strava.com/api/v3"
GET = api_call("GET", "/athlete", {"a": 1}, api_url=API)
Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Streamed(httpx.AsyncByteStream):
    """A body that arrives in pieces, as one from a socket does."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks, self.error, self.closed = chunks, error, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


def client(handler: Handler, **settings: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(handler), **settings)


async def exchange(answer: httpx.Response | Exception, call: Call = GET, bearer: str | None = "b") -> Reply:
    async def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with client(handler) as http_client:
        return await HttpSender(http_client).send(
            OutgoingRequest(call, None if bearer is None else Hidden(bearer), 5.0)
        )


async def sent(call: Call, bearer: str | None = "b", **settings: Any) -> httpx.Request:
    """Return the request that goes out for a call."""
    requests: list[httpx.Request] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        await request.aread()
        requests.append(request)
        return httpx.Response(200)

    async with client(handler, **settings) as http_client:
        await HttpSender(http_client).send(OutgoingRequest(call, None if bearer is None else Hidden(bearer), 5.0))
    return requests[0]


async def test_the_bearer_travels_in_the_authorization_field() -> None:
    request = await sent(GET)
    assert request.headers["Authorization"] == "Bearer b"
    assert str(request.url) == f"{API}/athlete?a=1"


async def test_without_a_bearer_there_is_no_authorization_field_even_if_the_client_has_one() -> None:
    request = await sent(GET, None, headers={"Authorization": "Bearer somebody"}, auth=("u", "p"))
    assert "Authorization" not in request.headers


async def test_the_clients_other_settings_hold() -> None:
    request = await sent(GET, headers={"X-Proxy-Key": "k"}, auth=("u", "p"))
    assert request.headers["X-Proxy-Key"] == "k"
    assert request.headers["Authorization"] == "Bearer b"


async def test_the_timeout_is_ours() -> None:
    request = await sent(GET, timeout=1.0)
    assert request.extensions["timeout"] == {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": None}


async def test_a_form_is_sent_as_it_was_encoded() -> None:
    request = await sent(api_call("POST", "/activities", {"name": "a b"}, api_url=API))
    assert request.content == b"name=a+b"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_files_are_sent_as_parts() -> None:
    call = api_call("POST", "/uploads", {"data_type": "fit"}, api_url=API, files={"file": ("a.fit", b"123")})
    request = await sent(call)
    assert request.headers["Content-Type"].startswith("multipart/form-data")
    assert b'name="data_type"' in request.content
    assert b'filename="a.fit"' in request.content


async def test_credentials_of_the_application_use_the_basic_scheme() -> None:
    call = oauth_call("https://x/oauth/revoke", {"token": "t"}, idempotent=True, credentials=(7, Hidden("s")))
    assert (await sent(call, None)).headers["Authorization"].startswith("Basic ")


async def test_a_reply_holds_the_fields_that_matter_in_lower_case() -> None:
    fields = [("X-RateLimit-Usage", "1,2"), ("Date", "now"), ("Set-Cookie", "x"), ("x-ratelimit-usage", "3,4")]
    fields.append(("Age", "7"))
    reply = await exchange(httpx.Response(201, headers=fields, stream=Streamed(b"ab", b"cd")))
    fields = {"x-ratelimit-usage": "1,2, 3,4", "date": "now", "age": "7"}
    assert (reply.status_code, reply.headers, reply.body) == (201, fields, b"abcd")


async def test_a_redirect_is_not_followed() -> None:
    reply = await exchange(httpx.Response(302, headers={"Location": "https://evil.example/"}))
    assert reply.status_code == 302


async def test_a_packed_body_stays_packed() -> None:
    packed = gzip.compress(b'{"id": 1}')
    reply = await exchange(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Streamed(packed)))
    assert reply.body == packed
    assert read(GET, reply) == {"id": 1}


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("GZIP;q=1.0, br;q=0.5, *;q=0", "GZIP;q=1.0"),
        ("br", "identity"),
        ("identity", "identity"),
        ("deflate;q=0.5,gzip", "deflate;q=0.5,gzip"),
    ],
)
async def test_no_coding_is_asked_for_that_only_the_library_undoes(asked: str, goes: str) -> None:
    # It undoes a chunk at once, whatever comes out.
    request = await sent(GET, headers={"Accept-Encoding": asked})
    assert request.headers["Accept-Encoding"] == goes


async def test_a_coding_that_nobody_asked_for_is_left_as_it_is_and_reported() -> None:
    reply = await exchange(httpx.Response(200, headers={"Content-Encoding": "br"}, stream=Streamed(b"\x0b\x00{}\x03")))
    with pytest.raises(DecodeError, match="compressed with br"):
        read(GET, reply)


async def test_a_body_that_a_mock_has_unpacked_is_taken_as_it_is() -> None:
    packed = gzip.compress(b'{"id": 1}')
    reply = await exchange(httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=packed))
    assert read(GET, reply) == {"id": 1}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError("x"), "never"),
        (httpx.ConnectTimeout("x"), "never"),
        (httpx.PoolTimeout("x"), "never"),
        (httpx.ProxyError("x"), "never"),
        (ConnectionRefusedError("x"), "never"),
        (httpx.ReadTimeout("x"), "maybe"),
        (httpx.WriteTimeout("x"), "maybe"),
        (httpx.ReadError("x"), "maybe"),
        (httpx.WriteError("x"), "maybe"),
        (httpx.CloseError("x"), "maybe"),
        (httpx.RemoteProtocolError("x"), "maybe"),
        (httpx.LocalProtocolError("x"), "maybe"),
        (httpx.TooManyRedirects("x"), "maybe"),
        (httpx.StreamClosed(), "maybe"),
        (ConnectionResetError("x"), "maybe"),
        (TimeoutError("x"), "maybe"),
        (aiohttp.ServerDisconnectedError(), "maybe"),
    ],
)
async def test_no_reply_says_whether_the_request_may_have_arrived(error: Exception, expected: str) -> None:
    with pytest.raises(TransportError) as caught:
        await exchange(error)
    assert caught.value.sent == expected
    assert caught.value.timed_out == isinstance(error, httpx.TimeoutException | TimeoutError)
    assert caught.value.__cause__ is error
    assert (caught.value.method, caught.value.path) == ("GET", "/athlete")


async def test_a_hang_up_that_aiohttp_reports_while_connecting_may_have_arrived() -> None:
    error = httpx.ConnectTimeout("hung up")  # what httpx-aiohttp makes of it
    error.__cause__ = aiohttp.ServerDisconnectedError()
    with pytest.raises(TransportError) as caught:
        await exchange(error)
    assert (caught.value.sent, caught.value.timed_out) == ("maybe", False)


async def test_a_timeout_of_aiohttp_is_one() -> None:
    error = httpx.ReadTimeout("slow")
    error.__cause__ = aiohttp.SocketTimeoutError()
    with pytest.raises(TransportError) as caught:
        await exchange(error)
    assert caught.value.timed_out


async def test_a_body_that_breaks_off_is_no_reply() -> None:
    body = Streamed(b'{"id":', error=httpx.RemoteProtocolError("peer closed"))
    with pytest.raises(TransportError) as caught:
        await exchange(httpx.Response(200, stream=body))
    assert caught.value.sent == "maybe"
    assert body.closed


async def test_a_coding_that_the_library_cannot_undo_is_a_decode_error() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.DecodingError("bad", request=request)

    async with client(handler) as http_client:
        with pytest.raises(DecodeError):
            await HttpSender(http_client).send(OutgoingRequest(GET, Hidden("b"), 5.0))


@pytest.mark.parametrize("text", ["Illegal header value b'sekret-c'", "Illegal header value"])
async def test_no_secret_hangs_on_an_error(text: str) -> None:
    form = {"client_id": "7", "client_secret": "sekret-c", "refresh_token": "sekret-r"}
    call = oauth_call("https://www.strava.com/oauth/token", form, idempotent=True)

    async def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError(text, request=request)

    async with client(handler) as http_client:
        with pytest.raises(TransportError) as caught:
            await HttpSender(http_client).send(OutgoingRequest(call, None, 5.0))
    assert "sekret" not in str(caught.value)
    cause = caught.value.__cause__
    if "sekret" in text:
        assert (cause, caught.value.__context__) == (None, None)
        return
    assert isinstance(cause, httpx.RequestError)
    assert cause.__traceback__ is None  # its frames have the fields and the body
    assert cause.request.content == b""
    assert "Authorization" not in cause.request.headers


async def test_a_clients_class_has_to_be_known() -> None:
    with pytest.raises(InputError, match=r"httpx\.AsyncClient"):
        HttpSender(cast(HttpClient, object()))


async def test_the_callers_client_is_not_closed() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    async with client(handler) as http_client:
        async with HttpSender(http_client) as sender:
            await sender.send(OutgoingRequest(GET, Hidden("b"), 5.0))
        assert not http_client.is_closed


async def test_a_closed_sender_says_so() -> None:
    sender = HttpSender()
    await sender.aclose()
    with pytest.raises(InputError, match="closed"):
        await sender.send(OutgoingRequest(GET, Hidden("b"), 5.0))


async def test_a_closed_client_of_the_callers_says_so() -> None:
    http_client = httpx.AsyncClient(verify=NO_TRUST)
    await http_client.aclose()
    with pytest.raises(InputError, match="closed"):
        await HttpSender(http_client).send(OutgoingRequest(GET, Hidden("b"), 5.0))


async def test_another_event_loop_is_told_so() -> None:
    call = api_call("GET", "/x", {}, api_url="http://127.0.0.1:9")

    async def send() -> None:
        with pytest.raises(InputError, match="event loop"):
            await sender.send(OutgoingRequest(call, Hidden("b"), 5.0))

    async with HttpSender() as sender:
        with pytest.raises(TransportError):
            await sender.send(OutgoingRequest(call, Hidden("b"), 5.0))
        await anyio.to_thread.run_sync(anyio.run, send)


async def test_httpx2_does_as_well() -> None:
    async def handler(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/broken"):
            raise httpx2.ReadTimeout("slow")
        return httpx2.Response(200, content=json.dumps({"auth": request.headers["Authorization"]}).encode())

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http_client:
        sender = HttpSender(http_client)
        assert read(GET, await sender.send(OutgoingRequest(GET, Hidden("b"), 5.0))) == {"auth": "Bearer b"}
        with pytest.raises(TransportError) as caught:
            await sender.send(OutgoingRequest(api_call("GET", "/broken", {}, api_url=API), Hidden("b"), 5.0))
        assert caught.value.sent == "maybe"


async def test_a_port_that_nobody_listens_on_never_gets_it() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    await listener.aclose()
    async with HttpSender() as sender:
        with pytest.raises(TransportError) as caught:
            await sender.send(
                OutgoingRequest(api_call("POST", "/x", {}, api_url=f"http://127.0.0.1:{port}"), Hidden("b"), 5.0)
            )
    assert caught.value.sent == "never"
