"""The emulator's webhook subscriptions: the handshake with the callback, one per application, and how it is reached."""

import json
import logging

import anyio
import httpx
import pytest

from strava_async.testing import Emulator, FakeClock
from strava_async.testing.callbacks import AsgiCallbacks, CallbackReply, NetworkCallbacks, call_callback
from tests.testing.event_loops import each_loop

pytestmark = pytest.mark.anyio
anyio_backend = each_loop

API = "/api/v3/push_subscriptions"
ORIGIN = "https://service.test"
CALLBACK = f"{ORIGIN}/hook"
NO_200 = "GET to callback URL does not return 200"


class Service:
    """An ASGI application with a callback; attributes say what it does wrong."""

    def __init__(self):
        self.asked = []
        self.status_code = 200
        self.body = None
        self.error = None
        self.access = None

    async def __call__(self, scope, receive, send):
        query = dict(httpx.QueryParams(scope["query_string"].decode()))
        self.asked.append((scope["method"], scope["path"], query))
        if self.access is not None:
            await self.access.wait()
        if self.error is not None:
            raise self.error
        body = self.body if self.body is not None else json.dumps({"hub.challenge": query["hub.challenge"]}).encode()
        fields = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": fields})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def clock():
    return FakeClock(1_767_693_600.5)


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def emulator(clock, service):
    return Emulator(clock=clock, years=0.1, callbacks={ORIGIN: service})


def credentials(emulator, application=None, **more):
    application = application or emulator.application()
    return {"client_id": str(application.client_id), "client_secret": application.client_secret, **more}


def browse(emulator):
    return httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), base_url="https://www.strava.com")


async def subscribe(emulator, application=None, **more):
    form = credentials(emulator, application, **{"callback_url": CALLBACK, "verify_token": "v", **more})
    async with browse(emulator) as http:
        return await http.post(API, data={name: value for name, value in form.items() if value is not None})


async def view(emulator, **options):
    async with browse(emulator) as http:
        return await http.request("GET", API, params=options.pop("params", credentials(emulator)), **options)


async def delete(emulator, subscription_id, **options):
    async with browse(emulator) as http:
        return await http.request("DELETE", f"{API}/{subscription_id}", **options)


def fault(reply):
    [error] = reply.json()["errors"]
    return reply.status_code, error["resource"], error["field"], error["code"]


async def test_the_callback_is_asked_and_the_subscription_made(emulator, service):
    reply = await subscribe(emulator)
    [(method, path, query)] = service.asked
    assert (method, path, set(query)) == ("GET", "/hook", {"hub.mode", "hub.challenge", "hub.verify_token"})
    assert (query["hub.mode"], query["hub.verify_token"]) == ("subscribe", "v")
    assert (reply.status_code, reply.json()) == (201, {"id": emulator.subscription().id})


async def test_a_query_of_the_callbacks_own_stays(emulator, service):
    await subscribe(emulator, callback_url=f"{CALLBACK}?key=a%20b")
    assert service.asked[0][2]["key"] == "a b"
    assert emulator.subscription().callback_url == f"{CALLBACK}?key=a%20b"


async def test_each_challenge_is_another(emulator, service):
    service.status_code = 404
    for _ in range(2):
        await subscribe(emulator)
    first, second = (query["hub.challenge"] for _, _, query in service.asked)
    assert first != second


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"status_code": 201}, NO_200),
        ({"status_code": 302}, NO_200),
        ({"status_code": 404}, NO_200),
        ({"error": RuntimeError("a bug")}, NO_200),
        ({"body": b'{"hub.challenge": "another"}'}, "not verifiable"),
        ({"body": b'{"hub": {"challenge": "x"}}'}, "not verifiable"),
        ({"body": b'["hub.challenge"]'}, "not verifiable"),
        ({"body": b"OK"}, "not verifiable"),
        ({"body": b""}, "not verifiable"),
    ],
)
async def test_a_callback_that_does_not_answer_as_it_should_is_refused(emulator, service, wrong, code):
    vars(service).update(wrong)
    assert fault(await subscribe(emulator)) == (400, "PushSubscription", "callback url", code)
    assert emulator.subscription() is None


async def test_a_callback_that_repeats_the_bare_challenge_is_refused(clock):
    async def bare(method, url, content):
        return CallbackReply(200, httpx.URL(url).params["hub.challenge"].encode())

    emulator = Emulator(clock=clock, years=0.1, callbacks=bare)
    assert fault(await subscribe(emulator))[3] == "not verifiable"


