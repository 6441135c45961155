"""Disconnecting and signing out on the web: at Strava first, then the data, then the cookie; never from elsewhere."""

import httpx
import pytest
from starlette.requests import HTTPConnection

from strava_async.testing import Fault
from tests.fastapi.oauth_service import SESSION, SITE, Browser, Service, service, set_cookies

pytestmark = pytest.mark.anyio

REVOKE = {"method": "POST", "path": "/oauth/revoke"}
ELSEWHERE = ["cross-site", "same-site", "anything"]


async def connected(here: Service, browser: Browser) -> bool:
    """Say whether the athlete's tokens are kept and the browser is signed in."""
    return await here.strava.is_connected(here.marianne) and SESSION in browser.cookies


async def test_disconnecting_revokes_deletes_and_signs_out() -> None:
    gone: list[int] = []
    async with service(on_disconnect=gone.append, after_disconnect="/bye") as here, here.browser() as browser:
        await browser.connect()
        response = await browser.post("/strava/disconnect")
        assert (response.status_code, response.headers["location"]) == (303, "/bye")
        assert gone == [here.marianne]
        assert here.emulator.count("POST", "/oauth/revoke") == 1
        assert await here.strava.athlete_ids() == []
        assert SESSION not in browser.cookies


async def test_only_the_athlete_who_is_signed_in_is_disconnected() -> None:
    async with service() as here, here.browser() as browser, here.browser() as other:
        await browser.connect(athlete_id=here.marianne)
        await other.connect(athlete_id=here.pierre)
        await browser.post("/strava/disconnect")
        assert await here.strava.athlete_ids() == [here.pierre]


async def test_the_data_are_deleted_after_the_tokens() -> None:
    order: list[tuple[str, bool]] = []

    async def delete(athlete_id: int) -> None:
        order.append(("data", await here.strava.is_connected(athlete_id)))

    async with service(on_disconnect=delete) as here, here.browser() as browser:
        await browser.connect()
        await browser.post("/strava/disconnect")
    assert order == [("data", False)]


@pytest.mark.parametrize(
    ("fault", "status_code"),
    [
        (Fault.refused(lambda: httpx.ReadTimeout("on purpose")), 504),
        (Fault.refused(lambda: httpx.ConnectError("on purpose")), 502),
        (Fault.server_error(503), 502),
    ],
)
async def test_while_strava_is_down_everything_is_kept(fault: Fault, status_code: int) -> None:
    gone: list[int] = []
    async with service(on_disconnect=gone.append) as here, here.browser() as browser:
        await browser.connect()
        here.emulator.faults.add(fault, **REVOKE)
        response = await browser.post("/strava/disconnect")
        assert response.status_code == status_code
        assert '<a href="/">Go back</a>' in response.text
        assert gone == []
        assert await connected(here, browser)
        assert (await browser.post("/strava/disconnect")).status_code == 303
        assert gone == [here.marianne]


async def test_data_that_could_not_be_deleted_are_deleted_by_pressing_again() -> None:
    tried: list[int] = []

    def delete(athlete_id: int) -> None:
        tried.append(athlete_id)
        if len(tried) == 1:
            raise OSError("the database is away")

    async with service(on_disconnect=delete) as here, here.browser() as browser:
        await browser.connect()
        with pytest.raises(OSError, match="the database is away"):
            await browser.post("/strava/disconnect")
        assert not await here.strava.is_connected(here.marianne)
        assert SESSION in browser.cookies
        assert (await browser.post("/strava/disconnect")).status_code == 303
        assert tried == [here.marianne, here.marianne]
        assert here.emulator.count("POST", "/oauth/revoke") == 1
        assert SESSION not in browser.cookies


async def test_who_is_not_signed_in_is_told_so() -> None:
    gone: list[int] = []
    async with service(on_disconnect=gone.append) as here, here.browser() as browser:
        response = await browser.post("/strava/disconnect")
    assert response.status_code == 401
    assert response.headers["www-authenticate"]
    assert '<a href="/strava/connect">' in response.text
    assert gone == []


