"""One application, many athletes: connected, used, disconnected, and never mixed up."""

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.lowlevel
import httpx
import pytest

from strava_async import (
    AccessInfo,
    ApiV3,
    AthleteCapacityError,
    AuthorizationDeniedError,
    InputError,
    InvalidClientError,
    InvalidGrantError,
    InvalidStateError,
    MemoryTokenStore,
    MissingScopeError,
    RateLimiter,
    RetryPolicy,
    ServerError,
    Strava,
    TokenSet,
    TokenSource,
    TokenStoreError,
    UnauthorizedError,
    Unlimited,
)
from strava_async.testing import ALL_SCOPES, Emulator, FakeClock, Fault, MeterLimits
from strava_async.testing.clock import SOME_TUESDAY
from strava_async.tokens.accounts import Accounts
from tests.at_once import at_once

pytestmark = pytest.mark.anyio

BASE = "https://strava.test"
BACK = "http://localhost/back"
ROOMY = MeterLimits(10_000, 100_000, 10_000, 100_000)


class FussyStore(MemoryTokenStore):
    """A store that can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.locked = False
        self.busy: anyio.Event | None = None
        self.saves = 0

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[None]:
        if self.locked:
            raise TokenStoreError("somebody holds the lock")
        if self.busy is not None:
            await self.busy.wait()
        async with super().lock(athlete_id):
            yield

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        if self.full:
            raise TokenStoreError("the disk is full")
        self.saves += 1
        await super().save(athlete_id, token)


class Transport(httpx.ASGITransport):
    """Passes on the emulator's answers; on request late, or without the athlete of the tokens."""

    hides_athlete = False
    hold: anyio.Event | None = None
    token_life: int | None = None
    renewals = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if self.hold is not None:
            await self.hold.wait()
        if request.url.path == "/oauth/token" and self.token_life is not None:
            self.renewals += 1
            answer = json.loads(await response.aread())
            answer["access_token"] += "?"
            del answer["expires_in"]
            answer["expires_at"] = int(SOME_TUESDAY) + self.token_life
            return httpx.Response(200, json=answer)
        if not self.hides_athlete or request.url.path != "/oauth/token":
            return response
        answer = json.loads(await response.aread())
        del answer["athlete"]
        return httpx.Response(200, json=answer)


class Setting:
    """An emulator with several athletes, and what a program needs to talk to it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.emulator = Emulator(clock=self.clock, limits=ROOMY, years=0.1, athletes=4)
        self.transport = Transport(app=self.emulator.app)
        self.http_client = httpx.AsyncClient(transport=self.transport)
        self.store = FussyStore()
        self.marianne, self.pierre = self.emulator.athlete_ids[:2]

    def strava(self, **arguments: Any) -> Strava:
        arguments.setdefault("token_store", self.store)
        arguments.setdefault("rate_limiter", RateLimiter(clock=self.clock, random=lambda: 0.5))
        arguments.setdefault("client_id", self.emulator.client_id)
        arguments.setdefault("client_secret", self.emulator.client_secret)
        urls = {"api_url": f"{BASE}/api/v3", "oauth_url": f"{BASE}/oauth"}
        return Strava(http_client=self.http_client, **urls, **arguments)

    async def redirect(
        self, strava: Strava, athlete_id: int | None = None, *, ticked: Any = None, scope: Any = ALL_SCOPES
    ) -> str:
        """Send an athlete to the consent page; return where that sends the browser."""
        page = await strava.authorization_url(BACK, scope, state="s")
        return await self.emulator.approve(page, scope=ticked, athlete_id=athlete_id)

    async def code(self, strava: Strava, athlete_id: int | None = None, **how: Any) -> str:
        return parse_qs(urlsplit(await self.redirect(strava, athlete_id, **how)).query)["code"][0]

    async def connected(self, athlete_id: int, *, expired: bool = False, **how: Any) -> TokenSet:
        """Put an athlete's tokens into the store."""
        granted = self.emulator.grant(athlete_id, **how)
        expires_at = int(self.clock.time()) - 1 if expired else granted["expires_at"]
        token = TokenSet(
            granted["access_token"], granted["refresh_token"], expires_at, frozenset(how.get("scope", ())), athlete_id
        )
        await self.store.save(athlete_id, token)
        return token

    async def is_alive(self, token: TokenSet | None) -> bool:
        """Say whether Strava still knows a refresh token."""
        form = {
            "client_id": self.emulator.client_id,
            "client_secret": self.emulator.client_secret,
            "grant_type": "refresh_token",
            "refresh_token": token and token.refresh_token,
        }
        return (await self.http_client.post(f"{BASE}/oauth/token", data=form)).status_code == 200


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    made = Setting()
    async with made.http_client:
        yield made


