"""What the routes of a service share, through ASGI."""

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import strava_async.fastapi
from strava_async import (
    InputError,
    MemoryTokenStore,
    QuotaExceededError,
    RateLimitedError,
    RetryPolicy,
    Strava,
    TokenSet,
    TokenStore,
)
from strava_async.fastapi import (
    AccessLogFilter,
    AthleteDep,
    AthleteIdDep,
    Sessions,
    StravaDep,
    StravaLifespan,
    athlete_of,
    exception_handlers,
    kit_of,
)
from strava_async.quota.values import Priority
from strava_async.testing import Emulator, FakeClock, MeterLimits

pytestmark = pytest.mark.anyio

SERVICE = "https://service.test"


class Service:
    """A service over an emulator, and a browser."""

    def __init__(self, emulator: Emulator, strava: Strava, browser: httpx.AsyncClient) -> None:
        self.emulator = emulator
        self.strava = strava
        self.browser = browser

    async def connect(self) -> int:
        """Give the service an athlete's tokens without a page."""
        granted = self.emulator.grant()
        athlete_id = self.emulator.athlete_ids[0]
        token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
        await self.strava.token_store.save(athlete_id, token)
        return athlete_id

    async def sign_in(self, athlete_id: int) -> httpx.Response:
        if not await self.strava.is_connected(athlete_id):
            await self.strava.token_store.save(athlete_id, TokenSet("access", generation="first"))
        return await self.browser.post(f"/sign-in/{athlete_id}")


def routes(app: FastAPI) -> None:
    @app.post("/sign-in/{athlete_id}")
    async def sign_in(athlete_id: int, request: Request) -> Response:
        response = Response()
        await kit_of(request).signed_in.sign_in(request, response, athlete_id)
        return response

    @app.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        response = Response()
        kit_of(request).sessions.sign_out(response)
        return response

    @app.get("/who")
    async def who(athlete_id: AthleteIdDep) -> int:
        return athlete_id

    @app.get("/name")
    async def name(athlete: AthleteDep) -> str | None:
        return (await athlete.athlete.get()).firstname

    @app.get("/clubs/{club_id}")
    async def club(club_id: int, athlete: AthleteDep) -> str | None:
        return (await athlete.clubs.get(club_id)).name

    @app.get("/wait")
    async def wait(strava: StravaDep, athlete_id: AthleteIdDep) -> dict[str, Any]:
        options = strava.client(athlete_id).api._options
        shown = {
            "priority": options.priority.name,
            "max_wait": options.max_wait,
            "timeout": options.timeout,
            "total": options.total,
        }
        return {**shown, "attempts": options.retry.max_attempts}

    @app.get("/too-fast")
    async def too_fast(strava: StravaDep) -> None:
        raise RateLimitedError(status_code=429, resume_at=strava.clock.time() + 700)


@asynccontextmanager
async def service(
    emulator: Emulator | None = None, store: TokenStore | None = None, **options: Any
) -> AsyncIterator[Service]:
    emulator = emulator or Emulator(years=0.1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        strava = Strava(
            emulator.client_id,
            emulator.client_secret,
            token_store=store,
            http_client=http_client,
            clock=emulator.clock,
        )
        app = FastAPI(lifespan=StravaLifespan(strava, **options), exception_handlers=exception_handlers)
        routes(app)
        async with app.router.lifespan_context(app) as state, browser(app, state or {}) as window:
            yield Service(emulator, strava, window)


def browser(app: Any, state: Any) -> httpx.AsyncClient:
    """Return a browser; as a server does, it hands each request a copy of the state of the lifespan."""

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url=SERVICE)


async def test_nobody_is_signed_in_at_first() -> None:
    async with service() as here:
        answer = await here.browser.get("/name")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"]
    assert answer.json()["title"] == "Not connected"


async def test_the_athlete_who_signed_in_is_the_one_whose_client_the_route_gets() -> None:
    async with service(Emulator(years=0.1, athletes=2)) as here:
        athlete_id = await here.connect()
        await here.sign_in(athlete_id)
        assert (await here.browser.get("/who")).json() == athlete_id
        assert (await here.browser.get("/name")).json() == here.emulator.world(athlete_id).profile["firstname"]


async def test_the_cookie_is_for_this_site_alone_and_for_no_script() -> None:
    async with service() as here:
        cookie = (await here.sign_in(7)).headers["set-cookie"]
    assert cookie.startswith("__Host-strava_athlete=")
    assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/"} <= set(cookie.split("; "))
    assert f"Max-Age={30 * 86_400}" in cookie


