"""The stores of webhook events that ``webhook_burst`` compares: what each costs, and what it takes in.

``memory`` is the answer without a store. ``file`` is ``SqliteEventStore`` on the disk of the temporary directory,
``redis`` is ``RedisEventStore`` at a server of its own, where there is one. All are measured at the same time, in
turns, beside an fsync on the same disk and a round trip to the same server.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.fleet_redis import redis_binary, running_redis
from benchmarks.processes import run_python
from benchmarks.table import Row
from benchmarks.webhook_sender import FIRST_OWNER, OWNERS, Connection, connect, handled, post
from benchmarks.webhook_service import open_store, serving

PER_SECOND = 50
SENDERS = 100
QUIET_LOOKS = 20  # without a handled event, and the rest is lost
COUNTED = 3.0  # how many fsyncs or round trips a store may cost
IDLE_SECONDS = 0.1
TO_HANDLER_MS = {"same process": 50.0, "another": 1_000.0}
WAITING_MB = 20.0
FILL = "import asyncio; from benchmarks.webhook_service import fill; asyncio.run(fill({place!r}, {count}))"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is sent.

    Attributes:
        steady: events at 50 a second.
        burst: events that a hundred senders share.
        idle: events one at a time, to a service that does nothing else.
        waiting: events that wait.
    """

    steady: int
    burst: int
    idle: int
    waiting: int


WHOLE, TENTH = Amount(500, 1_000, 100, 100_000), Amount(50, 100, 10, 2_000)


@dataclass(slots=True)
class Figures:
    """What was measured of one store, in milliseconds."""

    answers: list[float] = field(default_factory=list)
    unit: list[float] = field(default_factory=list)


