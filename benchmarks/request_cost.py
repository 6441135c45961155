"""T1, T2, T3: the processor's time for a small GET, against bare HTTP clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from benchmarks.environments import BARE, CORE, FAST, Environment
from benchmarks.processes import Bench, Process
from benchmarks.table import Row, alternate, median, ratio

CPU = "cpu_us"
RAW = "raw httpx"
CLIENTS: dict[str, tuple[Environment, str]] = {
    RAW: (BARE, "httpx"),
    "httpx": (CORE, "httpx"),
    "ours on httpx": (CORE, "api"),
    "httpx2": (CORE, "httpx2"),
    "ours on httpx2": (CORE, "api-httpx2"),
    "aiohttp, orjson": (FAST, "aiohttp"),
    "ours on aiohttp, orjson": (FAST, "api"),
    "ours on httpx2, orjson": (FAST, "api-httpx2"),
}
# Ours, and the bare client on the same transport.
PAIRS = {
    "ours on httpx": "httpx",
    "ours on httpx2": "httpx2",
    "ours on aiohttp, orjson": "aiohttp, orjson",
}
AGAINST_RAW = {
    "ours on httpx": 0.80,
    "ours on httpx2": 0.60,
    "ours on aiohttp, orjson": 0.20,
    "ours on httpx2, orjson": None,
}
# Relative to aiohttp we add more than to httpx, because aiohttp takes a fifth of its time.
AT_MOST = {"aiohttp, orjson": None}
AT_100 = {"ours on aiohttp, orjson": 0.09}
CONCURRENCIES = (1, 10, 100)


async def measure(bench: Bench, *, rounds: int, requests: int) -> list[Row]:
    """Return the rows.

    Args:
        bench: starts the clients.
        rounds: of all clients in turn.
        requests: of one client in one round; at least two for each that is in flight at a time.
    """
    async with AsyncExitStack() as stack:
        processes = {
            name: await stack.enter_async_context(bench.worker(environment, kind))
            for name, (environment, kind) in CLIENTS.items()
        }
        jobs = {
            f"{name} at {concurrency}": _load(process, concurrency, requests)
            for concurrency in CONCURRENCIES
            for name, process in processes.items()
            if concurrency < 100 or name in PAIRS or name == RAW
        }
        await alternate(1, jobs)  # every client has opened its connections
        figures = await alternate(rounds, jobs)
    rows = [
        Row(
            "T1",
            f"{ours} / {bare}, {at} at a time",
            ratio(figures[f"{ours} at {at}"], figures[f"{bare} at {at}"], CPU),
            "x",
            at_most=AT_MOST.get(bare, 1.10),
        )
        for ours, bare in PAIRS.items()
        for at in (1, 10)
    ]
    rows += [
        Row(
            "T2" if bound else "",
            f"{ours} / {RAW}, 10 at a time",
            ratio(figures[f"{ours} at 10"], figures[f"{RAW} at 10"], CPU),
            "x",
            at_most=bound,
        )
        for ours, bound in AGAINST_RAW.items()
    ]
    rows += [
        Row(
            "T2",
            f"{ours} / {RAW}, 100 at a time",
            ratio(figures[f"{ours} at 100"], figures[f"{RAW} at 100"], CPU),
            "x",
            at_most=bound,
        )
        for ours, bound in AT_100.items()
    ]
    rows += [
        Row(
            "T3",
            f"{ours}: 100 at a time / 10 at a time",
            ratio(figures[f"{ours} at 100"], figures[f"{ours} at 10"], CPU),
            "x",
            at_most=1.5,
        )
        for ours in PAIRS
    ]
    return rows + [Row("", f"{name}, each", median(figure, CPU), "us") for name, figure in figures.items()]


def _load(process: Process, concurrency: int, requests: int) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    return partial(process.ask, "load", concurrency=concurrency, requests=max(requests, 2 * concurrency))
