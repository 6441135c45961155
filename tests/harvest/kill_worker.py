"""A harvest in a process of its own, to be killed."""

from __future__ import annotations

import json
import os
import sys

import anyio

from strava_async import Strava, TokenSet
from strava_async.harvest import Harvest, Plan, SqliteHarvestStore


async def main(path: str) -> int:
    given = json.loads(os.environ["HARVEST_TEST"])
    async with Strava(1, "secret", api_url=given["api"], oauth_url=given["oauth"]) as strava:
        for athlete_id, token in given["tokens"].items():
            await strava.token_store.save(int(athlete_id), TokenSet(token, None, 4e9, athlete_id=int(athlete_id)))
        outcome = await Harvest(strava, SqliteHarvestStore(path), keep=None, plan=Plan()).run()
    print(*map(str, outcome.failures[:5]), file=sys.stderr)
    return 0 if outcome.complete else 3


sys.exit(anyio.run(main, sys.argv[1]))
