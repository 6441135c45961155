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

Then the stores (``webhook_stores``: memory, file, Redis): the answer at 50 events a second, a burst by 100 senders, the
time from an event to its handler, and the memory for 100,000 events that wait. ``--only bursts`` or ``--only stores``
measures one of both, ``--quick`` a tenth of the stores alone.

The client uses raw asyncio sockets, so that it is not the bottleneck. Afterwards the service reports what it handled:
nothing may be lost or handled twice. It exits with 1 if a target is missed. Needs the extra ``fastapi``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from typing import Any

from benchmarks.processes import run_python
from benchmarks.table import Row, render
from benchmarks.webhook_sender import Connection, connect, handled, milliseconds_of, post
from benchmarks.webhook_service import serving
from benchmarks.webhook_stores import TENTH, WHOLE, Amount, measure_stores

EVENTS = 1_000
REPEATED_EVERY = 10
SENDERS = 100
AT_MOST_MS = 200.0
MAX_SECONDS = 120.0
AT_ONCE = "sent at once"
IN_PROCESS = "no server"
_WITHOUT_SERVER = """import asyncio, json; from benchmarks.webhook_burst import without_server
from benchmarks.webhook_service import make_app
ids = []
print(json.dumps([asyncio.run(without_server(make_app(ids))), ids]))"""


# -- the sender -------------------------------------------------------------------------------------------------------


async def at_once(port: int, requests: list[bytes]) -> list[float]:
    """Write all requests at the same instant; return the milliseconds from then to each answer."""
    connections = await connect(port, len(requests))
    began = time.perf_counter()
    answers = await asyncio.gather(*[each.send(request) for each, request in zip(connections, requests, strict=True)])
    for connection in connections:
        connection.close()
    return [milliseconds_of(began, at, status) for at, status, _ in answers]


async def by_senders(port: int, requests: list[bytes]) -> list[float]:
    """Let senders share the requests; return the milliseconds of each."""
    left = iter(requests)
    taken: list[float] = []

    async def send(connection: Connection) -> None:
        for request in left:
            began = time.perf_counter()
            at, status, _ = await connection.send(request)
            taken.append(milliseconds_of(began, at, status))
        connection.close()

    await asyncio.gather(*map(send, await connect(port, SENDERS)))
    return taken


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
                    taken.append(milliseconds_of(began, time.perf_counter(), message["status"]))

            await app({**asgi, "headers": [], "state": dict(state)}, receive, send)

        bodies = [post(number).partition(b"\r\n\r\n")[2] for number in _numbers(1)]
        began = time.perf_counter()
        await asyncio.gather(*map(answer, bodies))
    return taken


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


async def measure_bursts() -> list[Row]:
    """Return the rows of the bursts."""
    rows = [row for name in (AT_ONCE, f"{SENDERS} senders", IN_PROCESS) for row in await burst(name, 1)]
    async with serving(idle=True) as port:
        idle = await at_once(port, [post(number) for number in _numbers(1)])
    return [*rows, Row("", "sent at once to an application that does nothing: slowest answer", max(idle), "ms")]


async def measure(parts: str, amount: Amount) -> list[Row]:
    """Return all rows, or those of one part."""
    async with asyncio.timeout(MAX_SECONDS):
        rows = await measure_bursts() if parts != "stores" else []
        return rows + (await measure_stores(amount) if parts != "bursts" else [])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.webhook_burst", description="Measure a burst of events."
    )
    parser.add_argument("--only", choices=["bursts", "stores"], default="", help="one of both parts")
    parser.add_argument("--quick", action="store_true", help="a tenth of the stores alone, whose figures mean little")
    options = parser.parse_args()
    parts, amount = ("stores", TENTH) if options.quick else (options.only, WHOLE)
    rows = asyncio.run(measure(parts, amount))
    print(f"{EVENTS} events, every {REPEATED_EVERY}th twice, on {os.cpu_count()} cores\n\n{render(rows)}")
    sys.exit(any(row.verdict == "MISSED" for row in rows))


if __name__ == "__main__":
    main()
