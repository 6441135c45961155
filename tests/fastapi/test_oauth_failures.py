"""Everything that can go wrong when an athlete comes back from Strava: the status, the page, and what is not in it."""

import base64
import hashlib
import html
import itertools
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
import pytest
from fastapi import Request, Response
from starlette.responses import PlainTextResponse

from strava_async import (
    ApplicationInactiveError,
    InsufficientScopeError,
    LimiterError,
    MissingScopeError,
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    StravaError,
)
from strava_async.fastapi.oauth.failures import ConnectFailure, failure_of
from strava_async.login.pages import Link, Page
from strava_async.testing import Fault
from tests.fastapi.oauth_service import SESSION, Browser, parameters, service, set_cookies

pytestmark = pytest.mark.anyio

TOKEN = {"method": "POST", "path": "/oauth/token"}


def lost(kind: type[httpx.TransportError]) -> Fault:
    return Fault.refused(lambda: kind("on purpose"))


async def failed(browser: Browser, response: httpx.Response, status_code: int, title: str) -> None:
    """Assert that this page reports a failure and leaks nothing, and that nobody is signed in."""
    assert (response.status_code, f"<h1>{title}</h1>" in response.text) == (status_code, True), response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    brought = parameters(str(response.url))
    for secret in {brought.get("code", "no code"), brought.get("state", "no state")}:
        assert secret not in f"{response.text} {response.headers}"
    assert SESSION not in browser.cookies


def link(response: httpx.Response) -> str | None:
    found = re.search(r'<a href="([^"]*)"', response.text)
    return found and found[1].replace("&amp;", "&")


# What the athlete decided


async def test_an_athlete_who_refuses_is_told() -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.connect("/strava/connect?next=/rides", deny=True)
        await failed(browser, response, 403, "Not connected")
        assert link(response) == "/strava/connect?next=%2Frides"
        assert here.emulator.count("POST", "/oauth/token") == 0


@pytest.mark.parametrize("error", ["server_error", "<script>alert(1)</script>", "é\r\nX: y"])
async def test_any_other_error_of_stravas_is_reported(error: str, caplog: pytest.LogCaptureFixture) -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.callback(error=error)
        await failed(browser, response, 502, "Strava reports an error")
    assert error.isascii() == (error in caplog.text)
    assert "\r" not in caplog.messages[-1]


async def test_an_unticked_scope_is_named_and_nothing_is_kept() -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.connect("/strava/connect?next=/rides", scope=["read"])
        await failed(browser, response, 403, "Not connected")
        assert "You left out activity:read" in response.text
        assert await here.strava.athlete_ids() == []
        assert here.emulator.count("POST", "/oauth/revoke") == 1


async def test_the_link_after_an_unticked_scope_shows_the_page_again() -> None:
    async with service() as here, here.browser() as browser:
        again = link(await browser.connect("/strava/connect?next=/rides", scope=["read"]))
        assert again == "/strava/connect?next=%2Frides&approval_prompt=force"
        response = await browser.connect(again)
        assert (response.status_code, response.headers["location"]) == (303, "/rides")


async def test_what_the_redirect_says_was_granted_counts_where_the_token_answer_is_silent() -> None:
    async with service() as here, here.browser() as browser:
        here.emulator.quirks.scope_in_token_answer = False
        assert (await browser.connect(scope=["read"])).status_code == 403
        assert (await browser.connect()).status_code == 303


async def test_a_scope_that_is_not_required_may_be_left_out() -> None:
    async with service(required_scope="read") as here, here.browser() as browser:
        assert (await browser.connect(scope=["read"])).status_code == 303
    async with service(required_scope="") as here, here.browser() as browser:
        assert (await browser.connect(scope=[])).status_code == 303


async def test_who_is_kept_with_less_is_signed_in_to_be_able_to_leave() -> None:
    async with service(if_missing="keep") as here, here.browser() as browser:
        response = await browser.connect(scope=["read"])
        assert (response.status_code, link(response)) == (403, "/strava/connect?approval_prompt=force")
        assert "<h1>Connected, but something is missing</h1>" in response.text
        assert "You left out activity:read" in response.text
        assert "You are connected without it" in response.text
        assert await here.strava.athlete_ids() == [here.marianne]
        assert (await browser.post("/strava/disconnect")).status_code == 303
        assert await here.strava.athlete_ids() == []


