"""The service under load: ``python -m benchmarks.service``. Prints the figures; fails if a target is missed.

The example application runs in two processes of uvicorn, on the emulator, which is a process of its own. A hundred
users, in another process, sign in and load pages. ``docs/performance.md`` says what the figures mean. Takes two
minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import environments
from benchmarks.environments import SERVICE
from benchmarks.processes import Process, running, say
from benchmarks.service_figures import Figures, latency_table, process_figures
from benchmarks.service_probe import Probe, read_probes
from benchmarks.table import Row, render

USERS = 100
MAX_SECONDS = 100.0
ARRIVE_SECONDS = 5.0
SETTLE_SECONDS = 10.0
EVENTS_PER_SECOND = 2
MAX_LAG_MS = 50.0
MAX_GROWTH_MB = 4.0
VERIFY_TOKEN = "verify-token-of-the-load-test"


@dataclass(frozen=True, slots=True)
class Load:
    """A load.

    Attributes:
        name: what its figures are called.
        seconds: how long it lasts. The users come within the first ``ARRIVE_SECONDS``.
        think_seconds: between two pages of a user, on average.
        limits: Strava's, in the order of ``MeterLimits``.
        is_enough: whether they are meant to be enough. If not, nothing is recorded, because it could not be shown.
    """

    name: str
    seconds: float
    think_seconds: float
    limits: tuple[int, int, int, int]
    is_enough: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """The results of a load.

    Attributes:
        seen: the users' observations; see ``service_users``.
        fate: the outcomes of the activities; likewise.
        report: the emulator's observations; see ``service_strava``.
        workers: what the processes of the service measured; see ``process_figures``.
        bystander: the same of an idle process: the noise of the machine.
    """

    seen: Mapping[str, Any]
    fate: Mapping[str, Any]
    report: Mapping[str, Any]
    workers: Sequence[Figures]
    bystander: Figures


# Twice what reviewed applications are known to have: what is recorded is to be shown at once, and the limiter lets
# nothing that can wait spend the last third. The other is what a new application has.
ENOUGH = (1_200, 12_000, 600, 6_000)
NEW = (200, 2_000, 100, 1_000)
LOADS = (
    Load("a page a second", 30.0, 1.0, ENOUGH),
    Load("no pause", 30.0, 0.0, ENOUGH),
    Load("quota spent", 15.0, 1.0, NEW, is_enough=False),
)


async def apply(load: Load) -> Result:
    """Put a load on a new service."""
    limits, bystander = ",".join(map(str, load.limits)), Probe()
    with TemporaryDirectory() as folder:
        async with running(SERVICE.python, "benchmarks.service_strava", str(USERS), limits) as strava:
            told = await strava.answer()
            async with running(SERVICE.python, "benchmarks.service_app") as app:
                url = await _start(app, told, Path(folder))
                await strava.ask("subscribe", callback_url=f"{url}/strava/webhook", verify_token=VERIFY_TOKEN)
                async with running(SERVICE.python, "benchmarks.service_users") as users:
                    idle = asyncio.create_task(bystander.run())
                    seen, fate = await _use(load, users, strava, url, told["athlete_ids"])
                    idle.cancel()
            report = await strava.ask("report")
        probes = read_probes(Path(folder))
    times = seen["began"], seen["began"] + SETTLE_SECONDS, seen["ended"]
    workers = [process_figures(probe.lags, probe.sizes, *times) for probe in probes]
    return Result(seen, fate, report, workers, process_figures(bystander.lags, bystander.sizes, *times))


async def _start(app: Process, told: Mapping[str, Any], folder: Path) -> str:
    settings = {
        "STRAVA_CLIENT_ID": told["client_id"],
        "STRAVA_CLIENT_SECRET": told["client_secret"],
        "STRAVA_API_URL": told["api_url"],
        "STRAVA_OAUTH_URL": told["oauth_url"],
        "STRAVA_VERIFY_TOKEN": VERIFY_TOKEN,
        "DATA_DIR": str(folder / "data"),
        "PROBE_DIR": str(folder),
    }
    answer = await app.ask("serve", settings=settings)
    return str(answer["url"])


async def _use(
    load: Load, users: Process, strava: Process, url: str, athlete_ids: Sequence[int]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Let users browse and athletes record; return the users' observations, and the outcomes of the activities."""
    pace = {"seconds": load.seconds, "arrive_seconds": ARRIVE_SECONDS, "think_seconds": load.think_seconds}
    began = (await users.ask("begin", url=url, athlete_ids=athlete_ids, **pace))["began"]
    recorded: Mapping[str, Any] = {}
    if load.is_enough:
        left = max(began + load.seconds - (await users.ask("connected"))["at"], 0.0)
        answer = await strava.ask("record", count=round(EVENTS_PER_SECOND * left), seconds=left)
        recorded = answer["recorded"]
    seen = await users.ask("finish")
    return seen, await users.ask("settle", recorded=recorded)


