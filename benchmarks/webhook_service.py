"""The service of ``webhook_burst``, over each store of events: ``python -m benchmarks.webhook_service DESCRIPTOR``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.webhook_sender import FIRST_OWNER, HANDLER_SECONDS, OWNERS

WORKERS = 100
BACKLOG = 2_000


def open_store(place: str, room: int = 100_000) -> Any:
    """Return a store.

    Args:
        place: ``memory``, ``file:PATH`` or ``redis:PORT``.
        room: for how many events.
    """
    kind, _, where = place.partition(":")
    if kind == "file":
        from strava_async.webhooks import SqliteEventStore

        return SqliteEventStore(where, max_unfinished=room, max_unfinished_of_owner=room)
    if kind == "redis":
        from redis.asyncio import Redis

        from strava_async.redis import RedisEventStore

        redis = Redis(port=int(where))
        return RedisEventStore(redis, application="1", max_unfinished=room, max_unfinished_of_owner=room)
    from strava_async.clock import SystemClock
    from strava_async.webhooks import MemoryEventStore
    from strava_async.webhooks.owners import Owners

    return MemoryEventStore(SystemClock(), max_unfinished=room, owners=Owners(most_unfinished=room))


def make_app(handled: list[int], place: str = "", begun: dict[int, float] | None = None) -> Any:
    """Return the service; it adds to the list what it has handled, and notes when it began with that.

    Args:
        handled: see above.
        place: of a store of events, as in ``webhook_stores``; none means the router's own.
        begun: see above; then handlers take no time.
    """
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
        if begun is None:
            await anyio.sleep(HANDLER_SECONDS)
        else:
            begun.setdefault(event.object_id, time.monotonic())  # the same clock in all processes
        handled.append(event.object_id)

    app = FastAPI(lifespan=StravaLifespan(strava))
    options = {} if place in ("", "memory") else {"events": open_store(place)}
    router = webhook_router(
        strava, verify_token="token", on_event=on_event, workers=WORKERS, drain_seconds=None, **options
    )
    app.include_router(router)

    @app.get("/handled")
    async def tell() -> list[int]:
        return handled

    @app.get("/begun")
    async def tell_when() -> dict[int, float]:
        return begun or {}

    return app


async def answer_all(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 to everything: the cost of the server alone."""
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def serve(descriptor: int, *, idle: bool, place: str = "") -> None:
    """Serve on a listening socket until stopped; if ``idle``, an application that does nothing."""
    import uvicorn

    app = answer_all if idle else make_app([], place, {} if place else None)
    gc.collect()
    gc.freeze()  # as docs/fastapi.md advises for a service
    # Opening a thousand connections may take longer than uvicorn keeps an idle one by default.
    uvicorn.run(app, fd=descriptor, log_level="warning", access_log=False, timeout_keep_alive=60)


@asynccontextmanager
async def serving(*, idle: bool = False, place: str = "") -> AsyncIterator[int]:
    """Run the service, or an idle one, as a process, and yield its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        descriptor = listener.fileno()
        job = ["-m", "benchmarks.webhook_service", str(descriptor), *(["--idle"] if idle else [])]
        job += ["--place", place] if place else []
        process = await asyncio.create_subprocess_exec(sys.executable, *job, pass_fds=[descriptor])
        try:
            yield listener.getsockname()[1]
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def fill(place: str, count: int) -> None:
    """Accept events that are not handled; print the megabytes that this process takes for them."""
    from strava_async.clock import SystemClock
    from strava_async.webhooks import WebhookEvent
    from strava_async.webhooks.counts import Offer
    from strava_async.webhooks.queue import EventQueue

    async def attempt(pending: Any, is_last: bool) -> Any:
        await asyncio.Event().wait()

    queue = EventQueue(attempt, open_store(place, count + 2_000), clock=SystemClock(), workers=16, drain_seconds=0.1)
    left, rejected = iter(range(count)), bytearray()

    async def offer() -> None:
        for number in left:
            event = WebhookEvent("activity", 1_000_000 + number, "create", 1 + number % 1_000, 9, 1_516_126_040)
            rejected.append(await queue.offer(event) is Offer.REJECTED)

    async with queue.running():
        await asyncio.gather(*(_offer_one(queue, number) for number in range(500)))  # as a service that has worked
        before = resident_mb()
        await asyncio.gather(*(offer() for _ in range(200)))
        if any(rejected):
            raise RuntimeError(f"{sum(rejected)} events were rejected")
        print(json.dumps(resident_mb() - before))
        sys.stdout.flush()
        os._exit(0)  # to give back, or to name, what is in memory would take as long again


async def _offer_one(queue: Any, number: int) -> None:
    from strava_async.webhooks import WebhookEvent

    await queue.offer(WebhookEvent("activity", 1 + number, "create", 1 + number, 9, 1_516_126_040))


def resident_mb() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Serve, as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhook_service")
    parser.add_argument("descriptor", type=int)
    parser.add_argument("--idle", action="store_true")
    parser.add_argument("--place", default="")
    options = parser.parse_args()
    serve(options.descriptor, idle=options.idle, place=options.place)


if __name__ == "__main__":
    main()
