"""T9, T10: what an import costs, and a second ``ApiV3``."""

from __future__ import annotations

from functools import partial

from benchmarks.environments import BARE, CORE, STRAVALIB
from benchmarks.processes import Bench, run_python
from benchmarks.table import Row, alternate, median

_TIMED_IMPORT = "import time{}; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


async def measure(bench: Bench, *, rounds: int) -> list[Row]:
    """Return the rows.

    Args:
        bench: starts the clients.
        rounds: of the imports in turn, each in a fresh interpreter.
    """
    imports = {
        "httpx": partial(_import_ms, BARE.python, "httpx"),
        "ours": partial(_import_ms, CORE.python, "strava_async"),
        "ours after httpx": partial(_import_ms, CORE.python, "strava_async", after="httpx"),
        "stravalib": partial(_import_ms, STRAVALIB.python, "stravalib"),
    }
    await alternate(1, imports)  # compile first
    figures = await alternate(rounds, imports)
    httpx, ours, after_httpx, stravalib = (median(figures[name], "ms") for name in imports)
    async with bench.worker(CORE, "api") as process:
        second = await process.ask("construct")
    return [
        Row("T9", "import strava_async, over import httpx", ours - httpx, "ms", at_most=15.0),
        Row("T9", "import strava_async after httpx / import httpx", after_httpx / httpx, "x", at_most=0.21),
        Row("", "import httpx", httpx, "ms"),
        Row("", "import stravalib, over import httpx", stravalib - httpx, "ms"),
        Row("T10", "a second ApiV3()", second["construct_us"], "us", at_most=150.0),
        Row("", "its first request, over its second", second["first_use_us"], "us"),
    ]


async def _import_ms(python: str, module: str, *, after: str = "") -> dict[str, float]:
    statement = _TIMED_IMPORT.format(f", {after}" if after else "", module)
    return {"ms": 1e3 * float(await run_python(python, statement))}
