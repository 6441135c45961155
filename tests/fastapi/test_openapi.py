"""What OpenAPI says of routes that ask who is signed in."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.security import APIKeyHeader
from starlette.applications import Starlette

from strava_async import Client, Strava
from strava_async.fastapi import (
    AthleteDep,
    AthleteIdDep,
    Dependencies,
    StravaDep,
    StravaLifespan,
    document_errors,
    exception_handlers,
    oauth_router,
)

pytestmark = pytest.mark.anyio

NAMED = {"401", "402", "403", "404", "502", "503", "504"}


def service(*, handlers: Any = exception_handlers, **options: Any) -> FastAPI:
    strava = Strava(1, "secret")
    app = FastAPI(lifespan=StravaLifespan(strava, **options), exception_handlers=handlers)
    app.include_router(oauth_router(strava), prefix="/strava")
    own = APIKeyHeader(name="X-Key", auto_error=False)
    of_it = Dependencies(strava)

    @app.get("/rides", responses={404: {"description": "No rides."}})
    async def rides(athlete: AthleteDep) -> None: ...

    @app.get("/me")
    async def me(athlete_id: AthleteIdDep, limit: int = 1) -> None: ...

    @app.get("/both")
    async def both(athlete: AthleteDep, key: Annotated[str | None, Depends(own)]) -> None: ...

    @app.get("/of-it")
    async def by_application(athlete: Annotated[Client, Depends(of_it.athlete)]) -> None: ...

    @app.get("/open")
    async def everybody(strava: StravaDep) -> None: ...

    return app


async def documented(app: FastAPI) -> dict[str, Any]:
    async with app.router.lifespan_context(app):
        return app.openapi()


def operation(document: dict[str, Any], path: str) -> dict[str, Any]:
    return document["paths"][path]["get"]


@pytest.mark.parametrize("path", ["/rides", "/me", "/both", "/of-it"])
async def test_routes_that_ask_who_is_signed_in_name_their_errors(path: str) -> None:
    document = await documented(service())
    answers = operation(document, path)["responses"]
    assert answers.keys() >= NAMED | {"200"}
    schema = answers["503"]["content"]["application/problem+json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][schema]["required"]) == {"type", "title", "status"}
    assert "Retry-After" in answers["503"]["headers"]


async def test_the_cookie_is_named() -> None:
    document = await documented(service())
    scheme = document["components"]["securitySchemes"]["StravaSession"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "cookie", "__Host-strava_athlete")
    assert operation(document, "/rides")["security"] == [{"StravaSession": []}]
    document = await documented(service(cookie_name="rider"))
    assert document["components"]["securitySchemes"]["StravaSession"]["name"] == "__Host-rider"


async def test_what_asks_nobody_wants_nothing_and_its_answers_are_its_own() -> None:
    document = await documented(service())
    assert "security" not in operation(document, "/open")
    assert operation(document, "/open")["responses"].keys() == {"200"}
    assert operation(document, "/rides")["responses"]["404"] == {"description": "No rides."}
    assert operation(document, "/me")["responses"]["422"]["content"].keys() == {"application/json"}
    assert not any(path.startswith("/strava") for path in document["paths"])


async def test_a_service_with_users_of_its_own_says_itself_how_it_knows_them() -> None:
    document = await documented(service(identify=lambda connection: 7))
    assert "security" not in operation(document, "/rides")
    assert operation(document, "/both")["security"] == [{"APIKeyHeader": []}]
    assert document["components"]["securitySchemes"].keys() == {"APIKeyHeader"}
    assert operation(document, "/rides")["responses"].keys() >= NAMED


async def test_a_service_that_handles_errors_itself_names_them_itself() -> None:
    document = await documented(service(handlers={}))
    assert operation(document, "/rides")["responses"].keys() == {"200", "404"}
    assert operation(document, "/rides")["security"] == [{"StravaSession": []}]
    assert "StravaProblem" not in document["components"].get("schemas", {})


async def test_the_document_is_the_same_each_time_and_follows_new_routes() -> None:
    app = service()
    before = json.dumps(app.openapi())
    document = await documented(app)
    assert json.dumps(document) == json.dumps(app.openapi()) != before
    document["components"]["schemas"]["StravaProblem"]["title"] = "changed by the service"
    assert (await documented(service()))["components"]["schemas"]["StravaProblem"]["title"] == "Problem"


def test_a_program_that_does_not_start_the_service_can_have_it_too() -> None:
    app = service()
    document_errors(app)
    document_errors(app)
    assert operation(app.openapi(), "/rides")["responses"].keys() >= NAMED


async def test_applications_that_are_mounted_are_documented_too() -> None:
    strava = Strava(1, "secret")
    outer = FastAPI(lifespan=StravaLifespan(strava), exception_handlers=exception_handlers)
    inner = FastAPI(exception_handlers=exception_handlers)

    @inner.get("/rides")
    async def rides(athlete: AthleteDep) -> None: ...

    outer.mount("/inner", inner)
    outer.mount("/plain", Starlette())
    await documented(outer)
    assert operation(inner.openapi(), "/rides")["responses"].keys() >= NAMED


async def test_each_application_of_a_service_names_its_cookie() -> None:
    first, second = Strava(1, "secret"), Strava(2, "secret")

    def app_of(**options: Any) -> FastAPI:
        @asynccontextmanager
        async def both(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
            async with StravaLifespan(first)(app) as one, StravaLifespan(second, **options)(app) as other:
                yield {**one, **other}

        app = FastAPI(lifespan=both)

        @app.get("/second")
        async def of_second(athlete: Annotated[Client, Depends(Dependencies(second).athlete)]) -> None: ...

        return app

    scheme = (await documented(app_of()))["components"]["securitySchemes"]["StravaSession"]
    assert scheme["name"] == "__Host-strava_athlete_1"
    assert "`__Host-strava_athlete_2`" in scheme["description"]
    first, second = Strava(1, "secret"), Strava(2, "secret")
    document = await documented(app_of(identify=lambda connection: 7))
    assert document["components"]["securitySchemes"]["StravaSession"]["name"] == "__Host-strava_athlete_1"
    assert operation(document, "/second")["security"] == [{"StravaSession": []}]