async def test_a_code_becomes_tokens_in_the_store_and_a_client(setting: Setting) -> None:
    strava = setting.strava()
    client = await strava.connect(await setting.code(strava, setting.pierre))
    assert client.athlete_id == setting.pierre
    assert (await client.api.get("/athlete"))["id"] == setting.pierre
    kept = await setting.store.load(setting.pierre)
    assert kept is not None
    assert kept.athlete_id == setting.pierre
    assert kept.scope == set(ALL_SCOPES)
    assert kept.access_token == client.api.access_token


async def test_a_redirect_connects_and_its_scope_counts_where_the_answer_is_silent(setting: Setting) -> None:
    setting.emulator.quirks.scope_in_token_answer = False
    strava = setting.strava()
    url = await setting.redirect(strava, ticked=["read", "activity:read"])
    client = await strava.connect_redirect(url, state="s")
    kept = await setting.store.load(client.athlete_id)
    assert kept is not None
    assert kept.scope == {"read", "activity:read"}


async def test_a_redirect_to_another_session_is_refused_before_its_code_is_used(setting: Setting) -> None:
    strava = setting.strava()
    url = await setting.redirect(strava)
    for bad, reason in ((url, "forged"), (url.replace("state=s", "x=s"), "missing")):
        with pytest.raises(InvalidStateError) as caught:
            await strava.connect_redirect(bad, state="another")
        assert caught.value.reason == reason
    assert setting.emulator.count("POST", "/oauth/token") == 0
    assert (await strava.connect_redirect(url, state="s")).athlete_id == setting.marianne


async def test_a_refusal_is_reported(setting: Setting) -> None:
    strava = setting.strava()
    url = await setting.emulator.approve(await strava.authorization_url(BACK, state="s"), deny=True)
    with pytest.raises(InvalidStateError):
        await strava.connect_redirect(url, state="other")
    with pytest.raises(AuthorizationDeniedError) as caught:
        await strava.connect_redirect(url, state="s")
    assert caught.value.error == "access_denied"
    assert await strava.athlete_ids() == []


@pytest.mark.parametrize("scope_in_answer", [True, False])
async def test_an_unticked_scope_is_reported_and_the_tokens_are_kept(setting: Setting, scope_in_answer: bool) -> None:
    setting.emulator.quirks.scope_in_token_answer = scope_in_answer
    strava = setting.strava()
    url = await setting.redirect(strava, setting.pierre, ticked=["read"])
    with pytest.raises(MissingScopeError) as caught:
        await strava.connect_redirect(url, "read,activity:read", state="s")
    assert caught.value.missing == {"activity:read"}
    assert caught.value.athlete_id == setting.pierre
    assert await strava.athlete_ids() == [setting.pierre]
    assert (await strava.api(setting.pierre).get("/athlete"))["id"] == setting.pierre


async def test_an_unticked_scope_revokes_the_grant_if_the_caller_says_so(setting: Setting) -> None:
    strava = setting.strava()
    await strava.connect(await setting.code(strava, setting.pierre))
    before = await setting.store.load(setting.pierre)
    code = await setting.code(strava, setting.pierre, ticked=["read"])
    with pytest.raises(MissingScopeError):
        await strava.connect(code, ["activity:read"], if_missing="revoke")
    assert await strava.athlete_ids() == []
    assert not await setting.is_alive(before)


async def test_an_unticked_scope_is_reported_even_if_the_grant_cannot_be_revoked(setting: Setting) -> None:
    strava = setting.strava(retry=RetryPolicy(max_attempts=1))
    code = await setting.code(strava, setting.pierre, ticked=["read"])
    setting.emulator.faults.add(Fault.server_error(503), path="/oauth/revoke")
    with pytest.raises(MissingScopeError) as caught:
        await strava.connect(code, ["activity:read"], if_missing="revoke")
    assert caught.value.athlete_id == setting.pierre
    assert isinstance(caught.value.__cause__, ServerError)
    assert await strava.athlete_ids() == []


async def test_a_renewal_has_the_options_of_the_application_whichever_call_starts_it(setting: Setting) -> None:
    timeouts: dict[str, list[float]] = {}

    async def note(request: httpx.Request) -> None:
        timeouts.setdefault(request.url.path, []).append(request.extensions["timeout"]["read"])

    setting.http_client.event_hooks["request"].append(note)
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()
    view = setting.strava(timeout=20.0).with_options(timeout=1.0)
    await view.api(setting.marianne).get("/athlete")
    assert timeouts == {"/oauth/token": [20.0], "/api/v3/athlete": [1.0]}


async def test_scopes_that_nobody_names_are_no_reason_to_refuse(setting: Setting) -> None:
    setting.emulator.quirks.scope_in_token_answer = False
    strava = setting.strava()
    client = await strava.connect(await setting.code(strava), "activity:write")
    kept = await setting.store.load(client.athlete_id)
    assert kept is not None
    assert kept.scope == frozenset()


