"""A burst of webhook events against a service under uvicorn: ``python -m benchmarks.webhook_burst``.

1,000 events, and every tenth of them twice, as Strava repeats lost ones; the handler takes a second. The
service is one process under uvicorn, with uvloop and httptools where they are installed, over loopback. Three bursts:

- ``sent at once``: a keep-alive connection for each request; all requests are written at the same instant. Measured
  is the time from that instant to the last byte of each answer, including waits in the client, the system and the
  server. It is the worst case, and shows the throughput.
- ``100 senders``: as many keep-alive connections, each of which sends its next event, measured from there, when it
  has its answer. This corresponds to a sender with a connection pool.
- ``no server``: all requests at the same instant, given to the application itself in a process of its own. What remains
  is the cost of FastAPI and this library.

The client uses raw asyncio sockets, so that it is not the bottleneck. Afterwards the service reports what it handled:
nothing may be lost or handled twice. It exits with 1 if a target is missed. Needs the extra ``fastapi``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.processes import run_python
from benchmarks.table import Row, render

EVENTS = 1_000
REPEATED_EVERY = 10
SENDERS = 100
FIRST_OWNER = 134_815
OWNERS = 200  # of one athlete a hundred events may be unfinished, and ten have their first attempt within a minute
HANDLER_SECONDS = 1.0
WORKERS = 100
AT_MOST_MS = 200.0
MAX_SECONDS = 120.0
AT_ONCE = "sent at once"
IN_PROCESS = "no server"
_WITHOUT_SERVER = """import asyncio, json; from benchmarks.webhook_burst import make_app, without_server
ids = []
print(json.dumps([asyncio.run(without_server(make_app(ids))), ids]))"""


# -- the service ------------------------------------------------------------------------------------------------------


def make_app(handled: list[int]) -> Any:
    """Return the service; it adds to the list what it has handled."""
    import anyio
    from fastapi import FastAPI

    from strava_async import MemoryTokenStore, Strava, TokenSet
    from strava_async.fastapi import StravaLifespan
    from strava_async.fastapi.webhooks import webhook_router
    from strava_async.webhooks import WebhookEvent

    store = MemoryTokenStore()

    async def connect_all() -> None:
        for owner in range(FIRST_OWNER, FIRST_OWNER + OWNERS):
            await store.save(owner, TokenSet("a", "r", None, frozenset(), owner))

    anyio.run(connect_all)
    strava = Strava(1, "secret", token_store=store)

    async def on_event(event: WebhookEvent) -> None:
        await anyio.sleep(HANDLER_SECONDS)
        handled.append(event.object_id)

    app = FastAPI(lifespan=StravaLifespan(strava))
    app.include_router(webhook_router(strava, verify_token="token", on_event=on_event, workers=WORKERS))

    @app.get("/handled")
    async def tell() -> list[int]:
        return handled

    return app


async def answer_all(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 to everything: the cost of the server alone."""
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def serve(descriptor: int, *, idle: bool) -> None:
    """Serve on a listening socket until stopped; if ``idle``, an application that does nothing."""
    import uvicorn

    app = answer_all if idle else make_app([])
    gc.collect()
    gc.freeze()  # as docs/fastapi.md advises for a service
    # Opening a thousand connections may take longer than uvicorn keeps an idle one by default.
    uvicorn.run(app, fd=descriptor, log_level="warning", access_log=False, timeout_keep_alive=60)


@asynccontextmanager
async def serving(*, idle: bool = False) -> AsyncIterator[int]:
    """Run the service, or an idle one, as a process, and yield its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=2 * EVENTS) as listener:
        descriptor = listener.fileno()
        job = ["-m", "benchmarks.webhook_burst", "--serve", str(descriptor), *(["--idle"] if idle else [])]
        process = await asyncio.create_subprocess_exec(sys.executable, *job, pass_fds=[descriptor])
        try:
            yield listener.getsockname()[1]
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


# -- the sender -------------------------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """A keep-alive connection: a request, then its answer."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[tuple[float, int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def send(self, request: bytes) -> asyncio.Future[tuple[float, int, bytes]]:
        """Write a request; return the instant, the status and the body of its answer."""
        if self._transport is None or self._transport.is_closing():
            raise RuntimeError("the service closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Put an answer together."""
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank or self._answer is None:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(fields[b"content-length"]):
            self._received = b""
            self._answer.set_result((time.perf_counter(), int(head.split(b" ", 2)[1]), body))

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what was waited for."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the service closed the connection"))

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()


