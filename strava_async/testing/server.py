"""The emulator behind a real socket, for clients that need one. asyncio only: the server is uvicorn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async.testing.emulator import Emulator


class _Server(uvicorn.Server):
    """uvicorn, which leaves the signals of the process alone and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


def cutting(app: ASGIApp) -> ASGIApp:
    """Turn an ``OSError`` of the application into a connection that is cut in the middle of the answer.

    An application cannot close a connection by itself; a server closes it if the answer is shorter than announced.
    """

    async def serve_or_cut(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except OSError:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"1000000")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})

    return serve_or_cut


async def _deliver(emulator: Emulator) -> None:
    async with emulator.delivering():
        await asyncio.Event().wait()


@asynccontextmanager
async def serve(emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str, None]:
    """Serve an emulator over HTTP, and deliver its events to webhooks, as long as the block lasts.

    Args:
        emulator: what to serve.
        host: the interface to listen on.
        port: the port; 0 takes a free one.

    Yields:
        the base URL, such as ``http://127.0.0.1:41234``.
    """
    listener = socket.create_server((host, port))
    config = uvicorn.Config(
        cutting(emulator.app),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        date_header=False,  # the emulator sends its own, by its own clock
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    ready = asyncio.ensure_future(server.ready.wait())
    # A task of its own, so that one task may enter the block and another leave it, as fixtures of pytest do.
    delivering = asyncio.ensure_future(_deliver(emulator))
    try:
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        ready.cancel()
        delivering.cancel()
        server.should_exit = True
        await asyncio.wait({delivering})
        await serving
        listener.close()
    if not delivering.cancelled():
        delivering.result()