async def test_connecting_again_with_fewer_scopes_forgets_the_old_ones(setting: Setting) -> None:
    setting.emulator.quirks.scope_in_token_answer = False
    await setting.connected(setting.marianne, scope=ALL_SCOPES)
    strava = setting.strava()
    client = await strava.connect(await setting.code(strava))
    kept = await setting.store.load(client.athlete_id)
    assert kept is not None
    assert kept.scope == frozenset()


async def test_a_connected_athletes_client_uses_the_new_grant_at_once(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, scope=["read"])
    api = strava.api(setting.marianne)
    with pytest.raises(MissingScopeError):
        await api.get("/athlete/activities")
    await strava.connect(await setting.code(strava, setting.marianne))
    assert isinstance(await api.get("/athlete/activities"), list)


async def test_what_cannot_be_connected_is_reported_before_anything_is_sent(setting: Setting) -> None:
    strava = setting.strava()
    perhaps: Any = "perhaps"
    with pytest.raises(InputError, match="empty"):
        await strava.connect("")
    with pytest.raises(InputError, match="unknown scope"):
        await strava.connect("code", "activity:everything")
    with pytest.raises(InputError, match="keep"):
        await strava.connect("code", if_missing=perhaps)
    with pytest.raises(InputError, match="neither"):
        await strava.connect_redirect(f"{BACK}?state=s", state="s")
    assert setting.emulator.count() == 0


async def test_a_used_code_and_a_wrong_secret_have_their_errors(setting: Setting) -> None:
    strava = setting.strava()
    code = await setting.code(strava)
    await strava.connect(code)
    with pytest.raises(InvalidGrantError):
        await strava.connect(code)
    with pytest.raises(InvalidClientError):
        await setting.strava(client_secret="wrong").connect(await setting.code(strava))


async def test_a_full_application_is_reported(setting: Setting) -> None:
    strava = setting.strava()
    code = await setting.code(strava, setting.marianne)
    setting.emulator.application().athlete_capacity = 0
    with pytest.raises(AthleteCapacityError):
        await strava.connect(code)


async def test_an_answer_without_an_athlete_costs_one_request_to_know_whose_it_is(setting: Setting) -> None:
    strava = setting.strava()
    code = await setting.code(strava, setting.pierre)
    setting.transport.hides_athlete = True
    assert (await strava.connect(code)).athlete_id == setting.pierre
    assert setting.emulator.count("GET", "/athlete") == 1


async def test_tokens_that_the_store_does_not_take_at_connecting_are_not_lost(setting: Setting) -> None:
    strava = setting.strava()
    code = await setting.code(strava)
    setting.store.full = True
    with pytest.raises(TokenStoreError):
        await strava.connect(code)
    gc.collect()
    with pytest.raises(TokenStoreError):
        await strava.api(setting.marianne).get("/athlete")
    setting.store.full = False
    assert (await strava.api(setting.marianne).get("/athlete"))["id"] == setting.marianne
    assert await strava.athlete_ids() == [setting.marianne]


async def test_closing_offers_the_store_once_more_what_it_did_not_take(setting: Setting) -> None:
    strava = setting.strava()
    old = await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()
    setting.store.full = True
    with pytest.raises(TokenStoreError):
        await strava.api(setting.marianne).get("/athlete")
    with pytest.raises(TokenStoreError):
        await strava.aclose()
    setting.store.full = False
    await strava.aclose()
    kept = await setting.store.load(setting.marianne)
    assert kept is not None
    assert kept.refresh_token != old.refresh_token
    assert await setting.is_alive(kept)


