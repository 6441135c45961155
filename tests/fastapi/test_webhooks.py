"""The callback of a webhook subscription, through ASGI: what Strava is answered, and what comes of it."""

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from strava_async import InputError, MemoryTokenStore, QuotaExceededError, Strava, TokenSet
from strava_async._hidden import Hidden
from strava_async.fastapi import SqliteBacklog, StravaLifespan, WebhookCounts, WebhookRouter, webhook_router
from strava_async.fastapi.webhooks.guard import BODY_SECONDS, Guard, RefusedError
from strava_async.testing import Emulator, FakeClock
from strava_async.webhooks import MemoryEventStore, SqliteEventStore, WebhookEvent
from strava_async.webhooks.retry import TROUBLE_SECONDS
from tests.webhooks.event_stores import InMemory, Stores

pytestmark = pytest.mark.anyio

SERVICE = "https://service.test"
BASE = "https://strava.test"
OWNER = 134815
VERIFY_TOKEN = "verify-sekret"
HANDSHAKE = {"hub.mode": "subscribe", "hub.challenge": "15f7d1a91c1f40f8", "hub.verify_token": VERIFY_TOKEN}
SECRET = "signing sekret"


def value(number: int = 1, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "object_type": "activity",
        "object_id": number,
        "aspect_type": "create",
        "owner_id": OWNER,
        "subscription_id": 120475,
        "event_time": 1516126040,
        "updates": {},
    }
    return {**fields, **changes}


REMOVED = {"object_type": "athlete", "aspect_type": "update", "updates": {"authorized": "false"}}


class Handlers:
    """What the application does about events.

    Args:
        stores: makes the store that the events are in; None means none but the router's own.
    """

    def __init__(self, stores: Stores | None = None) -> None:
        self.stores = stores
        self.clock = (stores or InMemory()).clock
        self.seconds = 0.0
        self.error: Exception | None = None
        self.attempts = 0
        self.events: list[WebhookEvent] = []
        self.left: list[int] = []
        self.on_handled: Callable[[], None] = lambda: None

    async def on_event(self, event: WebhookEvent) -> None:
        self.attempts += 1
        if self.seconds:
            await self.clock.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.events.append(event)
        self.on_handled()

    async def on_disconnect(self, athlete_id: int) -> None:
        if self.error is not None:
            raise self.error
        self.left.append(athlete_id)

    async def strava(self, athletes: int = 1) -> Strava:
        """Return an application with some athletes, that reaches nobody."""
        store = MemoryTokenStore()
        for athlete_id in range(OWNER, OWNER + athletes):
            await store.save(athlete_id, TokenSet("a", "r", None, frozenset(), athlete_id))
        return Strava(7, "client sekret", token_store=store, clock=self.clock)

    def router(self, strava: Strava, **arguments: Any) -> WebhookRouter:
        arguments.setdefault("verify_token", VERIFY_TOKEN)
        if self.stores is not None:
            arguments.setdefault("events", self.stores.made())
        return webhook_router(strava, on_event=self.on_event, on_disconnect=self.on_disconnect, **arguments)


