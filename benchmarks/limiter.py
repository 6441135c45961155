"""What the limiter costs: ``python -m benchmarks.limiter``.

Target T11: acquire and settle in at most 12 µs together if no wait is needed; at most 650 bytes and constant work
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

from strava_async.limiter.local import RateLimiter
from strava_async.quota.values import Priority, QuotaClass
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
        began = time.process_time()
        for headers in answers:
            permit = await limiter.acquire(QuotaClass.READ, priority=Priority.NORMAL, max_wait=None)
            permit.settle(200, headers)
        rounds.append((time.process_time() - began) / CALLS * 1e6)
    return statistics.median(rounds)


async def _size(wait: Callable[[], Awaitable[object]], count: int) -> float:
    """Return the bytes for each of ``count`` tasks that wait."""

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
    return size


async def _full(clock: FakeClock) -> RateLimiter:
    limiter = RateLimiter(clock=clock, random=lambda: 0.0)
    permit = await limiter.acquire()
    permit.settle(200, _headers(1) | {"x-ratelimit-usage": "99000000,99000000"})
    return limiter


async def _queued() -> float:
    """Return the bytes of a waiter, beyond those of a task that waits for an event which all share."""
    event = anyio.Event()
    limiter = await _full(FakeClock())
    return await _size(limiter.acquire, WAITERS) - await _size(event.wait, WAITERS)


async def _served(count: int) -> tuple[float, float]:
    """Return the microseconds of one of ``count`` waiters: until it is queued, and from there to its permit."""
    clock = FakeClock()
    limiter = await _full(clock)

    async def call() -> None:
        permit = await limiter.acquire()
        permit.settle(200, _headers(2) | {"date": "Tue, 06 Jan 2026 10:15:05 GMT"})

    gc.disable()
    try:
        async with anyio.create_task_group() as tasks:
            began = time.process_time()
            for _ in range(count):
                tasks.start_soon(call)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            in_line = time.process_time()
            clock.advance(905)
        served = time.process_time()
    finally:
        gc.enable()
    return (in_line - began) / count * 1e6, (served - in_line) / count * 1e6


def measure() -> dict[str, float]:
    """Return all figures; times in microseconds, sizes in bytes."""
    queue_few, serve_few = anyio.run(_served, WAITERS // 10)
    queue, serve = anyio.run(_served, WAITERS)
    return {
        "acquire_settle_us": anyio.run(_uncontended),
        "waiter_bytes": anyio.run(_queued),
        "queue_us": queue,
        "queue_us_among_a_tenth": queue_few,
        "serve_us": serve,
        "serve_us_among_a_tenth": serve_few,
    }


def main() -> None:
    """Print the figures and the targets."""
    figures = measure()
    for name, figure, unit, remark in (
        ("acquire + settle, uncontended", "acquire_settle_us", "µs", "target 12"),
        (f"a waiter among {WAITERS:,}", "waiter_bytes", "bytes", "target 650, its task excepted"),
        ("  its task and its place", "queue_us", "µs", ""),
        (f"  the same among {WAITERS // 10:,}", "queue_us_among_a_tenth", "µs", ""),
        ("  its turn, answer and end", "serve_us", "µs", ""),
        (f"  the same among {WAITERS // 10:,}", "serve_us_among_a_tenth", "µs", ""),
    ):
        print(f"{name:32}{figures[figure]:8.1f} {unit:6}{remark}".rstrip())


if __name__ == "__main__":
    main()
