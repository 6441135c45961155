"""One of the processes that share a quota: ``python -m benchmarks.fleet_worker``, driven by ``service_jobs``.

It makes requests with ``ApiV3`` and a limiter that it is told of. Its first line has its process id; then a line comes
in for each job, and its figures go out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from benchmarks.fleet_clock import AgreedClock, Pace
from benchmarks.service_jobs import do_jobs, end_in_time
from strava_async import ApiV3, RateLimiter, SqliteRateLimiter
from strava_async.clock import Clock
from strava_async.errors import StravaError
from strava_async.hooks import Hooks, RequestEvent, WaitEvent
from strava_async.limiter.base import Permit
from strava_async.quota.values import Priority

APPLICATION = "7"
PAUSE_SECONDS = 1.0  # after an error
PROBE_SECONDS = 0.02  # between two looks at the event loop

_visit: ContextVar[list[float]] = ContextVar("_visit")


def make_limiter(kind: str, where: str, clock: Clock, options: Mapping[str, Any]) -> Any:
    """Return a limiter.

    Args:
        kind: ``alone``, ``file``, ``redis``, or ``server time``: Redis, which goes by its own clock.
        where: the file, or the port on 127.0.0.1.
        clock: of the process.
        options: of a limiter that is shared.
    """
    if kind == "alone":
        return RateLimiter(clock=clock)
    if kind == "file":
        return SqliteRateLimiter(where, application=APPLICATION, clock=clock, **options)
    from redis.asyncio import Redis  # here: without the extra the others run

    from strava_async.limiter.redis_place import RedisPlace
    from strava_async.limiter.shared import SharedLimiter
    from strava_async.redis import RedisRateLimiter

    client = Redis(port=int(where))
    if kind == "redis":
        return RedisRateLimiter(client, application=APPLICATION, clock=clock, **options)
    settings: dict[str, Any] = {"random": None, "reserve": 0.2, "away": "share", "lease_seconds": 10.0, **options}
    return SharedLimiter(RedisPlace(client, APPLICATION), "Redis", clock=clock, **settings)


class Messages(logging.Handler):
    """Keeps what the limiter logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.kept: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.kept.append((record.levelname, record.getMessage()))


