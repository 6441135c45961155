"""The webhook subscription of an application: made, seen, deleted, and its client secret shown to nobody."""

import json
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote

import anyio
import anyio.abc
import httpx
import httpx2
import pytest
from httpx_aiohttp import AiohttpTransport

from strava_async import (
    ApiV3,
    BadRequestError,
    DecodeError,
    InputError,
    InvalidClientError,
    MemoryTokenStore,
    NotFoundError,
    QuotaExceededError,
    RateLimiter,
    RetryPolicy,
    ServerError,
    Strava,
    StravaError,
    TokenSet,
    TransportError,
)
from strava_async._http import HttpClient
from strava_async.request.call import api_call
from strava_async.request.endpoints import Method
from strava_async.testing import Emulator, FakeClock, Fault
from strava_async.testing.callbacks import CallbackReply
from strava_async.webhooks.subscription import Subscription
from tests.plain_http import NO_TRUST

pytestmark = pytest.mark.anyio

BASE = "https://strava.test"
CALLBACK = "https://service.test/hook"
VERIFY_TOKEN = "verify-sekret"
CLIENT_SECRET = "client sekret/+&"  # every form of it has "sekret" in it
ONCE = RetryPolicy(max_attempts=1)


class Service:
    """The caller's own server: answers the handshake by default."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.status_code = 200

    async def __call__(self, method: str, url: str, content: bytes | None) -> CallbackReply:
        self.asked.append((method, url))
        challenge = parse_qs(url.partition("?")[2])["hub.challenge"][0]
        return CallbackReply(self.status_code, json.dumps({"hub.challenge": challenge}).encode())


class Setting:
    """An emulator, the service whose callback it asks, and an application."""

    def __init__(self) -> None:
        self.clock = FakeClock(1_767_693_600.25)
        self.service = Service()
        self.emulator = Emulator(clock=self.clock, years=0.1, callbacks=self.service)
        self.limiter = RateLimiter(clock=self.clock, random=lambda: 0.5)
        self.fields: list[httpx.Headers] = []
        self.http_client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.emulator.app), event_hooks={"request": [self.note]}
        )

    async def note(self, request: httpx.Request) -> None:
        self.fields.append(request.headers)

    def strava(self, **arguments: Any) -> Strava:
        arguments.setdefault("client_id", self.emulator.client_id)
        arguments.setdefault("client_secret", self.emulator.client_secret)
        arguments |= {"api_url": f"{BASE}/api/v3", "oauth_url": f"{BASE}/oauth"}
        return Strava(http_client=self.http_client, rate_limiter=self.limiter, **arguments)


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    made = Setting()
    async with made.http_client:
        yield made


def answering(answer: Callable[[httpx.Request], httpx.Response], **arguments: Any) -> Strava:
    """Return an application whose requests a function answers."""
    return Strava(7, CLIENT_SECRET, http_client=httpx.AsyncClient(transport=httpx.MockTransport(answer)), **arguments)


async def test_a_subscription_is_made_seen_and_deleted(setting: Setting) -> None:
    webhooks = setting.strava().webhooks
    assert await webhooks.view() == []
    made = await webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    assert await webhooks.view() == [
        Subscription(
            id=made.id,
            application_id=setting.emulator.client_id,
            callback_url=CALLBACK,
            created_at=datetime(2026, 1, 6, 10, 0, 0, 250_000, tzinfo=UTC),
            resource_state=2,
        )
    ]
    await webhooks.unsubscribe(made.id)
    assert await webhooks.view() == []


async def test_the_callback_is_asked_before_the_answer_comes(setting: Setting) -> None:
    await setting.strava().webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    [(method, url)] = setting.service.asked
    query = parse_qs(url.partition("?")[2])
    assert (method, url.partition("?")[0]) == ("GET", CALLBACK)
    assert (query["hub.mode"], query["hub.verify_token"]) == (["subscribe"], [VERIFY_TOKEN])


async def test_no_bearer_goes_along(setting: Setting) -> None:
    store = MemoryTokenStore()
    await store.save(1, TokenSet("a", "r", None, frozenset(), 1))
    strava = setting.strava(token_store=store)
    made = await strava.webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    await strava.webhooks.view()
    await strava.webhooks.unsubscribe(made.id)
    assert len(setting.fields) == 3
    assert not any("Authorization" in fields for fields in setting.fields)


async def test_the_secret_is_in_the_form_of_a_post_and_in_the_query_otherwise() -> None:
    seen: list[tuple[str, str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.query.decode(), request.content.decode()))
        return httpx.Response(200, json=[] if request.method == "GET" else {"id": 5})

    webhooks = answering(answer).webhooks
    await webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    await webhooks.view()
    await webhooks.unsubscribe(5)
    credentials = {"client_id": ["7"], "client_secret": [CLIENT_SECRET]}
    form = {"callback_url": [CALLBACK], "verify_token": [VERIFY_TOKEN], **credentials}
    assert [(method, parse_qs(query), parse_qs(content)) for method, query, content in seen] == [
        ("POST", {}, form),
        ("GET", credentials, {}),
        ("DELETE", credentials, {}),
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"id": 5}, Subscription(5)),
        ({"id": 5, "created_at": "then", "application_id": "7", "callback_url": 3}, Subscription(5)),
        (
            {"id": 5, "resource_state": 2, "created_at": "2018-03-28T03:21:54.123456789Z"},
            Subscription(5, resource_state=2, created_at=datetime(2018, 3, 28, 3, 21, 54, 123_456, tzinfo=UTC)),
        ),
        (
            {"id": 5, "created_at": "2018-03-28T03:21:54", "more": []},
            Subscription(5, created_at=datetime(2018, 3, 28, 3, 21, 54, tzinfo=UTC)),
        ),
    ],
)
async def test_anything_but_the_id_may_be_missing(entry: dict[str, Any], expected: Subscription) -> None:
    webhooks = answering(lambda request: httpx.Response(200, json=[entry])).webhooks
    assert await webhooks.view() == [expected]


@pytest.mark.parametrize("body", [{}, {"id": 5}, [5], [{"id": "5"}], [{"id": True}], [{"callback_url": CALLBACK}]])
async def test_what_is_no_list_of_subscriptions_is_reported(body: object) -> None:
    with pytest.raises(DecodeError):
        await answering(lambda request: httpx.Response(200, json=body)).webhooks.view()


@pytest.mark.parametrize(
    ("callback_url", "verify_token"),
    [
        ("", "t"),
        ("/hook", "t"),
        ("ftp://service.test/", "t"),
        ("https://", "t"),
        ("https://[/", "t"),
        ("https://service.test/" + 235 * "x", "t"),
        (CALLBACK, ""),
    ],
)
async def test_what_strava_cannot_take_is_not_sent(setting: Setting, callback_url: str, verify_token: str) -> None:
    with pytest.raises(InputError):
        await setting.strava().webhooks.subscribe(callback_url, verify_token)
    assert setting.emulator.count() == 0


async def test_a_url_of_255_characters_is_taken(setting: Setting) -> None:
    url = "https://service.test/" + 234 * "x"
    await setting.strava().webhooks.subscribe(url, VERIFY_TOKEN)
    assert [entry.callback_url for entry in await setting.strava().webhooks.view()] == [url]


@pytest.mark.parametrize("subscription_id", [0, -1, True, "5", "../athlete"])
async def test_what_is_no_id_is_not_sent(setting: Setting, subscription_id: Any) -> None:
    with pytest.raises(InputError):
        await setting.strava().webhooks.unsubscribe(subscription_id)
    assert setting.emulator.count() == 0


async def test_a_second_subscription_is_refused(setting: Setting) -> None:
    webhooks = setting.strava().webhooks
    await webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    with pytest.raises(BadRequestError) as caught:
        await webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    assert caught.value.errors[0]["code"] == "already exists"


async def test_a_callback_that_fails_is_reported(setting: Setting) -> None:
    setting.service.status_code = 404
    with pytest.raises(BadRequestError) as caught:
        await setting.strava().webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    assert caught.value.errors[0]["field"] == "callback url"


async def test_an_id_that_is_not_there_is_reported(setting: Setting) -> None:
    with pytest.raises(NotFoundError):
        await setting.strava().webhooks.unsubscribe(5)


@pytest.mark.parametrize("credentials", [{"client_secret": "another"}, {"client_id": 1}])
async def test_wrong_credentials_are_an_error_of_their_own(setting: Setting, credentials: dict[str, Any]) -> None:
    webhooks = setting.strava(**credentials).webhooks
    with pytest.raises(InvalidClientError):
        await webhooks.view()
    with pytest.raises(InvalidClientError):
        await webhooks.unsubscribe(5)
    with pytest.raises(InvalidClientError):
        await webhooks.subscribe(CALLBACK, VERIFY_TOKEN)


@pytest.mark.parametrize(("fault", "error"), [(Fault.server_error(), ServerError), (Fault.lost(), TransportError)])
async def test_subscribing_is_not_sent_again_when_its_fate_is_unknown(
    setting: Setting, fault: Fault, error: type[StravaError]
) -> None:
    setting.emulator.faults.add(fault, method="POST")
    with pytest.raises(error):
        await setting.strava(retry=RetryPolicy(base_seconds=0)).webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    assert setting.emulator.count("POST") == 1


async def test_seeing_and_deleting_are_tried_again(setting: Setting) -> None:
    strava = setting.strava(retry=RetryPolicy(base_seconds=0))
    made = await strava.webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    setting.emulator.faults.add(Fault.server_error(), method="GET")
    setting.emulator.faults.add(Fault.server_error(), method="DELETE")
    assert [entry.id for entry in await strava.webhooks.view()] == [made.id]
    await strava.webhooks.unsubscribe(made.id)
    assert (setting.emulator.count("GET"), setting.emulator.count("DELETE")) == (2, 2)


async def test_each_call_reserves_a_read(setting: Setting) -> None:
    strava = setting.strava(max_wait=0)
    permit = await setting.limiter.acquire()  # nothing is known yet: there is one at a time
    with pytest.raises(QuotaExceededError):
        await strava.webhooks.view()
    assert setting.emulator.count() == 0
    permit.release()
    assert await strava.webhooks.view() == []


async def test_a_usage_of_zero_in_the_answer_does_not_undo_what_is_known(setting: Setting) -> None:
    fields = {"x-ratelimit-limit": "200,2000", "x-readratelimit-limit": "100,1000"}
    busy = {**fields, "x-ratelimit-usage": "150,150", "x-readratelimit-usage": "80,80"}
    (await setting.limiter.acquire()).settle(200, busy)
    quiet = {**fields, "x-ratelimit-usage": "0,0", "x-readratelimit-usage": "0,0"}
    webhooks = answering(lambda _: httpx.Response(200, json=[], headers=quiet), rate_limiter=setting.limiter).webhooks
    await webhooks.view()
    assert setting.limiter.quota.read_15min.usage in (80, 81)


async def test_after_closing_it_says_so(setting: Setting) -> None:
    strava = setting.strava()
    webhooks = strava.webhooks
    await strava.aclose()
    with pytest.raises(InputError, match="closed"):
        await webhooks.view()


# -- the secret -----------------------------------------------------------------------------------------------------


class Wire:
    """A server on a real socket: keeps what it is asked, and gives the same answer each time."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.url = ""

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            request = await stream.receive()
            self.asked.append(request.decode())
            # What errors show of an answer must not show what the answer repeats.
            target = request.split(b" ")[1]
            if self.answer:
                answer = self.answer.replace(b"TARGET", target.ljust(120))
                await stream.send(answer.replace(b"QUOTED", quote(target, safe="").encode().ljust(120)))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self.serve)
            yield
            tasks.cancel_scope.cancel()


