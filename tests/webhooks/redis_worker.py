"""One of several processes that handle events of one store on Redis. Run as a program by ``test_redis_faults``.

It reads its orders as a line of JSON, and does what they say:

- ``hold``: it claims an event, says "claimed", and waits for a line. Then it renews, settles and says what came of it.
- ``work``: it handles events until it is killed: it notes each in a list on the server, before it is settled.
"""

import asyncio
import json
import sys
from typing import Any

from redis.asyncio import Redis

from strava_async.redis import RedisEventStore


def say(line: str) -> None:
    print(line, flush=True)


async def told() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


async def hold(store: RedisEventStore, redis: Redis, lease: float) -> None:
    [claim] = await store.claim(1, lease)
    say("claimed")
    await told()
    say(json.dumps([*await store.renew([claim], lease), await store.retry(claim, 0), await store.ack(claim)]))


async def work(store: RedisEventStore, redis: Redis, lease: float) -> None:
    say("ready")
    while True:
        for claim in await store.claim(4, lease):
            event = claim.pending.event
            await redis.execute_command("RPUSH", "handled", f"{event.object_id} {event.event_time}")
            await store.ack(claim)


async def main() -> None:
    orders: dict[str, Any] = json.loads(await told())
    async with Redis(port=orders["port"]) as redis:
        store = RedisEventStore(redis, application="7")
        async with store.running():
            await {"hold": hold, "work": work}[orders["do"]](store, redis, orders["lease"])


if __name__ == "__main__":
    asyncio.run(main())
