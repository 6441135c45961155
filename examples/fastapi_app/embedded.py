"""The service and Strava's emulator in one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from examples.fastapi_app.app import create_app
from examples.fastapi_app.settings import Settings
from strava_async import Strava
from strava_async.testing import Emulator, serve

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        url: where it is.
        strava_url: where the emulator is.
        stopped: done when the server has stopped, as after Ctrl+C.
    """

    url: str
    strava_url: str
    stopped: asyncio.Future[None]


@asynccontextmanager
async def running(emulator: Emulator, folder: Path, *, port: int = 0) -> AsyncGenerator[Service]:
    """Run the service on an emulator, with a subscription to its events, as long as the block lasts.

    Args:
        emulator: served on a port of its own.
        folder: the service's data folder.
        port: of the service; 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    with socket.create_server((HOST, port)) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        async with serve(emulator) as strava_url:
            settings = Settings(
                client_id=str(emulator.client_id),
                client_secret=emulator.client_secret,
                data_dir=folder,
                api_url=f"{strava_url}/api/v3",
                oauth_url=f"{strava_url}/oauth",
            )
            app = create_app(settings, record=partial(emulator.record_activity, sport_type="Run"))
            server = _Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
            serving = asyncio.ensure_future(server.serve(sockets=[listener]))
            try:
                await server.ready.wait()
                await _subscribe(settings, f"{url}/strava/webhook")
                yield Service(url, strava_url, serving)
            finally:
                app.state.stop()
                server.should_exit = True
                await serving


class _Server(uvicorn.Server):
    """uvicorn, which reports when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            self.ready.set()  # it will never be ready: stop those who wait

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


async def _subscribe(settings: Settings, callback_url: str) -> None:
    async with Strava(
        settings.client_id, settings.client_secret, api_url=settings.api_url, oauth_url=settings.oauth_url
    ) as strava:
        await strava.webhooks.subscribe(callback_url, settings.verify_token)