async def test_who_signed_out_is_nobody() -> None:
    async with service() as here:
        await here.sign_in(7)
        await here.browser.post("/sign-out")
        assert (await here.browser.get("/who")).status_code == 401


@pytest.mark.parametrize("forged", ["7", "", "a.b", "AAAA", "é"])
async def test_a_cookie_that_is_not_ours_is_nobodys(forged: str) -> None:
    async with service() as here:
        headers = {"cookie": f"__Host-strava_athlete={forged}".encode("latin-1")}
        assert (await here.browser.get("/who", headers=headers)).status_code == 401


COOKIE = "__Host-strava_athlete"


@pytest.mark.parametrize("purpose", ["", "question"])
@pytest.mark.parametrize("session", ["", "signed-in athlete", "session", "strava_athlete", COOKIE])
async def test_a_state_is_no_session_whatever_its_session_text(session: str, purpose: str) -> None:
    async with service() as here:
        state = here.strava.state_signer(purpose=purpose).sign("7", session=session)
        for name in ("strava_athlete", COOKIE):
            for site in (SERVICE, "http://service.test"):
                answer = await here.browser.get(f"{site}/who", headers={"cookie": f"{name}={state}"})
                assert answer.status_code == 401


LARGEST = 2**63 - 1


@pytest.mark.parametrize("athlete_id", ["0", "-1", str(2**63), "1e3", "", "x", " 7", "07", "\u0667", "9" * 1000])
async def test_what_is_no_athletes_id_is_nobodys(athlete_id: str) -> None:
    async with service() as here:
        await here.sign_in(LARGEST)
        for signed, status in ((athlete_id, 401), (str(LARGEST), 200)):
            state = here.strava.state_signer(purpose="session").sign(f"{signed} first", session=f"{COOKIE} {SERVICE}")
            answer = await here.browser.get("/who", headers={"cookie": f"{COOKIE}={state}"})
            assert answer.status_code == status


async def test_a_cookie_that_another_host_could_plant_is_nobodys_on_https() -> None:
    async with service() as here:
        await here.sign_in(7)
        here.browser.cookies.clear()
        signer = here.strava.state_signer(purpose="session")
        for name in ("strava_athlete", COOKIE):
            for site in (SERVICE, "http://service.test"):
                fields = {"cookie": f"strava_athlete={signer.sign('7 first', session=f'{name} {site}')}"}
                assert (await here.browser.get("/who", headers=fields)).status_code == 401
        fields = {"cookie": f"strava_athlete={signer.sign('7 first', session='strava_athlete http://service.test')}"}
        assert (await here.browser.get("http://service.test/who", headers=fields)).json() == 7


async def test_the_cookie_can_have_another_name() -> None:
    async with service(cookie_name="rider") as here:
        assert (await here.sign_in(7)).headers["set-cookie"].startswith("__Host-rider=")
        assert (await here.browser.get("/who")).json() == 7


@pytest.mark.parametrize(
    "options",
    [{"session_seconds": 0.5}, {"session_seconds": 0}, {"session_seconds": float("inf")}, {"session_seconds": -1}]
    + [{"cookie_name": name} for name in ("", "a b", "a=b", "\xe9", "__Host-mine", "a;")],
)
def test_invalid_arguments_are_reported_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        StravaLifespan(Strava(1, "secret"), **options)


def test_a_session_of_less_than_a_second_is_refused() -> None:
    signer = Strava(1, "secret").state_signer(purpose="session")
    for seconds in (0.5, 0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="a second at least"):
            Sessions(signer, max_age_seconds=seconds)


async def test_a_session_ends() -> None:
    clock = FakeClock()
    async with service(Emulator(years=0.1, clock=clock), session_seconds=3_600) as here:
        await here.sign_in(7)
        clock.advance(3_599)
        assert (await here.browser.get("/who")).json() == 7
        clock.advance(2)
        assert (await here.browser.get("/who")).status_code == 401


async def test_another_process_of_the_service_knows_the_browser() -> None:
    emulator, store = Emulator(years=0.1), MemoryTokenStore()
    async with service(emulator, store) as one, service(emulator, store) as other:
        await one.sign_in(7)
        other.browser.cookies.update(one.browser.cookies)
        assert (await other.browser.get("/who")).json() == 7


