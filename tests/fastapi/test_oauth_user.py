"""Whose question an answer belongs to: the service's own user, and the browser that had it answered already."""

import base64
from typing import Any

import anyio.lowlevel
import httpx
import pytest
from fastapi import Request, Response
from starlette.responses import PlainTextResponse, RedirectResponse

from strava_async import Client, InputError
from strava_async.fastapi import ConnectFailure
from tests.fastapi.oauth_service import SESSION, Browser, Service, parameters, service

pytestmark = pytest.mark.anyio


def named(connection: Any) -> str | None:
    return connection.headers.get("x-user")


async def named_later(connection: Any) -> str | None:
    await anyio.lowlevel.checkpoint()
    return named(connection)


async def asked_as(browser: Browser, user: str) -> str:
    """Begin as a user of the service, and let the athlete agree; return where that leads."""
    response = await browser.get("/strava/connect", headers={"x-user": user})
    assert response.status_code == 303, response.text
    return await browser.answer(response.headers["location"])


def exchanges(here: Service) -> int:
    return here.emulator.count("POST", "/oauth/token")


# The user of the service


@pytest.mark.parametrize("kind", ["sync", "async", "lambda"])
async def test_the_user_who_asked_is_connected(kind: str) -> None:
    user = {"sync": named, "async": named_later, "lambda": lambda request: named_later(request)}[kind]
    async with service(user=user) as here, here.browser() as browser:
        response = await browser.get(await asked_as(browser, "ann"), headers={"x-user": "ann"})
        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert await here.strava.athlete_ids() == [here.marianne]


async def test_an_answer_to_one_user_is_forged_when_another_brings_it() -> None:
    told: list[str] = []
    linked: list[int] = []

    def on_error(request: Request, failure: ConnectFailure) -> None:
        told.append(failure.reason)

    def on_connect(request: Request, client: Client) -> None:
        linked.append(client.athlete_id)

    options = {"on_error": on_error, "on_connect": on_connect, "lifespan": {"identify": lambda connection: None}}
    async with service(user=named, **options) as here, here.browser() as browser:
        url = await asked_as(browser, "ann")
        response = await browser.get(url, headers={"x-user": "mallory"})
        assert (response.status_code, told, linked, exchanges(here)) == (400, ["state_forged"], [], 0)
        assert (await browser.get(url, headers={"x-user": "ann"})).status_code == 400  # the question has ended


async def test_another_user_who_is_signed_in_as_an_athlete_is_refused_all_the_same() -> None:
    async with service(user=named, lifespan={"identify": lambda connection: 7}) as here, here.browser() as browser:
        response = await browser.get(await asked_as(browser, "ann"), headers={"x-user": "mallory"})
        assert (response.status_code, exchanges(here)) == (400, 0)


@pytest.mark.parametrize("nobody", [None, ""])
async def test_who_is_no_user_of_the_service_is_told_to_sign_in_first(nobody: str | None) -> None:
    async with service(user=lambda request: nobody) as here, here.browser() as browser:
        response = await browser.get("/strava/connect")
    assert (response.status_code, "set-cookie" in response.headers) == (401, False)
    assert "Sign in to this service first" in response.text
    assert "/strava/connect" not in response.text


async def test_who_signed_out_of_the_service_meanwhile_is_told_to_sign_in_first() -> None:
    async with service(user=named) as here, here.browser() as browser:
        response = await browser.get(await asked_as(browser, "ann"))
        assert (response.status_code, exchanges(here)) == (401, 0)
        assert "Sign in to this service first" in response.text
        assert not list(browser.cookies)


async def test_the_service_may_send_who_is_no_user_to_its_own_login() -> None:
    def on_error(request: Request, failure: ConnectFailure) -> Response:
        return RedirectResponse(f"/login?because={failure.reason}", 303)

    async with service(user=named, on_error=on_error) as here, here.browser() as browser:
        response = await browser.get("/strava/connect")
    assert response.headers["location"] == "/login?because=not_signed_in"


ODD = ["a" * 100_000, "Zoë 🚴", "\udce9 half", "\0", "ann\n", "user-secret-0123456789"]


