"""Three processes share one quota and one set of tokens. Offline: Strava is the emulator.

pip install ".[testing]"
python examples/fleet.py                                    # they meet in two files
python examples/fleet.py --redis redis://127.0.0.1:6379     # or on a Redis server, with the extra "redis"

Each downloads the comments on a third of an athlete's activities, until the quarter hour's quota is spent.
None is told how many there are of them; together they send as many requests as Strava allows, in fair parts from when
all are there, and not one more.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from strava_async import ApiV3, QuotaExceededError, SqliteRateLimiter, SqliteTokenStore, Strava, TokenSet
from strava_async.testing import Emulator, MeterLimits, serve

PROCESSES = 3
TASKS = 10  # in each process
LIMIT = 300  # reads in a quarter hour
NAME = "examples/fleet.py"  # whose quota and tokens; a service takes its client id

Place = dict[str, str]


@asynccontextmanager
async def in_files(place: Place) -> AsyncGenerator[Strava]:
    """The application, as each process on one machine makes it."""
    folder = Path(place["folder"])
    limiter = SqliteRateLimiter(folder / "quota.sqlite", application=NAME)
    store = SqliteTokenStore(folder / "tokens.sqlite", application=NAME)
    async with limiter, strava_of(place, rate_limiter=limiter, token_store=store) as strava:
        yield strava


@asynccontextmanager
async def on_redis(place: Place) -> AsyncGenerator[Strava]:
    """The application, as each process on any number of hosts makes it."""
    from redis.asyncio import from_url

    from strava_async.redis import RedisRateLimiter, RedisTokenStore

    async with from_url(place["redis"]) as redis:  # the client stays yours: TLS, password, Sentinel
        limiter = RedisRateLimiter(redis, application=NAME)
        store = RedisTokenStore(redis, application=NAME)
        async with limiter, strava_of(place, rate_limiter=limiter, token_store=store) as strava:
            yield strava


def strava_of(place: Place, **shared: Any) -> Strava:
    """On Strava itself, the two URLs are left out."""
    api_url, oauth_url = f"{place['url']}/api/v3", f"{place['url']}/oauth"
    return Strava(place["client_id"], place["client_secret"], api_url=api_url, oauth_url=oauth_url, **shared)


def application(place: Place) -> Any:
    """Return the application, to be entered."""
    return on_redis(place) if "redis" in place else in_files(place)


async def download(place: Place, number: int) -> int:
    """Download the comments on this part of the activities, and return for how many there was quota."""
    async with application(place) as strava:
        [athlete_id] = await strava.athlete_ids()
        api = strava.api(athlete_id).with_options(max_wait=3.0)
        found = [activity["id"] async for activity in api.paginate("/athlete/activities", per_page=200)]
        part = iter(found[number::PROCESSES])
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(download_each(api, part)) for _ in range(TASKS)]
    return sum(worker.result() for worker in workers)


async def download_each(api: ApiV3, activity_ids: Iterator[int]) -> int:
    """Download one after the other, until all are done or the quota is spent."""
    done = 0
    for activity_id in activity_ids:
        try:
            await api.get("/activities/{id}/comments", id=activity_id)
        except QuotaExceededError:  # nothing was sent: the next quarter hour can go on from here
            break
        done += 1
    return done


def process(place: Place, number: int) -> tuple[int, int]:
    """One process of the fleet. In a service, this is what systemd, uvicorn or Kubernetes starts."""
    return os.getpid(), asyncio.run(download(place, number))


async def connect(emulator: Emulator, place: Place) -> None:
    """Save the tokens of an athlete, once for all processes. They expire at once: somebody has to renew them."""
    granted = emulator.grant(expires_in=1)
    token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
    async with application(place) as strava:
        await strava.token_store.save(emulator.athlete_ids[0], token)


async def main(redis: str | None) -> int:
    """Run the fleet, and print who sent what."""
    emulator = Emulator(years=2, limits=MeterLimits(read_15min=LIMIT, read_day=10 * LIMIT, overall_15min=2 * LIMIT))
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(PROCESSES) as pool:
        async with serve(emulator) as url:
            place = {"url": url, "client_id": str(emulator.client_id), "client_secret": emulator.client_secret}
            place |= {"folder": folder} if redis is None else {"redis": redis}
            await connect(emulator, place)
            began = time.monotonic()
            downloads = await asyncio.to_thread(run, pool, place)
            seconds = time.monotonic() - began
            async with application(place) as strava:
                await strava.forget(emulator.athlete_ids[0])
    statuses = [served.status_code for served in emulator.requests if served.path != "/oauth/token"]
    for pid, count in downloads:
        print(f"process {pid:<8} {count:4} downloads")
    print(f"requests         {len(statuses):4} of {LIMIT}, in {seconds:.1f} s")
    print(f"429s             {statuses.count(429):4}")
    print(f"token renewals   {emulator.count('POST', '/oauth/token'):4}")
    return 1 if 429 in statuses else 0


def run(pool: Pool, place: Place) -> list[tuple[int, int]]:
    """Start all processes, and return what each has done."""
    return pool.starmap(process, [(place, number) for number in range(PROCESSES)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", metavar="URL", help="a Redis server of your own; without a password in it")
    sys.exit(asyncio.run(main(parser.parse_args().redis)))