async def test_who_is_kept_with_less_is_told_to_on_error_alone() -> None:
    told: list[ConnectFailure] = []
    connected: list[object] = []
    options = {
        "on_error": lambda request, failure: told.append(failure),
        "on_connect": lambda *who: connected.append(who),
    }
    async with service(if_missing="keep", **options) as here, here.browser() as browser:
        await browser.connect(scope=["read"])
        assert [(failure.reason, failure.athlete_id) for failure in told] == [("missing_scope", here.marianne)]
        assert SESSION in browser.cookies
    assert connected == []


async def test_a_grant_that_could_not_be_revoked_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as here, here.browser() as browser:
        here.emulator.faults.add(Fault.server_error(503), method="POST", path="/oauth/revoke")
        response = await browser.connect(scope=["read"])
        await failed(browser, response, 403, "Not connected")
        assert "You left out activity:read" in response.text
    assert "could not be revoked: 503" in caplog.text


# The state


@pytest.mark.parametrize("query", ["", "?code=guessed", "?state=&code=guessed", "?error=access_denied"])
async def test_an_answer_without_state_is_none(query: str) -> None:
    async with service() as here, here.browser() as browser:
        await browser.ask()
        response = await browser.get(f"/strava/callback{query}")
        await failed(browser, response, 400, "Not connected")
        assert "only takes Strava" in response.text
        assert here.emulator.count("POST", "/oauth/token") == 0


async def test_a_forged_state_is_refused() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        state = parameters(url)["state"]
        await failed(browser, await browser.get(url.replace(state, state[:-1] + "AB")), 400, "Not connected")
        assert here.emulator.count("POST", "/oauth/token") == 0


async def test_an_answer_to_another_browser_is_refused() -> None:
    async with service() as here, here.browser() as browser, here.browser() as attacker:
        url = await attacker.answer(await attacker.ask(), athlete_id=here.pierre)
        await browser.ask()
        response = await browser.get(url)
        await failed(browser, response, 400, "Not connected")
        assert "another browser" in response.text
        assert await here.strava.athlete_ids() == []


async def test_a_cookie_of_another_question_does_not_do() -> None:
    async with service() as here, here.browser() as browser, here.browser() as attacker:
        url = await attacker.answer(await attacker.ask())
        (theirs,) = attacker.cookies.keys()
        (own,) = set_cookies(await browser.get("/strava/connect"))
        browser.cookies.set(theirs, own["value"])
        await failed(browser, await browser.get(url), 400, "Not connected")


async def test_what_was_signed_for_another_purpose_answers_no_question() -> None:
    async with service() as here, here.browser() as browser:
        signers = [here.strava.state_signer(purpose=purpose) for purpose in ("", "session")]
        for signer, session in itertools.product(signers, ("", "known")):
            state = signer.sign("/", session=session)
            (cookie,) = set_cookies(await browser.get("/strava/connect"))
            name = _cookie_named_after(state, cookie[""])
            headers = {"cookie": f"{name}={session}"}
            response = await browser.get(f"/strava/callback?state={state}&code=guessed", headers=headers)
            await failed(browser, response, 400, "Not connected")
        assert here.emulator.count("POST", "/oauth/token") == 0


def _cookie_named_after(state: str, example: str) -> str:
    prefix = example.rpartition("_")[0]
    return f"{prefix}_{hashlib.sha256(state.encode()).hexdigest()[:16]}"


async def test_a_cookie_that_another_host_could_plant_answers_nothing_on_https() -> None:
    async with service() as here, here.browser() as browser, here.browser() as attacker:
        url = await attacker.answer(await attacker.ask(), athlete_id=here.pierre)
        ((name, secret),) = attacker.cookies.items()
        plain = name.removeprefix("__Host-")
        assert plain != name
        await failed(browser, await browser.get(url, headers={"cookie": f"{plain}={secret}"}), 400, "Not connected")
        assert (await browser.get(url, headers={"cookie": f"{name}={secret}"})).status_code == 303


