"""No secret is in what crash reporters keep: the locals of the frames that an error came through, and the error."""

import asyncio
import base64
import copy
import io
import json
import pickle
import sqlite3
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import pytest
import rich.console
import rich.traceback
from httpx_aiohttp import AiohttpTransport

from strava_async import (
    ApiV3,
    MemoryTokenStore,
    RetryPolicy,
    SqliteTokenStore,
    StateSigner,
    Strava,
    StravaError,
    TokenSet,
    TokenStoreError,
)
from strava_async._http.incoming import Collected
from strava_async.oauth.grants import AccessInfo
from strava_async.request.reply import MAX_BODY_BYTES
from strava_async.webhooks import challenge_of, check_signature
from tests.fastapi.oauth_service import parameters, service
from tests.frames import PACKAGE, errors_of, shown_by, shown_in, without_frames_of_tests
from tests.http.hostile_peers import Connection, Server, listening
from tests.plain_http import NO_TRUST

ACCESS, REFRESH = "acc3ss-0123456789abcdef", "refr3sh-0123456789abcdef"
NEW_ACCESS, NEW_REFRESH = "n3w-acc3ss-0123456789", "n3w-refr3sh-0123456789"
SECRET, CODE, VERIFY = "cli3nt-s3cret-0123456789", "c0de-0123456789abcdef", "v3rify-0123456789abcdef"
SIGNING, STATE = "s1gning-0123456789abcdef", "st4te-secret-0123456789"
KEY, OTHER_KEY = (base64.urlsafe_b64encode(bytes([number] * 32)).decode() for number in (7, 8))
SECRETS = {
    "access token": ACCESS,
    "refresh token": REFRESH,
    "new access token": NEW_ACCESS,
    "new refresh token": NEW_REFRESH,
    "client secret": SECRET,
    "code": CODE,
    "verify token": VERIFY,
    "signing secret": SIGNING,
    "secret of states": STATE,
    "key": KEY,
    "other key": OTHER_KEY,
    "basic credentials": base64.b64encode(f"7:{SECRET}".encode()).decode(),
}
TOKENS = TokenSet(ACCESS, REFRESH, None, frozenset({"read", "activity:write"}), 5)
GRANT = f'{{"access_token": "{NEW_ACCESS}", "refresh_token": "{NEW_REFRESH}", "athlete": {{"id": 5}}}}'
HALF_A_GRANT = f'{{"refresh_token": "{NEW_REFRESH}"}}'
ECHO = f"{ACCESS} {REFRESH} {SECRET} {CODE} {VERIFY}"  # of what goes to the OAuth endpoints
NOT_FOUND = f'{{"message": "{ACCESS}", "errors": [{{"resource": "{ACCESS}", "field": "", "code": ""}}]}}'
NOT_SUBSCRIBED = f'{{"message": "{SECRET}", "errors": [{{"resource": "{VERIFY}", "field": "", "code": ""}}]}}'
REFUSED = '{"message": "Bad Request", "errors": [{"resource": "RefreshToken", "field": "x", "code": "invalid"}]}'
EXPIRED = '{"errors": [{"resource": "Athlete", "field": "access_token", "code": "invalid"}]}'

HANG_UP, SILENT = "hang up", "silent"
HALF_WAY = f'HTTP/1.1 200 X\r\nContent-Length: 999\r\n\r\n{{"access_token": "{NEW_ACCESS}", '  # and no more
ONCE = RetryPolicy(max_attempts=1)


def reply(status_code: int, body: str, content_type: str = "application/json") -> str:
    return f"HTTP/1.1 {status_code} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n{body}"


NONSENSE = f"what? {ACCESS}\r\n\r\n"
NONSENSE_OF_OAUTH = f"what? {NEW_ACCESS} {ECHO}\r\n\r\n"
BROKEN = reply(200, f'{{"access_token": "{NEW_ACCESS}", "refresh_token": "{NEW_REFRESH}"')
PAGE = reply(200, f"<html>{NEW_ACCESS} {ECHO}</html>", "text/html")


def found_in(texts: Any) -> set[str]:
    return {f"{name} in {where}" for where, text in texts for name, secret in SECRETS.items() if secret in text}


