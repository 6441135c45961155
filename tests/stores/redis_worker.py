"""One of several processes that share a token store on Redis. Run as a program by ``test_redis_processes``.

It reads its orders as a line of JSON, and does what they say:

- ``call``: with as many store objects as are ordered, each of a ``Strava`` of its own, it says "ready", waits for a
  line, lets all of them call at once, and says as a line of JSON what came of it.
- ``hold``: it takes the lock, loads, says "held", and waits for a line. Then it saves under that lock, first in place
  of what it has loaded, then in place of anything, and says as a line of JSON what came of it.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

import httpx
from redis.asyncio import Redis

from strava_async import Strava, StravaError
from strava_async.oauth import TokenSet
from strava_async.redis import RedisTokenStore
from strava_async.stores import ANY, AnyTokens
from tests.plain_http import NO_TRUST
from tests.stores.contract import numbered


def say(line: str) -> None:
    print(line, flush=True)


async def told() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


async def call(orders: dict[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        athletes = []
        for _ in range(orders["stores"]):
            client = await stack.enter_async_context(Redis(port=orders["port"]))
            http_client = await stack.enter_async_context(httpx.AsyncClient(verify=NO_TRUST, trust_env=False))
            strava = Strava(
                orders["client_id"],
                orders["client_secret"],
                token_store=RedisTokenStore(client, application="7", timeout=60.0),
                http_client=http_client,
                api_url=f"{orders['url']}/api/v3",
                oauth_url=f"{orders['url']}/oauth",
            )
            athletes.append((await stack.enter_async_context(strava)).api(orders["athlete_id"]))
        say("ready")
        await told()
        answers = await asyncio.gather(*(athlete.get("/athlete") for athlete in athletes), return_exceptions=True)
    say(json.dumps([answer["id"] if isinstance(answer, dict) else repr(answer) for answer in answers]))


async def hold(orders: dict[str, Any]) -> None:
    async with Redis(port=orders["port"]) as client:
        store = RedisTokenStore(client, application="7", lock_seconds=orders["lock_seconds"], timeout=60.0)
        results: list[object] = []

        async def save(replacing: TokenSet | AnyTokens | None) -> None:
            try:
                results.append(await store.save(7, numbered(666), replacing=replacing))
            except StravaError as error:
                results.append(str(error))

        async with store.lock(7) as lease:
            loaded = await store.load(7)
            say("held")
            await told()
            results.append(lease.held())
            await save(loaded)
            await save(ANY)
        say(json.dumps(results))


async def main() -> None:
    orders = json.loads(await told())
    await {"call": call, "hold": hold}[orders["do"]](orders)


if __name__ == "__main__":
    asyncio.run(main())
