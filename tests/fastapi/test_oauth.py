"""Connecting on the web: the question, the answer, and the browser that both belong to."""

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.responses import PlainTextResponse

from strava_async import Client, InputError, Strava
from strava_async.fastapi import StravaLifespan
from strava_async.fastapi.oauth.router import oauth_router
from strava_async.quota.values import Priority
from tests.fastapi.oauth_service import SCOPE, SESSION, SITE, Browser, parameters, service, set_cookies

pytestmark = pytest.mark.anyio


async def signed_in(browser: Browser) -> bool:
    """Say whether somebody is signed in: only then can anybody be disconnected."""
    return (await browser.post("/strava/disconnect")).status_code == 303


# Being sent to Strava


async def test_the_button_leads_to_stravas_page() -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.get("/strava/connect")
        page = response.headers["location"]
        assert response.status_code == 303
        assert page.startswith("https://www.strava.com/oauth/authorize?")
        asked = parameters(page)
        assert asked["client_id"] == str(here.emulator.client_id)
        assert asked["redirect_uri"] == f"{SITE}/strava/callback"
        assert asked["scope"] == SCOPE
        assert asked["approval_prompt"] == "auto"
        assert asked["state"]


async def test_the_cookie_of_a_question_is_short_lived_for_no_script_and_outlives_the_state() -> None:
    async with service() as here, here.browser() as browser:
        (cookie,) = set_cookies(await browser.get("/strava/connect"))
    assert cookie["samesite"] == "lax"
    assert "httponly" in cookie
    assert 600 < int(cookie["max-age"]) <= 1200
    assert len(cookie["value"]) >= 32


@pytest.mark.parametrize(("site", "base_url"), [(SITE, None), ("http://10.0.0.7", SITE)])
async def test_on_https_no_other_host_can_set_the_cookie_of_a_question(site: str, base_url: str | None) -> None:
    async with service(base_url=base_url) as here, here.browser(site) as browser:
        (cookie,) = set_cookies(await browser.get("/strava/connect"))
    assert cookie[""].startswith("__Host-strava_question_")
    assert "secure" in cookie
    assert (cookie["path"], cookie.get("domain")) == ("/", None)


async def test_a_cookie_is_not_secure_where_the_site_is_not() -> None:
    async with service() as here, here.browser("http://localhost:8000") as browser:
        (question,) = set_cookies(await browser.get("/strava/connect"))
        connected = set_cookies(await browser.connect())
    assert question["path"] == "/strava"
    assert "strava_athlete" in [cookie[""] for cookie in connected]
    assert not any("secure" in cookie or cookie[""].startswith("__") for cookie in [question, *connected])


async def test_no_state_shows_the_value_of_its_cookie() -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.get("/strava/connect")
        (cookie,) = set_cookies(response)
    assert cookie["value"] not in response.headers["location"]


async def test_a_browser_keeps_a_few_questions_and_loses_the_oldest() -> None:
    async with service() as here, here.browser() as browser:
        pages = [await browser.ask() for _ in range(12)]
        assert len(browser.cookies) == 8
        statuses = [(await browser.get(await browser.answer(page))).status_code for page in pages[3:5]]
    assert statuses == [400, 303]


@pytest.mark.parametrize("site", [SITE, "http://service.test"])
async def test_a_thousand_planted_questions_are_not_answered_with_a_thousand_cookies(site: str) -> None:
    prefix = "__Host-" if site == SITE else ""
    planted = "; ".join(f"{prefix}strava_question_{number:016x}=1" for number in range(1000))
    async with service() as here, here.browser(site) as browser:
        response = await browser.get("/strava/connect", headers={"cookie": planted})
        assert response.status_code == 303
        *forgotten, (question, _) = ((each[""], each["max-age"]) for each in set_cookies(response))
        assert 1 <= len(forgotten) <= 8
        assert question not in [name for name, _ in forgotten]
        # Among them, the browser's own is answered all the same, with as few.
        url = await browser.answer(response.headers["location"])
        mine = f"{question}={browser.cookies[question]}"
        browser.cookies.clear()
        answer = await browser.get(url, headers={"cookie": f"{planted}; {mine}"})
        assert (answer.status_code, len(set_cookies(answer))) == (303, 2)


