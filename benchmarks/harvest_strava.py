"""Strava for harvests: the emulator behind a socket: ``python -m benchmarks.harvest_strava``, with ``service_jobs``."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, cast

from benchmarks.harvest_clock import SharedClock
from benchmarks.service_jobs import do_jobs
from strava_async.testing import Emulator, MeterLimits, serve

DAY_SECONDS = 86_400
ACTIVITY_SECONDS = 600.0
TOKEN_SECONDS = 1e9
MAX_SECONDS = 3_600
PER_PAGE = 200


class StravaJobs:
    """The jobs.

    Args:
        opened: what is to be closed at the end.
    """

    def __init__(self, opened: AsyncExitStack) -> None:
        self._opened = opened
        self._emulator: Emulator | None = None

    async def open(self, clock: Sequence[Any], athletes: int, years: float, limits: Sequence[int]) -> Mapping[str, Any]:
        """Serve athletes with activities of ten minutes, which are made now.

        Args:
            clock: the arguments of a ``SharedClock``.
            athletes: how many.
            years: of activities.
            limits: four numbers, in the order of ``MeterLimits``.

        Returns:
            the addresses, the application, a token of each athlete, how many requests a harvest needs, and what a
            harvest is to hold at its end.
        """
        emulator = Emulator(
            clock=SharedClock(*clock),
            limits=MeterLimits(*limits),
            athletes=athletes,
            years=years,
            longest_seconds=ACTIVITY_SECONDS,
        )
        self._emulator = emulator
        pages = activities = recorded = 0
        for athlete_id in emulator.athlete_ids:
            found = emulator.world(athlete_id).activities
            activities += len(found)
            recorded += sum(not activity["manual"] for activity in found)
            pages += -(-len(found) // PER_PAGE) + 1
        url = await self._opened.enter_async_context(serve(emulator))
        grants = {one: emulator.grant(one, expires_in=TOKEN_SECONDS) for one in emulator.athlete_ids}
        return {
            "api_url": f"{url}/api/v3",
            "oauth_url": f"{url}/oauth",
            "client_id": emulator.client_id,
            "client_secret": emulator.client_secret,
            "tokens": {one: grant["access_token"] for one, grant in grants.items()},
            "needed": pages + activities + recorded,
            "activities": activities,
            "streams": recorded,
        }

    async def paths(self) -> Mapping[str, Any]:
        """Return what a harvest asks for beside the list, for each athlete."""
        emulator = self._made()
        return {
            str(one): [
                [activity["id"], bool(activity["manual"]), activity["distance"] > 0]
                for activity in emulator.world(one).activities
            ]
            for one in emulator.athlete_ids
        }

    async def report(self) -> Mapping[str, Any]:
        """Return how many requests were served since the last report, by day and by athlete, and how many refused."""
        emulator = self._made()
        days: Counter[int] = Counter()
        athletes: Counter[str] = Counter()
        refused = 0
        while emulator.requests:
            request = emulator.requests.popleft()
            if request.athlete_id is None:
                continue
            refused += request.status_code == 429
            days[int(request.at // DAY_SECONDS)] += 1
            athletes[str(request.athlete_id)] += 1
        return {"days": days, "athletes": athletes, "refused": refused}

    async def slow(self, seconds: float) -> Mapping[str, Any]:
        """Let a request take so long from now on."""
        cast(Any, self._made().app).latency_seconds = seconds
        return {}

    def _made(self) -> Emulator:
        if self._emulator is None:
            raise RuntimeError("open it first")
        return self._emulator


async def _main() -> None:
    print(json.dumps({}), flush=True)
    async with AsyncExitStack() as opened:
        jobs = StravaJobs(opened)
        await do_jobs({"open": jobs.open, "paths": jobs.paths, "report": jobs.report, "slow": jobs.slow})


if __name__ == "__main__":
    signal.alarm(MAX_SECONDS)
    asyncio.run(_main())
