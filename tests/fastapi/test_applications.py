"""Two applications of Strava's in one service."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request

from strava_async import Client, InputError, Strava
from strava_async.fastapi import (
    AthleteDep,
    Dependencies,
    StravaDep,
    StravaLifespan,
    exception_handlers,
    kit_of,
    oauth_router,
)
from strava_async.testing import Application, Emulator
from tests.fastapi.oauth_service import SITE

pytestmark = pytest.mark.anyio

ROUTES = ("first", "second")


class Window(httpx.AsyncClient):
    """A browser in front of a service with the applications ``first`` and ``second``.

    Attributes:
        emulator: the Strava of both.
        applications: what it knows of them.
    """

    def __init__(self, emulator: Emulator, applications: dict[str, Application], app: Any) -> None:
        super().__init__(transport=httpx.ASGITransport(app), base_url=SITE)
        self.emulator, self.applications = emulator, applications

    async def connect(self, name: str, path: str = "", athlete: int = 0) -> httpx.Response:
        page = (await self.get(f"/{name}/connect{path}")).headers["location"]
        return await self.get(await self.emulator.approve(page, athlete_id=self.emulator.athlete_ids[athlete]))

    async def who(self) -> list[int]:
        return [(await self.get(f"/{name}/who")).status_code for name in ROUTES]


def add_routes(app: FastAPI, name: str, strava: Strava) -> None:
    of_it = Dependencies(strava)
    app.include_router(oauth_router(strava), prefix=f"/{name}")

    @app.get(f"/{name}/who")
    async def who(athlete_id: Annotated[int, Depends(of_it.athlete_id)]) -> int:
        return athlete_id

    @app.get(f"/{name}/name")
    async def called(
        athlete: Annotated[Client, Depends(of_it.athlete)], strava: Annotated[Strava, Depends(of_it.strava)]
    ) -> list[Any]:
        return [(await athlete.athlete.get()).firstname, strava.client_id]

    @app.get(f"/{name}/kit")
    async def kit(request: Request) -> int:
        return int(kit_of(request, strava).strava.client_id)


@asynccontextmanager
async def service(**options: dict[str, Any]) -> AsyncGenerator[Window]:
    """Run a service.

    Args:
        options: arguments of the ``StravaLifespan`` of an application.
    """
    emulator = Emulator(years=0.1, athletes=2)
    applications = {"first": emulator.application(), "second": emulator.register_application()}
    stravas: dict[str, Strava] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        first, second = (StravaLifespan(stravas[name], **options.get(name, {})) for name in ROUTES)
        async with first(app) as one, second(app) as other:
            yield {**one, **other}

    app = FastAPI(lifespan=lifespan, exception_handlers=exception_handlers)

    @app.get("/either")
    async def either(athlete: AthleteDep) -> None: ...

    @app.get("/strava")
    async def strava(strava: StravaDep) -> None: ...

    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        for name, application in applications.items():
            application.callback_domain = "service.test"
            strava_of_it = Strava(application.client_id, application.client_secret, http_client=http_client)
            add_routes(app, name, stravas.setdefault(name, strava_of_it))
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            async with Window(emulator, applications, with_state) as window:
                yield window


async def test_each_has_its_routes_its_athletes_and_its_quota() -> None:
    async with service() as window:
        for number, name in enumerate(ROUTES):
            response = await window.connect(name, f"?next=/{name}/name", athlete=number)
            assert (response.status_code, response.headers["location"]) == (303, f"/{name}/name")
        for number, (name, application) in enumerate(window.applications.items()):
            athlete = window.emulator.world(window.emulator.athlete_ids[number]).profile
            assert (await window.get(f"/{name}/name")).json() == [athlete["firstname"], application.client_id]
            assert (await window.get(f"/{name}/kit")).json() == application.client_id
        await window.get("/first/name")
        usage = [(await window.get(f"/{name}/quota")).json()["read_day"]["usage"] for name in ROUTES]
        assert usage == [2, 1]


async def test_who_signs_in_to_one_stays_signed_in_to_the_other() -> None:
    async with service() as window:
        await window.connect("first")
        assert await window.who() == [200, 401]
        await window.connect("second")
        assert await window.who() == [200, 200]
        await window.post("/first/sign-out")
        assert await window.who() == [401, 200]
        await window.post("/second/disconnect")
        assert await window.who() == [401, 401]
        assert window.emulator.count("POST", "/oauth/revoke") == 1


def own_cookie(window: Window, name: str) -> str:
    return f"__Host-strava_athlete_{window.applications[name].client_id}"


async def test_cookies_can_have_names_of_the_services_own() -> None:
    async with service(first={"cookie_name": "rider"}) as window:
        for name in ROUTES:
            await window.connect(name)
        assert sorted(window.cookies) == ["__Host-rider", own_cookie(window, "second")]
        assert await window.who() == [200, 200]


async def test_with_one_secret_for_both_no_session_of_one_is_one_of_the_other() -> None:
    options = {"secret": "a secret of both applications"}
    async with service(first=options, second=options) as window:
        await window.connect("first")
        cookie = window.cookies[own_cookie(window, "first")]
        for name in (own_cookie(window, "second"), "__Host-strava_athlete"):
            window.cookies.set(name, cookie, domain="service.test")
        assert await window.who() == [200, 401]


@pytest.mark.parametrize("path", ["/either", "/strava"])
async def test_who_does_not_say_which_is_meant_is_told(path: str) -> None:
    async with service() as window:
        with pytest.raises(InputError, match=r"2 applications .* Dependencies\(strava\)"):
            await window.get(path)


async def test_a_signed_out_page_does_not_lead_to_the_other_application() -> None:
    async with service() as window:
        answer = await window.get("/second/who", headers={"accept": "text/html"})
    assert (answer.status_code, "<a " in answer.text) == (401, False)