class WorkerJobs:
    """The jobs of one process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = 0
        self._answers = 0
        self._errors: Counter[str] = Counter()
        self._visits: list[list[float]] = []
        self._held: list[Permit] = []
        self._messages = Messages()
        self._lag = 0.0

    async def open(
        self,
        pace: Sequence[Any],
        start: float,
        kind: str,
        where: str,
        api_url: str,
        token: str,
        skew: float = 0.0,
        options: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Make the client; see ``make_limiter``.

        Args:
            pace: of the clock, a ``Pace``.
            start: Unix time, at which the clock stands until ``begin``.
            kind: of the limiter.
            where: its processes meet.
            api_url: of Strava.
            token: of this process's athlete.
            skew: what the process's clock is wrong by; seconds.
            options: of the limiter.
        """
        self._clock = AgreedClock(Pace(*pace), start, skew)
        self._limiter = make_limiter(kind, where, self._clock, options or {})
        hooks = Hooks(request=self._note_start, wait=self._note_wait)
        self._api = ApiV3(token, rate_limiter=self._limiter, api_url=api_url, hooks=hooks)
        logger = logging.getLogger("strava_async.limiter")
        logger.addHandler(self._messages)
        logger.setLevel(logging.INFO)
        return {}

    async def begin(self, epoch: float) -> Mapping[str, Any]:
        """Let the clock run; see ``AgreedClock.begin``."""
        self._clock.begin(epoch)
        self._probe = asyncio.create_task(self._measure_lag())
        return {}

    async def start(self, tasks: int, priority: str = "NORMAL", requests: int | None = None) -> Mapping[str, Any]:
        """Let tasks make requests.

        Args:
            tasks: how many, each of which makes one after the other.
            priority: the name of a ``Priority``.
            requests: how many all of them make; None means for ever.
        """
        self._left += 1 << 60 if requests is None else requests
        api = self._api.with_options(priority=Priority[priority])
        for _ in range(tasks):
            self._begin(self._harvest(api))
        return {}

    async def visit(self, rate: float, seed: int) -> Mapping[str, Any]:
        """Make interactive requests at random, so many in a second of the clock."""
        self._begin(self._receive_visits(rate, random.Random(seed)))
        return {}

    async def hold(self, count: int) -> Mapping[str, Any]:
        """Take permits, and keep them."""
        for _ in range(count):
            self._held.append(await self._limiter.acquire())
        return {"at": self._clock.time()}

    async def free(self, count: int) -> Mapping[str, Any]:
        """Release permits that are kept; return when."""
        at = self._clock.time()
        for _ in range(count):
            self._held.pop().release()
        return {"at": at}

    async def finish(self) -> Mapping[str, Any]:
        """Wait until all requests that were to be made have been answered; return ``figures``."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        return await self.figures()

    async def figures(self) -> Mapping[str, Any]:
        """Return what this process has seen.

        Returns:
            the answers and errors of its calls; when visitors came, and how long they waited for a permit, in seconds
            of the clock; what the limiter says; the worst lag of the event loop, in real seconds.
        """
        now = self._clock.time()
        visits = [(asked_at, now - asked_at if waited < 0 else waited) for asked_at, waited in self._visits]
        return {
            "answers": self._answers,
            "errors": self._errors,
            "unfinished": len(self._tasks),
            "visits": visits,
            "lag": self._lag,
            "messages": self._messages.kept,
            "state": getattr(self._limiter, "state", ""),
            "processes": getattr(self._limiter, "processes", 1),
        }

    async def stop(self) -> Mapping[str, Any]:
        """End all tasks, and give back what is in hand."""
        self._probe.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.aclose()
        if not isinstance(self._limiter, RateLimiter):
            await self._limiter.aclose()
        return {}

    async def _measure_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(PROBE_SECONDS)
            self._lag = max(self._lag, time.monotonic() - before - PROBE_SECONDS)

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _harvest(self, api: ApiV3) -> None:
        while self._left > 0:
            self._left -= 1
            await self._call(api)

    async def _receive_visits(self, rate: float, rng: random.Random) -> None:
        api, at = self._api.with_options(priority=Priority.INTERACTIVE), self._clock.time()
        while True:
            at += rng.expovariate(rate)
            await self._clock.sleep(at - self._clock.time())
            self._begin(self._visited(api))

    async def _visited(self, api: ApiV3) -> None:
        visit = [self._clock.time(), -1.0]
        self._visits.append(visit)
        _visit.set(visit)
        await self._call(api)

    def _note_start(self, event: RequestEvent) -> None:
        if (visit := _visit.get(None)) is not None:
            visit[1] = max(visit[1], 0.0)  # a wait of less than a millisecond is not reported

    def _note_wait(self, event: WaitEvent) -> None:
        if event.reason == "quota" and (visit := _visit.get(None)) is not None:
            visit[1] = max(visit[1], 0.0) + event.seconds

    async def _call(self, api: ApiV3) -> None:
        try:
            await api.get("/athlete")
        except StravaError as error:
            self._errors[type(error).__name__] += 1
            await self._clock.sleep(PAUSE_SECONDS)
        else:
            self._answers += 1


async def _main() -> None:
    async with ApiV3("none") as api:
        await api.prepare()  # what a first request loads, before the clock runs
    print(json.dumps({"pid": os.getpid()}), flush=True)
    jobs = WorkerJobs()
    named: list[Callable[..., Awaitable[Mapping[str, Any]]]] = [
        *(jobs.open, jobs.begin, jobs.start, jobs.visit, jobs.hold, jobs.free, jobs.finish, jobs.figures, jobs.stop)
    ]
    await do_jobs({job.__name__: job for job in named})


if __name__ == "__main__":
    end_in_time()
    asyncio.run(_main())
