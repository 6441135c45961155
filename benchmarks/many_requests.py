"""T4 to T7: a harvest with Strava's latency: its time, the loop's worst stall, its memory; and a burst of requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from benchmarks.environments import CORE, FAST, Environment
from benchmarks.processes import Bench
from benchmarks.table import Row, alternate, best, median, ratio

SIZE = {"pages": 50, "details": 200, "streams": 200}
WINDOW_REQUESTS = 100
ON_HTTPX = "httpx"
ON_AIOHTTP = "aiohttp, orjson"  # with the extra ``fast``
CLIENTS: dict[str, tuple[Environment, str]] = {
    ON_HTTPX: (CORE, "api"),
    "httpx2": (CORE, "api-httpx2"),
    ON_AIOHTTP: (FAST, "api"),
    "httpx2, orjson": (FAST, "api-httpx2"),
}
# What a user writes over aiohttp; beside ours with ``fast``, in the same run.
BARE_AIOHTTP = "aiohttp, orjson alone"
OWN_CLIENTS = {name: CLIENTS[name] for name in (ON_HTTPX, ON_AIOHTTP)}
SECONDS = {ON_HTTPX: 2.1, "httpx2": 1.9}

Figures = Mapping[str, Any]


async def measure(bench: Bench, *, rounds: int, stravalib_share: int) -> list[Row]:
    """Return the rows.

    Args:
        bench: starts the clients.
        rounds: of all clients in turn; each harvest is a new process.
        stravalib_share: stravalib does one in so many of the requests, and its time is scaled up.
    """
    jobs = {name: _harvest(bench, *client) for name, client in CLIENTS.items()}
    figures = await alternate(rounds, jobs | {BARE_AIOHTTP: _harvest(bench, FAST, "aiohttp")})
    alone = figures.pop(BARE_AIOHTTP)
    cold = await _harvest(bench, *CLIENTS[ON_HTTPX], warm=False)()
    sequence = await _stravalib(bench, stravalib_share)
    rows = [
        Row(
            "T4" if name in SECONDS else "",
            f"harvest on {name}",
            median(figure, "wall_s"),
            "s",
            at_most=SECONDS.get(name),
        )
        for name, figure in figures.items()
    ]
    scaled = f", from 1/{stravalib_share} of it" if stravalib_share > 1 else ""
    rows += [
        Row(
            "T4",
            f"stravalib in sequence{scaled} / harvest on httpx",
            sequence / median(figures[ON_HTTPX], "wall_s"),
            "x",
            at_least=34.0,
        ),
        Row("", f"stravalib in sequence{scaled}", sequence, "s"),
        Row("", "harvest on httpx by a limiter that knows nothing yet", cold["wall_s"], "s"),
        Row("", "harvest on httpx, processor", median(figures[ON_HTTPX], "cpu_s"), "s"),
    ]
    rows += [
        Row(
            "T4",
            f"harvest on {ON_AIOHTTP} / {BARE_AIOHTTP}",
            ratio(figures[ON_AIOHTTP], alone, "wall_s"),
            "x",
            at_most=1.10,
        ),
        Row("", "the same, processor", ratio(figures[ON_AIOHTTP], alone, "cpu_s"), "x"),
        Row(
            "", f"worst loop lag in the harvest on {BARE_AIOHTTP}, best of {rounds} rounds", best(alone, "lag_ms"), "ms"
        ),
    ]
    windows = await alternate(rounds, {name: _window(bench, *CLIENTS[name]) for name in SECONDS})
    rows += [
        Row("T5", f"{WINDOW_REQUESTS} requests at once on {name}", median(figure, "wall_s"), "s", at_most=0.65)
        for name, figure in windows.items()
    ]
    rows += lag_rows(figures)
    rows += [
        Row("T7", f"memory of the harvest on {name}", median(figures[name], "memory_mb"), "MB", at_most=35.0)
        for name in CLIENTS
    ]
    return rows


async def measure_lag(bench: Bench, *, rounds: int) -> list[Row]:
    """Return the rows about the loop's worst stall alone; as ``measure``, by clients of our own."""
    own = {name: _harvest(bench, *client) for name, client in OWN_CLIENTS.items()}
    return lag_rows(await alternate(rounds, own))


def lag_rows(figures: Mapping[str, Sequence[Figures]]) -> list[Row]:
    """Return the worst stall of the best round, because stalls are what other load on the machine affects first."""
    rows: list[Row] = []
    for name, rounds in figures.items():
        what = f"worst loop lag in the harvest on {name}"
        rows += [
            Row("T6", f"{what}, best of {len(rounds)} rounds", best(rounds, "lag_ms"), "ms", at_most=40.0),
            Row("", f"{what}, median", median(rounds, "lag_ms"), "ms"),
        ]
    return rows


def _harvest(
    bench: Bench, environment: Environment, kind: str, *, warm: bool = True
) -> Callable[[], Awaitable[Figures]]:
    async def job() -> Figures:
        async with bench.worker(environment, kind) as process:
            figures: Figures = await process.ask("harvest", **SIZE, warm=warm)
        return figures

    return job


def _window(bench: Bench, environment: Environment, kind: str) -> Callable[[], Awaitable[Figures]]:
    async def job() -> Figures:
        async with bench.worker(environment, kind) as process:
            figures: Figures = await process.ask("window", requests=WINDOW_REQUESTS)
        return figures

    return job


async def _stravalib(bench: Bench, share: int) -> float:
    """Return the seconds for the whole harvest."""
    part = {kind: count // share for kind, count in SIZE.items()}
    async with bench.stravalib() as process:
        seconds: float = (await process.ask("harvest", **part))["wall_s"]
    return seconds * sum(SIZE.values()) / sum(part.values())
