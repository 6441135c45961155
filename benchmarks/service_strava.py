"""Strava in the load test of the service: ``python -m benchmarks.service_strava ATHLETES LIMITS``.

The emulator behind a socket; the limits are four numbers in the order of ``MeterLimits``, with commas between. It
prints what an application needs to know, and then executes jobs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.service_jobs import do_jobs, end_in_time
from strava_async import Strava
from strava_async.testing import Emulator, MeterLimits, serve

LATENCY_SECONDS = 0.150
YEARS = 0.25


class StravaJobs:
    """The jobs.

    Args:
        emulator: is served.
        api_url: of its API.
    """

    def __init__(self, emulator: Emulator, api_url: str) -> None:
        self._emulator = emulator
        self._api_url = api_url

    async def subscribe(self, callback_url: str, verify_token: str) -> Mapping[str, Any]:
        """Subscribe the application's webhook to events."""
        emulator = self._emulator
        async with Strava(emulator.client_id, emulator.client_secret, api_url=self._api_url) as strava:
            subscription = await strava.webhooks.subscribe(callback_url, verify_token)
        return {"id": subscription.id}

    async def record(self, count: int, seconds: float) -> Mapping[str, Any]:
        """Let athletes record activities, one after the other, at even intervals.

        Returns:
            the athlete of each activity and the instant, by the activity's id.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        recorded: dict[int, tuple[int, float]] = {}
        for number in range(count):
            await asyncio.sleep(began + (number + 0.5) * seconds / count - loop.time())
            athlete_id = self._emulator.athlete_ids[number % len(self._emulator.athlete_ids)]
            recorded[self._emulator.record_activity(athlete_id)] = athlete_id, loop.time()
        return {"recorded": recorded}

    async def report(self) -> Mapping[str, Any]:
        """Return what it has seen of the application."""
        emulator = self._emulator
        return {
            "reads": emulator.meters_of().usage(emulator.clock.time())["read_day"],
            "refused": sum(served.status_code == 429 for served in emulator.requests),
            "events": len({sent.body for sent in emulator.events}),
            "events_not_taken": sum(sent.status_code != 200 for sent in emulator.events),
        }


async def _main(athletes: int, limits: MeterLimits) -> None:
    emulator = Emulator(athletes=athletes, years=YEARS, limits=limits, latency_seconds=LATENCY_SECONDS)
    for athlete_id in emulator.athlete_ids:
        emulator.world(athlete_id)  # generate all data now, not at the first request
    async with serve(emulator) as url:
        api_url = f"{url}/api/v3"
        told = {
            "client_id": str(emulator.client_id),
            "client_secret": emulator.client_secret,
            "athlete_ids": emulator.athlete_ids,
            "api_url": api_url,
            "oauth_url": f"{url}/oauth",
        }
        print(json.dumps(told), flush=True)
        jobs = StravaJobs(emulator, api_url)
        await do_jobs({"subscribe": jobs.subscribe, "record": jobs.record, "report": jobs.report})


if __name__ == "__main__":
    end_in_time()
    asyncio.run(_main(int(sys.argv[1]), MeterLimits(*map(int, sys.argv[2].split(",")))))