async def test_a_secret_of_the_services_own_signs_too_and_can_be_replaced() -> None:
    emulator, old, new = Emulator(years=0.1), "an old secret of 16", "a new secret of 16 b"
    store = MemoryTokenStore()
    async with service(emulator, store, secret=old) as before, service(emulator, store, secret=[new, old]) as after:
        await before.sign_in(7)
        after.browser.cookies.update(before.browser.cookies)
        assert (await after.browser.get("/who")).json() == 7
    async with service(emulator, store, secret=new) as later:
        later.browser.cookies.update(before.browser.cookies)
        assert (await later.browser.get("/who")).status_code == 401


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_service_with_users_of_its_own_says_who_it_is(asynchronous: bool) -> None:
    async def later(connection: Any) -> int | None:
        return 9 if "x-user" in connection.headers else None

    def at_once(connection: Any) -> int | None:
        return 9 if "x-user" in connection.headers else None

    async with service(identify=later if asynchronous else at_once) as here:
        assert (await here.browser.get("/who", headers={"x-user": "me"})).json() == 9
        assert (await here.browser.get("/who")).status_code == 401


async def test_web_requests_go_first_and_do_not_wait() -> None:
    async with service() as here:
        await here.sign_in(7)
        seen = (await here.browser.get("/wait")).json()
        assert seen == {"priority": "INTERACTIVE", "max_wait": 2.0, "timeout": 10.0, "total": 20.0, "attempts": 2}
    async with service(
        priority=Priority.NORMAL, max_wait=None, timeout=5.0, total=7.0, retry=RetryPolicy(max_attempts=3)
    ) as here:
        await here.sign_in(7)
        seen = (await here.browser.get("/wait")).json()
        assert seen == {"priority": "NORMAL", "max_wait": None, "timeout": 5.0, "total": 7.0, "attempts": 3}
    async with service(timeout=None, total=None, retry=None) as here:
        await here.sign_in(7)
        seen = (await here.browser.get("/wait")).json()
        assert (seen["timeout"], seen["total"], seen["attempts"]) == (30.0, None, 4)


async def test_a_429_says_when_to_come_back_by_the_applications_clock() -> None:
    async with service(Emulator(years=0.1, clock=FakeClock())) as here:
        answer = await here.browser.get("/too-fast")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "700")


async def test_a_web_request_does_not_sleep_until_the_next_window() -> None:
    clock = FakeClock()
    emulator = Emulator(years=0.1, clock=clock, limits=MeterLimits(read_15min=1))
    async with service(emulator) as here:
        await here.sign_in(await here.connect())
        assert (await here.browser.get("/name")).status_code == 200
        before = clock.time()
        answer = await here.browser.get("/name")
        assert (answer.status_code, clock.time()) == (503, before)
    assert 0 < int(answer.headers["retry-after"]) <= 905
    assert len(emulator.requests) == 1


async def test_a_suite_starts_the_service_more_than_once_as_the_page_shows() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "fastapi.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page.partition("\n## Tests\n")[2], re.M | re.S)
    names: dict[str, Any] = {name: getattr(strava_async.fastapi, name) for name in strava_async.fastapi.__all__}
    names |= {"FastAPI": FastAPI, "Strava": Strava}
    names |= {"AsyncGenerator": AsyncGenerator, "asynccontextmanager": asynccontextmanager}
    exec(compile(block, "fastapi.md", "exec"), names)
    for _ in range(2):
        async with names["browser_of"](names["make_app"](Strava(1, "secret"))) as window:
            assert (await window.get("/strava/connect")).status_code == 303


async def test_the_application_is_closed_with_the_service_and_not_before() -> None:
    async with service() as here:
        assert await here.strava.athlete_ids() == []
    with pytest.raises(InputError, match="closed"):
        here.strava.api(7)


async def test_a_lifespan_that_is_entered_twice_closes_the_application_once_both_have_ended() -> None:
    strava = Strava(1, "secret")
    lifespan = StravaLifespan(strava)
    async with lifespan(None):
        async with lifespan(None):
            pass
        assert await strava.athlete_ids() == []
    with pytest.raises(InputError, match="closed"):
        await strava.athlete_ids()
    with pytest.raises(InputError, match="closed"):
        async with lifespan(None):
            raise AssertionError