async def test_a_question_that_stands_twice_is_not_answered() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        ((name, secret),) = browser.cookies.items()
        browser.cookies.clear()
        for planted in (f"{name}={secret}; {name}=1", f"{name}=1; {name}={secret}"):
            assert (await browser.get(url, headers={"cookie": planted})).status_code == 400
        fields = {"cookie": f"\xa0{name}=1; {name}={secret}; \x85{name}=2".encode("latin-1")}
        assert (await browser.get(url, headers=fields)).status_code == 303


@pytest.mark.parametrize("secret", ["a,b", "a b", 'a"b', "a\\b", "a;b"])
async def test_a_secret_of_odd_letters_comes_back_as_it_was(secret: str) -> None:
    async with service(new_secret=lambda size: secret) as here, here.browser() as browser:
        response = await browser.get("/strava/connect")
        url = await browser.answer(response.headers["location"])
        browser.cookies.clear()
        sent = response.headers["set-cookie"].partition("; ")[0]
        assert (await browser.get(url, headers={"cookie": sent})).status_code == 303


@pytest.mark.parametrize("query", ["approval_prompt=always", "next=/a&next=/b", "next=/" + "a" * 5000])
async def test_an_invalid_authorization_request_is_refused(query: str) -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.get(f"/strava/connect?{query}")
    assert response.status_code == 400
    assert "set-cookie" not in response.headers


async def test_the_page_can_be_forced() -> None:
    async with service() as here, here.browser() as browser:
        page = await browser.ask("/strava/connect?approval_prompt=force")
    assert parameters(page)["approval_prompt"] == "force"


# Where the service is


@pytest.mark.parametrize(
    ("site", "options", "root_path", "callback"),
    [
        ("http://127.0.0.1:8000", {}, "", "http://127.0.0.1:8000/strava/callback"),
        ("https://service.test", {}, "/api", "https://service.test/api/strava/callback"),
        ("http://10.0.0.7:80", {"base_url": "https://service.test/"}, "", "https://service.test/strava/callback"),
        (
            "http://10.0.0.7",
            {"base_url": "https://service.test/api"},
            "/api",
            "https://service.test/api/strava/callback",
        ),
    ],
)
async def test_strava_is_told_the_address_that_the_browser_sees(
    site: str, options: dict[str, str], root_path: str, callback: str
) -> None:
    async with service(**options) as here, here.browser(site, root_path=root_path) as browser:
        response = await browser.get("/strava/connect")
        assert parameters(response.headers["location"])["redirect_uri"] == callback
        (cookie,) = set_cookies(response)
    secure = callback.startswith("https")
    assert cookie["path"] == ("/" if secure else urlsplit(callback).path.removesuffix("/callback"))
    assert ("secure" in cookie) == secure


async def test_a_root_path_that_is_part_of_the_path_is_not_doubled() -> None:
    async with service() as here, here.browser(root_path="/api") as browser:
        page = await browser.ask("/api/strava/connect")
    assert parameters(page)["redirect_uri"] == f"{SITE}/api/strava/callback"


async def test_a_root_path_that_the_path_only_begins_like_is_none_of_its_parts() -> None:
    async with service() as here, here.browser(root_path="/str") as browser:
        page = await browser.ask()
    assert parameters(page)["redirect_uri"] == f"{SITE}/str/strava/callback"


async def test_the_routes_may_be_anywhere() -> None:
    async with service(prefix="/{tenant}/s") as here, here.browser() as browser:
        page = await browser.ask("/caf%C3%A9/s/connect")
        assert parameters(page)["redirect_uri"] == f"{SITE}/caf%C3%A9/s/callback"
    async with service(prefix="") as here, here.browser() as browser:
        response = await browser.connect("/connect?next=/rides")
        assert (response.status_code, response.headers["location"]) == (303, "/rides")


async def test_the_routes_may_be_in_a_mounted_application() -> None:
    strava = Strava(1, "secret-of-the-application")
    inner = FastAPI()
    inner.include_router(oauth_router(strava), prefix="/strava")
    app = FastAPI(lifespan=StravaLifespan(strava))
    app.mount("/inner", inner)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url=SITE) as browser:
            response = await browser.get("/inner/strava/connect")
    assert parameters(response.headers["location"])["redirect_uri"] == f"{SITE}/inner/strava/callback"


# Coming back