async def test_nobody_at_the_callback_is_refused(emulator):
    assert fault(await subscribe(emulator, callback_url="https://elsewhere.test/"))[3] == "not verifiable"


async def test_a_callback_that_takes_too_long_times_out():
    ended = []

    async def never(method, url, content):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(url)

    assert await call_callback(never, "GET", CALLBACK, seconds=0.01) is None
    assert ended == [CALLBACK]


async def test_a_callback_has_two_seconds():
    left = []

    async def answer(method, url, content):
        left.append(anyio.current_effective_deadline() - anyio.current_time())
        return CallbackReply(200)

    await call_callback(answer, "GET", CALLBACK)
    assert left == [pytest.approx(2.0, abs=0.5)]


async def test_the_time_that_a_callback_has_can_be_set(clock):
    left = []

    async def answer(method, url, content):
        left.append(anyio.current_effective_deadline() - anyio.current_time())
        return CallbackReply(200, json.dumps({"hub.challenge": httpx.URL(url).params.get("hub.challenge")}).encode())

    emulator = Emulator(clock=clock, years=0.1, callbacks=answer, callback_seconds=1_000)
    assert (await subscribe(emulator)).status_code == 201
    emulator.post_event({"object_id": 1})
    assert await emulator.deliver() == 1
    assert [900 < seconds <= 1_000 for seconds in left] == [True, True]
    with pytest.raises(ValueError, match="callback_seconds"):
        Emulator(callback_seconds=0)


async def test_a_clock_that_jumps_does_not_hurry_the_callback(clock, service):
    began = clock.monotonic()

    async def threaded(scope, receive, send):
        while clock.monotonic() < began + 100:
            await anyio.to_thread.run_sync(lambda: None)  # for the clock, nobody does anything meanwhile
        await service(scope, receive, send)

    emulator = Emulator(clock=clock, years=0.1, callbacks={ORIGIN: threaded}, callback_seconds=60)
    async with clock.autojump() as tasks:
        tasks.start_soon(clock.sleep, 100)
        assert (await subscribe(emulator)).status_code == 201


async def test_events_can_be_sent_the_same_way(service):
    service.body = b"{}"
    event = b'{"object_type": "activity"}'
    bodies = []

    async def app(scope, receive, send):
        body = b""
        more = True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        bodies.append((body, dict(scope["headers"])[b"content-type"]))
        await service(scope, receive, send)

    assert await call_callback(AsgiCallbacks({f"{ORIGIN}/": app}), "POST", CALLBACK, event) == CallbackReply(200, b"{}")
    assert service.asked == [("POST", "/hook", {})]
    assert bodies == [(event, b"application/json")]


async def test_an_application_has_one_subscription(emulator, service):
    await subscribe(emulator)
    assert fault(await subscribe(emulator)) == (400, "PushSubscription", "", "already exists")
    assert len(service.asked) == 1


async def test_another_application_has_its_own(emulator):
    other = emulator.register_application()
    await subscribe(emulator)
    reply = await subscribe(emulator, other)
    assert reply.json() == {"id": emulator.subscription(other.client_id).id}
    assert reply.json()["id"] != emulator.subscription().id


async def test_of_two_at_once_one_is_made(emulator, service):
    service.access = anyio.Event()
    replies = []

    async def one():
        replies.append(await subscribe(emulator))

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        assert len(service.asked) == 2
        service.access.set()
    assert sorted(reply.status_code for reply in replies) == [201, 400]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"callback_url": None}, ("callback_url", "missing")),
        ({"verify_token": None}, ("verify_token", "missing")),
        ({"callback_url": "/hook"}, ("callback url", "invalid")),
        ({"callback_url": "https://[/"}, ("callback url", "invalid")),
        ({"callback_url": "https://service.test:99999/"}, ("callback url", "invalid")),
        ({"callback_url": f"{CALLBACK}/" + 230 * "x"}, ("callback url", "invalid")),
    ],
)
async def test_what_makes_no_subscription_is_refused_without_asking(emulator, service, form, expected):
    assert fault(await subscribe(emulator, **form)) == (400, "PushSubscription", *expected)
    assert service.asked == []