@asynccontextmanager
async def serving(app: FastAPI | Starlette) -> AsyncGenerator[httpx.AsyncClient]:
    """Run an application, and yield who asks it."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SERVICE) as client,
    ):
        yield client


class Service:
    """A service with one athlete, and who asks it."""

    def __init__(self, handlers: Handlers, router: WebhookRouter, client: httpx.AsyncClient) -> None:
        self.handlers = handlers
        self.router = router
        self.client = client

    async def quiet(self) -> None:
        """Wait until what can be done without time is done: a shutdown begins nothing that a store keeps."""
        await self.handlers.clock.quiet()

    async def post(self, **changes: Any) -> int:
        return (await self.client.post("/webhook", json=value(**changes))).status_code


@asynccontextmanager
async def service(handlers: Handlers | None = None, *, athletes: int = 1, **arguments: Any) -> AsyncGenerator[Service]:
    handlers = handlers or Handlers()
    strava = await handlers.strava(athletes)
    router = handlers.router(strava, **arguments)
    app = FastAPI(lifespan=StravaLifespan(strava))
    app.include_router(router)
    async with serving(app) as client:
        yield Service(handlers, router, client)


# -- the handshake --------------------------------------------------------------------------------------------------


async def test_the_handshake_is_answered_as_json() -> None:
    async with service() as made:
        answer = await made.client.get("/webhook", params=HANDSHAKE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"hub.challenge": "15f7d1a91c1f40f8"}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"hub.verify_token": "another"}, 403),
        ({"hub.verify_token": ""}, 403),
        ({"hub.mode": "unsubscribe"}, 400),
        ({"hub.challenge": ""}, 400),
    ],
)
async def test_another_handshake_is_refused_and_not_repeated(changes: dict[str, str], status: int) -> None:
    async with service() as made:
        answer = await made.client.get("/webhook", params={**HANDSHAKE, **changes})
        assert made.router.counts.refused == 1
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "15f7d1a91c1f40f8" not in answer.text
    assert "sekret" not in answer.text


async def test_other_methods_are_told_which_do() -> None:
    async with service() as made:
        answer = await made.client.put("/webhook")
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


# -- events ---------------------------------------------------------------------------------------------------------


async def test_an_event_is_answered_and_handled(stores: Stores) -> None:
    async with service(Handlers(stores)) as made:
        assert await made.post() == 200
        await made.quiet()
        assert [event.object_id for event in made.handlers.events] == [1]
        assert made.router.counts == WebhookCounts(accepted=1, handled=1)


async def test_a_repeated_event_is_handled_once(stores: Stores) -> None:
    async with service(Handlers(stores)) as made:
        assert [await made.post() for _ in range(3)] == [200, 200, 200]
        await made.quiet()
    assert len(made.handlers.events) == 1


async def test_two_changes_in_one_second_are_two_events(stores: Stores) -> None:
    async with service(Handlers(stores)) as made:
        await made.post(aspect_type="update", updates={"title": "a"})
        await made.post(aspect_type="update", updates={"private": "true"})
        await made.quiet()
    assert [dict(event.updates) for event in made.handlers.events] == [{"title": "a"}, {"private": "true"}]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"object_id": "sekret"}', b"[" * 8_000])
async def test_what_is_no_event_is_refused(content: bytes) -> None:
    async with service() as made:
        answer = await made.client.post("/webhook", content=content)
        assert made.router.counts == WebhookCounts(refused=1)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "sekret" not in answer.text


async def test_an_event_of_an_athlete_who_is_not_connected_is_dropped(stores: Stores) -> None:
    async with service(Handlers(stores)) as made:
        assert await made.post(owner_id=5) == 200
        await made.quiet()
    assert made.handlers.events == []
    assert made.router.counts == WebhookCounts(accepted=1, dropped=1)


async def test_only_events_of_the_subscription_are_taken() -> None:
    async with service(subscription_id=120475) as made:
        assert await made.post() == 200
        assert await made.post(number=2, subscription_id=5) == 403
    assert len(made.handlers.events) == 1


async def test_a_body_that_is_too_large_is_refused() -> None:
    whole = json.dumps(value()).encode()
    async with service(max_body_bytes=len(whole)) as made:
        assert (await made.client.post("/webhook", content=whole + b" ")).status_code == 413
        announced = {"Content-Length": "9" * 5_000}
        assert (await made.client.post("/webhook", content=whole, headers=announced)).status_code == 413
        assert made.router.counts == WebhookCounts(refused=2)
        assert (await made.client.post("/webhook", content=whole)).status_code == 200


SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "https",
    "path": "/webhook",
    "raw_path": b"/webhook",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"service.test")],
    "client": ("192.0.2.1", 5),
    "server": ("service.test", 443),
}


class Wire:
    """A sender below HTTP: its body comes as it says."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.received = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        self.received += 1
        return self.message

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def status(self) -> int:
        """Return what it is answered."""
        handlers = Handlers()
        router = handlers.router(await handlers.strava(), max_body_bytes=5_000)
        app = Starlette(routes=router.routes, lifespan=router.lifespan_context)
        async with app.router.lifespan_context(app):
            await app(dict(SCOPE), self.receive, self.send)
        assert router.counts == WebhookCounts(refused=1)
        status: int = self.sent[0]["status"]
        return status


async def test_of_a_body_without_an_end_no_more_is_read_than_is_allowed() -> None:
    wire = Wire({"type": "http.request", "body": b" " * 1_000, "more_body": True})
    assert await wire.status() == 413
    assert wire.received == 6