def post(number: int) -> bytes:
    """Return the request for an event about an activity."""
    event = {"aspect_type": "create", "event_time": 1_516_126_040, "object_id": number, "object_type": "activity"}
    body = json.dumps(
        {**event, "owner_id": FIRST_OWNER + number % OWNERS, "subscription_id": 120_475, "updates": {}}
    ).encode()
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def connect(port: int, how_many: int) -> list[Connection]:
    """Return open connections, each of which has carried a request: the cost of first use is not measured."""
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    for _ in range(how_many):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        connections.append(connection)
        await connection.send(b"GET /webhook HTTP/1.1\r\nHost: x\r\n\r\n")
    return connections


async def at_once(port: int, requests: list[bytes]) -> list[float]:
    """Write all requests at the same instant; return the milliseconds from then to each answer."""
    connections = await connect(port, len(requests))
    began = time.perf_counter()
    answers = await asyncio.gather(*[each.send(request) for each, request in zip(connections, requests, strict=True)])
    for connection in connections:
        connection.close()
    return [_milliseconds(began, at, status) for at, status, _ in answers]


async def by_senders(port: int, requests: list[bytes]) -> list[float]:
    """Let senders share the requests; return the milliseconds of each."""
    left = iter(requests)
    taken: list[float] = []

    async def send(connection: Connection) -> None:
        for request in left:
            began = time.perf_counter()
            at, status, _ = await connection.send(request)
            taken.append(_milliseconds(began, at, status))
        connection.close()

    await asyncio.gather(*map(send, await connect(port, SENDERS)))
    return taken


def _milliseconds(began: float, ended: float, status: int) -> float:
    if status != 200:
        raise RuntimeError(f"an event was answered with {status}")
    return 1e3 * (ended - began)


async def without_server(app: Any) -> list[float]:
    """Pass the application all requests at once; return the milliseconds to each answer."""
    taken: list[float] = []
    async with app.router.lifespan_context(app) as state:
        asgi = {"type": "http", "method": "POST", "path": "/webhook", "query_string": b"", "root_path": ""}

        async def answer(body: bytes) -> None:
            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    taken.append(_milliseconds(began, time.perf_counter(), message["status"]))

            await app({**asgi, "headers": [], "state": dict(state)}, receive, send)

        bodies = [post(number).partition(b"\r\n\r\n")[2] for number in _numbers(1)]
        began = time.perf_counter()
        await asyncio.gather(*map(answer, bodies))
    return taken


async def handled(port: int, how_many: int) -> list[int]:
    """Wait until that many events were handled, or none is handled any more; return their ids."""
    [connection] = await connect(port, 1)
    before: list[int] = []
    while True:
        _, _, body = await connection.send(b"GET /handled HTTP/1.1\r\nHost: x\r\n\r\n")
        ids: list[int] = json.loads(body)
        if len(ids) >= how_many or (ids and ids == before):
            connection.close()
            return ids
        before = ids
        await asyncio.sleep(3 * HANDLER_SECONDS)


# -- the figures ------------------------------------------------------------------------------------------------------


async def burst(name: str, first: int) -> list[Row]:
    """Measure one burst at a new service."""
    if name == IN_PROCESS:
        # In a new process: this one's memory holds the results of earlier bursts.
        taken, handled_ids = json.loads(await run_python(sys.executable, _WITHOUT_SERVER))
    else:
        send: Any = at_once if name == AT_ONCE else by_senders
        async with serving() as port:
            taken = await send(port, [post(number) for number in _numbers(first)])
            handled_ids = await handled(port, EVENTS)
    numbers, ids = {*range(first, first + EVENTS)}, Counter(handled_ids)
    return [
        Row(name, "slowest answer", max(taken), "ms", at_most=AT_MOST_MS),
        Row("", "p99", statistics.quantiles(taken, n=100)[-1], "ms"),
        Row("", "median", statistics.median(taken), "ms"),
        Row(name, "events lost", len(numbers - ids.keys()), "", at_most=0),
        Row(name, "events handled twice", sum(count > 1 for count in ids.values()), "", at_most=0),
    ]


def _numbers(first: int) -> list[int]:
    return [n for n in range(first, first + EVENTS) for _ in range(1 + (n % REPEATED_EVERY == 0))]


async def measure() -> list[Row]:
    """Return all rows."""
    async with asyncio.timeout(MAX_SECONDS):
        rows = [row for name in (AT_ONCE, f"{SENDERS} senders", IN_PROCESS) for row in await burst(name, 1)]
        async with serving(idle=True) as port:
            idle = await at_once(port, [post(number) for number in _numbers(1)])
        return [*rows, Row("", "sent at once to an application that does nothing: slowest answer", max(idle), "ms")]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.webhook_burst", description="Measure a burst of events."
    )
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, idle=options.idle)
        return
    rows = asyncio.run(measure())
    print(f"{EVENTS} events, every {REPEATED_EVERY}th twice, on {os.cpu_count()} cores\n\n{render(rows)}")
    sys.exit(any(row.verdict == "MISSED" for row in rows))


if __name__ == "__main__":
    main()