async def test_a_lifespan_is_refused_in_another_event_loop_and_goes_on_in_its_own() -> None:
    strava = Strava(1, "secret")
    lifespan = StravaLifespan(strava)

    async def elsewhere() -> None:
        with pytest.raises(InputError, match="this StravaLifespan belongs to another event loop"):
            async with lifespan(None):
                raise AssertionError

    async with lifespan(None):
        await anyio.to_thread.run_sync(anyio.run, elsewhere)
        assert await strava.athlete_ids() == []


async def test_a_lifespan_of_the_services_own_passes_ours_on() -> None:
    strava = Strava(1, "secret")

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        async with StravaLifespan(strava)(app) as state:
            yield {**state, "mine": "kept"}

    app = FastAPI(lifespan=own)

    @app.get("/")
    async def both(request: Request, strava: StravaDep) -> list[Any]:
        return [request.state.mine, strava.client_id]

    async with app.router.lifespan_context(app) as state, browser(app, state) as window:
        assert (await window.get("/")).json() == ["kept", 1]


async def test_starlette_without_fastapi_does_too() -> None:
    async def name(request: Request) -> JSONResponse:
        return JSONResponse((await (await athlete_of(request)).athlete.get()).firstname)

    emulator = Emulator(years=0.1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        strava = Strava(emulator.client_id, emulator.client_secret, http_client=http_client)
        app = Starlette(
            routes=[Route("/name", name)],
            lifespan=StravaLifespan(strava, identify=lambda connection: emulator.athlete_ids[0]),
            exception_handlers=exception_handlers,
        )
        async with app.router.lifespan_context(app) as state, browser(app, state) as window:
            assert (await window.get("/name")).status_code == 401
            granted = emulator.grant()
            await strava.token_store.save(
                emulator.athlete_ids[0], TokenSet(granted["access_token"], granted["refresh_token"])
            )
            assert (await window.get("/name")).json() == emulator.world().profile["firstname"]


async def test_a_service_without_a_lifespan_is_told_what_is_missing() -> None:
    app = FastAPI()
    routes(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SERVICE) as window:
        with pytest.raises(InputError, match="StravaLifespan"):
            await window.get("/who")


async def test_a_view_with_other_options_is_the_same_application() -> None:
    emulator = Emulator(years=0.1, limits=MeterLimits(read_15min=1))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        strava = Strava(emulator.client_id, emulator.client_secret, http_client=http_client)
        view = strava.with_options(max_wait=0, priority=Priority.INTERACTIVE)
        client = await strava.connect(await code_of(strava, emulator))
        await client.api.get("/athlete")
        with pytest.raises(QuotaExceededError):
            await view.api(client.athlete_id).get("/athlete")
        assert view.rate_limiter is strava.rate_limiter
        assert view.token_store is strava.token_store
        await view.aclose()
        with pytest.raises(InputError, match="closed"):
            strava.api(7)


async def code_of(strava: Strava, emulator: Emulator) -> str:
    page = await strava.authorization_url("http://localhost/callback")
    return httpx.URL(await emulator.approve(page)).params["code"]


class Shown(logging.Handler):
    """What a log shows."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_the_access_log_shows_no_code() -> None:
    logger, shown = logging.Logger("access"), Shown()
    logger.addHandler(shown)
    logger.addFilter(AccessLogFilter())
    line = '%s - "%s %s HTTP/%s" %d'
    logger.info(line, "127.0.0.1:1", "GET", "/strava/callback?state=st&code=c0de&scope=read", "1.1", 303)
    logger.info(
        line, "127.0.0.1:1", "GET", "/hook?hub.verify_token=tell&hub.challenge=ch&hub.mode=subscribe", "1.1", 200
    )
    logger.info("GET /callback?code=c0de HTTP/1.1")
    logger.info(line, "127.0.0.1:1", "GET", "/zip?zipcode=8000&x=1", "1.1", 200)
    logger.info(line, "127.0.0.1:1", "GET", "/callback?%63ode=c0de&hub%2Everify_token=tell&x%3D=1", "1.1", 200)
    assert not [secret for secret in ("c0de", "=st", "tell", "=ch") for each in shown.lines if secret in each]
    assert "scope=read" in shown.lines[0]
    assert "hub.mode=subscribe" in shown.lines[1]
    assert "zipcode=8000" in shown.lines[3]
    assert "x%3D=1" in shown.lines[4]


async def test_uvicorns_access_log_is_quiet_as_long_as_the_service_lasts() -> None:
    logger = logging.getLogger("uvicorn.access")
    before = list(logger.filters)
    async with service():
        assert [type(each) for each in logger.filters if each not in before] == [AccessLogFilter]
    assert logger.filters == before