async def test_a_sender_that_goes_away_is_no_error() -> None:
    assert await Wire({"type": "http.disconnect"}).status() == 400


@pytest.mark.parametrize("message", [None, b"", b" "], ids=["silent", "empty", "dripping"])
async def test_a_body_that_does_not_end_times_out(message: bytes | None) -> None:
    async def receive() -> Message:
        if message is None:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        return {"type": "http.request", "body": message, "more_body": True}

    guard = Guard(Hidden(VERIFY_TOKEN), None, "auto", None, 2**40, FakeClock(), body_seconds=0.01)
    with pytest.raises(RefusedError, match="its body was not complete after") as refused:
        await guard.event(Request(dict(SCOPE), receive))
    assert refused.value.problem.status == 408


async def test_a_body_has_five_seconds_of_the_server_to_come() -> None:
    assert BODY_SECONDS == 5.0
    assert Guard(Hidden(VERIFY_TOKEN), None, "auto", None, 9, FakeClock()).body_seconds == BODY_SECONDS


async def test_a_connection_whose_body_was_not_read_is_to_be_closed() -> None:
    wire = Wire({"type": "http.request", "body": b" " * 6_000, "more_body": True})
    assert await wire.status() == 413
    assert (b"connection", b"close") in wire.sent[0]["headers"]


async def test_a_sender_that_went_away_in_the_middle_is_no_event() -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    guard = Guard(Hidden(VERIFY_TOKEN), None, "auto", None, 9, FakeClock())

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(RefusedError, match="its sender disconnected"):
        await guard.event(Request(dict(SCOPE), receive))


