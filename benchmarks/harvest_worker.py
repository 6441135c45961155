"""A process that harvests: ``python -m benchmarks.harvest_worker``, driven by ``service_jobs``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.harvest_clock import SharedClock
from benchmarks.service_jobs import do_jobs
from strava_async import RateLimiter, SqliteRateLimiter, Strava, TokenSet
from strava_async.harvest import Harvest, Kind, Outcome, Plan, Progress, SqliteHarvestStore
from strava_async.harvest.fetch import plain_body
from strava_async.harvest.kinds import stream_parameters
from strava_async.hooks import Hooks, RequestEvent, ResponseEvent

MAX_SECONDS = 3_600
_CALLERS = 20
_IDLE_SECONDS = 0.03
_LOOK_SECONDS = 0.01
_SAMPLE_SECONDS = 0.1
_MB = 1 << 20

Figures = Mapping[str, Any]


class WorkerJobs:
    """The jobs of one process."""

    async def open(
        self,
        told: Mapping[str, Any],
        clock: Sequence[Any],
        store: Mapping[str, str],
        limiter: str | None = None,
        concurrency: int = _CALLERS,
    ) -> Figures:
        """Make what a harvest needs.

        Args:
            told: what ``harvest_strava`` says of itself.
            clock: the arguments of a ``SharedClock``.
            store: those of a ``SqliteHarvestStore``.
            limiter: the file that a shared one is in; None for one of this process.
            concurrency: of the harvest.
        """
        self._told, self._clock = told, SharedClock(*clock)
        self._store = SqliteHarvestStore(**store)
        self._limiter = limiter
        self._concurrency = concurrency
        self._requests = 0
        self._level = self._peak = 0.0
        self._running: asyncio.Task[Outcome] | None = None
        self._in_flight, self._moved_at = 0, 0.0
        return {}

    # -- a harvest that takes long ------------------------------------------------------------------------------------

    async def start(self, athletes: Sequence[int] | None = None, skips_waits: bool = False) -> Figures:
        """Begin to harvest.

        Args:
            athletes: whose; None means everybody.
            skips_waits: whether the clock is moved forward while all of it waits.
        """
        hooks = Hooks(request=self._note_request, response=self._note_response) if skips_waits else None
        self._strava = await self._application(athletes, hooks)
        harvest = Harvest(self._strava, self._store, keep=None, concurrency=self._concurrency)
        self._running = asyncio.create_task(harvest.run(on_progress=self._note))
        self._tasks = [asyncio.create_task(self._sample())]
        if skips_waits:
            self._tasks.append(asyncio.create_task(self._skip_waits()))
        return {}

    async def figures(self) -> Figures:
        """Return how far it is: whether it has ended, how, and MB of memory after 1,000 requests and at the most."""
        running = self._running
        is_done = running is not None and running.done()
        outcome = running.result() if running is not None and is_done else None
        return {
            "done": is_done,
            "complete": outcome is not None and outcome.complete,
            "requests": self._requests,
            "level_mb": self._level,
            "peak_mb": self._peak,
        }

    async def stop(self) -> Figures:
        """End it, wherever it is."""
        running = self._running
        for task in (*self._tasks, *(() if running is None else (running,))):
            task.cancel()
        await asyncio.gather(*self._tasks, *(() if running is None else (running,)), return_exceptions=True)
        await self._close(self._strava)
        return {}

    # -- short ones ---------------------------------------------------------------------------------------------------

    async def get(self, paths: Mapping[str, Sequence[Any]]) -> Figures:
        """Make the requests of a harvest with ``ApiV3.get`` alone; return the processor's µs for each."""
        strava = await self._application(None)
        todo = list(_requests(strava, paths))
        await todo[0]()
        count, left = len(todo), iter(todo)

        async def call() -> None:
            for ask in left:
                await ask()

        gc.collect()
        began = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_CALLERS):
                tasks.create_task(call())
        cpu_us = 1e6 * (time.process_time() - began) / count
        await self._close(strava)
        return {"cpu_us": cpu_us, "requests": count}

    async def harvest(self, path: str, streams: bool = True) -> Figures:
        """Harvest into a file; return the processor's µs for each request."""
        strava = await self._application(None)
        await strava.api(int(next(iter(self._told["tokens"])))).get("/athlete")
        harvest = Harvest(strava, SqliteHarvestStore(path), keep=None, plan=Plan(streams=streams))
        gc.collect()
        began = time.process_time()
        outcome = await harvest.run()
        cpu_us = 1e6 * (time.process_time() - began) / outcome.counts.requests
        await self._close(strava)
        return {"cpu_us": cpu_us, "requests": outcome.counts.requests, "complete": outcome.complete}

    async def streams_bytes(self, path: str) -> Figures:
        """Harvest into a file without and then with streams; return the bytes it grew by, and those of their JSON."""
        sizes: list[int] = []
        for streams in (False, True):
            await self.harvest(path, streams)
            with closing(sqlite3.connect(path)) as db:
                db.execute("pragma wal_checkpoint(truncate)")
            sizes.append(_size(path))
        store, plain = SqliteHarvestStore(path), 0
        for athlete_id in await store.athlete_ids():
            for resource in await store.resources(athlete_id, kinds=[Kind.STREAMS], limit=100_000):
                found = await store.read(athlete_id, Kind.STREAMS, resource.key)
                plain += len((found and plain_body(found)) or b"")
        return {"disk": sizes[1] - sizes[0], "json": plain}

    async def readable(self, path: str) -> Figures:
        """Harvest into a file; return the longest time from an answer to its being readable by somebody else."""
        answers: list[float] = []
        seen: list[tuple[float, int]] = []

        def note(event: ResponseEvent) -> None:
            if event.request.endpoint != "/athlete/activities" and event.status_code is not None:
                answers.append(time.monotonic())

        strava = await self._application(None, Hooks(response=note))
        running = asyncio.create_task(Harvest(strava, SqliteHarvestStore(path), keep=None).run())
        while not running.done():
            seen.append(await asyncio.to_thread(_stored, path))
            await asyncio.sleep(_LOOK_SECONDS)
        outcome = await running
        seen.append((time.monotonic(), max(len(answers), outcome.counts.requests)))
        await self._close(strava)
        # The n-th answer was readable at the latest when so many were.
        latest, looks = 0.0, iter(seen)
        at, count = next(looks)
        for number, answered_at in enumerate(answers, 1):
            while count < number:
                at, count = next(looks)
            latest = max(latest, at - answered_at)
        return {"seconds": latest, "requests": len(answers)}

    # -- parts --------------------------------------------------------------------------------------------------------

    async def _application(self, athletes: Sequence[int] | None, hooks: Hooks | None = None) -> Strava:
        told, clock = self._told, self._clock
        limiter: Any = (
            RateLimiter(clock=clock)
            if self._limiter is None
            else SqliteRateLimiter(self._limiter, application=str(told["client_id"]), clock=clock)
        )
        strava = Strava(
            told["client_id"],
            told["client_secret"],
            rate_limiter=limiter,
            api_url=told["api_url"],
            oauth_url=told["oauth_url"],
            hooks=hooks,
        )
        for name, token in told["tokens"].items():
            if athletes is None or int(name) in athletes:
                await strava.token_store.save(int(name), TokenSet(token, None, 4e9, athlete_id=int(name)))
        return strava

    async def _close(self, strava: Strava) -> None:
        await strava.aclose()
        if isinstance(strava.rate_limiter, SqliteRateLimiter):
            await strava.rate_limiter.aclose()

    def _note(self, progress: Progress) -> None:
        self._requests = progress.counts.requests
        self._moved_at = time.monotonic()

    def _note_request(self, event: RequestEvent) -> None:
        self._in_flight += 1

    def _note_response(self, event: ResponseEvent) -> None:
        self._in_flight -= 1
        self._moved_at = time.monotonic()

    async def _sample(self) -> None:
        while True:
            memory = _memory_mb()
            if self._requests < 1_000:
                self._level = memory
            self._peak = max(self._peak, memory)
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def _skip_waits(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._in_flight and time.monotonic() - self._moved_at > _IDLE_SECONDS:
                self._clock.move_to_next()
                self._moved_at = time.monotonic()


def _requests(strava: Strava, paths: Mapping[str, Sequence[Any]]) -> Iterable[Callable[[], Awaitable[Any]]]:
    """Return the requests of a harvest."""

    def ask(athlete_id: str, path: str, query: Mapping[str, Any]) -> Callable[[], Awaitable[Any]]:
        api = strava.api(int(athlete_id))
        return lambda: api.get(path, **query)

    for athlete_id, activities in paths.items():
        for number, is_manual, has_distance in activities:
            yield ask(athlete_id, "/activities/{id}", {"id": number})
            if not is_manual:
                query = stream_parameters(has_distance)[0]
                yield ask(athlete_id, "/activities/{id}/streams", {"id": number, **query})


def _size(path: str) -> int:
    return os.path.getsize(path)


def _stored(path: str) -> tuple[float, int]:
    """Return when somebody looked, and how many resources were there."""
    at = time.monotonic()
    try:
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as db:
            (count,) = db.execute("select count(*) from resources").fetchone()
    except sqlite3.OperationalError:  # there is no file yet
        return at, 0
    return at, count


def _memory_mb() -> float:
    """Return the memory that this process has in use."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


async def _main() -> None:
    print(json.dumps({}), flush=True)
    jobs = WorkerJobs()
    named: list[Callable[..., Awaitable[Figures]]] = [
        *(jobs.open, jobs.start, jobs.figures, jobs.stop, jobs.get, jobs.harvest, jobs.streams_bytes, jobs.readable)
    ]
    await do_jobs({job.__name__: job for job in named})


if __name__ == "__main__":
    signal.alarm(MAX_SECONDS)
    asyncio.run(_main())