@asynccontextmanager
async def places() -> AsyncIterator[dict[str, str]]:
    """Yield where each kind of store is."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        found = {"memory": "memory", "file": f"file:{folder}/events.sqlite"}
        if redis_binary() is not None:
            found["redis"] = f"redis:{await stack.enter_async_context(running_redis())}"
        yield found


def p99(milliseconds: list[float]) -> float:
    """Return what one in a hundred exceeds."""
    return statistics.quantiles(milliseconds, n=100, method="inclusive")[-1]


# -- what the answer costs ---------------------------------------------------------------------------------------------


async def fsync_ms(folder: str) -> float:
    """Return the milliseconds of a write of a page and an fsync."""

    def write() -> float:
        fd = os.open(f"{folder}/probe", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            began = time.perf_counter()
            os.write(fd, bytes(4096))
            os.fsync(fd)
            return 1e3 * (time.perf_counter() - began)
        finally:
            os.close(fd)

    return await asyncio.to_thread(write)


async def round_trip_ms(client: Any) -> float:
    """Return the milliseconds of a command that does nothing."""
    began = time.perf_counter()
    await client.ping()
    return 1e3 * (time.perf_counter() - began)


async def unit_of(place: str) -> Callable[[], Awaitable[float]] | None:
    """Return what measures the unit in which the cost of a store is told."""
    kind, _, where = place.partition(":")
    if kind == "file":
        return lambda: fsync_ms(str(Path(where).parent))
    if kind == "redis":
        from redis.asyncio import Redis

        client = Redis(port=int(where))
        return lambda: round_trip_ms(client)
    return None


async def steady(
    senders: dict[str, Callable[[int], Awaitable[float]]], at: dict[str, str], numbers: range
) -> dict[str, Figures]:
    """Send the events of ``numbers`` to each store, 50 in a second; return what each took."""
    figures = {kind: Figures() for kind in senders}
    units = {kind: await unit_of(at[kind]) for kind in senders}
    began = time.perf_counter()
    for index, number in enumerate(numbers):
        for turn, kind in enumerate(senders):
            due = began + (index + turn / len(senders)) / PER_SECOND
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            figures[kind].answers.append(await senders[kind](number))
            unit = units[kind]
            if unit is not None:
                figures[kind].unit.append(await unit())
    return figures


def steady_rows(figures: dict[str, Figures]) -> list[Row]:
    """Return the rows of what answers take."""
    without = p99(figures["memory"].answers)
    rows = [Row("", f"memory: answer p99 at {PER_SECOND}/s", without, "ms")]
    for kind, found in figures.items():
        if found.unit:
            unit, what = p99(found.unit), {"file": "an fsync", "redis": "a round trip"}[kind]
            more = max(p99(found.answers) - without, 0.0)
            rows += [
                Row("", f"{kind}: answer p99 at {PER_SECOND}/s", p99(found.answers), "ms"),
                Row("", f"{kind}: {what}, p99", unit, "ms"),
                Row(kind, f"over memory's, in p99s of {what}", more / unit, "x", at_most=COUNTED),
            ]
    return rows


# -- what is taken in, and when it is handled --------------------------------------------------------------------------


def burst_rows(kind: str, statuses: dict[int, int], handled: list[int]) -> list[Row]:
    """Return the rows of a burst.

    Args:
        kind: of the store.
        statuses: of the answers, by the number of the event.
        handled: numbers of events, as often as they were handled.
    """
    count = Counter(handled)
    accepted = [number for number, status in statuses.items() if status == 200]
    other = sum(status not in (200, 503) for status in statuses.values())
    return [
        Row("", f"{kind}: burst, answered 503", sum(status == 503 for status in statuses.values()), ""),
        Row(kind, "burst, answered otherwise than 200 or 503", other, "", at_most=0),
        Row(kind, "burst, accepted and lost", sum(number not in count for number in accepted), "", at_most=0),
        Row(kind, "burst, handled twice", sum(times > 1 for times in count.values()), "", at_most=0),
    ]


def to_handler_row(kind: str, who: str, milliseconds: list[float]) -> Row:
    """Return the row of the time from an event to its handler."""
    return Row(kind, f"from event to handler, idle, {who}, p99", p99(milliseconds), "ms", at_most=TO_HANDLER_MS[who])


# -- what waits --------------------------------------------------------------------------------------------------------


async def waiting_row(kind: str, place: str, count: int) -> Row:
    """Return the row of the memory that waiting events take; only in a store is it bounded."""
    taken = json.loads(await run_python(sys.executable, FILL.format(place=place, count=count)))
    at_most = None if kind == "memory" else WAITING_MB
    return Row(kind if at_most else "", f"{kind}: {count:,} events waiting, memory", taken, "MB", at_most=at_most)


# -- all of it ---------------------------------------------------------------------------------------------------------


async def measure_stores(amount: Amount) -> list[Row]:
    """Return the rows of the stores."""
    async with places() as at, AsyncExitStack() as stack:
        ports = {kind: await stack.enter_async_context(serving(place=place)) for kind, place in at.items()}
        rows = await _steady(ports, at, amount.steady)
        for kind, port in ports.items():
            rows += await _store_burst(kind, port, amount.burst)
        found = await asyncio.gather(*(_to_handlers(kind, port, at[kind], amount.idle) for kind, port in ports.items()))
        rows += [row for part in found for row in part]
        await stack.aclose()
        for kind, place in at.items():
            rows.append(await waiting_row(kind, place, amount.waiting))
        return rows


async def _steady(ports: dict[str, int], at: dict[str, str], count: int) -> list[Row]:
    connections = {kind: (await connect(port, 1))[0] for kind, port in ports.items()}

    def sender(connection: Connection) -> Callable[[int], Awaitable[float]]:
        async def send(number: int) -> float:
            began = time.perf_counter()
            ended, _, _ = await connection.send(post(number))
            return 1e3 * (ended - began)  # of a 503 too: it took a second

        return send

    senders = {kind: sender(connection) for kind, connection in connections.items()}
    await steady(senders, at, range(1, 21))  # the first of everything is not measured
    figures = await steady(senders, at, range(21, 21 + count))
    for connection in connections.values():
        connection.close()
    return steady_rows(figures)


async def _store_burst(kind: str, port: int, count: int) -> list[Row]:
    first, statuses = 100_000, dict[int, int]()
    left = iter(range(first, first + count))

    async def send(connection: Connection) -> None:
        for number in left:
            _, statuses[number], _ = await connection.send(post(number))
        connection.close()

    await asyncio.gather(*map(send, await connect(port, SENDERS)))
    ids, quiet = list[int](), 0
    while len(ids) < list(statuses.values()).count(200) and quiet < QUIET_LOOKS:
        await asyncio.sleep(0.5)
        found = [each for each in await handled(port, 1) if each >= first]
        ids, quiet = found, quiet + 1 if len(found) == len(ids) else 0
    return burst_rows(kind, statuses, ids)


async def _to_handlers(kind: str, port: int, place: str, count: int) -> list[Row]:
    [connection] = await connect(port, 1)
    sent = dict[str, dict[int, float]]({"same process": {}})
    for number in range(200_000, 200_000 + count):
        sent["same process"][number] = time.monotonic()
        await connection.send(post(number))
        await asyncio.sleep(IDLE_SECONDS)
    if kind != "memory":
        from strava_async.webhooks import WebhookEvent

        sent["another"], store = {}, open_store(place)
        for number in range(300_000, 300_000 + count):
            sent["another"][number] = time.monotonic()
            await store.append(WebhookEvent("activity", number, "create", FIRST_OWNER + number % OWNERS, 9, 1))
            await asyncio.sleep(IDLE_SECONDS)
    await asyncio.sleep(2.0)
    _, _, body = await connection.send(b"GET /begun HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.close()
    begun = {int(number): at for number, at in json.loads(body).items()}
    return [
        to_handler_row(kind, who, [1e3 * (begun.get(number, math.inf) - at) for number, at in instants.items()])
        for who, instants in sent.items()
    ]