def reply(status: str, content_type: str, body: str, more: str = "") -> bytes:
    size = len(body) + 114 * (body.count("TARGET") + body.count("QUOTED"))
    head = f"HTTP/1.1 {status}\r\n{more}Content-Type: {content_type}\r\nContent-Length: {size}\r\nConnection: close"
    return f"{head}\r\n\r\n{body}".encode()


FAULT = '{"message":"Bad TARGET","errors":[{"resource":"Application","field":"x","code":"at TARGET"}]}'
ANSWERS = {
    "success": reply("200 OK", "application/json", "[]"),
    "page": reply("200 OK", "text/html", "<html>TARGET</html>"),
    "page that quotes": reply("200 OK", "text/html", "<html>QUOTED</html>"),
    "server error": reply("503 Busy", "text/html", "<html>TARGET</html>"),
    "refusal": reply("403 Forbidden", "application/json", FAULT),
    "wrong credentials": reply("401 No", "application/json", '{"errors":[{"resource":"Application","field":""}]}'),
    "redirect": reply("302 Found", "text/html", "", "Location: /there\r\n"),
    "broken body": reply("200 OK", "application/json", "[]").replace(b"Length: 2", b"Length: 9"),
    "not packed": reply("200 OK", "application/json", "[]", "Content-Encoding: gzip\r\n"),
    "nonsense": b"nonsense\r\n\r\n",
    "bad header": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "hang up": b"",
}
CLIENTS: dict[str, Callable[[], Any]] = {"own": lambda: None, "httpx": httpx.AsyncClient, "httpx2": httpx2.AsyncClient}