@asynccontextmanager
async def http_client(kind: str) -> AsyncIterator[Any]:
    if kind == "own":
        yield None
    elif kind == "httpx-aiohttp":
        async with aiohttp.ClientSession() as session:
            yield httpx.AsyncClient(transport=AiohttpTransport(verify=NO_TRUST, client=session))
    else:
        async with {"httpx": httpx, "httpx2": httpx2}[kind].AsyncClient(verify=NO_TRUST) as client:
            yield client


class Refusing(MemoryTokenStore):
    """Takes no tokens."""

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        if token != TOKENS:
            raise TokenStoreError("no room")
        await super().save(athlete_id, token)


class Trial:
    """An application whose Strava answers each path as configured."""

    def __init__(self, url: str, client: Any) -> None:
        self.url = url
        self.answers: dict[str, str] = {}
        self.store: MemoryTokenStore = MemoryTokenStore()
        self.client = client
        self.enough = anyio.Event()  # ends what is silent

    def strava(self, **options: Any) -> Strava:
        return Strava(
            7,
            SECRET,
            **{"token_store": self.store, "http_client": self.client, "retry": ONCE, "timeout": 5.0}
            | {"api_url": f"{self.url}/api/v3", "oauth_url": f"{self.url}/oauth"}
            | options,
        )

    async def answer(self, connection: Connection, server: Server) -> None:
        while True:
            head = await connection.request()
            path = head.split(b" ")[1].decode().partition("?")[0]
            said = next((said for end, said in self.answers.items() if path.endswith(end)), reply(404, "{}"))
            if said is HALF_WAY:
                await connection.send(said.encode())
            server.requests += 1
            if said is HANG_UP:
                return
            if said in (SILENT, HALF_WAY):
                await self.enough.wait()
                return
            await connection.send(said.encode())
            if said in (NONSENSE, NONSENSE_OF_OAUTH):
                return


@asynccontextmanager
async def trial(kind: str) -> AsyncIterator[Trial]:
    async with trial_with_server(kind) as (made, _):
        yield made


@asynccontextmanager
async def trial_with_server(kind: str) -> AsyncIterator[tuple[Trial, Server]]:
    made: list[Trial] = []

    async def peer(connection: Connection, server: Server) -> None:
        await made[0].answer(connection, server)

    async with listening(peer) as server, http_client(kind) as client:
        made.append(Trial(server.url, client))
        await made[0].store.save(5, TOKENS)
        yield made[0], server


Stage = Callable[[Trial], Awaitable[object]]


def asking(said: str, path: str = "/athlete", **options: Any) -> Stage:
    async def stage(trial: Trial) -> None:
        trial.answers[path] = said
        async with trial.strava(**options) as strava:
            await strava.api(5).get(path)

    return stage


def renewing(said: str, *, store: MemoryTokenStore | None = None) -> Stage:
    async def stage(trial: Trial) -> None:
        trial.answers |= {"/athlete": reply(401, EXPIRED), "/oauth/token": said}
        if store is not None:
            trial.store = store
            await store.save(5, TOKENS)
        async with trial.strava() as strava:
            await strava.api(5).get("/athlete")

    return stage


def connecting(said: str, *, store: MemoryTokenStore | None = None, **options: Any) -> Stage:
    async def stage(trial: Trial) -> None:
        trial.answers |= {"/oauth/token": said, "/oauth/revoke": reply(500, "")}
        trial.store = store or trial.store
        async with trial.strava() as strava:
            await strava.connect(CODE, **options)

    return stage


def unreachable(use: Callable[[Strava], Awaitable[object]]) -> Stage:
    async def stage(trial: Trial) -> None:
        trial.url = "http://127.0.0.1:1"
        async with trial.strava() as strava:
            await use(strava)

    return stage


def using(use: Callable[[Strava], Awaitable[object]], **answers: str) -> Stage:
    async def stage(trial: Trial) -> None:
        trial.answers |= {f"/{name}": said for name, said in answers.items()}
        async with trial.strava() as strava:
            await use(strava)

    return stage


async def raw(trial: Trial, use: Callable[[ApiV3], Awaitable[object]]) -> None:
    urls = {"api_url": f"{trial.url}/api/v3", "oauth_url": f"{trial.url}/oauth"}
    async with ApiV3(ACCESS, trial.client, refresh_token=REFRESH, retry=ONCE, **urls) as api:
        await use(api)


