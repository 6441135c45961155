"""Measures, and prints each target with its figure."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, replace

from benchmarks import environments, many_requests, request_cost, start_cost, typed
from benchmarks.environments import CORE, FLEET
from benchmarks.processes import run_python, running, say, serving
from benchmarks.table import Row, render


@dataclass(frozen=True, slots=True)
class Plan:
    """The amount of work.

    Attributes:
        request_rounds, requests: for the cost of a request.
        harvest_rounds: harvests on each transport.
        stravalib_share: stravalib does one in so many requests of the harvest.
        import_rounds: imports.
        typed_rounds: of reading bodies.
        fleet_is_whole: whether the fleet is measured in full, or with a tenth of the work.
    """

    request_rounds: int
    requests: int
    harvest_rounds: int
    stravalib_share: int
    import_rounds: int
    typed_rounds: int
    fleet_is_whole: bool = True


QUICK = Plan(request_rounds=9, requests=60, harvest_rounds=5, stravalib_share=25, import_rounds=5, typed_rounds=3)
FULL = Plan(request_rounds=61, requests=100, harvest_rounds=7, stravalib_share=1, import_rounds=21, typed_rounds=9)

PARTS = {
    "request": "the cost of a request",
    "harvest": "the harvest",
    "lag": "the harvest's worst lag alone",
    "start": "the cost of a start",
    "typed": "dictionaries and models",
    "limiter": "the limiter",
    "fleet": "processes that share a quota",
}
# The harvest measures the lag too; the fleet takes as long as all others together.
ALL = PARTS.keys() - {"lag", "fleet"}

_LIMITER = "import json; from benchmarks.limiter import measure; print(json.dumps(measure()))"


async def measure(plan: Plan, parts: Set[str]) -> list[Row]:
    """Return the rows of some parts, in the order of ``PARTS``."""
    rows: list[Row] = []
    if "fleet" in parts:
        say(f"{PARTS['fleet']} ...")
        rows += await _fleet(plan)
    if not parts - {"fleet"}:
        return rows
    async with serving() as bench:
        work: dict[str, Callable[[], Awaitable[list[Row]]]] = {
            "request": lambda: request_cost.measure(bench, rounds=plan.request_rounds, requests=plan.requests),
            "harvest": lambda: many_requests.measure(
                bench, rounds=plan.harvest_rounds, stravalib_share=plan.stravalib_share
            ),
            "lag": lambda: many_requests.measure_lag(bench, rounds=plan.harvest_rounds),
            "start": lambda: start_cost.measure(bench, rounds=plan.import_rounds),
            "typed": lambda: typed.measure(rounds=plan.typed_rounds),
            "limiter": _limiter,
        }
        for part, what in PARTS.items():
            if part in parts and part in work:
                say(f"{what} ...")
                rows += await work[part]()
    return rows


async def _limiter() -> list[Row]:
    figures: dict[str, float] = json.loads(await run_python(CORE.python, _LIMITER))
    return [
        Row("T11", "limiter: acquire and settle", figures.pop("acquire_settle_us"), "us", at_most=12.0),
        Row("T11", "limiter: a waiter among 10,000", figures.pop("waiter_bytes"), "bytes", at_most=650.0),
        Row("", "limiter: shared, in memory, × alone", figures.pop("shared_in_memory"), "x", at_most=1.3),
        Row("", "limiter: shared, in a file, × alone", figures.pop("shared_in_file"), "x", at_most=1.3),
        *(Row("", f"limiter: {name.replace('_us', '').replace('_', ' ')}", us, "us") for name, us in figures.items()),
    ]


async def _fleet(plan: Plan) -> list[Row]:
    rows: list[Row] = []
    async with running(FLEET.python, "benchmarks.fleet", *(() if plan.fleet_is_whole else ("--quick",))) as process:
        while part := (await process.answer())["rows"]:
            rows += [Row(**row) for row in part]
    return rows


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Print each target with its figure.")
    parser.add_argument("--full", action="store_true", help="more rounds, and stravalib's whole harvest: some minutes")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="of the fleet a tenth, whose figures mean little")
    given = parser.parse_args()
    full: bool = given.full
    parts = frozenset(given.only or ALL)
    made = (*(environments.ALL if parts - {"fleet"} else ()), *((FLEET,) if "fleet" in parts else ()))
    for environment in made:
        environments.make(environment)
    began = time.monotonic()
    rows = asyncio.run(measure(replace(FULL if full else QUICK, fleet_is_whole=not given.quick), parts))
    print(f"{'full' if full else 'quick'} run on {platform.python_implementation()} {platform.python_version()}")
    for environment in made:
        print(environments.versions(environment))
    print()
    print(render(rows))
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
