"""What the limiter costs: ``python -m benchmarks.limiter``.

Target T11: acquire and settle in at most 12 µs together where nothing has to wait; at most 650 bytes and constant work
for each of 10,000 calls that wait.
"""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from strava_async.limiter import RateLimiter
from strava_async.quota import Priority, QuotaClass
from strava_async.testing.clock import FakeClock

ROUNDS = 7
CALLS = 10_000
WAITERS = 10_000


def _headers(count: int) -> dict[str, str]:
    return {
        "date": "Tue, 06 Jan 2026 10:00:01 GMT",
        "x-ratelimit-limit": "99000000,999000000",
        "x-ratelimit-usage": f"{count},{count}",
        "x-readratelimit-limit": "99000000,999000000",
        "x-readratelimit-usage": f"{count},{count}",
    }


async def _uncontended() -> float:
    """Return the microseconds of one acquire and settle, the median of the rounds."""
    limiter = RateLimiter()
    for count in range(1, 200):
        (await limiter.acquire()).settle(200, _headers(count))
    rounds: list[float] = []
    answers = [_headers(count) for count in range(200, 200 + CALLS)]
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for headers in answers:
            permit = await limiter.acquire(QuotaClass.READ, priority=Priority.NORMAL, max_wait=None)
            permit.settle(200, headers)
        rounds.append((time.perf_counter() - began) / CALLS * 1e6)
    return statistics.median(rounds)


async def _parked(wait: Callable[[], Awaitable[object]], count: int) -> tuple[float, float]:
    """Return bytes and microseconds for each of ``count`` tasks that wait."""

    async def task() -> None:
        await wait()

    async with anyio.create_task_group() as tasks:
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            tasks.start_soon(task)
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        size = (tracemalloc.get_traced_memory()[0] - before) / count
        tracemalloc.stop()
        tasks.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        began = time.perf_counter()
        for _ in range(count):
            tasks.start_soon(task)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        took = (time.perf_counter() - began) / count * 1e6
        tasks.cancel_scope.cancel()
    return size, took


async def _full(clock: FakeClock) -> RateLimiter:
    limiter = RateLimiter(clock=clock, random=lambda: 0.0)
    permit = await limiter.acquire()
    permit.settle(200, _headers(1) | {"x-ratelimit-usage": "99000000,99000000"})
    return limiter


async def _queued() -> dict[str, float]:
    event = anyio.Event()
    bare_size, bare_time = await _parked(event.wait, WAITERS)
    few = await _full(FakeClock())
    _, few_time = await _parked(few.acquire, WAITERS // 10)
    many = await _full(FakeClock())
    size, many_time = await _parked(many.acquire, WAITERS)
    return {
        "waiter_bytes": size - bare_size,
        "waiter_us": many_time - bare_time,
        "waiter_us_of_a_tenth": few_time - bare_time,
    }


async def _served() -> float:
    """Return the microseconds to serve one of many that wait, from the turn of the window to its answer."""
    clock = FakeClock()
    limiter = await _full(clock)
    began = 0.0

    async def call() -> None:
        permit = await limiter.acquire()
        permit.settle(200, _headers(2) | {"date": "Tue, 06 Jan 2026 10:15:05 GMT"})

    async with anyio.create_task_group() as tasks:
        for _ in range(WAITERS):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        began = time.perf_counter()
        clock.advance(905)
    return (time.perf_counter() - began) / WAITERS * 1e6


def measure() -> dict[str, float]:
    """Return all figures; times in microseconds, sizes in bytes."""
    figures = {"acquire_settle_us": anyio.run(_uncontended), "serve_us": anyio.run(_served)}
    return figures | anyio.run(_queued)


def main() -> None:
    """Print the figures and the targets."""
    figures = measure()
    print(f"acquire + settle, uncontended   {figures['acquire_settle_us']:8.1f} µs     (target 12)")
    print(
        f"a waiter among {WAITERS:,}         {figures['waiter_bytes']:8.0f} bytes  (target 650; a bare task excepted)"
    )
    print(
        f"  to queue it                   {figures['waiter_us']:8.1f} µs     (among {WAITERS // 10:,}: "
        f"{figures['waiter_us_of_a_tenth']:.1f})"
    )
    print(f"  to serve it                   {figures['serve_us']:8.1f} µs")


if __name__ == "__main__":
    main()
