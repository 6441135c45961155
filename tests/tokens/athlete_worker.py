"""One of several processes that share a token store. Run as a program by ``test_processes``.

It reads its orders as a line of JSON, says "ready", waits for a line, makes its calls at once, and says what came of
them as a line of JSON. Told to stop at a stage of the renewal, it says "stopped" there and waits to be killed.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from strava_async import SqliteTokenStore, Strava, StravaError, TokenSet
from strava_async.stores import ANY, AnyTokens, Lease
from tests.plain_http import NO_TRUST

LIMITS = httpx.Limits(max_connections=25)


class Stages:
    """Stops for ever at the stage that was ordered."""

    def __init__(self, stop_at: str | None) -> None:
        self._stop_at = stop_at

    async def reach(self, stage: str) -> None:
        if stage == self._stop_at:
            say("stopped")
            await asyncio.Event().wait()

    async def on_request(self, request: httpx.Request) -> None:
        if request.url.path == "/oauth/token":
            await self.reach("asking")

    async def on_response(self, response: httpx.Response) -> None:
        if response.url.path == "/oauth/token":
            await self.reach("answered")


class StagedStore(SqliteTokenStore):
    """A store that passes the stages."""

    def __init__(self, path: str, stages: Stages) -> None:
        super().__init__(path)
        self._stages = stages

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[Lease]:
        async with super().lock(athlete_id) as lease:
            await self._stages.reach("locked")
            yield lease

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        was_saved = await super().save(athlete_id, token, replacing=replacing)
        await self._stages.reach("saved")
        return was_saved


class FiveMethods:
    """The same store with the signatures of ``BasicTokenStore``, and nothing besides."""

    def __init__(self, store: SqliteTokenStore) -> None:
        self._store = store
        self.load, self.athlete_ids = store.load, store.athlete_ids

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        await self._store.save(athlete_id, token)

    async def delete(self, athlete_id: int) -> None:
        await self._store.delete(athlete_id)

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[None]:
        async with self._store.lock(athlete_id):
            yield


def say(line: str) -> None:
    print(line, flush=True)


async def main() -> None:
    orders = json.loads(await asyncio.to_thread(sys.stdin.readline))
    stages = Stages(orders["stop_at"])
    store = StagedStore(orders["store"], stages)
    hooks: Any = {"request": [stages.on_request], "response": [stages.on_response]}
    async with httpx.AsyncClient(verify=NO_TRUST, event_hooks=hooks, limits=LIMITS, trust_env=False) as http_client:
        strava = Strava(
            orders["client_id"],
            orders["client_secret"],
            token_store=FiveMethods(store) if orders["five_methods"] else store,
            http_client=http_client,
            api_url=f"{orders['url']}/api/v3",
            oauth_url=f"{orders['url']}/oauth",
        )
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        calls = [strava.api(orders["athlete_id"]).get("/athlete") for _ in range(orders["callers"])]
        results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [type(result).__name__ for result in results if isinstance(result, BaseException)]
    say(json.dumps({"answers": sum(isinstance(result, dict) for result in results), "errors": errors}))
    if any(isinstance(result, BaseException) and not isinstance(result, StravaError) for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    asyncio.run(main())
