"""A process that holds an event of a store on Redis. Run as a program by ``test_redis_faults``.

It reads its orders as a line of JSON, claims an event, says "claimed", and waits for a line. Then it renews and settles
it, and says as a line of JSON what came of that.
"""

import asyncio
import json
import sys
from typing import Any

from redis.asyncio import Redis

from strava_async.clock import Clock
from strava_async.redis import RedisEventStore


def store_of_service(clock: Clock, port: str) -> RedisEventStore:
    """Return a store for ``event_service``."""
    return RedisEventStore(Redis(port=int(port)), application="7", clock=clock, max_unfinished_of_owner=10_000)


def say(line: str) -> None:
    print(line, flush=True)


async def told() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


async def hold(store: RedisEventStore, lease: float) -> None:
    [claim] = await store.claim(1, lease)
    say("claimed")
    await told()
    say(json.dumps([*await store.renew([claim], lease), await store.retry(claim, 0), await store.ack(claim)]))


async def main() -> None:
    orders: dict[str, Any] = json.loads(await told())
    async with Redis(port=orders["port"]) as redis:
        store = RedisEventStore(redis, application="7")
        async with store.running():
            await hold(store, orders["lease"])


if __name__ == "__main__":
    asyncio.run(main())
