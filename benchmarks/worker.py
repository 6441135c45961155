"""Measures one client in a separate process: ``python -m benchmarks.worker KIND PROMPT_URL DISTANT_URL``.

One JSON object per line comes in, one goes out: ``{"job": name, ...arguments}``, ``{...figures}``. Processor
times are the process's, user and system.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.clients import Get, open_client

LAG_PROBE_SECONDS = 0.005
WARM_UP_REQUESTS = 100
CONSTRUCTIONS = 300
FIRST_USES = 15

Figures = dict[str, float]


class Worker:
    """The jobs.

    Args:
        kind: which client; see ``clients``.
        prompt_url: the API that answers at once.
        distant_url: the API that answers with latency.
    """

    def __init__(self, kind: str, prompt_url: str, distant_url: str) -> None:
        self._kind = kind
        self._prompt_url = prompt_url
        self._distant_url = distant_url
        self._token = f"{kind}-{os.getpid()}"
        self._opened = AsyncExitStack()
        self._clients: dict[int, Get] = {}

    async def load(self, concurrency: int, requests: int) -> Figures:
        """Make small requests, ``concurrency`` at a time.

        The client stays open from one such job to the next; there is one for each ``concurrency``, because idle
        connections cost httpcore's pool time.
        """
        if concurrency not in self._clients:
            client = open_client(self._kind, self._prompt_url, self._token)
            self._clients[concurrency] = await self._opened.enter_async_context(client)
            await _small_requests(self._clients[concurrency], concurrency, WARM_UP_REQUESTS)
        get = self._clients[concurrency]
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        await _small_requests(get, concurrency, requests)
        return {
            "cpu_us": (time.process_time() - cpu) / requests * 1e6,
            "wall_us": (time.perf_counter() - wall) / requests * 1e6,
        }

    async def harvest(self, pages: int, details: int, streams: int, warm: bool) -> Figures:
        """Get everything at once, with latency, on new connections; values are counted and dropped.

        Args:
            pages: how many.
            details: how many.
            streams: how many stream sets.
            warm: whether the limiter knows its meters beforehand.
        """
        limiter = await self._limiter(warm)
        counts = {"activities": 0, "samples": 0}
        async with open_client(self._kind, self._distant_url, self._token, limiter) as get:
            gc.collect()
            resident = _memory("VmRSS")
            _forget_memory_peak()
            probe = asyncio.create_task(_worst_lag())
            cpu, wall = time.process_time(), time.perf_counter()
            await _harvest(get, pages, details, streams, counts)
            figures = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
            probe.cancel()
            figures["lag_ms"] = 1e3 * await probe
        return figures | {"memory_mb": (_memory("VmHWM") - resident) / 1e6} | counts

    async def window(self, requests: int) -> Figures:
        """Make small requests all at once, with latency, on new connections, with known quota."""
        limiter = await self._limiter(warm=True)
        async with open_client(self._kind, self._distant_url, self._token, limiter) as get:
            wall = time.perf_counter()
            await _small_requests(get, requests, requests)
            return {"wall_s": time.perf_counter() - wall}

    async def construct(self) -> Figures:
        """Make further ``ApiV3`` objects after a first one, and measure the extra cost of the first request on each."""
        api_type = import_module("strava_async").ApiV3
        async with api_type(self._token, api_url=self._prompt_url) as first:
            await first.get("/athlete")
            made = await _median_us(CONSTRUCTIONS, lambda: _construct(api_type, self._prompt_url))
            first_use = await _median_us(FIRST_USES, lambda: self._first_use(api_type))
        return {"construct_us": made, "first_use_us": first_use}

    async def _first_use(self, api_type: Any) -> float:
        began = time.perf_counter()
        async with api_type(self._token, api_url=self._prompt_url) as api:
            await api.get("/athlete")
            first = time.perf_counter()
            await api.get("/athlete")
            second = time.perf_counter()
        return (first - began) - (second - first)

    async def aclose(self) -> None:
        """Close the clients of ``load``."""
        await self._opened.aclose()

    async def _limiter(self, warm: bool) -> Any:
        """Return a limiter; a warm one has let a hundred requests through elsewhere, as in the middle of a job."""
        limiter = import_module("strava_async").RateLimiter()
        if warm:
            async with open_client(self._kind, self._prompt_url, self._token, limiter) as get:
                await _small_requests(get, 10, WARM_UP_REQUESTS)
        return limiter


async def _small_requests(get: Get, concurrency: int, requests: int) -> None:
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            await get("/athlete")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(work())


async def _harvest(get: Get, pages: int, details: int, streams: int, counts: dict[str, int]) -> None:
    async def page(number: int) -> None:
        activities = await get("/athlete/activities", per_page=200, page=number)
        counts["activities"] += len(activities)

    async def detail(number: int) -> None:
        activity = await get(f"/activities/{number}")
        counts["activities"] += activity["id"] > 0

    async def stream_set(number: int) -> None:
        streams = await get(f"/activities/{number}/streams", keys="time,latlng,heartrate", key_by_type="true")
        counts["samples"] += len(streams["time"]["data"])

    async with asyncio.TaskGroup() as tasks:
        for number in range(1, pages + 1):
            tasks.create_task(page(number))
        for number in range(1, max(details, streams) + 1):
            if number <= details:
                tasks.create_task(detail(number))
            if number <= streams:
                tasks.create_task(stream_set(number))


async def _worst_lag() -> float:
    """Return, once cancelled, the worst delay of a sleeper's wake-up in seconds."""
    worst = 0.0
    try:
        while True:
            due = time.perf_counter() + LAG_PROBE_SECONDS
            await asyncio.sleep(LAG_PROBE_SECONDS)
            worst = max(worst, time.perf_counter() - due)
    except asyncio.CancelledError:
        return worst


async def _median_us(times: int, measure: Callable[[], Coroutine[Any, Any, float]]) -> float:
    return statistics.median([await measure() for _ in range(times)]) * 1e6


async def _construct(api_type: Any, url: str) -> float:
    began = time.perf_counter()
    api_type("token", api_url=url)
    return time.perf_counter() - began


def _memory(field: str) -> float:
    """Return this process's bytes, as Linux has them: VmRSS is what it has now, VmHWM the most since the last reset."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def _forget_memory_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    """Do the jobs that come in, until the end of the input."""
    worker = Worker(*sys.argv[1:])
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            arguments = json.loads(line)
            job = getattr(worker, arguments.pop("job"))
            print(json.dumps(runner.run(job(**arguments))), flush=True)
        runner.run(worker.aclose())


if __name__ == "__main__":
    main()