def rows_of(load: Load, result: Result) -> list[Row]:
    """Return the rows of a load."""
    return [
        *_answer_rows(load, result.seen),
        *(row for number, worker in enumerate(result.workers, 1) for row in _worker_rows(load, number, worker)),
        Row("", "a process that does nothing: lag of the loop, p99", result.bystander["lag_p99"], "ms"),
        *_event_rows(load, result),
    ]


def _row(
    target: str, what: str, figure: float, unit: str, *, at_most: float | None = None, at_least: float | None = None
) -> Row:
    """Return a row that has a target only under some of the loads."""
    aimed = at_most is not None or at_least is not None
    return Row(target if aimed else "", what, figure, unit, at_most=at_most, at_least=at_least)


def _answer_rows(load: Load, seen: Mapping[str, Any]) -> list[Row]:
    answers = sum(kind["count"] for kind in seen["answers"].values())
    honest, failures = sum(seen["honest"].values()), seen["failures"]
    return [
        Row("T12", "failures", sum(failures.values()), "", at_most=0.0),
        *(Row("", what, count, "") for what, count in failures.items()),
        _row("T12", "users without a stream", seen["without_stream"], "", at_most=0.0 if load.is_enough else None),
        _row("T12", "answers that the quota is spent", honest, "", at_least=None if load.is_enough else 1.0),
        Row("", "good answers", answers / (seen["ended"] - seen["began"]), "/s"),
        Row("", "the users' own share of a core", 100 * seen["cpu_share"], "%"),
    ]


def _worker_rows(load: Load, number: int, worker: Figures) -> list[Row]:
    # Users who never pause keep the loop's queue full, and the lag is the length of that queue.
    max_lag = MAX_LAG_MS if load.think_seconds else None
    name = f"process {number}"
    growth = worker["end_mb"] - worker["settled_mb"]
    return [
        Row("", f"{name}: share of a core", 100 * worker["cpu_share"], "%"),
        Row("", f"{name}: lag of the loop, p50", worker["lag_p50"], "ms"),
        _row("T13", f"{name}: lag of the loop, p99", worker["lag_p99"], "ms", at_most=max_lag),
        Row("", f"{name}: lag of the loop but for waits for a core, p99", worker["own_lag_p99"], "ms"),
        Row("", f"{name}: lag of the loop, worst", worker["lag_max"], "ms"),
        Row("", f"{name}: memory after {SETTLE_SECONDS:.0f} s", worker["settled_mb"], "MB"),
        Row("T14", f"{name}: growth of memory from there", growth, "MB", at_most=MAX_GROWTH_MB),
    ]


def _event_rows(load: Load, result: Result) -> list[Row]:
    fate, report = result.fate, result.report
    strava = [
        Row("", "reads that Strava counted", report["reads"], ""),
        Row("", "requests that Strava refused with 429", report["refused"], ""),
    ]
    if not load.is_enough:
        return strava
    return [
        *strava,
        Row("", "events sent", report["events"], ""),
        Row("T15", "events not taken", report["events_not_taken"], "", at_most=0.0),
        *(Row("T15", f"activities {what}", fate[what], "", at_most=0.0) for what in ("lost", "twice", "to others")),
        Row("", "streams that ended", fate["reconnects"], ""),
        *(Row("", f"from recording to page, {q}", fate["seconds"][q] / 1e3, "s") for q in ("p50", "p99", "max")),
    ]


async def measure(loads: Iterable[Load]) -> bool:
    """Apply loads, print the results, and return whether all targets are met."""
    environments.make(SERVICE)
    say(environments.versions(SERVICE))
    missed = 0
    for load in loads:
        say(f"{USERS} users, {load.name}, {load.seconds:.0f} s ...")
        result = await apply(load)
        rows = rows_of(load, result)
        missed += sum(row.verdict == "MISSED" for row in rows)
        print(f"\n== {load.name} ==\n\n{render(rows)}\n\n{latency_table(result.seen['answers'])}", flush=True)
    return missed == 0


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description="Load the example service.")
    parser.add_argument("--seconds", type=float, help="how long each load lasts: 100 at most")
    seconds: float | None = parser.parse_args().seconds
    loads = LOADS if seconds is None else [replace(load, seconds=min(seconds, MAX_SECONDS)) for load in LOADS]
    return 0 if asyncio.run(measure(loads)) else 1


if __name__ == "__main__":
    sys.exit(main())