def with_api(use: Callable[[ApiV3], Awaitable[object]], **answers: str) -> Stage:
    async def stage(trial: Trial) -> None:
        trial.answers |= {f"/{name}": said for name, said in answers.items()}
        await raw(trial, use)

    return stage


def posting_to_a_peer_that_does_not_read() -> Stage:
    async def stage(trial: Trial) -> None:
        trial.answers["/uploads"] = HANG_UP
        async with trial.strava() as strava:
            await strava.api(5).post("/uploads", files={"file": b"x" * 300_000}, data_type="fit")

    return stage


STAGES: dict[str, Stage] = {
    "a 404 that echoes": asking(reply(404, NOT_FOUND)),
    "a 500": asking(reply(500, ACCESS, "text/plain")),
    "JSON that breaks off": asking(reply(200, f'{{"message": "{ACCESS}')),
    "a page": asking(reply(200, f"<html>{ACCESS}</html>", "text/html")),
    "a coding that is none": asking(reply(200, ACCESS).replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n", 1)),
    "the server hangs up": asking(HANG_UP),
    "the server hangs up on a file": posting_to_a_peer_that_does_not_read(),
    "no HTTP": asking(NONSENSE),
    "no answer": asking(SILENT, timeout=0.05),
    "no answer in all": asking(SILENT, total=0.05),
    "no server": unreachable(lambda strava: strava.api(5).get("/athlete")),
    "a renewal is refused": renewing(reply(400, REFUSED)),
    "a renewal fails": renewing(reply(500, ECHO, "text/plain")),
    "a renewal breaks off": renewing(HANG_UP),
    "a renewal is no HTTP": renewing(NONSENSE_OF_OAUTH),
    "a renewal is a page": renewing(PAGE),
    "a renewal is broken JSON": renewing(BROKEN),
    "a renewal is no grant": renewing(reply(200, HALF_A_GRANT)),
    "a renewal is a list": renewing(reply(200, f'["{NEW_ACCESS}"]')),
    "a renewal is another's": renewing(reply(200, GRANT.replace('"id": 5', '"id": 6'))),
    "renewed tokens are not kept": renewing(reply(200, GRANT), store=Refusing()),
    "a code is refused": connecting(reply(400, REFUSED.replace("RefreshToken", "AuthorizationCode"))),
    "the secret is refused": connecting(reply(401, ECHO)),
    "an exchange fails": connecting(reply(503, ECHO, "text/html")),
    "an exchange breaks off": connecting(HANG_UP),
    "an exchange is no HTTP": connecting(NONSENSE_OF_OAUTH),
    "an exchange is broken JSON": connecting(BROKEN),
    "an exchange is no grant": connecting(reply(200, HALF_A_GRANT)),
    "an exchange names nobody": connecting(reply(200, GRANT.replace("athlete", "nobody"))),
    "no server for an exchange": unreachable(lambda strava: strava.connect(CODE)),
    "tokens of a grant are not kept": connecting(reply(200, GRANT), store=Refusing()),
    "a scope was left out": connecting(reply(200, GRANT), scope="activity:read", granted_scope="read"),
    "and it cannot be revoked": connecting(
        reply(200, GRANT), scope="activity:read", granted_scope="read", if_missing="revoke"
    ),
    "a redirect is another's": using(
        lambda strava: strava.connect_redirect(f"https://x/?code={CODE}&state=a", state="b")
    ),
    "a redirect was refused": using(
        lambda strava: strava.connect_redirect(f"https://x/?code={CODE}&error=x&state=b", state="b")
    ),
    "a redirect is no address": using(lambda strava: strava.connect_redirect(f"https://[/?code={CODE}", state="b")),
    "a disconnect fails": using(lambda strava: strava.disconnect(5), revoke=reply(500, ECHO, "text/plain")),
    "a disconnect breaks off": using(lambda strava: strava.disconnect(5), revoke=HANG_UP),
    "a subscription is refused": using(
        lambda strava: strava.webhooks.subscribe("https://x/y", VERIFY), push_subscriptions=reply(400, NOT_SUBSCRIBED)
    ),
    "a subscription breaks off": using(
        lambda strava: strava.webhooks.subscribe("https://x/y", VERIFY), push_subscriptions=HANG_UP
    ),
    "no server for a subscription": unreachable(lambda strava: strava.webhooks.subscribe("https://x/y", VERIFY)),
    "no page for a callback": using(lambda strava: strava.webhooks.subscribe("x", VERIFY)),
    "no such subscription": using(lambda strava: strava.webhooks.unsubscribe(3)),
    "subscriptions are a page": using(
        lambda strava: strava.webhooks.view(), push_subscriptions=reply(200, f"<html>{SECRET}</html>", "text/html")
    ),
    "the view breaks off": using(lambda strava: strava.webhooks.view(), push_subscriptions=HANG_UP),
    "no server for the view": unreachable(lambda strava: strava.webhooks.view()),
    "a code with a line break": using(lambda strava: strava.connect(f"{CODE}\n")),
    "a verify token with a line break": using(lambda strava: strava.webhooks.subscribe("https://x/y", f"{VERIFY}\n")),
    "a scope that is none": using(lambda strava: strava.connect(CODE, scope="nonsense")),
    "the plain exchange is refused": with_api(
        lambda api: api.exchange_code_for_token(7, SECRET, CODE), token=reply(400, REFUSED)
    ),
    "the plain exchange has a bad secret": with_api(lambda api: api.exchange_code_for_token(7, f"{SECRET}\n", CODE)),
    "the plain renewal is refused": with_api(
        lambda api: api.refresh_access_token(7, SECRET, REFRESH), token=reply(400, REFUSED)
    ),
    "the plain renewal has a bad token": with_api(lambda api: api.refresh_access_token(7, SECRET, f"{REFRESH}\n")),
    "revoking is refused": with_api(lambda api: api.revoke(7, SECRET, REFRESH), revoke=reply(401, ECHO)),
    "revoking has a bad secret": with_api(lambda api: api.revoke(7, f"{SECRET}\n")),
    "revoking without credentials": with_api(lambda api: api.revoke(token=REFRESH)),
    "a token as a parameter": with_api(lambda api: api.get("/athlete", access_token=ACCESS)),
    "a secret for a URL": with_api(lambda api: api.get("/athlete", client_secret=SECRET)),
    "a subscription by hand": with_api(
        lambda api: api.post("/push_subscriptions", client_id=7, client_secret=SECRET, verify_token=VERIFY)
    ),
    "and as a request": with_api(
        lambda api: api.request("POST", "/push_subscriptions", {"client_secret": SECRET, "verify_token": VERIFY})
    ),
    "a secret that UTF-8 cannot hold": with_api(
        lambda api: api.post("/push_subscriptions", client_secret=f"{SECRET}\ud800")
    ),
}


async def error_of(stage: Stage, kind: str) -> StravaError:
    async with trial(kind) as made:
        try:
            await stage(made)
        except StravaError as error:
            return error
    pytest.fail("nothing was raised")


@pytest.mark.anyio
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["own", "httpx", "httpx2"])
async def test_no_frame_of_an_error_shows_a_secret(kind: str, stage: str) -> None:
    error = await error_of(STAGES[stage], kind)
    assert found_in(shown_by(error)) == set()


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", STAGES)
async def test_nor_does_one_over_httpx_aiohttp(stage: str) -> None:
    error = await error_of(STAGES[stage], "httpx-aiohttp")
    assert found_in(shown_by(error)) == set()


