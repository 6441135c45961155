"""Harvest what an athlete has into a SQLite file: the list of activities, their details and streams.

    export STRAVA_CLIENT_ID=... STRAVA_CLIENT_SECRET=...
    python examples/harvest.py activities.sqlite           # the first run opens Strava's page in your browser
    python examples/harvest.py --emulator                  # offline, without credentials, in seconds

It waits where the quota is spent. Stop it at any time: the next run goes on from there, and follows what was added,
edited and deleted meanwhile. What Strava cannot serve is recorded and requested again later; the exit status is 1 then.
Tokens are kept beside the file, in tokens.sqlite. `strava-async harvest` does more of this kind.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from strava_async import SqliteTokenStore, Strava
from strava_async.errors import StravaError
from strava_async.harvest import Harvest, Kind, Plan, Progress, SqliteHarvestStore

KEEP = timedelta(days=7)  # as Strava's API policy has it; what is older is fetched again before, or deleted
SCOPE = "read,activity:read_all"


@asynccontextmanager
async def opened(tokens: Path) -> AsyncGenerator[Strava]:
    """Open Strava, with an athlete who is connected."""

    def given(name: str) -> str:
        return os.environ.get(name) or sys.exit(f"{name} is not set; --emulator goes without")

    async with Strava(
        given("STRAVA_CLIENT_ID"),
        given("STRAVA_CLIENT_SECRET"),
        token_store=SqliteTokenStore(tokens),
        api_url=os.environ.get("STRAVA_API_URL"),  # None: Strava's own
        oauth_url=os.environ.get("STRAVA_OAUTH_URL"),
    ) as strava:
        if not await strava.athlete_ids():
            await strava.authorize_locally(SCOPE)
        yield strava


@asynccontextmanager
async def emulated() -> AsyncGenerator[Strava]:
    """Open an emulator in this process, whose quota allows everything within a quarter hour."""
    from strava_async.testing import Emulator, MeterLimits

    emulator = Emulator(years=0.3, longest_seconds=1_800, limits=MeterLimits(10_000, 10_000, 10_000, 10_000))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        strava = Strava(emulator.client_id, emulator.client_secret, http_client=http_client)
        page = await strava.authorization_url("http://localhost/callback", SCOPE, "a state")
        await strava.connect_redirect(await emulator.approve(page), SCOPE, state="a state")
        yield strava


def show(progress: Progress) -> None:
    """Show how far it is."""
    counts = progress.counts
    print(f"{counts.listed} listed, {sum(counts.stored.values())} fetched", end="\r", file=sys.stderr)


async def run(strava: Strava, store: SqliteHarvestStore, plan: Plan) -> int:
    """Harvest, and return the exit status."""
    harvest = Harvest(strava, store, keep=KEEP, plan=plan)
    outcome = await harvest.run(on_progress=show if sys.stderr.isatty() else None)
    held = await store.counts()
    details, streams = held.of(Kind.DETAIL), held.of(Kind.STREAMS)
    print(f"{held.activities} activities, {details} details, {streams} streams in {store.path}", file=sys.stderr)
    for failure in outcome.failures[:5]:
        print(failure, file=sys.stderr)
    if not outcome.complete:
        print("something is missing, and requested again by a later run", file=sys.stderr)
    return 0 if outcome.complete else 1


async def main() -> int:
    """Read the command line, and harvest."""
    parser = argparse.ArgumentParser(description="Harvest an athlete's activities into a SQLite file.")
    parser.add_argument("file", nargs="?", help="activities.sqlite, or with --emulator emulated.sqlite")
    parser.add_argument("--since", type=datetime.fromisoformat, metavar="DATE", help="nothing of older activities")
    parser.add_argument("--emulator", action="store_true", help="a Strava in this process instead of strava.com")
    arguments = parser.parse_args()
    file = Path(arguments.file or ("emulated.sqlite" if arguments.emulator else "activities.sqlite"))
    since = arguments.since and arguments.since.replace(tzinfo=arguments.since.tzinfo or UTC).timestamp()
    async with emulated() if arguments.emulator else opened(file.with_name("tokens.sqlite")) as strava:
        return await run(strava, SqliteHarvestStore(file), Plan(since=since))


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit("stopped: the same command goes on from there")
    except StravaError as error:
        sys.exit(str(error))