def shown(error: BaseException | None) -> str:
    """Return whatever printing an error, its causes and what hangs on them may show."""
    if error is None:
        return ""
    parts = [*traceback.format_exception(error)]
    while error is not None:
        request = getattr(error, "_request", None)
        parts += [repr(error), repr(vars(error)), repr(error.args), repr(request)]
        parts += [] if request is None else [str(request.url), str(request.url.raw_path), repr(request.headers.raw)]
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


async def attempt(strava: Strava, method: str) -> StravaError | None:
    try:
        await (strava.webhooks.view() if method == "GET" else strava.webhooks.unsubscribe(5))
    except StravaError as error:
        return error
    return None


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_the_secret_arrives_and_is_shown_nowhere(
    client: str, answer: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Wire(ANSWERS[answer])
    http_client: HttpClient | None = CLIENTS[client]()
    async with server.listening():
        strava = Strava(7, CLIENT_SECRET, http_client=http_client, api_url=f"{server.url}/api/v3", retry=ONCE)
        error = await attempt(strava, method)
        await strava.aclose()
        if http_client is not None:
            await http_client.aclose()
    assert (error is None) == (answer == "success")
    assert server.asked
    assert "client_id=7&client_secret=client%20sekret%2F%2B%26 HTTP" in server.asked[0]
    assert "authorization" not in server.asked[0].lower()
    # The log has been listened to: httpx has a line for an answer, httpcore for each step of a connection made here.
    logged = "httpcore" if client == "own" else "/api/v3/push_subscriptions"
    assert logged in caplog.text or answer in ("nonsense", "bad header", "hang up")
    assert "sekret" not in caplog.text + repr([record.args for record in caplog.records]) + shown(error)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_connection_that_is_refused_does_not_show_the_secret(
    client: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Wire(b"")
    async with server.listening():
        pass
    http_client: HttpClient | None = CLIENTS[client]()
    async with Strava(7, CLIENT_SECRET, http_client=http_client, api_url=server.url, retry=ONCE) as strava:
        error = await attempt(strava, "GET")
        assert "sekret" not in repr(strava) + repr(strava.webhooks) + str(strava.webhooks)
    if http_client is not None:
        await http_client.aclose()
    assert isinstance(error, TransportError)
    assert error.sent == "never"
    assert "sekret" not in caplog.text + shown(error)


async def test_hooks_of_the_callers_client_see_a_url_without_the_secret() -> None:
    seen: list[str] = []

    async def note(message: httpx.Request | httpx.Response) -> None:
        request = message if isinstance(message, httpx.Request) else message.request
        seen.append(f"{request.method} {request.url} {request!r} {request.url!r} {message!r}")

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.raw_path)
        return httpx.Response(200, json=[])

    sent: list[bytes] = []
    hooks: Any = {"request": [note], "response": [note]}
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, event_hooks=hooks, params={"k": "v"}) as http_client:
        await Strava(7, CLIENT_SECRET, http_client=http_client).webhooks.view()
    assert sent == [b"/api/v3/push_subscriptions?k=v&client_id=7&client_secret=client%20sekret%2F%2B%26"]
    assert [line.split()[1] for line in seen] == ["https://www.strava.com/api/v3/push_subscriptions?k=v"] * 2
    assert "sekret" not in "".join(seen)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_transport_that_takes_text_is_refused_and_never_has_the_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Wire(ANSWERS["wrong credentials"])
    async with server.listening(), httpx.AsyncClient(transport=AiohttpTransport(verify=NO_TRUST)) as http_client:
        error = await attempt(Strava(7, CLIENT_SECRET, http_client=http_client, api_url=server.url), "GET")
    assert isinstance(error, InputError)
    assert len(server.asked) == 1
    assert "sekret" not in server.asked[0] + caplog.text + shown(error)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_only_calls_with_a_secret_in_the_query_leave_aiohttp(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = Wire(ANSWERS["success"])
    loggers: list[set[str]] = []
    async with server.listening(), Strava(7, CLIENT_SECRET, api_url=server.url) as strava:
        async with ApiV3(api_url=server.url) as api:
            await api.get("/athlete")
        loggers.append({record.name.split(".")[0] for record in caplog.records} & {"httpcore"})
        caplog.clear()
        await strava.webhooks.view()
        loggers.append({record.name.split(".")[0] for record in caplog.records} & {"httpcore"})
    assert loggers == [set(), {"httpcore"}]


def test_a_call_does_not_show_the_secret() -> None:
    credentials = {"client_id": 7, "client_secret": CLIENT_SECRET}
    methods: list[Method] = ["GET", "POST", "DELETE"]
    for method in methods:
        assert "sekret" not in repr(api_call(method, "/push_subscriptions", credentials, api_url=BASE))


async def test_what_a_refusal_of_the_form_repeats_is_masked() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"message": f"bad {request.content.decode()} {VERIFY_TOKEN} {CLIENT_SECRET}"})

    with pytest.raises(BadRequestError) as caught:
        await answering(answer).webhooks.subscribe(CALLBACK, VERIFY_TOKEN)
    assert "sekret" not in shown(caught.value)