@pytest.mark.parametrize("text", ODD, ids=["long", "unicode", "surrogate", "zero", "line break", "secret"])
async def test_any_text_names_a_user_and_none_can_be_read(text: str) -> None:
    who = text
    async with service(user=lambda request: who) as here, here.browser() as browser:
        first = await browser.ask()
        assert (await browser.get(await browser.answer(first))).status_code == 303
        second = await browser.ask()
        who = text + " "
        assert (await browser.get(await browser.answer(second))).status_code == 400
    states = [parameters(page)["state"] for page in (first, second)]
    bodies = [base64.urlsafe_b64decode(state + "=" * (-len(state) % 4)) for state in states]
    assert text.encode("utf-8", "surrogatepass") not in bodies[0] or text == "\0"
    assert len(states[0]) < 200
    assert bodies[0][24:67] != bodies[1][24:67]  # nor that two questions are of one user


async def test_a_user_that_is_no_text_is_a_fault_of_the_service_that_does_not_show_it() -> None:
    async with service(user=lambda request: 4711) as here, here.browser() as browser:
        with pytest.raises(InputError, match=r"user=.* a text or None, not int") as raised:
            await browser.get("/strava/connect")
    assert "4711" not in str(raised.value)


async def test_what_the_function_raises_is_the_services_own() -> None:
    def fail(request: Request) -> str:
        raise LookupError("the database is gone")

    async with service(user=fail) as here, here.browser() as browser:
        with pytest.raises(LookupError, match="the database is gone"):
            await browser.get("/strava/connect")


# An answer that was taken already


async def replayed(browser: Browser, path: str = "/strava/connect", **decision: Any) -> tuple[str, httpx.Response]:
    """Connect, and bring the same answer once more; return its address, and what came of it then."""
    url = await browser.answer(await browser.ask(path), **decision)
    await browser.get(url)
    return url, await browser.get(url)


async def test_who_is_signed_in_and_brings_the_answer_again_is_sent_on() -> None:
    async with service(after_connect="/home") as here, here.browser() as browser:
        _, response = await replayed(browser, "/strava/connect?next=/rides%3Fpage%3D2")
        assert (response.status_code, response.headers["location"]) == (303, "/rides?page=2")
        _, response = await replayed(browser)
        assert (response.status_code, response.headers["location"]) == (303, "/home")
        assert exchanges(here) == 2
        assert response.headers["cache-control"] == "no-store"
        assert SESSION not in str(response.headers)


async def test_an_answer_of_yesterday_leads_on_too() -> None:
    async with service(after_connect="/home") as here, here.browser() as browser:
        url, _ = await replayed(browser, "/strava/connect?next=/rides")
        here.clock.advance(86_400)
        response = await browser.get(url)
        assert (response.status_code, response.headers["location"]) == (303, "/home")


async def test_a_new_code_for_a_question_that_was_answered_is_not_exchanged() -> None:
    async with service() as here, here.browser() as browser:
        page = await browser.ask()
        for _ in range(2):  # the button Back, and the same choice again
            response = await browser.get(await browser.answer(page, athlete_id=here.pierre))
        assert (response.status_code, exchanges(here)) == (303, 1)


async def test_on_connect_is_not_called_again() -> None:
    connected: list[int] = []

    def welcome(request: Request, client: Client) -> Response:
        connected.append(client.athlete_id)
        return PlainTextResponse("welcome")

    async with service(on_connect=welcome) as here, here.browser() as browser:
        _, response = await replayed(browser)
        assert (response.status_code, connected) == (303, [here.marianne])


async def test_who_is_not_signed_in_is_told_that_the_answer_was_used() -> None:
    async with service() as here, here.browser() as browser:
        url = await browser.answer(await browser.ask())
        await browser.get(url)
        await browser.post("/strava/sign-out")
        assert (await browser.get(url)).status_code == 400


async def test_a_foreign_state_leads_nowhere() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        for state in ("", "guessed", here.strava.state_signer(purpose="").sign("/evil")):
            response = await browser.get("/strava/callback", params={"state": state, "code": "c"})
            assert (response.status_code, exchanges(here)) == (400, 1)


async def test_who_is_signed_in_can_connect_once_more_and_be_refused() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        assert (await browser.connect(deny=True)).status_code == 403
        late = await browser.answer(await browser.ask())
        here.clock.advance(601)
        assert (await browser.get(late)).status_code == 400
        assert exchanges(here) == 1
