"""Download everything of one athlete into a SQLite file; resumable at any point.

What Strava cannot serve is recorded and requested again by the next run, after the rest; the exit status is 1 then.

    export STRAVA_CLIENT_ID=... STRAVA_CLIENT_SECRET=... STRAVA_REFRESH_TOKEN=...
    python examples/harvest.py activities.sqlite
    python examples/harvest.py --emulator                  # offline, without credentials, in less than a minute

The refresh token, of a grant with activity:read_all, is needed once; the file then holds the one to use.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx

from strava_async import ApiV3, NotFoundError, RateLimiter, TokenSet
from strava_async.errors import DecodeError, ForbiddenError, ServerError, TransportError

CALLERS = 20
ENOUGH_FAILURES = 20  # per run: more means that Strava is in trouble, not an activity
PATHS = {"details": "/activities/{id}", "streams": "/activities/{id}/streams"}
STREAMS = "time,distance,latlng,altitude,velocity_smooth,heartrate,cadence,watts,temp"
SCHEMA = """
create table if not exists activities (id integer primary key, start_date text, summary text, fetched_at real);
create table if not exists details (id integer primary key, body text, fetched_at real);
create table if not exists streams (id integer primary key, body text, fetched_at real);
create table if not exists failures (what text, id integer, times integer, error text, primary key (what, id));
create table if not exists grants (id integer primary key check (id = 1), refresh_token text);
"""
NOTE = """
insert into failures values (?, ?, 1, ?) on conflict do update set times = times + 1, error = excluded.error
"""


async def list_activities(api: ApiV3, db: sqlite3.Connection) -> None:
    """Store the summaries; `before` keeps the pages from moving while they are read."""
    async for activity in api.paginate("/athlete/activities", before=int(time.time()), prefetch=3):
        row = activity["id"], activity["start_date"], json.dumps(activity), time.time()
        db.execute("insert or replace into activities values (?, ?, ?, ?)", row)
    db.commit()


def missing(db: sqlite3.Connection, newest: int) -> list[tuple[str, int]]:
    """Return the missing requests as table and activity; those that failed before come last."""
    ids = db.execute("select id from activities order by start_date desc limit ?", (newest,)).fetchall()
    stored = {table: set(db.execute(f"select id from {table}")) for table in PATHS}
    failures = {(table, failed): times for table, failed, times in db.execute("select what, id, times from failures")}
    lacking = [(table, row[0]) for row in ids for table in PATHS if row not in stored[table]]
    return sorted(lacking, key=lambda job: failures.get(job, 0))


async def fetch(api: ApiV3, db: sqlite3.Connection, jobs: Iterator[tuple[str, int]], failed: list[str]) -> None:
    """Process jobs from the shared iterator, one after the other."""
    for table, activity_id in jobs:
        keys: dict[str, Any] = {"keys": STREAMS, "key_by_type": True} if table == "streams" else {}
        try:
            body = json.dumps(await api.get(PATHS[table], id=activity_id, **keys))
        except NotFoundError:
            body = None  # there are none, such as the streams of a manual entry: do not request them again
        except (DecodeError, ForbiddenError, ServerError, TransportError) as error:
            failed.append(str(error))
            with db:
                db.execute(NOTE, (table, activity_id, str(error)))
            if len(failed) >= ENOUGH_FAILURES:
                return
            continue
        with db:
            db.execute(f"insert into {table} values (?, ?, ?)", (activity_id, body, time.time()))
            db.execute("delete from failures where what = ? and id = ?", (table, activity_id))
        print(f"\r{table} {activity_id}, quota left: {api.quota.read_15min.remaining} ", end="", file=sys.stderr)


@asynccontextmanager
async def strava(db: sqlite3.Connection) -> AsyncGenerator[ApiV3]:
    """Open Strava for the athlete of the refresh token."""
    saved = db.execute("select refresh_token from grants").fetchone()

    def save(tokens: TokenSet) -> None:
        db.execute("insert or replace into grants values (1, ?)", (tokens.refresh_token,))
        db.commit()

    def given(name: str) -> str:
        return os.environ.get(name) or sys.exit(f"{name} is not set; --emulator goes without")

    async with ApiV3(
        client_id=given("STRAVA_CLIENT_ID"),
        client_secret=given("STRAVA_CLIENT_SECRET"),
        refresh_token=saved[0] if saved else given("STRAVA_REFRESH_TOKEN"),
        rate_limiter=RateLimiter(),
        on_token_refresh=save,
        api_url=os.environ.get("STRAVA_API_URL"),  # None: Strava's own
        oauth_url=os.environ.get("STRAVA_OAUTH_URL"),
    ) as api:
        yield api


@asynccontextmanager
async def emulated() -> AsyncGenerator[ApiV3]:
    """Open an emulator in this process, whose quota allows everything within a quarter hour."""
    from strava_async.testing import Emulator, MeterLimits

    emulator = Emulator(limits=MeterLimits(10_000, 10_000, 10_000, 10_000))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        yield ApiV3(emulator.grant()["access_token"], http_client)


async def main() -> int:
    """Harvest, and return the exit status."""
    parser = argparse.ArgumentParser(description="Harvest an athlete's activities into a SQLite file.")
    parser.add_argument("file", nargs="?", help="activities.sqlite, or with --emulator emulated.sqlite")
    parser.add_argument("--newest", type=int, help="details and streams of so many: all; of the emulator's, 100")
    parser.add_argument("--emulator", action="store_true", help="a Strava in this process instead of strava.com")
    arguments = parser.parse_args()
    file = arguments.file or ("emulated.sqlite" if arguments.emulator else "activities.sqlite")
    newest = arguments.newest if arguments.newest is not None else 100 if arguments.emulator else -1
    with closing(sqlite3.connect(file)) as db:
        db.executescript(SCHEMA)
        async with emulated() if arguments.emulator else strava(db) as api:
            await list_activities(api, db)
            jobs, failed = iter(missing(db, newest)), list[str]()
            async with asyncio.TaskGroup() as callers:
                for _ in range(CALLERS):
                    callers.create_task(fetch(api, db, jobs, failed))
        counts = (f"{db.execute(f'select count(*) from {t}').fetchone()[0]} {t}" for t in ("activities", *PATHS))
        print(f"\n{', '.join(counts)} in {file}", file=sys.stderr)
        if lacking := len(missing(db, newest)):
            print(f"{lacking} are missing, and asked for by the next run: {failed[-1]}", file=sys.stderr)
        return 1 if lacking else 0


sys.exit(asyncio.run(main()))