async def test_a_hundred_callers_of_an_athlete_cause_one_refresh(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()
    results = await at_once(100, lambda: strava.api(setting.marianne).get("/athlete"))
    assert [result["id"] for result in results if isinstance(result, dict)] == [setting.marianne] * 100
    assert setting.emulator.count("POST", "/oauth/token") == 1


async def test_two_objects_over_one_store_cause_one_refresh(setting: Setting) -> None:
    objects = [setting.strava() for _ in range(4)]
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()

    async def one_of_each() -> None:
        for strava in objects:
            await strava.api(setting.marianne).get("/athlete")

    assert await at_once(25, one_of_each) == [None] * 25
    assert setting.emulator.count("POST", "/oauth/token") == 1


async def test_athletes_do_not_wait_for_each_others_renewals(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, expired=True)
    await setting.connected(setting.pierre)
    async with setting.store.lock(setting.marianne), anyio.create_task_group() as tasks:
        tasks.start_soon(strava.api(setting.marianne).get, "/athlete")
        await anyio.wait_all_tasks_blocked()
        assert (await strava.api(setting.pierre).get("/athlete"))["id"] == setting.pierre
        tasks.cancel_scope.cancel()
    await strava.aclose()


async def test_a_scope_known_to_be_missing_costs_no_request(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, scope=["read", "activity:read"])
    api = strava.api(setting.marianne)
    for call in (
        api.post("/activities", name="Run", sport_type="Run", start_date_local="2026-01-01T00:00:00Z", elapsed_time=1),
        api.put("/athlete", weight=70.0),
        api.get("/athlete/zones"),
        api.get("/uploads/{id}", id=5, check_for_errors=False),
    ):
        with pytest.raises(MissingScopeError):
            await call
    assert setting.emulator.count() == 0
    assert strava.quota.read_15min.reserved == 0
    assert isinstance(await api.get("/athlete/activities"), list)


async def test_a_scope_is_checked_before_the_wait_for_quota(setting: Setting) -> None:
    strava = setting.strava(max_wait=0.0)
    await setting.connected(setting.marianne, scope=["read"])
    api = strava.api(setting.marianne)
    await api.get("/athlete")
    setting.emulator.spend(10_000)
    with pytest.raises(MissingScopeError):
        await api.get("/athlete/activities")


async def test_an_athlete_who_is_not_connected_costs_no_quota(setting: Setting) -> None:
    strava = setting.strava()
    with pytest.raises(InvalidGrantError, match=f"athlete {setting.marianne} is not connected"):
        await strava.api(setting.marianne).get("/athlete")
    assert setting.emulator.count() == 0
    assert strava.quota.read_15min.reserved == 0


@pytest.mark.parametrize("bad", [0, -1, True, "5", 1.0, None])
async def test_what_is_no_athlete_id_is_reported_at_once(setting: Setting, bad: Any) -> None:
    strava = setting.strava()
    for ask in (strava.api, strava.client):
        with pytest.raises(InputError, match="positive integer"):
            ask(bad)
    for act in (strava.disconnect, strava.forget):
        with pytest.raises(InputError, match="positive integer"):
            await act(bad)


async def test_disconnecting_revokes_and_deletes(setting: Setting) -> None:
    strava = setting.strava()
    client = await strava.connect(await setting.code(strava))
    kept = await setting.store.load(client.athlete_id)
    await strava.disconnect(client.athlete_id)
    assert await strava.athlete_ids() == []
    assert not await setting.is_alive(kept)
    with pytest.raises(InvalidGrantError, match="not connected"):
        await client.api.get("/athlete")
    await strava.disconnect(client.athlete_id)
    assert setting.emulator.count("POST", "/oauth/revoke") == 1


async def test_an_invalid_grant_can_be_disconnected(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.disconnect(setting.marianne)
    with pytest.raises(InvalidGrantError):
        await strava.api(setting.marianne).get("/athlete")
    await strava.disconnect(setting.marianne)
    assert await strava.athlete_ids() == []


async def test_tokens_stay_where_strava_could_not_be_told(setting: Setting) -> None:
    strava = setting.strava(retry=RetryPolicy(max_attempts=1))
    await setting.connected(setting.marianne)
    setting.emulator.faults.add(Fault.server_error(503), path="/oauth/revoke")
    with pytest.raises(ServerError):
        await strava.disconnect(setting.marianne)
    assert await strava.athlete_ids() == [setting.marianne]
    with pytest.raises(InvalidClientError):
        await setting.strava(client_secret="wrong").disconnect(setting.marianne)
    assert await strava.athlete_ids() == [setting.marianne]
    await strava.disconnect(setting.marianne)


async def test_disconnecting_revokes_what_only_this_object_has(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()
    setting.store.full = True
    api = strava.api(setting.marianne)
    with pytest.raises(TokenStoreError):
        await api.get("/athlete")
    in_hand = api.tokens.token
    await strava.disconnect(setting.marianne)
    assert not await setting.is_alive(in_hand)
    await strava.aclose()
    assert await setting.store.athlete_ids() == []


async def test_forgetting_asks_nobody(setting: Setting) -> None:
    strava = setting.strava()
    token = await setting.connected(setting.marianne)
    await strava.forget(setting.marianne)
    assert await strava.athlete_ids() == []
    assert setting.emulator.count() == 0
    assert await setting.is_alive(token)


async def test_two_applications_share_neither_quota_nor_tokens(setting: Setting) -> None:
    other = setting.emulator.register_application(limits=ROOMY)
    first = setting.strava(token_store=MemoryTokenStore())
    second = setting.strava(
        token_store=MemoryTokenStore(), client_id=other.client_id, client_secret=other.client_secret
    )
    for strava in (first, second):
        await strava.connect(await setting.code(strava, setting.marianne))
    setting.clock.advance(6 * 3600)  # both renew, each with its own credentials

    async def use(strava: Strava, times: int) -> None:
        for _ in range(times):
            await strava.api(setting.marianne).get("/athlete")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use, first, 7)
        tasks.start_soon(use, second, 3)
    assert (first.quota.read_15min.usage, second.quota.read_15min.usage) == (7, 3)
    kept = [await strava.token_store.load(setting.marianne) for strava in (first, second)]
    assert kept[0] is not None
    assert kept[1] is not None
    assert kept[0].access_token != kept[1].access_token
    await first.disconnect(setting.marianne)
    await use(second, 1)
    with pytest.raises(InvalidGrantError):
        await use(first, 1)


async def test_athletes_cost_memory_only_while_in_use(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne)
    in_use = [strava.api(athlete_id) for athlete_id in range(1, 10_001)]
    in_use.append(strava.api(setting.marianne))
    await in_use[-1].get("/athlete")
    tokens = [weakref.ref(api.tokens) for api in in_use]
    gc.disable()
    try:
        in_use.clear()
        assert not any(token() for token in tokens)  # at once, without the help of the garbage collector
    finally:
        gc.enable()


async def test_a_source_is_not_forgotten_for_a_minute_that_was_given_an_invalid_token(setting: Setting) -> None:
    strava = setting.strava(retry=RetryPolicy(max_attempts=1))
    await setting.connected(setting.marianne, expired=True)
    setting.transport.token_life = -100
    for _ in range(5):
        with pytest.raises(UnauthorizedError):
            await strava.api(setting.marianne).get("/athlete")  # as in a service: anew in each request
    assert setting.transport.renewals == 1
    tokens = weakref.ref(strava.api(setting.marianne).tokens)
    setting.clock.advance(61.0)
    await setting.connected(setting.pierre, expired=True)
    gc.collect()
    setting.transport.token_life = None
    await strava.api(setting.pierre).get("/athlete")
    assert tokens() is None
    await strava.api(setting.marianne).get("/athlete")


async def test_all_apis_of_an_athlete_share_their_tokens(setting: Setting) -> None:
    strava = setting.strava()
    api = strava.api(setting.marianne)
    assert strava.api(setting.marianne).tokens is api.tokens
    assert strava.client(setting.marianne).api.with_options(timeout=1.0).tokens is api.tokens
    assert strava.api(setting.pierre).tokens is not api.tokens


async def test_closing_an_athletes_api_leaves_the_pool_to_the_others(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne)
    await setting.connected(setting.pierre)
    async with strava.api(setting.marianne) as api:
        await api.get("/athlete")
    await strava.api(setting.pierre).get("/athlete")


async def test_use_after_closing_is_a_sentence(setting: Setting) -> None:
    await setting.connected(setting.marianne)
    async with setting.strava() as strava:
        client = strava.client(setting.marianne)
        await client.api.get("/athlete")
    for ask in (strava.api, strava.client):
        with pytest.raises(InputError, match="closed"):
            ask(setting.marianne)
    for act in (strava.disconnect, strava.forget):
        with pytest.raises(InputError, match="closed"):
            await act(setting.marianne)
    for wait in (strava.connect("code"), strava.athlete_ids(), client.api.get("/athlete"), strava.__aenter__()):
        with pytest.raises(InputError, match="closed"):
            await wait
    await strava.aclose()


@asynccontextmanager
async def held(store: MemoryTokenStore, athlete_id: int) -> AsyncGenerator[anyio.Event, None]:
    """Let another process hold the athlete's lock until the event is set."""
    release = anyio.Event()

    async def hold() -> None:
        async with store.lock(athlete_id):
            await release.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await anyio.wait_all_tasks_blocked()
        yield release


async def cancel_while_waiting(work: Callable[[], Awaitable[object]], release: anyio.Event) -> None:
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            await work()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        release.set()


async def test_a_cancelled_connection_is_carried_to_its_end(setting: Setting) -> None:
    strava = setting.strava()
    code = await setting.code(strava, setting.marianne)
    async with held(setting.store, setting.marianne) as release:
        await cancel_while_waiting(lambda: strava.connect(code), release)  # the code is used up, nothing is saved
    await strava.aclose()
    kept = await setting.store.load(setting.marianne)
    assert await setting.is_alive(kept)


async def test_a_cancelled_disconnection_is_not_left_half_done(setting: Setting) -> None:
    strava = setting.strava()
    token = await setting.connected(setting.marianne)
    async with held(setting.store, setting.marianne) as release:
        await cancel_while_waiting(lambda: strava.disconnect(setting.marianne), release)
    await strava.aclose()
    is_kept = await setting.store.load(setting.marianne) is not None
    assert await setting.is_alive(token) is is_kept


async def test_what_claims_to_be_a_revocation_is_confirmed_before_anything_is_deleted(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne)
    spent = setting.emulator.meters_of().usage(setting.clock.time())
    assert await strava.forget_if_revoked(setting.marianne) is False
    assert await strava.is_connected(setting.marianne)
    setting.emulator.disconnect(setting.marianne)
    assert await strava.forget_if_revoked(setting.marianne) is True
    assert not await strava.is_connected(setting.marianne)
    assert setting.emulator.count("POST", "/oauth/token") == 2
    assert setting.emulator.meters_of().usage(setting.clock.time()) == spent


async def test_without_tokens_there_is_nothing_to_forget_and_nobody_is_asked(setting: Setting) -> None:
    strava = setting.strava()
    assert await strava.forget_if_revoked(setting.marianne) is False
    assert setting.emulator.count() == 0


async def test_a_confirmation_keeps_what_it_rotated(setting: Setting) -> None:
    strava = setting.strava()
    before = await setting.connected(setting.marianne, expires_in=60)
    assert await strava.forget_if_revoked(setting.marianne) is False
    kept = await setting.store.load(setting.marianne)
    assert kept is not None
    assert kept.refresh_token != before.refresh_token
    assert await setting.is_alive(kept)


async def test_a_revocation_that_cannot_be_confirmed_deletes_nothing(setting: Setting) -> None:
    strava = setting.strava(retry=RetryPolicy(max_attempts=1))
    await setting.connected(setting.marianne)
    setting.emulator.disconnect(setting.marianne)
    setting.emulator.faults.add(Fault.server_error(503), path="/oauth/token")
    with pytest.raises(ServerError):
        await strava.forget_if_revoked(setting.marianne)
    with pytest.raises(InvalidClientError):
        await setting.strava(client_secret="wrong").forget_if_revoked(setting.marianne)
    assert await strava.is_connected(setting.marianne)
    assert await strava.forget_if_revoked(setting.marianne) is True


async def test_who_connects_while_a_revocation_is_confirmed_stays_connected(setting: Setting) -> None:
    strava, other = setting.strava(), setting.strava()
    await setting.connected(setting.marianne)
    setting.emulator.disconnect(setting.marianne)
    code = await setting.code(other, setting.marianne)
    outcome: list[bool] = []

    async def confirm() -> None:
        outcome.append(await strava.forget_if_revoked(setting.marianne))

    async with held(setting.store, setting.marianne) as release, anyio.create_task_group() as tasks:
        tasks.start_soon(confirm)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(other.connect, code)
        await anyio.wait_all_tasks_blocked()
        release.set()
    assert await setting.store.load(setting.marianne) is not None
    assert (await other.api(setting.marianne).get("/athlete"))["id"] == setting.marianne
    assert (await strava.api(setting.marianne).get("/athlete"))["id"] == setting.marianne


async def test_calls_for_an_athlete_whose_revocation_is_confirmed_fail(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.disconnect(setting.marianne)
    api = strava.api(setting.marianne)
    outcomes = await at_once(5, lambda: strava.forget_if_revoked(setting.marianne))
    assert sorted(outcomes, key=bool) == [False] * 4 + [True]  # one of them ended it
    with pytest.raises(InvalidGrantError, match="not connected"):
        await api.get("/athlete")


async def test_a_view_that_is_closed_closes_all(setting: Setting) -> None:
    await setting.connected(setting.marianne)
    strava = setting.strava()
    view = strava.with_options(max_wait=1.0)
    assert (await view.api(setting.marianne).get("/athlete"))["id"] == setting.marianne
    assert view.api(setting.marianne).tokens is strava.api(setting.marianne).tokens
    await view.aclose()
    with pytest.raises(InputError, match="closed"):
        strava.api(setting.marianne)


async def test_states_are_good_in_every_process_and_under_no_other_secret(setting: Setting) -> None:
    state = setting.strava().state_signer().sign("/rides", session="a browser")
    assert setting.strava().state_signer().verify(state, session="a browser") == "/rides"
    with pytest.raises(InvalidStateError):
        setting.strava(client_secret="another").state_signer().verify(state, session="a browser")
    setting.clock.advance(601)
    with pytest.raises(InvalidStateError, match="expired"):
        setting.strava().state_signer().verify(state, session="a browser")


@pytest.mark.parametrize("arguments", [{"client_id": ""}, {"client_secret": ""}, {"client_secret": "secret\n"}])
async def test_credentials_that_cannot_be_right_are_reported(setting: Setting, arguments: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        setting.strava(**arguments)
    assert "secret\n" not in str(caught.value)


async def test_nothing_shown_holds_a_secret(setting: Setting) -> None:
    strava = setting.strava()
    client = await strava.connect(await setting.code(strava))
    await client.api.get("/athlete")
    token = client.api.tokens.token
    shown = "".join(map(repr, (strava, client, client.api, client.api.tokens, strava.token_store)))
    assert token.refresh_token
    for secret in (setting.emulator.client_secret, token.access_token, token.refresh_token):
        assert secret not in shown


async def test_connecting_again_keeps_pending_tokens_that_are_not_in_the_store(setting: Setting) -> None:
    strava = setting.strava()
    await strava.connect(await setting.code(strava))
    setting.clock.advance(6 * 3600)
    setting.store.full = True
    api = strava.api(setting.marianne)
    with pytest.raises(TokenStoreError):
        await api.get("/athlete")
    setting.store.full = False
    await strava.connect(await setting.code(strava))
    await strava.aclose()
    assert await setting.is_alive(await setting.store.load(setting.marianne))


async def test_connecting_again_keeps_what_another_process_has_forgotten(setting: Setting) -> None:
    strava = setting.strava()
    client = await strava.connect(await setting.code(strava))
    await client.api.get("/athlete")
    await setting.strava().forget(setting.marianne)
    await strava.connect(await setting.code(strava))
    assert await strava.athlete_ids() == [setting.marianne]


@pytest.mark.parametrize("is_connected", [True, False])
async def test_a_lock_that_cannot_be_had_at_connecting_loses_no_grant(setting: Setting, is_connected: bool) -> None:
    strava = setting.strava()
    if is_connected:
        await strava.connect(await setting.code(strava))
        setting.clock.advance(6 * 3600)
    code = await setting.code(strava)
    setting.store.locked = True
    with pytest.raises(TokenStoreError):
        await strava.connect(code)
    gc.collect()
    setting.store.locked = False
    assert (await strava.api(setting.marianne).get("/athlete"))["id"] == setting.marianne
    assert await setting.is_alive(await setting.store.load(setting.marianne))


async def test_a_cancelled_connection_that_is_to_be_revoked_is_not_left_half_done(setting: Setting) -> None:
    strava = setting.strava()
    await strava.connect(await setting.code(strava))
    code = await setting.code(strava, setting.marianne, ticked=["read"])
    async with held(setting.store, setting.marianne) as release:

        async def connect() -> None:
            with suppress(MissingScopeError):
                await strava.connect(code, "activity:read", if_missing="revoke")

        await cancel_while_waiting(connect, release)
    await strava.aclose()
    assert await setting.store.athlete_ids() == []
    assert setting.emulator.count("POST", "/oauth/revoke") == 1


async def test_disconnecting_revokes_the_newer_grant_of_another_process(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()
    setting.store.full = True
    api = strava.api(setting.marianne)
    with pytest.raises(TokenStoreError):
        await api.get("/athlete")
    setting.store.full = False
    setting.emulator.disconnect(setting.marianne)
    newer = await setting.connected(setting.marianne)  # by another process
    await strava.disconnect(setting.marianne)
    assert not await setting.is_alive(newer)
    assert api.access_token is None


async def test_superseded_pending_tokens_are_dropped(setting: Setting) -> None:
    strava = setting.strava()
    await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()
    setting.store.full = True
    with pytest.raises(TokenStoreError):
        await strava.api(setting.marianne).get("/athlete")
    setting.store.full = False
    await setting.connected(setting.marianne)
    api = strava.api(setting.marianne)
    await api.get("/athlete")
    tokens = weakref.ref(api.tokens)
    del api
    gc.collect()
    assert tokens() is None


async def test_an_athletes_api_leaves_connecting_and_disconnecting_to_its_application(setting: Setting) -> None:
    strava = setting.strava()
    client = await strava.connect(await setting.code(strava))
    code = await setting.code(strava, setting.pierre)
    with pytest.raises(InputError, match=r"Strava\.connect"):
        await client.api.exchange_code_for_token(setting.emulator.client_id, setting.emulator.client_secret, code)
    with pytest.raises(InputError, match=r"Strava\.disconnect"):
        await client.api.revoke()
    assert (await client.api.get("/athlete"))["id"] == setting.marianne


async def test_closing_a_pool_waits_for_every_answer_with_tokens(setting: Setting) -> None:
    urls = {"api_url": f"{BASE}/api/v3", "oauth_url": f"{BASE}/oauth"}
    credentials = {"client_id": setting.emulator.client_id, "client_secret": setting.emulator.client_secret}
    token = await setting.connected(setting.marianne, expired=True)
    setting.emulator.expire_access_tokens()
    saved: list[TokenSet] = []
    order: list[str] = []
    setting.transport.hold = anyio.Event()

    async def close() -> None:
        await api.aclose()
        order.append(f"closed, {len(saved)} saved")

    api = ApiV3(http_client=setting.http_client, rate_limiter=Unlimited(clock=setting.clock), **urls, **credentials)
    view = api.with_tokens(TokenSource(token, on_refresh=saved.append, clock=setting.clock))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(at_once, 1, lambda: view.get("/athlete"))
        await anyio.wait_all_tasks_blocked()  # Strava has answered, the answer is on its way
        tasks.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        order.append("the answer comes")
        setting.transport.hold.set()
    assert order == ["the answer comes", "closed, 1 saved"]
    assert await setting.is_alive(saved[0])


async def test_a_pool_that_is_closing_sends_no_further_request_for_tokens(setting: Setting) -> None:
    urls = {"api_url": f"{BASE}/api/v3", "oauth_url": f"{BASE}/oauth"}
    credentials = {"client_id": setting.emulator.client_id, "client_secret": setting.emulator.client_secret}
    marianne = await setting.connected(setting.marianne, expired=True)
    pierre = await setting.connected(setting.pierre, expired=True)
    setting.emulator.expire_access_tokens()
    before = setting.emulator.count("POST", "/oauth/token")
    setting.transport.hold = anyio.Event()
    api = ApiV3(http_client=setting.http_client, rate_limiter=Unlimited(clock=setting.clock), **urls, **credentials)
    first, second = (api.with_tokens(TokenSource(token, clock=setting.clock)) for token in (marianne, pierre))
    refused: list[object] = []

    async def renew(view: ApiV3) -> None:
        refused.extend(await at_once(1, lambda: view.tokens.renew(view.access_token)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(at_once, 1, lambda: first.get("/athlete"))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(api.aclose)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(renew, second)
        await anyio.wait_all_tasks_blocked()
        assert [str(error) for error in refused] == ["the HTTP client is closed; make a new one"]
        setting.transport.hold.set()
    assert setting.emulator.count("POST", "/oauth/token") == before + 1


async def test_closing_waits_until_renewed_tokens_are_saved(setting: Setting) -> None:
    urls = {"api_url": f"{BASE}/api/v3", "oauth_url": f"{BASE}/oauth"}
    credentials = {"client_id": setting.emulator.client_id, "client_secret": setting.emulator.client_secret}
    token = await setting.connected(setting.marianne, expired=True)
    order: list[str] = []
    disk = anyio.Event()

    async def save(_: TokenSet) -> None:
        await disk.wait()
        order.append("saved")

    async def close() -> None:
        await api.aclose()
        order.append("closed")

    tokens = TokenSource(token, on_refresh=save, clock=setting.clock)
    limiter = Unlimited(clock=setting.clock)
    api = ApiV3(http_client=setting.http_client, rate_limiter=limiter, tokens=tokens, **urls, **credentials)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(at_once, 1, lambda: api.tokens.renew(api.access_token))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        disk.set()
    assert order == ["saved", "closed"]


async def test_closing_waits_for_a_disconnect_and_lets_no_further_operation_begin(setting: Setting) -> None:
    strava = setting.strava()
    token = await setting.connected(setting.marianne)
    order: list[str] = []
    setting.store.busy = anyio.Event()

    async def disconnect() -> None:
        await strava.disconnect(setting.marianne)
        order.append("disconnected")

    async def close() -> None:
        await strava.aclose()
        order.append("closed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(disconnect)
        await anyio.wait_all_tasks_blocked()  # another process has the lock
        tasks.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(InputError, match="this Strava object is closed"):
            strava.api(setting.pierre)
        setting.store.busy.set()
    assert order == ["disconnected", "closed"]
    assert not await setting.is_alive(token)


async def test_a_grant_that_comes_amid_a_renewal_and_finds_the_store_shut_is_not_lost(setting: Setting) -> None:
    accounts = Accounts(setting.store, setting.clock)
    await setting.store.save(7, TokenSet("a0", "r0", 1))
    gate = anyio.Event()

    async def refresh(_: TokenSet) -> AccessInfo:
        await gate.wait()
        return AccessInfo(access_token="a1", refresh_token="r1", expires_at=4_000_000_000)

    async def connect() -> None:
        with pytest.raises(TokenStoreError):
            await accounts.connect(7, AccessInfo(access_token="b0", refresh_token="s0", expires_at=4_000_000_000), "")

    source = accounts.source(7)
    source.refresh = refresh
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(source.bearer)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(connect)
        await anyio.wait_all_tasks_blocked()
        setting.store.locked = True
        gate.set()
    del source
    gc.collect()
    setting.store.locked = False
    assert await accounts.source(7).bearer() == "b0"
    kept = await setting.store.load(7)
    assert kept is not None
    assert kept.refresh_token == "s0"


@pytest.mark.parametrize("stage", ["strava answers", "another process has the lock"])
def test_a_grant_is_kept_although_the_event_loop_ends_while_it_is_connected(stage: str) -> None:
    kept: list[FussyStore] = []

    async def main() -> None:
        setting = Setting()
        kept.append(setting.store)
        strava = setting.strava()
        code = await setting.code(strava, setting.marianne)
        busy = setting.transport.hold = anyio.Event()
        if stage != "strava answers":
            setting.transport.hold, setting.store.busy = None, busy
        caller = asyncio.create_task(strava.connect(code))
        while not setting.emulator.count("POST", "/oauth/token"):
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        asyncio.get_running_loop().call_soon(busy.set)
        caller.cancel()

    asyncio.run(main())
    assert len(anyio.run(kept[0].athlete_ids)) == 1


def test_an_application_that_is_prepared_loads_nothing_afterwards() -> None:
    script = """
import asyncio, sys
from strava_async import Strava
async def main():
    async with Strava(7, "s") as strava:
        await strava.prepare()
        assert "pydantic" in sys.modules
        before = set(sys.modules)
        strava.client(9).activities
        assert set(sys.modules) == before
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", script], check=True)