def signed(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": signature(content, FakeClock().time())}


def refusals() -> list[tuple[dict[str, Any], str]]:
    return [
        (signed(b"sekret"), "a webhook event has to be JSON"),
        ({"content": b" " * 9_000}, "it is larger than 8192 bytes"),
        (signed(json.dumps(value(subscription_id=5)).encode()), "its subscription is not 120475"),
        ({"json": value(), "headers": {"X-Strava-Signature": "t=1,v1=sekret"}}, "the signature is forged"),
        ({"json": value(), "headers": {"X-Strava-Signature": "sekret"}}, "the signature is malformed"),
        ({"json": value()}, "the signature is missing"),
    ]


async def test_each_kind_of_refusal_is_in_the_log_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async with service(subscription_id=120475, signing_secret=SECRET) as made:
        for _ in range(2):
            for request, _ in refusals() * 2:
                await made.client.post("/webhook", **request)
            made.handlers.clock.advance(60)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert all(why in text for text, (_, why) in zip(warned, refusals() * 2, strict=True))
    assert "sekret" not in caplog.text


async def test_counts_are_a_copy() -> None:
    async with service() as made:
        made.router.counts.accepted = 9
        assert made.router.counts == WebhookCounts()


# -- no room --------------------------------------------------------------------------------------------------------


async def test_what_finds_no_room_is_to_be_sent_again(stores: Stores) -> None:
    handlers = Handlers(stores)
    handlers.seconds = 1.0
    async with handlers.clock.autojump():
        async with service(handlers, events=stores.made(max_unfinished=1)) as made:
            assert await made.post(number=1) == 200
            answer = await made.client.post("/webhook", json=value(2))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
            await handlers.clock.sleep(2)
            assert await made.post(number=2) == 200
            await handlers.clock.sleep(2)
        assert [event.object_id for event in handlers.events] == [1, 2]


async def test_the_room_of_a_router_without_a_store_is_max_queue() -> None:
    handlers = Handlers()
    handlers.seconds = 1.0
    async with handlers.clock.autojump(), service(handlers, max_queue=1) as made:
        assert [await made.post(number=number) for number in (1, 2)] == [200, 503]


async def test_a_service_without_its_lifespan_takes_no_events() -> None:
    handlers = Handlers()
    app = FastAPI()
    app.include_router(handlers.router(await handlers.strava()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SERVICE) as client:
        assert (await client.post("/webhook", json=value())).status_code == 503


# -- handlers that hang ---------------------------------------------------------------------------------------------


async def test_handlers_that_hang_in_threads_stop_no_other_event(stores: Stores) -> None:
    handlers = Handlers(stores)
    begun, release = threading.Semaphore(0), threading.Event()

    def on_event(event: WebhookEvent) -> None:
        if event.object_id > 2:
            handlers.events.append(event)
        else:
            begun.release()
            release.wait(20)

    strava = await handlers.strava()
    router = webhook_router(strava, verify_token=VERIFY_TOKEN, on_event=on_event, workers=2, events=stores.made())
    app = Starlette(routes=router.routes, lifespan=router.lifespan_context)
    try:
        async with serving(app) as client:
            for number in (1, 2, 3):
                assert (await client.post("/webhook", json=value(number))).status_code == 200
            for _ in range(2):
                await anyio.to_thread.run_sync(begun.acquire, True, 20)
            for seconds in (15, 15, 15, 14):  # in steps, as leases are renewed
                handlers.clock.advance(seconds)
                await handlers.clock.quiet()
            waiting = router.oldest_waiting_seconds
            assert waiting is not None
            assert 45 <= waiting <= 59 if stores.outlive else waiting == 59
            handlers.clock.advance(1)
            with anyio.fail_after(20):
                while not handlers.events or router.counts.waiting:
                    await anyio.lowlevel.checkpoint()
            assert [event.object_id for event in handlers.events] == [3]
            assert router.threads_left_behind == 2
            assert router.counts == WebhookCounts(accepted=3, handled=1, failed=2)
    finally:
        release.set()


@pytest.mark.parametrize("arguments", [{"handler_seconds": 0}, {"handler_seconds": -1.0}])
async def test_a_time_of_handlers_that_is_invalid_is_refused(arguments: dict[str, Any]) -> None:
    strava = await Handlers().strava()
    with pytest.raises(InputError, match="handler_seconds"):
        Handlers().router(strava, **arguments)


# -- the signature --------------------------------------------------------------------------------------------------


def signature(content: bytes, at: float, secret: str = SECRET) -> dict[str, str]:
    mac = hmac.new(secret.encode(), b"%d.%s" % (at, content), hashlib.sha256).hexdigest()
    return {"X-Strava-Signature": f"t={at:.0f},v1={mac}"}


@pytest.mark.parametrize(
    ("mode", "secret", "sent", "status"),
    [
        ("auto", None, "none", 200),
        ("auto", None, "wrong", 200),
        ("auto", SECRET, "none", 403),
        ("auto", SECRET, "right", 200),
        ("auto", SECRET, "wrong", 403),
        ("auto", SECRET, "old", 403),
        ("auto", SECRET, "empty", 403),
        ("require", SECRET, "none", 403),
        ("require", SECRET, "right", 200),
        ("require", SECRET, "wrong", 403),
        ("off", SECRET, "wrong", 200),
        ("off", None, "none", 200),
    ],
)
async def test_a_signature_counts_as_was_asked_for(mode: str, secret: str | None, sent: str, status: int) -> None:
    content = json.dumps(value()).encode()
    now = Handlers().clock.time()
    headers = {
        "none": {},
        "right": signature(content, now),
        "wrong": signature(content, now, "another"),
        "old": signature(content, now - 400),
        "empty": {"X-Strava-Signature": ""},
    }[sent]
    async with service(signature=mode, signing_secret=secret) as made:
        assert (await made.client.post("/webhook", content=content, headers=headers)).status_code == status
    assert len(made.handlers.events) == (status == 200)


@pytest.mark.parametrize(
    "arguments",
    [
        {"verify_token": ""},
        {"signature": "require"},
        {"signature": "require", "signing_secret": ""},
        {"signature": "always"},
        {"signing_secret": b""},
        {"max_body_bytes": 0},
        {"max_body_bytes": 8e3},
        {"subscription_id": "120475"},
        {"subscription_id": 0},
        {"subscription_id": True},
        {"path": "webhook"},
        {"path": ""},
        {"claim": 5},
        {"retry_on": [OSError]},
        {"workers": 0},
        {"max_queue": 0},
        {"drain_seconds": -1},
        {"events": object()},
    ],
)
async def test_invalid_arguments_are_refused_at_once(arguments: dict[str, Any]) -> None:
    handlers = Handlers()
    strava = await handlers.strava()
    with pytest.raises(InputError):
        handlers.router(strava, **arguments)


@pytest.mark.parametrize(
    ("argument", "match"),
    [
        ({"claim": print}, "leave out claim"),
        ({"backlog": SqliteBacklog("webhooks.sqlite")}, "leave out backlog"),
        ({"max_queue": 10}, "leave out max_queue"),
    ],
)
async def test_what_a_store_of_events_does_itself_is_not_accepted_beside_it(
    argument: dict[str, Any], match: str
) -> None:
    handlers = Handlers()
    strava = await handlers.strava()
    events = MemoryEventStore(handlers.clock, max_unfinished=10)
    with pytest.raises(InputError, match=match):
        handlers.router(strava, events=events, **argument)


# -- a restart ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:backlog is deprecated")
async def test_what_a_service_could_not_finish_is_handled_once_after_its_restart(
    stores: Stores, tmp_path: Path
) -> None:
    handlers = Handlers(stores)
    handlers.error = QuotaExceededError(quota_class="read", window="read_day", resume_at=0.0, wait_seconds=3600.0)
    keeping: dict[str, Any] = {}
    if not stores.outlive:
        keeping = {"events": None, "backlog": SqliteBacklog(tmp_path / "webhooks.sqlite", clock=handlers.clock)}
    async with service(handlers, **keeping) as made:
        assert await made.post() == 200
        await made.quiet()
    assert made.router.counts == WebhookCounts(accepted=1, kept=0 if stores.outlive else 1)
    handlers.error = None
    async with service(handlers, **keeping) as made:
        assert await made.post() == 200  # Strava repeats it
        for seconds in (1800, 1900):
            await made.quiet()
            handlers.clock.advance(seconds)
        await made.quiet()
    assert made.router.counts == WebhookCounts(accepted=0 if stores.outlive else 1, duplicates=1, handled=1)
    assert [event.object_id for event in handlers.events] == [1]


async def test_what_a_shutdown_cut_off_is_handled_by_the_next_service(stores: Stores) -> None:
    if not stores.outlive:
        pytest.skip("a store in memory has lost it, and says so")
    handlers = Handlers(stores)
    handlers.seconds = 600.0
    async with handlers.clock.autojump():
        async with service(handlers, workers=1) as made:
            assert [await made.post(number=number) for number in (1, 2)] == [200, 200]
            await made.quiet()
            began_at = handlers.clock.monotonic()
        assert handlers.clock.monotonic() - began_at <= 4.0 + 0.5
    assert handlers.events == []
    handlers.seconds = 0.0
    async with service(handlers) as made:
        await made.quiet()
    assert sorted(event.object_id for event in handlers.events) == [1, 2]


async def test_what_fails_is_tried_again_by_the_table_across_restarts_where_the_store_outlives_them(
    stores: Stores,
) -> None:
    handlers = Handlers(stores)
    handlers.error = OSError("unreachable")

    async def wait_for_attempts(made: Service, first: int, pauses: tuple[float, ...]) -> None:
        await made.quiet()
        for number, pause in enumerate(pauses, first):
            handlers.clock.advance(pause - 1)
            await made.quiet()
            assert handlers.attempts == number
            handlers.clock.advance(1.5)
            await made.quiet()
            assert handlers.attempts == number + 1

    async with service(handlers) as made:
        assert await made.post() == 200
        await wait_for_attempts(made, 1, TROUBLE_SECONDS[:2] if stores.outlive else TROUBLE_SECONDS)
        assert made.router.counts.failed == (not stores.outlive)
    if stores.outlive:
        async with service(handlers) as made:
            await wait_for_attempts(made, 3, TROUBLE_SECONDS[2:])
            assert made.router.counts.failed == 1
    assert handlers.attempts == 1 + len(TROUBLE_SECONDS)


async def test_an_async_handler_over_its_time_is_ended_and_tried_again(stores: Stores) -> None:
    handlers = Handlers(stores)
    handlers.seconds = 600.0
    async with service(handlers, workers=1, handler_seconds=60.0) as made:
        assert [await made.post(number=number) for number in (1, 2)] == [200, 200]
        for seconds in (15, 15, 15, 14):  # in steps, as leases are renewed
            await made.quiet()
            handlers.clock.advance(seconds)
        await made.quiet()
        assert handlers.attempts == 1
        handlers.clock.advance(1)
        await made.quiet()
        assert handlers.attempts == 2  # the other has the worker
        handlers.seconds = 0.0
        for seconds in (15, 15, 15, 15, 5):
            handlers.clock.advance(seconds)
            await made.quiet()
        assert sorted(event.object_id for event in handlers.events) == [1, 2]
        assert made.router.counts == WebhookCounts(accepted=2, handled=2)


async def test_a_backlog_is_deprecated(tmp_path: Path) -> None:
    handlers = Handlers()
    strava = await handlers.strava()
    with pytest.warns(DeprecationWarning, match="events=SqliteEventStore"):
        handlers.router(strava, backlog=SqliteBacklog(tmp_path / "webhooks.sqlite"))


@pytest.mark.filterwarnings("ignore:backlog is deprecated")
async def test_what_a_backlog_has_is_handled_by_a_service_with_a_store(tmp_path: Path) -> None:
    handlers = Handlers()
    handlers.error = QuotaExceededError(quota_class="read", window="read_day", resume_at=0.0, wait_seconds=3600.0)
    path = tmp_path / "webhooks.sqlite"
    async with service(handlers, backlog=SqliteBacklog(path, clock=handlers.clock)) as made:
        assert await made.post() == 200
        await anyio.wait_all_tasks_blocked()
    handlers.error = None
    handled = anyio.Event()
    handlers.on_handled = handled.set
    async with service(handlers, events=SqliteEventStore(path, clock=handlers.clock)) as made:
        assert await made.post() == 200  # Strava repeats it
        with anyio.fail_after(20):
            await handled.wait()
        assert made.router.counts.duplicates == 1
    assert [event.object_id for event in handlers.events] == [1]


# -- where it lives -------------------------------------------------------------------------------------------------


async def test_the_end_has_four_seconds_if_nothing_else_is_said() -> None:
    handlers = Handlers()
    handlers.seconds = 600.0
    async with handlers.clock.autojump():
        async with service(handlers) as made:
            assert await made.post() == 200
            began_at = handlers.clock.monotonic()
        assert handlers.clock.monotonic() - began_at == 4.0
    assert made.router.counts == WebhookCounts(accepted=1, failed=1)


async def test_it_works_under_a_prefix_and_at_another_path() -> None:
    handlers = Handlers()
    app = FastAPI()
    app.include_router(handlers.router(await handlers.strava(), path="/hook/9f3"), prefix="/strava")
    async with serving(app) as client:
        assert (await client.post("/strava/hook/9f3", json=value())).status_code == 200
    assert len(handlers.events) == 1
    assert "/strava/hook/9f3" not in app.openapi()["paths"]


async def test_it_works_in_a_plain_starlette_application() -> None:
    handlers = Handlers()
    router = handlers.router(await handlers.strava())
    app = Starlette(routes=router.routes, lifespan=router.lifespan_context)
    async with serving(app) as client:
        assert (await client.get("/webhook", params=HANDSHAKE)).status_code == 200
        assert (await client.post("/webhook", json=value())).status_code == 200
    assert len(handlers.events) == 1


async def test_the_application_is_closed_after_the_last_event_was_handled() -> None:
    handlers = Handlers()
    handlers.seconds = 1.0
    async with handlers.clock.autojump(), service(handlers, workers=1, drain_seconds=None) as made:
        for number in range(1, 6):
            assert await made.post(number=number) == 200
    assert len(handlers.events) == 5  # is_connected raises once the application is closed


async def test_including_it_twice_says_so() -> None:
    handlers = Handlers()
    router = handlers.router(await handlers.strava())
    app = FastAPI()
    app.include_router(router)
    app.include_router(router, prefix="/again")
    with pytest.raises(InputError, match="include their router once"):
        async with serving(app):
            pass


# -- the burst ------------------------------------------------------------------------------------------------------


async def test_a_burst_of_a_thousand_is_answered_before_any_handler_ends_and_handled_once() -> None:
    handlers = Handlers()
    handlers.seconds = 1.0
    statuses: list[int] = []
    async with service(handlers, athletes=100, workers=16, drain_seconds=None) as made:

        async def send(number: int) -> None:
            statuses.append(await made.post(number=number, owner_id=OWNER + number % 100))

        async with anyio.create_task_group() as senders:
            for number in range(1, 1_001):
                senders.start_soon(send, number)
                if number % 10 == 0:
                    senders.start_soon(send, number)
        # No time has passed, so no handler has ended.
        assert statuses == [200] * 1_100
        assert handlers.events == []
        counts = made.router.counts
        assert (counts.accepted, counts.duplicates, counts.waiting) == (1_000, 100, 1_000)
        while len(handlers.events) < 1_000:
            while handlers.clock.sleeping < min(16, 1_000 - len(handlers.events)):
                await anyio.lowlevel.checkpoint()
            handlers.clock.advance(1)
            await made.quiet()
    assert sorted(event.object_id for event in handlers.events) == list(range(1, 1_001))


# -- the end of a grant, at the emulator ----------------------------------------------------------------------------


class Connected:
    """A service whose athlete is one of the emulator's."""

    def __init__(self, stores: Stores) -> None:
        self.handlers = Handlers(stores)
        self.emulator = Emulator(clock=self.handlers.clock, years=0.1)
        self.athlete_id = self.emulator.athlete_ids[0]
        self.strava = Strava(
            self.emulator.client_id,
            self.emulator.client_secret,
            http_client=httpx.AsyncClient(transport=httpx.ASGITransport(self.emulator.app)),
            clock=self.handlers.clock,
            api_url=f"{BASE}/api/v3",
            oauth_url=f"{BASE}/oauth",
        )

    async def connect(self) -> None:
        granted = self.emulator.grant()
        token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
        await self.strava.token_store.save(self.athlete_id, token)

    async def revoke(self) -> None:
        """Let the athlete end the grant at Strava."""
        token = await self.strava.token_store.load(self.athlete_id)
        assert token is not None
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.emulator.app)) as client:
            auth = (str(self.emulator.client_id), self.emulator.client_secret)
            await client.post(f"{BASE}/oauth/revoke", data={"token": token.refresh_token}, auth=auth)

    async def hear_of_the_end(self) -> WebhookCounts:
        """Let the service get the event that says that its athlete removed the application."""
        router = self.handlers.router(self.strava)
        app = Starlette(routes=router.routes, lifespan=router.lifespan_context)
        content = value(self.athlete_id, owner_id=self.athlete_id, **REMOVED)
        async with serving(app) as client:
            assert (await client.post("/webhook", json=content)).status_code == 200
            await self.handlers.clock.quiet()
        return router.counts