def collecting_too_much() -> None:
    body = Collected("/oauth/token")
    block = bytes(MAX_BODY_BYTES // 4)
    for each in (block, block, block, block, GRANT.encode()):
        body.add(each)


PLAIN: dict[str, Callable[[], object]] = {
    "a body that is too large": collecting_too_much,
    "a handshake with another token": lambda: challenge_of({"hub.mode": "subscribe", "hub.verify_token": "x"}, VERIFY),
    "a handshake without a challenge": lambda: challenge_of(
        {"hub.mode": "subscribe", "hub.verify_token": VERIFY}, VERIFY
    ),
    "a bad verify token": lambda: challenge_of({}, f"{VERIFY}\n"),
    "a forged signature": lambda: check_signature("t=1,v1=aa", b"{}", SIGNING, now=1.0),
    "no signature": lambda: check_signature(None, b"{}", SIGNING.encode(), now=1.0),
    "a bad signing secret": lambda: check_signature(None, b"{}", f"{SIGNING}\n", now=1.0),
    "a client secret with a line break": lambda: Strava(7, f"{SECRET}\n"),
    "a client id that is none": lambda: Strava("x", SECRET),
    "an API with a bad secret": lambda: ApiV3(ACCESS, client_id=7, client_secret=f"{SECRET}\n"),
    "an API with a bad token": lambda: ApiV3(f"{ACCESS}\n"),
    "an API with a bad timeout": lambda: ApiV3(ACCESS, refresh_token=REFRESH, timeout=0),
    "a token that is set": lambda: setattr(ApiV3(ACCESS), "access_token", f"{ACCESS}\n"),
    "a refresh token that is set": lambda: setattr(ApiV3(ACCESS), "refresh_token", f"{REFRESH}\n"),
    "bad tokens": lambda: TokenSet(f"{ACCESS}\n", REFRESH),
    "tokens of bytes": lambda: TokenSet(ACCESS.encode(), REFRESH),
    "a bad expiry": lambda: TokenSet(ACCESS, REFRESH, "x"),
    "a bad scope": lambda: TokenSet(ACCESS, REFRESH, 1, [7]),
    "a bad athlete": lambda: TokenSet(ACCESS, REFRESH, 1, frozenset(), True),
    "a secret of states that is short": lambda: StateSigner([STATE, "short"]),
    "a bad age": lambda: StateSigner(STATE, max_age_seconds=0),
    "a forged state": lambda: StateSigner(STATE).verify("A" * 80),
    "a bad key": lambda: SqliteTokenStore("x", key=[KEY, f"{OTHER_KEY}\n"]),
    "a bad lock_timeout": lambda: SqliteTokenStore("x", key=KEY, lock_timeout=-1),
}


@pytest.mark.parametrize("stage", PLAIN)
def test_nor_does_one_that_is_raised_before_anything_is_sent(stage: str) -> None:
    with pytest.raises(StravaError) as caught:
        PLAIN[stage]()
    assert found_in(shown_by(caught.value)) == set()


async def locked(path: Path, key: str | None) -> None:
    store = SqliteTokenStore(path, key=key, busy_timeout=0)
    await store.save(5, TOKENS)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    try:
        await store.save(5, TokenSet(NEW_ACCESS, NEW_REFRESH))
    finally:
        other.close()


async def another_key(path: Path, key: str | None) -> None:
    await SqliteTokenStore(path, key=KEY).save(5, TOKENS)
    await SqliteTokenStore(path, key=OTHER_KEY if key else None).load(5)


async def misplaced(path: Path, key: str | None) -> None:
    store = SqliteTokenStore(path, key=key)
    await store.save(5, TOKENS)
    with sqlite3.connect(path) as other:
        other.execute("update tokens set athlete_id = 6")
    other.close()
    await store.load(6)


async def rotating_what_is_misplaced(path: Path, key: str | None) -> None:
    store = SqliteTokenStore(path)
    await store.save(5, TOKENS)
    with sqlite3.connect(path) as other:
        other.execute("update tokens set athlete_id = 6")
    other.close()
    await SqliteTokenStore(path, key=KEY).rotate()


@pytest.mark.anyio
@pytest.mark.parametrize("fail", [locked, another_key, misplaced, rotating_what_is_misplaced])
@pytest.mark.parametrize("key", [None, KEY])
async def test_nor_does_one_of_a_store(
    tmp_path: Path, fail: Callable[[Path, str | None], Awaitable[None]], key: str | None
) -> None:
    with pytest.raises(TokenStoreError) as caught:
        await fail(tmp_path / "tokens.sqlite", key)
    assert found_in(shown_by(caught.value)) == set()


REPORTED = ["a 404 that echoes", "no server", "a renewal is refused", "tokens of a grant are not kept", "no HTTP"]


@pytest.mark.anyio
@pytest.mark.parametrize("stage", REPORTED)
async def test_nor_do_tracebacks_that_are_printed_with_their_locals(stage: str) -> None:
    error = without_frames_of_tests(await error_of(STAGES[stage], "own"))
    plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    console = rich.console.Console(width=300, record=True, file=io.StringIO())
    trace = error.__traceback__
    console.print(
        rich.traceback.Traceback.from_exception(type(error), error, trace, show_locals=True, locals_max_string=8)
    )
    pretty = console.export_text()
    assert "application.py" in plain or "exchange.py" in plain
    assert "application.py" in pretty or "exchange.py" in pretty
    assert "self = <strava_async" in plain
    assert {name for name, secret in SECRETS.items() if secret in plain or secret[:8] in pretty} == set()


def frames_of(coroutine: Any) -> list[FrameType]:
    """Return the frames of a coroutine that waits, down to what it waits for."""
    frames: list[FrameType] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            frames.append(frame)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return frames


def of_us(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(PACKAGE)


UNDER_WAY: dict[str, Stage] = {
    "a call": asking(SILENT),
    "a renewal": renewing(SILENT),
    "an exchange": connecting(SILENT),
    "a grant that comes": connecting(HALF_WAY),
    "renewed tokens that come": renewing(HALF_WAY),
    "a subscription": using(lambda strava: strava.webhooks.subscribe("https://x/y", VERIFY), push_subscriptions=SILENT),
    "a file": using(lambda strava: strava.api(5).post("/uploads", files={"file": b"x"}), uploads=SILENT),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", UNDER_WAY)
@pytest.mark.parametrize("kind", ["own", "httpx", "httpx2"])
async def test_what_is_in_progress_shows_none_either(kind: str, stage: str) -> None:
    requests = 2 if stage in ("a renewal", "renewed tokens that come") else 1
    async with trial_with_server(kind) as (made, server):
        task = asyncio.create_task(UNDER_WAY[stage](made))
        with anyio.fail_after(10):
            await server.heard(requests)
            await anyio.wait_all_tasks_blocked()
        frames = [frame for each in asyncio.all_tasks() for frame in frames_of(each.get_coro())]
        assert sum(map(of_us, frames)) > 5
        shown = {*found_in((str(each), repr(each)) for each in asyncio.all_tasks())}
        shown |= {one for frame in frames for one in found_in(shown_in(frame))}
        task.cancel()
        made.enough.set()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert shown == set()
        assert found_in(shown_by(cancelled.value)) == set()


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_transport_that_fails_in_its_own_way_leaves_no_grant_in_our_frames(library: Any) -> None:
    class Failing(library.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield GRANT[:60].encode()
            raise RuntimeError("no matter of HTTP")

    class Transport(library.AsyncBaseTransport):
        async def handle_async_request(self, request: object) -> Any:
            return library.Response(200, stream=Failing())

    async with library.AsyncClient(transport=Transport()) as client, Strava(7, SECRET, http_client=client) as strava:
        with pytest.raises(RuntimeError) as caught:
            await strava.connect(CODE)
    assert NEW_ACCESS in GRANT[:60]
    # A client of the caller's keeps its own frames; see docs/observability.md.
    assert found_in(shown for shown in shown_by(caught.value) if not shown[0].startswith("_client.py:")) == set()


def of_errors(error: BaseException) -> list[str]:
    """Return what httpx hangs on the errors: the fields of requests, and bodies."""
    requests = [getattr(one, "request", None) for one in errors_of(error) if hasattr(one, "_request")]
    requests += [one.response.request for one in errors_of(error) if hasattr(one, "response")]
    return [text for one in requests if one is not None for text in (str(one.headers.raw), str(one.stream.__dict__))]


@pytest.mark.anyio
@pytest.mark.parametrize("stage", ["a 404 that echoes", "a code is refused", "a renewal is refused"])
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_hook_that_raises_for_a_status_hangs_no_request_on_the_error(library: Any, stage: str) -> None:
    async def refuse(response: Any) -> None:
        response.raise_for_status()

    async with trial("own") as made, library.AsyncClient(event_hooks={"response": [refuse]}) as made.client:
        with pytest.raises(StravaError) as caught:
            await STAGES[stage](made)
    causes = [one for one in errors_of(caught.value) if isinstance(one, library.HTTPStatusError)]
    assert causes
    assert [one.response.status_code in (400, 404, 401) for one in causes] == [True] * len(causes)
    assert found_in(("a request", text) for text in of_errors(caught.value)) == set()
    assert found_in(shown_by(caught.value)) == set()


@pytest.mark.asyncio
@pytest.mark.parametrize("forged", [True, False])
async def test_nor_does_a_scope_when_an_answer_is_refused_and_showing_that_fails(forged: bool) -> None:
    scopes: list[Any] = []

    def on_error(request: Any, failure: object) -> None:
        scopes.append(request.scope)
        raise RuntimeError("the service's own fault")

    options: dict[str, Any] = {} if forged else {"user": lambda request: None if "code" in request.url.query else "me"}
    async with service(on_error=on_error, **options) as here, here.browser() as browser:
        back = await browser.answer(await browser.ask())
        code = parameters(back)["code"]
        with pytest.raises(RuntimeError):
            await browser.get(back.replace("state=", "state=x") if forged else back)
    assert [b"code=***" in scope["query_string"] for scope in scopes] == [True]
    assert [code.encode() in scope["query_string"] for scope in scopes] == [False]


@pytest.mark.asyncio
async def test_nor_do_the_frames_of_the_routes_when_a_service_fails_in_between() -> None:
    async def on_connect(request: object, client: object) -> None:
        raise RuntimeError("the service's own fault")

    async with service(on_connect=on_connect) as here, here.browser() as browser:
        back = await browser.answer(await browser.ask())
        with pytest.raises(RuntimeError) as caught:
            await browser.get(back)
        token = await here.store.load(here.marianne)
        assert token is not None
        secrets = [parameters(back)["code"], here.emulator.client_secret, str(token.access_token)]
    ours = [
        frame
        for error in errors_of(caught.value)
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if of_us(frame) and "strava_async/testing" not in frame.f_code.co_filename
    ]
    assert {frame.f_code.co_name for frame in ours} >= {"callback", "_connected"}
    shown = {where for frame in ours for where, text in shown_in(frame) if any(secret in text for secret in secrets)}
    assert shown == set()


def test_what_the_token_endpoint_said_hides_its_tokens_however_it_is_copied() -> None:
    info = AccessInfo(access_token=ACCESS, expires_at=7, scope="read")
    info["refresh_token"] = REFRESH
    plain = {"access_token": ACCESS, "expires_at": 7, "scope": "read", "refresh_token": REFRESH}
    updated = AccessInfo()
    updated.update(plain)
    filled = AccessInfo()
    assert filled.setdefault("access_token", ACCESS) == ACCESS
    joined = AccessInfo()
    joined |= plain
    copies: list[dict[str, Any]] = [info, info.copy(), info | plain, plain | info, updated, joined, AccessInfo(plain)]
    copies += copy.copy(info), copy.deepcopy(info), pickle.loads(pickle.dumps(info))
    assert [type(each) for each in copies] == [AccessInfo] * len(copies)
    assert [each == plain for each in copies] == [True] * len(copies)
    assert found_in(("a copy", text) for each in [*copies, filled] for text in (repr(each), repr(dict(each)))) == set()
    assert (info | {"token_type": "Bearer"})["token_type"] == "Bearer"
    with pytest.raises(TypeError):
        info | 7


def test_a_signer_goes_to_other_processes_and_shows_its_secret_to_none() -> None:
    signer = StateSigner(STATE)
    again = pickle.loads(pickle.dumps(signer))
    assert again.verify(signer.sign("/x")) == "/x"
    assert found_in([("a signer", f"{vars(again)}")]) == set()


def test_a_token_is_a_text_in_all_but_its_repr() -> None:
    token = TOKENS.access_token
    assert (token, f"{token}", str(token), token.encode()) == (ACCESS, ACCESS, ACCESS, ACCESS.encode())
    assert type(str(token)) is str
    assert json.loads(json.dumps({"token": token})) == {"token": ACCESS}
    assert {token: 1}[ACCESS] == 1
    assert (repr(token), repr(token[:4]), repr(TokenSet("").access_token)) == ("'***'", "'***'", "''")
    assert pickle.loads(pickle.dumps(TOKENS)) == TOKENS == copy.deepcopy(TOKENS)
    assert repr(pickle.loads(pickle.dumps(token))) == "'***'"