async def test_an_athlete_who_agrees_is_connected_and_signed_in() -> None:
    async with service(after_connect="/home") as here, here.browser() as browser:
        response = await browser.connect(athlete_id=here.pierre)
        assert (response.status_code, response.headers["location"]) == (303, "/home")
        kept = await here.store.load(here.pierre)
        assert kept is not None
        assert kept.scope == {"read", "activity:read"}
        assert await signed_in(browser)


async def test_the_session_is_a_cookie_that_no_script_no_other_host_and_no_plain_http_gets() -> None:
    async with service() as here, here.browser() as browser:
        (cookie,) = (each for each in set_cookies(await browser.connect()) if each[""] == SESSION)
    assert {"secure", "httponly"} <= cookie.keys()
    assert (cookie["path"], cookie["samesite"], cookie.get("domain")) == ("/", "lax", None)


async def test_behind_a_proxy_that_hides_https_who_connected_is_signed_in() -> None:
    async with service(base_url=SITE) as here, here.browser() as browser, here.browser("http://10.0.0.7") as behind:
        url = await browser.answer(parameters_kept(await behind.get("/strava/connect"), browser))
        ((name, secret),) = browser.cookies.items()
        answer = await behind.get(
            urlsplit(url)._replace(scheme="", netloc="").geturl(), headers={"cookie": f"{name}={secret}"}
        )
        (signed,) = (each["value"] for each in set_cookies(answer) if each[""] == SESSION)
        as_planted = await behind.post("/strava/disconnect", headers={"cookie": f"strava_athlete={signed}"})
        assert as_planted.status_code == 401
        assert (await behind.post("/strava/disconnect", headers={"cookie": f"{SESSION}={signed}"})).status_code == 303


def parameters_kept(response: httpx.Response, browser: Browser) -> str:
    """Keep the cookies of an answer in a browser that sees https; return where the answer leads."""
    for cookie in set_cookies(response):
        browser.cookies.set(cookie[""], cookie["value"])
    return response.headers["location"]


async def test_the_browser_goes_on_to_where_it_wanted_to_go() -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.connect("/strava/connect?next=/rides%3Fsort%3Ddate")
        assert response.headers["location"] == "/rides?sort=date"
        response = await browser.connect("/strava/connect?next=/gr%C3%B6%C3%9Fe")
        assert response.headers["location"] == "/gr%C3%B6%C3%9Fe"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.test", "//evil.test", "/%09/evil.test", "/%5Cevil.test", "/%252fevil.test", "javascript:1"],
)
async def test_no_link_leads_away_from_this_site(elsewhere: str) -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.connect(f"/strava/connect?next={elsewhere}")
    assert response.headers["location"] == "/"


async def test_two_tabs_are_both_answered() -> None:
    async with service() as here, here.browser() as browser:
        pages = [await browser.ask(f"/strava/connect?next=/{name}") for name in ("a", "b")]
        answers = [await browser.answer(page) for page in pages]
        responses = [await browser.get(url) for url in reversed(answers)]
    assert [response.headers["location"] for response in responses] == ["/b", "/a"]


async def test_the_answer_ends_the_question() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        assert list(browser.cookies) == [SESSION]


async def test_nothing_of_an_answer_is_kept_or_passed_on() -> None:
    async with service() as here, here.browser() as browser:
        responses = [await browser.connect(), await browser.connect(deny=True), await browser.get("/strava/callback")]
        responses += [await browser.get("/strava/connect"), await browser.post("/strava/disconnect")]
    for response in responses:
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"


# What the application adds


@pytest.mark.parametrize("kind", ["async", "sync", "lambda"])
async def test_the_application_is_told_who_connected(kind: str) -> None:
    told: list[tuple[str, int]] = []

    async def later(request: Request, client: Client) -> None:
        told.append((request.url.path, (await client.athlete.get()).id))

    def at_once(request: Request, client: Client) -> None:
        told.append((request.url.path, client.athlete_id))

    on_connect = {"async": later, "sync": at_once, "lambda": lambda *args: later(*args)}[kind]
    async with service(on_connect=on_connect) as here, here.browser() as browser:
        assert (await browser.connect()).status_code == 303
        assert told == [("/strava/callback", here.marianne)]


