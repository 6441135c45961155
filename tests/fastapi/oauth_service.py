"""A service with ``oauth_router`` over an emulator, and browsers to use it: what the tests of the routes share."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from fastapi import FastAPI

from strava_async import MemoryTokenStore, RetryPolicy, Strava, TokenSet, TokenStoreError
from strava_async.fastapi import AthleteDep, AthleteIdDep, StravaLifespan, exception_handlers
from strava_async.fastapi.oauth.router import oauth_router
from strava_async.testing import Emulator, FakeClock

SITE = "https://service.test"
SCOPE = "read,activity:read"
SESSION = "__Host-strava_athlete"


class FussyStore(MemoryTokenStore):
    """A store that can be made to fail."""

    full = False

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        if self.full:
            raise TokenStoreError("the disk is full")
        await super().save(athlete_id, token)


class Service:
    """A running service.

    Attributes:
        emulator: its Strava.
        store: where its tokens are kept.
        marianne: an athlete.
        app: the application as a server calls it.
    """

    def __init__(self, emulator: Emulator, clock: FakeClock, store: FussyStore, strava: Strava, app: Any) -> None:
        self.emulator, self.clock, self.store, self.strava, self.app = emulator, clock, store, strava, app
        self.marianne, self.pierre = emulator.athlete_ids

    def browser(self, site: str = SITE, **transport: Any) -> Browser:
        return Browser(self, site, **transport)


class Browser(httpx.AsyncClient):
    """A browser: it keeps cookies, and follows redirects only on request."""

    def __init__(self, service: Service, site: str, **transport: Any) -> None:
        super().__init__(transport=httpx.ASGITransport(service.app, **transport), base_url=site)
        self._service = service

    async def ask(self, path: str = "/strava/connect") -> str:
        """Press the button; return where Strava's page is."""
        response = await self.get(path)
        assert response.status_code == 303, response.text
        return response.headers["location"]

    async def answer(self, page: str, **decision: Any) -> str:
        """Decide on Strava's page; return where that leads, without going there."""
        return await self._service.emulator.approve(page, **decision)

    async def connect(self, path: str = "/strava/connect", **decision: Any) -> httpx.Response:
        """Do all of it."""
        return await self.get(await self.answer(await self.ask(path), **decision))

    async def callback(self, **query: str) -> httpx.Response:
        """Come back with an answer that Strava did not give, to a question that was put to this browser."""
        state = parameters(await self.ask())["state"]
        return await self.get("/strava/callback", params={"state": state, **query})


def parameters(url: str) -> dict[str, str]:
    """Return the query of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def set_cookies(response: httpx.Response) -> list[dict[str, str]]:
    """Return the cookies that a response sets, each with its attributes in small letters."""
    found: list[dict[str, str]] = []
    for line in response.headers.get_list("set-cookie"):
        first, *attributes = line.split("; ")
        name, _, value = first.partition("=")
        cookie = {key.lower(): text for key, _, text in (each.partition("=") for each in attributes)}
        found.append({"": name, "value": value.strip('"'), **cookie})
    return found


@asynccontextmanager
async def service(
    prefix: str = "/strava",
    lifespan: dict[str, Any] | None = None,
    *,
    emulator: Emulator | None = None,
    store: FussyStore | None = None,
    **options: Any,
) -> AsyncGenerator[Service]:
    """Run a service. ``/me`` says who is signed in, and ``/name`` asks Strava for the name.

    Args:
        prefix: where the routes are.
        lifespan: more arguments of ``StravaLifespan``, which tries nothing twice unless they say so.
        emulator: its Strava, by a ``FakeClock``.
        store: where its tokens are kept.
        options: arguments of ``oauth_router``.
    """
    emulator = emulator or Emulator(years=0.1, athletes=2, clock=FakeClock())
    clock, store = emulator.clock, store or FussyStore()
    assert isinstance(clock, FakeClock)
    emulator.application().callback_domain = "service.test"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        strava = Strava(
            emulator.client_id,
            emulator.client_secret,
            token_store=store,
            http_client=http_client,
            clock=clock,
            retry=RetryPolicy(max_attempts=1),
        )
        app = FastAPI(
            lifespan=StravaLifespan(strava, **{"retry": None, **(lifespan or {})}),
            exception_handlers=exception_handlers,
        )

        @app.get("/me")
        async def me(athlete_id: AthleteIdDep) -> int:
            return athlete_id

        @app.get("/name")
        async def name(athlete: AthleteDep) -> str | None:
            return (await athlete.athlete.get()).firstname

        app.include_router(oauth_router(strava, **{"scope": SCOPE, **options}), prefix=prefix)
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            yield Service(emulator, clock, store, strava, with_state)
