"""Assembles the service.

::

    uvicorn --factory examples.fastapi_app.app:create_app
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from examples.fastapi_app import pages, stream
from examples.fastapi_app.database import Database
from examples.fastapi_app.events import Events
from examples.fastapi_app.live import Live
from examples.fastapi_app.meters import Meters
from examples.fastapi_app.news import News
from examples.fastapi_app.rides import Rides
from examples.fastapi_app.settings import Settings
from examples.fastapi_app.stopping import before_stopping
from examples.fastapi_app.tally import Record, Tally
from examples.fastapi_app.views import STATIC, FieldsMiddleware
from strava_async import SqliteRateLimiter, SqliteTokenStore, Strava, StravaError
from strava_async.clock import Clock
from strava_async.fastapi import StravaLifespan, oauth_router, webhook_router
from strava_async.webhooks import SqliteEventStore

SCOPE = ["read", "activity:read", "activity:read_all"]
REQUIRED_SCOPE = ["activity:read"]


def create_app(
    settings: Settings | None = None, *, strava: Strava | None = None, record: Record | None = None
) -> FastAPI:
    """Return the service. Nothing is opened before it starts.

    Args:
        settings: None reads them from the environment.
        strava: None makes one from the settings. It is closed when the service stops.
        record: makes an activity for an athlete, where Strava is an emulator; pages then have a button for that.

    Raises:
        SettingsError: they are incomplete.
    """
    settings = settings or Settings.read(os.environ)
    for folder in (*reversed(settings.data_dir.parents), settings.data_dir):
        folder.mkdir(mode=0o700, exist_ok=True)  # one by one: parents=True would ignore the mode for parents
    strava = strava or strava_of(settings)
    database = Database(settings.data_dir / "news.sqlite")
    news, meters = News(database, strava.clock), Meters(database, strava.clock)
    rides = Rides(strava.clock, news.newest)
    live = Live(strava, news, meters, rides)
    events = Events(strava, news, rides, live)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        await database.create()
        await live.look()
        async with StravaLifespan(strava)(app) as state, anyio.create_task_group() as tasks:
            tasks.start_soon(live.run)
            with before_stopping(live.stop), short_collections():
                yield {**state, "tally": Tally(news, rides, live, record, settings.at_strava)}
            tasks.cancel_scope.cancel()

    app = FastAPI(title="Tally", lifespan=lifespan, openapi_url=None)
    app.state.stop = live.stop
    app.add_middleware(FieldsMiddleware)
    app.add_exception_handler(StravaError, pages.strava_failed)
    app.add_exception_handler(HTTPException, pages.http_failed)
    app.include_router(pages.router)
    app.include_router(stream.router)
    app.include_router(
        oauth_router(
            strava,
            scope=SCOPE,
            required_scope=REQUIRED_SCOPE,
            on_error=pages.connect_failed,
            on_disconnect=events.forget,
            base_url=settings.public_url,
        ),
        prefix="/strava",
    )
    app.include_router(
        webhook_router(
            strava,
            verify_token=settings.verify_token,
            path=settings.webhook_path,
            on_event=events.on_event,
            on_disconnect=events.forget,
            subscription_id=settings.subscription_id,
            events=SqliteEventStore(settings.data_dir / "webhooks.sqlite", clock=strava.clock),
        ),
        prefix="/strava",
    )
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


@contextmanager
def short_collections() -> Generator[None]:
    """Exclude imported modules from garbage collection until the block ends: each full one took 0.1 s for them."""
    if gc.get_freeze_count():  # the process has done so itself, and this must not undo it
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def strava_of(settings: Settings, *, clock: Clock | None = None, **options: Any) -> Strava:
    """Return the application that the settings name; its processes share tokens and quota in two files.

    Args:
        settings: of the service.
        clock: None means the system's.
        options: those of ``Strava``.
    """
    folder, name = settings.data_dir, settings.client_id
    return Strava(
        settings.client_id,
        settings.client_secret,
        token_store=SqliteTokenStore(folder / "tokens.sqlite", key=settings.token_key, application=name),
        rate_limiter=SqliteRateLimiter(folder / "quota.sqlite", application=name, clock=clock),
        clock=clock,
        api_url=settings.api_url,
        oauth_url=settings.oauth_url,
        **options,
    )