async def test_a_response_of_the_application_signs_in_too() -> None:
    def welcome(request: Request, client: Client) -> Response:
        response = PlainTextResponse("welcome", 201, {"Cache-Control": "public"})
        response.set_cookie("theirs", "1")
        return response

    async with service(on_connect=welcome) as here, here.browser() as browser:
        response = await browser.connect()
        assert (response.status_code, response.text) == (201, "welcome")
        assert response.headers["cache-control"] == "no-store"
        assert sorted(browser.cookies) == [SESSION, "theirs"]
        assert await signed_in(browser)


async def test_the_calls_of_the_application_do_not_wait_long() -> None:
    seen: list[Any] = []

    def look(request: Request, client: Client) -> None:
        seen.append(client.api._options)

    async with service(on_connect=look, lifespan={"max_wait": 3.0}) as here, here.browser() as browser:
        await browser.connect()
    assert [(options.priority, options.max_wait) for options in seen] == [(Priority.INTERACTIVE, 3.0)]


async def test_what_the_application_raises_is_its_own_and_signs_nobody_in() -> None:
    def fail(request: Request, client: Client) -> None:
        raise LookupError("no such user")

    async with service(on_connect=fail) as here, here.browser() as browser:
        with pytest.raises(LookupError, match="no such user"):
            await browser.connect()
        assert await here.strava.athlete_ids() == [here.marianne]
        assert not await signed_in(browser)


# Arguments that make no sense


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scope": "everything"}, "unknown scope"),
        ({"scope": "read", "required_scope": "activity:read"}, "does not request"),
        ({"if_missing": "forget"}, "if_missing"),
        *(({"base_url": url}, "base_url") for url in ("", "/", "service.test", "ftp://a", "https://", "https://a?b=c")),
        *(
            ({"base_url": url}, "base_url")
            for url in ("http://[", "https://a:99999", "https://a:0", "https://a ", "https://a?")
        ),
        *(
            ({"base_url": url}, "base_url")
            for url in ("https://a#", "https://:80", "https://a\\b", "https://a\tb", "https://é")
        ),
    ],
)
def test_invalid_arguments_are_reported_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        oauth_router(Strava(1, "secret"), **options)


def test_the_password_in_a_base_url_is_not_shown() -> None:
    with pytest.raises(InputError, match="base_url") as raised:
        oauth_router(Strava(1, "secret"), base_url="https://me:hidden@service.test")
    assert "hidden" not in str(raised.value)


async def test_two_applications_are_not_mixed_up() -> None:
    async with service() as here:
        app = FastAPI(lifespan=StravaLifespan(here.strava))
        app.include_router(oauth_router(Strava(1, "of another application")))
        async with app.router.lifespan_context(app) as state:
            here.app = lambda scope, receive, send: app({**scope, "state": dict(state or {})}, receive, send)
            async with here.browser() as browser:
                with pytest.raises(InputError, match="two applications"):
                    await browser.get("/connect")


async def test_other_methods_are_refused() -> None:
    async with service() as here, here.browser() as browser:
        answer = await browser.answer(await browser.ask())
        refused = [await browser.request(method, answer) for method in ("HEAD", "POST", "PUT")]
        refused += [await browser.get("/strava/disconnect"), await browser.get("/strava/sign-out")]
        assert [response.status_code for response in refused] == [405] * 5
        assert (await browser.get(answer)).status_code == 303


# The meters


async def test_the_meters_are_shown() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        await here.strava.client(here.marianne).athlete.get()
        response = await browser.get("/strava/quota")
        shown = response.json()
        assert list(shown) == ["read_15min", "read_day", "overall_15min", "overall_day"]
        limit, resets_at = shown["read_15min"]["limit"], here.strava.quota.read_15min.resets_at
        figures = {"limit": limit, "usage": 1, "reserved": 0, "remaining": limit - 1, "resets_at": resets_at}
        assert shown["read_15min"] == figures
        with await here.strava.rate_limiter.acquire():
            shown = (await browser.get("/strava/quota")).json()
            assert (shown["read_15min"]["reserved"], shown["read_15min"]["remaining"]) == (1, limit - 2)
        assert response.headers["cache-control"] == "no-store"


async def test_the_meters_can_be_left_out() -> None:
    async with service(quota=False) as here, here.browser() as browser:
        assert (await browser.connect()).status_code == 303
        assert (await browser.get("/strava/quota")).status_code == 404
