"""Run by ``.ci/run`` outside the tree, where the wheel and its required dependencies are all there is."""

import asyncio
import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

import strava_async
from strava_async import (
    ApiV3,
    InputError,
    RateLimiter,
    SqliteRateLimiter,
    SqliteTokenStore,
    Strava,
    TokenSet,
    TransportError,
)


def answer(request: httpx.Request) -> httpx.Response:
    fields = {"X-RateLimit-Limit": "200,2000", "X-RateLimit-Usage": "1,1"}
    return httpx.Response(200, headers=fields, json={"path": request.url.path})


async def main() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http_client:
        api = ApiV3("token", http_client, RateLimiter())
        found: Any = await api.get("/athlete")
        if found != {"path": "/api/v3/athlete"} or api.quota.overall_15min.usage != 1:
            raise SystemExit(f"the wheel does not work: {found}")
    async with ApiV3("token", api_url="http://127.0.0.1:9", retry=strava_async.RetryPolicy(max_attempts=1)) as api:
        try:
            await api.get("/athlete")
        except TransportError as error:
            if error.sent != "never":
                raise SystemExit(f"a closed port got it? {error}") from error


async def keep() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteTokenStore(Path(folder) / "tokens.sqlite")
        async with Strava(1, "secret", token_store=store) as strava:
            await store.save(7, TokenSet("a", "r", 1))
            if await strava.athlete_ids() != [7]:
                raise SystemExit("the wheel keeps no tokens")
        try:
            SqliteTokenStore("tokens.sqlite", key="k")
        except InputError as error:
            if "strava-async[encryption]" not in str(error):
                raise SystemExit(f"no hint at the extra: {error}") from error


async def share() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quota.sqlite"
        limiters = [SqliteRateLimiter(path, application="1") for _ in range(2)]
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http_client, limiters[0], limiters[1]:
            for limiter in limiters:
                await ApiV3("token", http_client, limiter).get("/athlete")
            if limiters[1].processes != 2:
                raise SystemExit("the wheel shares no quota")
    try:
        from strava_async.redis import RedisRateLimiter

        print(RedisRateLimiter)
    except ModuleNotFoundError as error:
        if "strava-async[redis]" not in str(error):
            raise SystemExit(f"no hint at the extra: {error}") from error
    else:
        raise SystemExit("a quota on Redis without redis-py?")


try:
    print(strava_async.Client(ApiV3("token")).activities)
except InputError as error:
    if "strava-async[models]" not in str(error):
        raise SystemExit(f"no hint at the extra: {error}") from error
else:
    raise SystemExit("typed answers without pydantic?")
for extra in ("pydantic", "starlette", "rich", "typer", "aiohttp", "cryptography", "redis"):
    if importlib.util.find_spec(extra):
        raise SystemExit(f"{extra} is installed: this does not show that the core needs no extra")
home = Path(strava_async.__file__).parent
if not (home / "py.typed").is_file():
    raise SystemExit("py.typed is not in the wheel")
if not (home / "limiter" / "fleet_sync.lua").is_file():
    raise SystemExit("the script of the quota on Redis is not in the wheel")
asyncio.run(main())
asyncio.run(keep())
asyncio.run(share())
print(json.dumps({"wheel": strava_async.__version__, "from": home.parent.name}))
