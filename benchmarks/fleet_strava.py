"""Strava for processes that share its quota: ``python -m benchmarks.fleet_strava``, driven by ``service_jobs``.

The emulator behind a socket, on a clock that all processes agree on. Each process is an athlete, so that it is known
here who sent what.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.fleet_clock import AgreedClock, Pace
from benchmarks.service_jobs import do_jobs, end_in_time
from strava_async.testing import Emulator, MeterLimits, serve

YEARS = 0.02  # of data; the requests ask for the athlete alone
TOKEN_SECONDS = 1e9


class StravaJobs:
    """The jobs.

    Args:
        opened: what is to be closed at the end.
    """

    def __init__(self, opened: AsyncExitStack) -> None:
        self._opened = opened
        self._emulator: Emulator | None = None

    async def open(
        self, pace: Sequence[Any], start: float, limits: Sequence[int], athletes: int, latency: float
    ) -> Mapping[str, Any]:
        """Serve.

        Args:
            pace: of the clock, a ``Pace``.
            start: Unix time, at which the clock stands until ``begin``.
            limits: four numbers, in the order of ``MeterLimits``.
            athletes: how many.
            latency: seconds of the agreed time that a request takes.

        Returns:
            the address of the API, and a token of each athlete.
        """
        self._clock = AgreedClock(Pace(*pace), start)
        self._emulator = emulator = Emulator(
            clock=self._clock,
            limits=MeterLimits(*limits),
            athletes=athletes,
            years=YEARS,
            latency_seconds=latency,
        )
        url = await self._opened.enter_async_context(serve(emulator))
        grants = [emulator.grant(athlete_id, expires_in=TOKEN_SECONDS) for athlete_id in emulator.athlete_ids]
        return {"api_url": f"{url}/api/v3", "tokens": [grant["access_token"] for grant in grants]}

    async def begin(self, epoch: float) -> Mapping[str, Any]:
        """Let the clock run; see ``AgreedClock.begin``."""
        self._clock.begin(epoch)
        return {}

    async def spend(self, count: int) -> Mapping[str, Any]:
        """Let somebody else make so many requests of the application."""
        self._made().spend(count)
        return {}

    async def limit(self, limits: Sequence[int]) -> Mapping[str, Any]:
        """Change the limits."""
        self._made().meters_of().limits = MeterLimits(*limits)
        return {}

    async def report(self) -> Mapping[str, Any]:
        """Return how many requests were served and refused: by quarter hour, for each athlete."""
        emulator = self._made()
        places = {athlete_id: index for index, athlete_id in enumerate(emulator.athlete_ids)}
        served: defaultdict[int, list[int]] = defaultdict(lambda: [0] * len(places))
        refused: defaultdict[int, list[int]] = defaultdict(lambda: [0] * len(places))
        for request in emulator.requests:
            if request.athlete_id is not None:
                counts = refused if request.status_code == 429 else served
                counts[int(request.at // 900)][places[request.athlete_id]] += 1
        return {"served": served, "refused": refused, "now": emulator.clock.time()}

    def _made(self) -> Emulator:
        if self._emulator is None:
            raise RuntimeError("open it first")
        return self._emulator


async def _main() -> None:
    Emulator(years=YEARS).world()  # what a first one loads, before the clock runs
    print(json.dumps({}), flush=True)
    async with AsyncExitStack() as opened:
        jobs = StravaJobs(opened)
        named: list[Callable[..., Awaitable[Mapping[str, Any]]]] = [
            *(jobs.open, jobs.begin, jobs.spend, jobs.limit, jobs.report)
        ]
        await do_jobs({job.__name__: job for job in named})


if __name__ == "__main__":
    end_in_time()
    asyncio.run(_main())
