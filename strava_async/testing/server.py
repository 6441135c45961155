"""The emulator behind a real socket, for clients that need one. asyncio only: the server is uvicorn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async.testing.emulator import Emulator
from strava_async.testing.http.hosts import AllowedHosts, address_of, restrict_hosts


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


def cut_on_error(app: ASGIApp) -> ASGIApp:
    """Turn an ``OSError`` of the application into a connection that is cut in the middle of the response.

    An ASGI application cannot close a connection; a server closes it if the response is shorter than announced.
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


def _listen(host: str, port: int) -> socket.socket:
    if ":" not in host:
        return socket.create_server((host, port))
    return socket.create_server(
        (host.strip("[]"), port),
        family=socket.AF_INET6,
        dualstack_ipv6=address_of(host) == address_of("::") and socket.has_dualstack_ipv6(),
    )


def _base_url(host: str, listener: socket.socket) -> str:
    """Return where the server is reached from this machine."""
    bound, port, *_ = listener.getsockname()
    address = address_of(bound)
    if address is not None and address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "[::1]"
    return f"http://[{host.strip('[]')}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serve(
    emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0, allowed_hosts: Iterable[str] = ()
) -> AsyncGenerator[str, None]:
    """Serve an emulator over HTTP and deliver its events to webhooks, as long as the block lasts.

    Anyone who reaches it can use it: its secrets are invented, and the same for each seed. So that no web page reaches
    it by DNS rebinding, it answers only requests for its own host (403 otherwise); ``Emulator.app`` takes any host.

    Args:
        emulator: what to serve.
        host: the interface to listen on: a name, or an address of IPv4 or IPv6.
        port: the port; 0 takes a free one.
        allowed_hosts: further names of this machine that clients use, such as the name of a Docker Compose service.
            ``localhost``, loopback addresses, ``host`` and the address that is connected to are always allowed.
            Ports do not matter. ``*`` allows any, and rebinding with it.

    Yields:
        the base URL, such as ``http://127.0.0.1:41234``; of loopback, where ``host`` is every interface.

    Raises:
        OSError: the port is taken, or ``host`` is not of this machine.
        ValueError: one of ``allowed_hosts`` is not a host.
    """
    allowed = AllowedHosts(host, allowed_hosts)
    listener = _listen(host, port)
    config = uvicorn.Config(
        restrict_hosts(allowed, cut_on_error(emulator.app)),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        date_header=False,  # the emulator sends its own Date, by its own clock
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
        yield _base_url(host, listener)
    finally:
        ready.cancel()
        delivering.cancel()
        server.should_exit = True
        await asyncio.wait({delivering})
        await serving
        listener.close()
    if not delivering.cancelled():
        delivering.result()
