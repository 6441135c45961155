"""What the limiter costs: ``python -m benchmarks.limiter``.

Target T11: acquire and settle in at most 12 µs together if no wait is needed; at most 650 bytes and constant work
for each of 10,000 calls that wait. Where processes share the quota, and with units in hand: at most 1.3 times as much.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel

from strava_async.limiter.base import Limiter
from strava_async.limiter.local import RateLimiter
from strava_async.limiter.shared import SharedLimiter
from strava_async.limiter.sqlite import SqliteRateLimiter
from strava_async.quota.fleet.messages import Reply, Report
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import FakeClock

ROUNDS = 7
CALLS = 10_000
WAITERS = 10_000
BURST = 16  # calls; fewer than the units in hand where there is plenty
BURSTS = 200
SETTLING_SECONDS = 0.01


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


class _Memory:
    """A place to meet that costs nothing but the rules."""

    def __init__(self) -> None:
        self._fleet = Fleet()

    async def check(self) -> None:
        pass

    async def call(self, report: Report, now: int) -> Reply:
        self._fleet, reply = sync(self._fleet, report, now)
        return reply

    async def close(self) -> None:
        pass


class _InMemory(SharedLimiter):
    """A limiter that shares its quota with nobody."""

    def __init__(self) -> None:
        super().__init__(_Memory(), "memory", clock=None, random=None, reserve=0.2, away="share", lease_seconds=10.0)


async def _burst(limiter: Limiter, answers: list[dict[str, str]]) -> float:
    """Return the microseconds of each of some calls, one after the other."""
    began = time.process_time()
    for headers in answers:
        permit = await limiter.acquire(QuotaClass.READ, priority=Priority.NORMAL, max_wait=None)
        permit.settle(200, headers)
    return (time.process_time() - began) / len(answers) * 1e6


async def _with_units_in_hand(shared: SharedLimiter) -> float:
    """Return what a call costs where the quota is shared, as a multiple of what it costs alone, in turns.

    A burst is short enough that nobody has to be asked; what is told afterwards is not in it.
    """
    local, taken, used = RateLimiter(), (list[float](), list[float]()), 0
    async with shared:
        for round_ in range(BURSTS):
            answers = [_headers(used + number) for number in range(1, BURST + 1)]
            used += BURST
            both = ((local, taken[0]), (shared, taken[1]))
            for limiter, costs in both if round_ % 2 else reversed(both):  # the first finds the caches cold
                costs.append(await _burst(limiter, answers))
            await anyio.sleep(SETTLING_SECONDS)
    # Where the next units were not there yet, a burst has waited; the first ones are those of slow start.
    alone, together = (sorted(each[BURSTS // 4 :]) for each in taken)
    return together[len(together) // 4] / alone[len(alone) // 4]


def _shared_costs() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        in_file = SqliteRateLimiter(Path(folder) / "quota.db", application="benchmark")
        return {
            "shared_in_memory": anyio.run(_with_units_in_hand, _InMemory()),
            "shared_in_file": anyio.run(_with_units_in_hand, in_file),
        }


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
        **_shared_costs(),
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
        ("shared, in memory: acquire + settle", "shared_in_memory", "×", "target 1.3, of the same alone"),
        ("shared, in a file: acquire + settle", "shared_in_file", "×", "target 1.3"),
    ):
        print(f"{name:36}{figures[figure]:8.2f} {unit:6}{remark}".rstrip())


if __name__ == "__main__":
    main()