async def test_planted_questions_push_none_of_the_browsers_own_out() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        planted = "; ".join(f"strava_question_{number:016x}=a" for number in range(20))
        (own,) = (f"{name}={value}" for name, value in browser.cookies.items())
        asked = set_cookies(await browser.get("/strava/connect", headers={"cookie": f"{own}; {planted}"}))
        assert [cookie["max-age"] for cookie in asked] == ["1200"]
        assert (await browser.get(url)).status_code == 303


async def test_a_secret_of_the_services_own_signs_the_questions() -> None:
    lifespan = {"secret": "a secret of this service"}
    async with service() as other, service(lifespan=lifespan) as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        ((name, secret),) = browser.cookies.items()
        async with other.browser() as elsewhere:
            response = await elsewhere.get(url, headers={"cookie": f"{name}={secret}"})
            assert response.status_code == 400
            assert other.emulator.count("POST", "/oauth/token") == 0
        assert (await browser.get(url)).status_code == 303


async def test_an_answer_that_comes_too_late_is_reported_as_late() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        here.clock.advance(601)
        response = await browser.get(url)
        await failed(browser, response, 400, "Not connected")
        assert "too late" in response.text
        assert here.emulator.count("POST", "/oauth/token") == 0


async def test_an_answer_counts_once() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        assert (await browser.get(url)).status_code == 303
        browser.cookies.clear()
        again = await browser.get(url)
        assert again.status_code == 400
        assert "used already" in again.text
        assert here.emulator.count("POST", "/oauth/token") == 1


async def test_a_failure_uses_the_answer_up_too() -> None:
    async with service() as here, here.browser() as browser:
        here.emulator.faults.add(Fault.server_error(), **TOKEN)
        url = await browser.answer(await browser.ask())
        assert (await browser.get(url)).status_code == 502
        assert len(browser.cookies) == 0
        assert (await browser.get(url)).status_code == 400
        assert here.emulator.count("POST", "/oauth/token") == 1