async def test_a_grant_that_was_revoked_at_strava_is_forgotten(stores: Stores) -> None:
    world = Connected(stores)
    await world.connect()
    await world.revoke()
    assert (await world.hear_of_the_end()).handled == 1
    assert world.handlers.left == [world.athlete_id]
    assert world.handlers.events == []
    assert not await world.strava.is_connected(world.athlete_id)


async def test_an_on_disconnect_that_failed_is_called_by_the_next_service_although_the_tokens_are_gone(
    stores: Stores,
) -> None:
    if not stores.outlive:
        pytest.skip("a store in memory has lost it, and says so")
    world = Connected(stores)
    await world.connect()
    await world.revoke()
    world.handlers.error = OSError("unreachable")
    assert (await world.hear_of_the_end()).handled == 0
    assert not await world.strava.is_connected(world.athlete_id)
    world.handlers.error = None
    world.handlers.clock.advance(5)
    counts = await world.hear_of_the_end()  # Strava repeats it
    assert (counts.duplicates, counts.handled) == (1, 1)
    assert world.handlers.left == [world.athlete_id]


async def test_a_valid_grant_is_kept_whatever_an_event_says(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "strava_async")
    world = Connected(stores)
    await world.connect()
    assert (await world.hear_of_the_end()).dropped == 1
    assert world.handlers.left == []
    assert await world.strava.is_connected(world.athlete_id)
    assert "Strava does not" in caplog.text
    assert "sekret" not in caplog.text


# -- hostile senders ------------------------------------------------------------------------------------------------


@given(
    content=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.dictionaries(st.sampled_from([*value()]), inner, max_size=7) | st.lists(inner, max_size=3),
    ).map(lambda made: json.dumps(made).encode()),
    header=st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_sent_is_answered_with_no_500(content: bytes, header: str | None) -> None:
    headers = {} if header is None else {"X-Strava-Signature": header}
    async with service(signature="auto", signing_secret=SECRET) as made:
        answer = await made.client.post("/webhook", content=content, headers=headers)
    assert answer.status_code in (200, 400, 403)


@given(query=st.dictionaries(st.sampled_from([*HANDSHAKE, "x"]), st.text(max_size=9)))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_asked_is_answered_with_no_500(query: dict[str, str]) -> None:
    async with service() as made:
        assert (await made.client.get("/webhook", params=query)).status_code in (400, 403)