async def test_a_service_says_itself_who_is_signed_in() -> None:
    def identify(connection: HTTPConnection) -> int | None:
        return here.pierre if connection.headers.get("x-user") == "pierre" else None

    async with service(lifespan={"identify": identify}) as here, here.browser() as browser:
        await browser.connect(athlete_id=here.pierre)
        assert (await browser.post("/strava/disconnect")).status_code == 401
        assert (await browser.post("/strava/disconnect", headers={"x-user": "pierre"})).status_code == 303
        assert await here.strava.athlete_ids() == []


@pytest.mark.parametrize("path", ["/strava/disconnect", "/strava/sign-out"])
@pytest.mark.parametrize("site", ELSEWHERE)
async def test_a_page_of_another_site_changes_nothing(site: str, path: str) -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        response = await browser.post(path, headers={"sec-fetch-site": site})
        assert response.status_code == 403
        assert await connected(here, browser)


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_a_page_of_this_site_may(site: str) -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        assert (await browser.post("/strava/disconnect", headers={"sec-fetch-site": site})).status_code == 303


@pytest.mark.parametrize("path", ["/strava/disconnect", "/strava/sign-out"])
@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.service.test", "http://service.test", "https://service.test:444", "null", "", "https://["),
        *("https://evil.test/https://service.test", "https://service.test.evil.test"),
    ],
)
async def test_without_sec_fetch_site_the_origin_has_to_be_this_one(origin: str, path: str) -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        assert (await browser.post(path, headers={"origin": origin})).status_code == 403
        assert await connected(here, browser)


@pytest.mark.parametrize(
    ("site", "base_url", "origin"),
    [
        (SITE, None, SITE),
        (SITE, None, f"{SITE}:443"),
        ("http://10.0.0.7:8000", None, "http://10.0.0.7:8000"),
        ("http://10.0.0.7", "https://Service.test:443/api", SITE),
    ],
)
async def test_a_form_of_an_old_browsers_is_from_here(site: str, base_url: str | None, origin: str) -> None:
    async with service(base_url=base_url) as here, here.browser(site) as browser:
        assert (await browser.post("/strava/sign-out", headers={"origin": origin})).status_code == 303


async def test_what_a_browser_says_of_the_site_counts_before_the_origin() -> None:
    async with service() as here, here.browser() as browser:
        for site, status in (("same-origin", 303), ("cross-site", 403)):
            fields = {"sec-fetch-site": site, "origin": SITE if status == 403 else "null"}
            assert (await browser.post("/strava/sign-out", headers=fields)).status_code == status


async def test_signing_out_takes_the_cookie_and_leaves_the_athlete_connected() -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        response = await browser.post("/strava/sign-out")
        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert [(cookie[""], cookie["max-age"], "secure" in cookie) for cookie in set_cookies(response)] == [
            (SESSION, "0", True),
            ("strava_athlete", "0", False),
        ]
        assert SESSION not in browser.cookies
        assert await here.strava.is_connected(here.marianne)


@pytest.mark.parametrize("path", ["/strava/disconnect", "/strava/sign-out"])
@pytest.mark.parametrize(
    ("wish", "location"), [("/bye", "/bye"), ("//evil.test", "/"), ("https://evil.test", "/"), ("/%5Cevil.test", "/")]
)
async def test_where_to_go_afterwards_is_on_this_site(path: str, wish: str, location: str) -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        response = await browser.post(f"{path}?next={wish}")
        assert response.headers["location"] == location


@pytest.mark.parametrize("path", ["/strava/disconnect", "/strava/sign-out"])
async def test_an_invalid_request_changes_nothing(path: str) -> None:
    async with service() as here, here.browser() as browser:
        await browser.connect()
        assert (await browser.post(f"{path}?next=/a&next=/b")).status_code == 400
        assert await connected(here, browser)