async def test_the_same_answer_twice_at_once_connects_once() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        statuses: list[int] = []

        async def load() -> None:
            async with here.browser() as tab:
                statuses.append((await tab.get(url, headers={"cookie": cookie})).status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(load)
        assert sorted(statuses) == [303, 400, 400, 400, 400]
        assert await here.strava.athlete_ids() == [here.marianne]


# What Strava does


async def test_an_invalid_code_is_reported() -> None:
    async with service() as here, here.browser() as browser:
        await failed(browser, await browser.callback(code="invented"), 400, "Not connected")


async def test_an_application_without_room_is_reported_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as here, here.browser() as browser:
        here.emulator.faults.add(Fault.capacity(), **TOKEN)
        response = await browser.connect()
        await failed(browser, response, 403, "No room")
        assert link(response) is None
    assert "Limit of connected athletes exceeded" in caplog.text


async def test_wrong_credentials_are_the_operators_business(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as here, here.browser() as browser:
        secret = here.emulator.client_secret
        here.emulator.application().client_secret = "changed-at-strava"
        response = await browser.connect()
        await failed(browser, response, 500, "Not set up")
        assert "client secret" not in response.text
        assert secret not in caplog.text
    assert "client secret" in caplog.text


@pytest.mark.parametrize(
    ("fault", "status_code", "title"),
    [
        (lost(httpx.ReadTimeout), 504, "Strava does not answer"),
        (lost(httpx.ConnectTimeout), 504, "Strava does not answer"),
        (Fault.server_error(504), 504, "Strava does not answer"),
        (lost(httpx.ConnectError), 502, "Strava cannot be reached"),
        (lost(httpx.ReadError), 502, "Strava cannot be reached"),
        (Fault.server_error(500), 502, "Strava cannot be reached"),
        (Fault.server_error(503), 502, "Strava cannot be reached"),
        (Fault.html(), 502, "Strava reports an error"),
        (Fault.truncated(), 502, "Strava reports an error"),
        (Fault.status(404), 502, "Strava reports an error"),
        (Fault.status(402), 502, "Strava reports an error"),
        (Fault.inactive(), 500, "Not set up"),
    ],
)
async def test_strava_in_trouble_is_reported(fault: Fault, status_code: int, title: str) -> None:
    async with service() as here, here.browser() as browser:
        here.emulator.faults.add(fault, **TOKEN)
        response = await browser.connect("/strava/connect?next=/rides")
        await failed(browser, response, status_code, title)
        assert link(response) == (None if status_code == 500 else "/strava/connect?next=%2Frides")
        assert await here.strava.athlete_ids() == []


async def test_being_too_fast_for_strava_is_reported_with_the_time_to_wait() -> None:
    async with service() as here, here.browser() as browser:
        here.emulator.faults.add(Fault.rate_limited(), **TOKEN)
        response = await browser.connect()
        await failed(browser, response, 503, "Too busy")
    seconds = int(response.headers["retry-after"])
    assert 1 <= seconds <= 900
    assert f"Wait {seconds} s" in response.text


async def test_a_store_that_takes_nothing_is_reported_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as here, here.browser() as browser:
        here.store.full = True
        await failed(browser, await browser.connect(), 503, "Not now")
        here.store.full = False
    assert "the disk is full" in caplog.text


def test_other_errors_are_reported_by_their_kind() -> None:
    def told(error: StravaError) -> tuple[str, int | None]:
        failure = failure_of(error, now=100.0)
        return failure.reason, failure.retry_after

    waiting = QuotaExceededError(quota_class="read", window="read_15min", resume_at=112.5, wait_seconds=12.5)
    assert told(waiting) == ("busy", 13)
    assert told(RateLimitedError(status_code=429, resume_at=130.0)) == ("busy", 30)
    assert told(InsufficientScopeError(status_code=401))[0] == "missing_scope"
    assert told(ApplicationInactiveError(status_code=403))[0] == "misconfigured"
    assert told(NotFoundError(status_code=404))[0] == "strava_error"
    assert told(LimiterError("away"))[0] == "limiter"


# Odd requests


@pytest.mark.parametrize(
    "query",
    [
        "code=a&code=b",
        "code=a&error=",
        "error=&code=",
        "code=a&scope=read&scope=write",
        "scope=read",
    ],
)
async def test_an_answer_that_is_not_whole_is_refused(query: str) -> None:
    async with service() as here, here.browser() as browser:
        state = parameters(await browser.ask())["state"]
        response = await browser.get(f"/strava/callback?state={state}&{query}")
        assert response.status_code == 400
        assert here.emulator.count("POST", "/oauth/token") == (query == "code=a&error=")
        assert len(browser.cookies) == 0


async def test_an_answer_that_is_far_too_long_is_not_read() -> None:
    async with service() as here, here.browser() as browser:
        await failed(browser, await browser.callback(code="a" * 10_000), 400, "Not connected")
        assert here.emulator.count("POST", "/oauth/token") == 0


async def test_a_state_that_is_there_twice_is_refused() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        assert (await browser.get(f"{url}&state=x")).status_code == 400
        assert here.emulator.count("POST", "/oauth/token") == 0


@pytest.mark.parametrize("value", ["%FF%FE", "%00", "%ED%A0%80", "%0D%0ASet-Cookie:a=b", "%", "+", "a" * 3000, "é"])
async def test_odd_values_are_answered_like_wrong_ones(value: str) -> None:
    async with service() as here, here.browser() as browser:
        state = parameters(await browser.ask())["state"]
        for query in (f"code={value}&state={state}", f"code=a&state={value}", f"error={value}&state={state}"):
            response = await browser.get(f"/strava/callback?{query}")
            assert response.status_code in (400, 502)
            assert "a=b" not in response.headers.get("set-cookie", "")


@pytest.mark.parametrize("raw", [b"code=\xff&state=\xff\xfe", b"\xff", b"state=" + b"\x80" * 300])
async def test_a_query_that_is_no_text_is_answered(raw: bytes) -> None:
    async with service() as here:
        app = here.app
        here.app = lambda scope, receive, send: app({**scope, "query_string": raw}, receive, send)
        async with here.browser() as browser:
            assert (await browser.get("/strava/callback")).status_code == 400
            assert (await browser.get("/strava/connect")).status_code == 303
            assert (await browser.post("/strava/disconnect")).status_code == 401


@pytest.mark.parametrize(
    "cookie",
    [
        b"; ".join(b"__Host-strava_question_%d\x01=a" % number for number in range(20)),
        b"__Host-strava_question_" + b"0" * 16,
        b"\xff=\xff;;=",
        b"a" * 9000,
    ],
)
async def test_odd_cookies_are_nobodys(cookie: bytes) -> None:
    async with service() as here, here.browser() as browser:
        assert (await browser.get("/strava/connect", headers={b"cookie": cookie})).status_code == 303
        answer = await browser.get("/strava/callback?code=a&state=b", headers={b"cookie": cookie})
        assert answer.status_code == 400


# The page


async def test_the_page_loads_nothing_and_its_own_style_and_script_are_allowed() -> None:
    async with service() as here, here.browser() as browser:
        response = await browser.get("/strava/callback")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        found = re.search(f"<{kind}>(.*?)</{kind}>", response.text, re.DOTALL)
        assert found
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_a_link_is_text_and_not_markup() -> None:
    page = Page("title", "text", Link('/"><b>', "<b>&")).html().decode()
    assert '<a href="/&quot;&gt;&lt;b&gt;">&lt;b&gt;&amp;</a>' in page


# What the application makes of it


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_application_answers_as_it_likes(kind: str) -> None:
    told: list[ConnectFailure] = []

    def show(request: Request, failure: ConnectFailure) -> Response:
        told.append(failure)
        return PlainTextResponse("ours", 418)

    async def show_later(request: Request, failure: ConnectFailure) -> Response:
        return show(request, failure)

    async with service(on_error=show if kind == "sync" else show_later) as here, here.browser() as browser:
        response = await browser.connect(scope=["read"])
        assert (response.status_code, response.text) == (418, "ours")
        assert response.headers["cache-control"] == "no-store"
        assert len(browser.cookies) == 0
        assert [(each.reason, each.missing_scope, each.athlete_id) for each in told] == [
            ("missing_scope", {"activity:read"}, here.marianne)
        ]


async def test_the_application_may_leave_the_answer_to_the_router() -> None:
    async with service(on_error=lambda request, failure: None) as here, here.browser() as browser:
        await failed(browser, await browser.connect(deny=True), 403, "Not connected")


async def test_a_client_that_asks_for_json_gets_a_problem() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask(), scope=["read"])
        response = await browser.get(url, headers={"accept": "application/json"})
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["reason"], problem["missing_scope"]) == ("missing_scope", ["activity:read"])
    assert len(browser.cookies) == 0


