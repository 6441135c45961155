"""Whose pages may act for the athlete who is signed in, and what pages of the kit tell of themselves."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from starlette.responses import PlainTextResponse

from strava_async import Client, CrossSiteError, InputError, Strava
from strava_async.fastapi import (
    AthleteDep,
    AthleteIdDep,
    ConnectFailure,
    StravaLifespan,
    athlete_id_of,
    kit_of,
    oauth_router,
)
from strava_async.fastapi import exception_handlers as handlers
from tests.fastapi.oauth_service import SITE, service

pytestmark = pytest.mark.anyio

NEIGHBOURS = [
    *("https://evil.service.test", "http://service.test", "https://service.test:444", "https://evil.test", "null", ""),
    *("https://service.test.evil.test", "https://evil.test/https://service.test", "https://[", "file://", "HTTPS"),
]


def socket_app(*, base_url: str | None = None, **options: Any) -> FastAPI:
    strava = Strava(1, "secret")
    app = FastAPI(lifespan=StravaLifespan(strava, **options), exception_handlers=handlers)
    app.include_router(oauth_router(strava, base_url=base_url), prefix="/strava")

    @app.websocket("/athlete")
    async def athlete(websocket: WebSocket, athlete: AthleteDep) -> None:
        await websocket.accept()

    @app.websocket("/id")
    async def by_id(websocket: WebSocket, athlete_id: AthleteIdDep) -> None:
        await websocket.accept()

    @app.websocket("/by-hand")
    async def by_hand(websocket: WebSocket) -> None:
        with pytest.raises(CrossSiteError, match=r"StravaLifespan\(origins=\.\.\.\)"):
            await athlete_id_of(websocket)
        with pytest.raises(CrossSiteError):
            await kit_of(websocket).athlete_id(websocket)

    return app


async def opened(
    app: FastAPI, *origins: str, path: str = "/athlete", scheme: str = "wss", host: str = "service.test"
) -> int:
    """Open a websocket; return the status of the answer, 101 if it was accepted."""
    statuses: list[int] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        statuses.append(101 if message["type"] == "websocket.accept" else message.get("status", 0))

    fields = [(b"host", host.encode()), *((b"origin", origin.encode()) for origin in origins)]
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": fields, "scheme": scheme}
    async with app.router.lifespan_context(app) as state:
        await app({**scope, "state": dict(state or {}), "extensions": {"websocket.http.response": {}}}, receive, send)
    return statuses[0]


@pytest.mark.parametrize("path", ["/athlete", "/id"])
@pytest.mark.parametrize("origin", NEIGHBOURS)
async def test_a_page_of_another_site_opens_no_websocket(origin: str, path: str) -> None:
    asked: list[object] = []
    assert await opened(socket_app(identify=asked.append), origin, path=path) == 403
    assert asked == []


async def test_who_asks_by_hand_is_told_too() -> None:
    app = socket_app(identify=lambda connection: 7)
    with pytest.raises(IndexError):  # the route answers nothing
        await opened(app, "https://evil.test", path="/by-hand")


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("wss", "service.test", "https://service.test"),
        ("wss", "Service.test:443", "https://service.test"),
        ("wss", "service.test:8443", "https://service.test:8443"),
        ("ws", "localhost:8000", "http://localhost:8000"),
        ("ws", "[::1]:8000", "http://[::1]:8000"),
        ("ws", "service.test", "https://service.test"),  # behind a proxy that hides https
    ],
)
async def test_a_page_of_this_site_opens_a_websocket(scheme: str, host: str, origin: str) -> None:
    assert await opened(socket_app(identify=lambda connection: 7), origin, scheme=scheme, host=host) == 101


async def test_what_is_no_browser_needs_no_origin_and_has_to_be_signed_in() -> None:
    assert await opened(socket_app(identify=lambda connection: 7)) == 101
    assert await opened(socket_app()) == 401


async def test_two_origins_are_none() -> None:
    assert await opened(socket_app(identify=lambda connection: 7), SITE, SITE) == 403


async def test_pages_of_sites_that_the_service_names_may() -> None:
    app = socket_app(identify=lambda connection: 7, origins=["https://app.test", "http://localhost:3000/"])
    assert await opened(app, "https://app.test") == 101
    app = socket_app(identify=lambda connection: 7, origins=["https://app.test", "http://localhost:3000/"])
    assert await opened(app, "http://localhost:3000", host="10.0.0.7:80", scheme="ws") == 101
    app = socket_app(identify=lambda connection: 7, origins=["https://app.test"])
    assert await opened(app, "https://app.test:444") == 403


async def test_behind_a_proxy_that_changes_the_host_the_site_is_known_by_its_base_url() -> None:
    behind = {"host": "10.0.0.7:8000", "scheme": "ws"}
    app = socket_app(identify=lambda connection: 7, base_url="https://service.test/api")
    assert await opened(app, "https://service.test", **behind) == 101
    app = socket_app(identify=lambda connection: 7)
    assert await opened(app, "https://service.test", **behind) == 403


async def test_such_pages_may_send_forms_too_whatever_the_browser_calls_them() -> None:
    async with service(lifespan={"origins": ["https://app.test"]}) as here, here.browser() as browser:
        for field in ({}, {"sec-fetch-site": "cross-site"}):
            fields = {"origin": "https://app.test", **field}
            assert (await browser.post("/strava/sign-out", headers=fields)).status_code == 303
            fields = {"origin": "https://app2.test", **field}
            assert (await browser.post("/strava/sign-out", headers=fields)).status_code == 403


@pytest.mark.parametrize(
    "origins",
    [
        *("https://app.test", ["app.test"], ["https://app.test/path"], ["https://app.test?"], ["null"], ["*"], [""]),
        *(["ws://a"], ["https://me:hidden@app.test"], ["https://*.app.test:x"]),
    ],
)
def test_origins_that_are_none_are_reported_at_once(origins: Any) -> None:
    with pytest.raises(InputError, match="origins") as raised:
        StravaLifespan(Strava(1, "secret"), origins=origins)
    assert "hidden" not in str(raised.value)


# What the kit's answers let a browser tell


async def test_a_page_of_the_applications_lets_its_forms_say_where_they_are_from() -> None:
    def welcome(request: Request, client: Client) -> Response:
        return PlainTextResponse("welcome", headers={"Referrer-Policy": "unsafe-url"})

    def sorry(request: Request, failure: ConnectFailure) -> Response:
        return PlainTextResponse("sorry", headers={"Referrer-Policy": "no-referrer"})

    async with service(on_connect=welcome, on_error=sorry) as here, here.browser() as browser:
        pages = [await browser.connect(), await browser.connect(deny=True), await browser.get("/strava/callback")]
    assert [page.text for page in pages] == ["welcome", "sorry", "sorry"]
    assert [page.headers["referrer-policy"] for page in pages] == ["strict-origin"] * 3


async def test_who_hides_where_a_form_is_from_is_told_why_it_is_refused() -> None:
    async with service() as here, here.browser("http://service.test") as browser:
        response = await browser.post("/strava/sign-out", headers={"origin": "null"})
        assert (response.status_code, "Referrer-Policy: no-referrer" in response.text) == (403, True)
        response = await browser.post("/strava/sign-out", headers={"origin": "http://evil.test"})
        assert (response.status_code, "no-referrer" in response.text) == (403, False)
