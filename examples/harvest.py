"""Everything of one athlete into a SQLite file; killed and started again, it goes on where it was.

    export STRAVA_CLIENT_ID=... STRAVA_CLIENT_SECRET=... STRAVA_REFRESH_TOKEN=...
    python examples/harvest.py activities.sqlite
    python examples/harvest.py activities.sqlite --emulator      # offline, without credentials

The refresh token is needed once; Strava may replace it, and the file then holds the one to use.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx

from strava_async import ApiV3, NotFoundError, RateLimiter, TokenSet

CALLERS = 20
STREAMS = "time,distance,latlng,altitude,velocity_smooth,heartrate,cadence,watts,temp"
SCHEMA = """
create table if not exists activities (id integer primary key, start_date text, summary text, fetched_at real);
create table if not exists details (id integer primary key, body text, fetched_at real);
create table if not exists streams (id integer primary key, body text, fetched_at real);
create table if not exists grants (id integer primary key check (id = 1), refresh_token text);
"""


async def list_activities(api: ApiV3, db: sqlite3.Connection) -> None:
    """Store the summaries; `before` keeps the pages from moving while they are read."""
    async for activity in api.paginate("/athlete/activities", before=int(time.time()), prefetch=3):
        row = activity["id"], activity["start_date"], json.dumps(activity), time.time()
        db.execute("insert or replace into activities values (?, ?, ?, ?)", row)
    db.commit()


def missing(db: sqlite3.Connection, newest: int) -> Iterator[tuple[str, str, int]]:
    """Yield what to ask for: a table, a path and an activity of which that table has nothing."""
    for (activity_id,) in db.execute(
        "select id from activities order by start_date desc limit ?", (newest,)
    ).fetchall():
        for table, path in (("details", "/activities/{id}"), ("streams", "/activities/{id}/streams")):
            if not db.execute(f"select 1 from {table} where id = ?", (activity_id,)).fetchone():
                yield table, path, activity_id


async def fetch(api: ApiV3, db: sqlite3.Connection, jobs: Iterator[tuple[str, str, int]]) -> None:
    """Take one job after the other from those that all callers share."""
    for table, path, activity_id in jobs:
        keys: dict[str, Any] = {"keys": STREAMS, "key_by_type": True} if table == "streams" else {}
        try:
            body = json.dumps(await api.get(path, id=activity_id, **keys))
        except NotFoundError:
            body = None  # there is none, such as the streams of a manual entry: do not ask again
        db.execute(f"insert into {table} values (?, ?, ?)", (activity_id, body, time.time()))
        db.commit()
        print(f"\r{table} {activity_id}, quota left: {api.quota.read_15min.remaining} ", end="", file=sys.stderr)


@asynccontextmanager
async def strava(db: sqlite3.Connection) -> AsyncIterator[ApiV3]:
    """Open Strava for the athlete of the refresh token."""
    saved = db.execute("select refresh_token from grants").fetchone()

    def save(tokens: TokenSet) -> None:
        db.execute("insert or replace into grants values (1, ?)", (tokens.refresh_token,))
        db.commit()

    async with ApiV3(
        refresh_token=saved[0] if saved else os.environ["STRAVA_REFRESH_TOKEN"],
        client_id=os.environ["STRAVA_CLIENT_ID"],
        client_secret=os.environ["STRAVA_CLIENT_SECRET"],
        rate_limiter=RateLimiter(),
        on_token_refresh=save,
        api_url=os.environ.get("STRAVA_API_URL"),  # None: Strava's own
        oauth_url=os.environ.get("STRAVA_OAUTH_URL"),
    ) as api:
        yield api


@asynccontextmanager
async def emulated() -> AsyncIterator[ApiV3]:
    """Open a Strava that runs in this process, with room for a day's work in a quarter hour."""
    from strava_async.testing import Emulator, MeterLimits

    emulator = Emulator(limits=MeterLimits(2_000, 20_000, 1_000, 10_000))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        yield ApiV3(emulator.grant()["access_token"], http_client)


async def main() -> None:
    """Harvest."""
    parser = argparse.ArgumentParser(description="Harvest an athlete's activities into a SQLite file.")
    parser.add_argument("file")
    parser.add_argument("--newest", type=int, default=-1, help="details and streams of so many activities only")
    parser.add_argument("--emulator", action="store_true", help="a Strava in this process instead of strava.com")
    arguments = parser.parse_args()
    with closing(sqlite3.connect(arguments.file)) as db:
        db.executescript(SCHEMA)
        async with emulated() if arguments.emulator else strava(db) as api:
            await list_activities(api, db)
            jobs = missing(db, arguments.newest)
            async with asyncio.TaskGroup() as callers:
                for _ in range(CALLERS):
                    callers.create_task(fetch(api, db, jobs))


asyncio.run(main())