# Secrets


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="strava_async"):
        yield caplog


@pytest.mark.parametrize(
    "fault", [Fault.server_error(), Fault.html(), Fault.truncated(), lost(httpx.ReadError), Fault.capacity(), None]
)
async def test_no_secret_is_logged(everything_logged: pytest.LogCaptureFixture, fault: Fault | None) -> None:
    async with service() as here, here.browser() as browser:
        if fault is not None:
            here.emulator.faults.add(fault, **TOKEN)
        url = await browser.answer(await browser.ask())
        asked = parameters(url)
        await browser.get(url)
        kept = await here.store.load(here.marianne)
    secrets = [asked["code"], asked["state"], here.emulator.client_secret]
    secrets += [kept.access_token, kept.refresh_token or ""] if kept else []
    assert len(secrets) == (3 if fault else 5)
    assert not [secret for secret in secrets if secret in everything_logged.text]


@pytest.mark.parametrize("name", ["on_connect", "user"])
@pytest.mark.parametrize("go_to", ["", "/rides?a=1"])
async def test_an_error_of_a_function_has_a_page_that_leads_where_the_athlete_was_going(name: str, go_to: str) -> None:
    failing = True

    def fail(*of_a_callback: object) -> str | None:
        if failing:
            raise MissingScopeError("this one", missing=("read_all",))
        return "somebody" if name == "user" else None

    query = f"?{urlencode({'next': go_to})}" if go_to else ""
    options: dict[str, Any] = {name: fail, "after_connect": "/home"}
    async with service(**options) as here, here.browser() as browser:
        browser.headers["accept"] = "text/html"
        before = await browser.get(f"/strava/connect{query}")
        page = before if name == "user" else await browser.get(await browser.answer(before.headers["location"]))
        assert page.status_code == 403
        assert "state%3D" not in page.text
        (link,) = re.findall(r'href="([^"]+)"', page.text)
        failing = False
        assert (await browser.connect(html.unescape(link))).headers["location"] == (go_to or "/home")
