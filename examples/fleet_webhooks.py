"""Two services handle the webhook events of one application, each event once. Offline: Strava is the emulator.

pip install ".[testing,fastapi]" uvicorn
python examples/fleet_webhooks.py                                    # they share files
python examples/fleet_webhooks.py --redis redis://127.0.0.1:6379     # or a Redis server, with the extra "redis"

The emulator lets an athlete record activities, rename and delete them, and tells the first service alone. Both handle
what comes: those of one activity in order, whoever has time. The last line says what happened.
"""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from strava_async import SqliteTokenStore, Strava, TokenSet, WebhookEvent
from strava_async.fastapi import webhook_router
from strava_async.testing import Emulator, serve
from strava_async.webhooks import SqliteEventStore

ACTIVITIES = 12
CHANGES = ("create", "update", "delete")
EVENTS = ACTIVITIES * len(CHANGES)
NAME = "examples/fleet_webhooks.py"  # whose events and tokens; a service takes its client id

Place = dict[str, str]


@asynccontextmanager
async def application(place: Place) -> AsyncGenerator[tuple[Strava, Any]]:
    """The application and its events, as each process makes them."""
    urls: dict[str, Any] = {
        "api_url": f"{place['url']}/api/v3",
        "oauth_url": f"{place['url']}/oauth",
    }  # left out on Strava itself
    credentials = place["client_id"], place["client_secret"]
    if "redis" not in place:
        tokens = SqliteTokenStore(Path(place["folder"]) / "tokens.sqlite", application=NAME)
        async with Strava(*credentials, token_store=tokens, **urls) as strava:
            yield strava, SqliteEventStore(Path(place["folder"]) / "events.sqlite")
        return
    from redis.asyncio import from_url

    from strava_async.redis import RedisEventStore, RedisTokenStore

    async with (
        from_url(place["redis"]) as redis,
        Strava(*credentials, token_store=RedisTokenStore(redis, application=NAME), **urls) as strava,
    ):
        yield strava, RedisEventStore(redis, application=NAME)


async def service(place: Place, listener: socket.socket, handled: Any) -> None:
    """A service, until it is stopped. In yours, ``app`` is what uvicorn is started with."""
    async with application(place) as (strava, events):

        async def on_event(event: WebhookEvent) -> None:
            handled.put((time.monotonic(), os.getpid(), event.object_id, event.aspect_type))
            await asyncio.sleep(0.1)  # requests to Strava, say

        router = webhook_router(strava, verify_token="of your choice", on_event=on_event, events=events, workers=2)
        app = Starlette(routes=router.routes, lifespan=router.lifespan_context)
        await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve([listener])


def process(place: Place, listener: socket.socket, handled: Any) -> None:
    """One process of the fleet."""
    asyncio.run(service(place, listener, handled))


async def change(emulator: Emulator) -> None:
    """Let the athlete record activities, rename them and delete them, faster than the services handle that."""
    ids = [emulator.record_activity() for _ in range(ACTIVITIES)]
    await delivered(emulator, len(ids))  # Strava promises no order of its own
    for activity_id in ids:
        emulator.edit_activity(activity_id, name="renamed")
    await delivered(emulator, 2 * len(ids))
    for activity_id in ids:
        emulator.delete_activity(activity_id)


async def delivered(emulator: Emulator, count: int) -> None:
    """Wait until so many events were accepted."""
    for _ in range(3_000):
        if sum(sent.status_code == 200 for sent in emulator.events) >= count:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("the service takes no events")


async def main(redis: str | None) -> int:
    """Run the services, and print who handled what."""
    emulator = Emulator(years=0.1, callback_seconds=30)
    context, listeners = get_context("spawn"), [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    handled = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        async with serve(emulator) as url:
            place = {"url": url, "client_id": str(emulator.client_id), "client_secret": emulator.client_secret}
            place |= {"folder": folder} if redis is None else {"redis": redis}
            granted = emulator.grant()
            async with application(place) as (strava, _):
                token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
                await strava.token_store.save(emulator.athlete_ids[0], token)
                processes = [context.Process(target=process, args=(place, each, handled)) for each in listeners]
                callback = f"http://127.0.0.1:{listeners[0].getsockname()[1]}/webhook"
                for each, listener in zip(processes, listeners, strict=True):
                    each.start()
                    listener.close()  # the process has it
                try:
                    await strava.webhooks.subscribe(callback, "of your choice")
                    await change(emulator)
                    found = [await asyncio.to_thread(handled.get, timeout=30) for _ in range(EVENTS)]
                finally:
                    for each in processes:
                        each.terminate()
                    for each in processes:
                        await asyncio.to_thread(each.join)
                await strava.forget(emulator.athlete_ids[0])
    while not handled.empty():
        found.append(handled.get())
    return report([each for _, *each in sorted(found)])


def report(found: list[Any]) -> int:
    """Print who handled what, and return 1 if an event was handled twice, or those of an activity out of order."""
    of_activity: dict[int, list[tuple[int, str]]] = {}
    for pid, activity_id, aspect in found:
        of_activity.setdefault(activity_id, []).append((pid, aspect))
    for activity_id, changes in of_activity.items():
        print(f"activity {activity_id}: " + ", ".join(f"{aspect} by {pid}" for pid, aspect in changes))
    for pid in sorted({pid for pid, *_ in found}):
        print(f"process {pid} handled {sum(each[0] == pid for each in found)} of {len(found)} events")
    is_right = all(tuple(aspect for _, aspect in changes) == CHANGES for changes in of_activity.values())
    print("each event once, those of an activity in order" if is_right else "something went wrong")
    return 0 if is_right and len(found) == EVENTS else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", metavar="URL", help="a Redis server of your own; without a password in it")
    sys.exit(asyncio.run(main(parser.parse_args().redis)))