async def test_the_subscription_is_shown(emulator):
    assert (await view(emulator)).json() == []
    await subscribe(emulator)
    reply = await view(emulator)
    assert reply.status_code == 200
    assert reply.json() == [
        {
            "id": emulator.subscription().id,
            "resource_state": 2,
            "application_id": emulator.client_id,
            "callback_url": CALLBACK,
            "created_at": "2026-01-06T10:00:00.500000000Z",
        }
    ]


async def test_a_get_with_a_body_is_refused_at_the_edge(emulator):
    reply = await view(emulator, data=credentials(emulator))
    assert reply.status_code == 403
    assert reply.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("where", ["params", "data"])
async def test_a_subscription_is_deleted_once(emulator, where):
    made = (await subscribe(emulator)).json()["id"]
    reply = await delete(emulator, made, **{where: credentials(emulator)})
    assert (reply.status_code, reply.content) == (204, b"")
    assert emulator.subscription() is None
    reply = await delete(emulator, made, **{where: credentials(emulator)})
    assert fault(reply) == (404, "PushSubscription", "", "not found")
    assert (await subscribe(emulator)).json()["id"] != made


async def test_a_subscription_of_another_application_is_not_found(emulator):
    made = (await subscribe(emulator, emulator.register_application())).json()["id"]
    for subscription_id in (made, "x", made + 1):
        reply = await delete(emulator, subscription_id, params=credentials(emulator))
        assert reply.status_code == 404
    await subscribe(emulator)
    assert (await delete(emulator, made, params=credentials(emulator))).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"client_id": "1"}, (400, "Application", "client_id", "invalid")),
        ({"client_secret": ""}, (400, "Application", "client_id", "invalid")),
        ({"client_secret": "x"}, (401, "Application", "", "invalid")),
    ],
)
async def test_wrong_credentials_are_refused(emulator, service, wrong, expected):
    params = {**credentials(emulator), **wrong}
    assert fault(await subscribe(emulator, **wrong)) == expected
    assert fault(await view(emulator, params=params)) == expected
    assert fault(await delete(emulator, 1, params=params)) == expected
    assert service.asked == []


async def test_the_credentials_of_a_get_are_in_its_query_and_a_bearer_is_none(emulator):
    bearer = {"Authorization": f"Bearer {emulator.grant()['access_token']}"}
    reply = await view(emulator, params={}, headers=bearer)
    assert fault(reply) == (400, "Application", "client_id", "invalid")


async def test_an_inactive_application_is_refused(emulator):
    emulator.application().active = False
    assert fault(await view(emulator)) == (403, "Application", "Status", "Inactive")


async def test_nothing_is_counted_and_no_secret_is_kept(emulator, clock):
    await subscribe(emulator)
    await view(emulator)
    assert set(emulator.meters_of().usage(clock.time()).values()) == {0}
    assert [served.path for served in emulator.requests] == [API, API]
    assert emulator.client_secret not in repr(emulator.requests)


async def test_an_emulator_without_prefix_has_it_at_the_root(clock, service):
    emulator = Emulator(clock=clock, years=0.1, callbacks={ORIGIN: service}, api_prefix="")
    async with browse(emulator) as http:
        assert (await http.get("/push_subscriptions", params=credentials(emulator))).json() == []


@pytest.mark.parametrize("callback_url", ["http://xn--/", "http://xn--a/hook"])
async def test_a_host_name_that_is_none_does_not_answer(clock, callback_url):
    emulator = Emulator(clock=clock, years=0.1)
    assert fault(await subscribe(emulator, callback_url=callback_url))[3] == "not verifiable"
    assert emulator.subscription() is None


async def test_without_callbacks_given_the_network_is_asked(clock, caplog):
    caplog.set_level(logging.DEBUG)
    heard = []

    async def serve(stream):
        async with stream:
            target = (await stream.receive()).split(b" ")[1].decode()
            heard.append(target.partition("?")[0])
            body = json.dumps({"hub.challenge": httpx.URL(target).params["hub.challenge"]})
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send((head + body).encode())

    emulator = Emulator(clock=clock, years=0.1)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/hook"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        reply = await subscribe(emulator, callback_url=url, verify_token="v-sekret")
        tasks.cancel_scope.cancel()
    assert reply.status_code == 201
    assert heard == ["/hook"]
    assert "v-sekret" not in caplog.text
    assert await call_callback(NetworkCallbacks(), "GET", url) is None  # nobody listens any more
