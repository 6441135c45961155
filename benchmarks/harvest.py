"""What a harvest costs: ``python -m benchmarks.harvest`` (a tenth, two minutes) or ``--full`` (half an hour).

An emulator in a process of its own, with activities of ten minutes. A long run's clock runs fast, and is moved forward
while the harvest waits for quota: so days pass in minutes, and each is spent as on a real clock. What is compared with
something else is measured in the same run, as processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import environments
from benchmarks.harvest_clock import SharedClock
from benchmarks.processes import Process, running, say
from benchmarks.table import Row, render
from strava_async.clock import SystemClock

SOME_MORNING = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC
DAY_SECONDS = 86_400.0
ROOM = (10**7,) * 4
LATENCY_SECONDS = 0.150
AT_ONCE = 10
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Scale:
    """The amount of work.

    Attributes:
        athletes: of the long run.
        years: of activities of each; 4.35 are 1,000.
        reads_per_day: the quota of the long run; a tenth of it fits in a quarter hour.
        speed: of the long run's clock.
        short_athletes: of the short runs.
        short_years: likewise.
        rounds: of the comparison with ``ApiV3.get``.
        fleet_seconds: that one process runs, and then several.
        fleet: how many.
    """

    athletes: int
    years: float
    reads_per_day: int
    speed: float
    short_athletes: int
    short_years: float
    rounds: int
    fleet_seconds: float
    fleet: int = 4


FULL = Scale(100, 4.35, 30_000, 60.0, 12, 0.7, 7, 10.0)
TENTH = Scale(10, 4.35, 6_000, 60.0, 12, 0.5, 5, 6.0)
SMALL = Scale(2, 0.06, 400, 60.0, 4, 0.02, 1, 0.5, fleet=2)


async def measure(python: str, scale: Scale, environ: Mapping[str, str] | None = None) -> AsyncIterator[list[Row]]:
    """Yield the rows of one part after the other.

    Args:
        python: the interpreter of the processes.
        scale: the amount of work.
        environ: of the processes; None means ``clean_environ``.
    """
    bench = HarvestBench(python, scale, environ)
    yield await bench.short()
    yield await bench.long()


@dataclass(frozen=True, slots=True)
class Scene:
    """A Strava, and how processes come to harvest it.

    Attributes:
        strava: its process.
        told: what it says of itself.
        clock: that of all.
        clock_arguments: of a ``SharedClock``.
        folder: for files.
        stack: ends the processes.
    """

    strava: Process
    told: Mapping[str, Any]
    clock: SharedClock
    clock_arguments: tuple[str, float, float, float]
    folder: Path
    stack: AsyncExitStack


class HarvestBench:
    """Runs harvests.

    Args:
        python: see ``measure``.
        scale: likewise.
        environ: likewise.
    """

    def __init__(self, python: str, scale: Scale, environ: Mapping[str, str] | None) -> None:
        self._python = python
        self._scale = scale
        self._environ = environ

    # -- the long run -------------------------------------------------------------------------------------------------

    async def long(self) -> list[Row]:
        """Return the rows of a run that takes several days of quota."""
        scale = self._scale
        day, quarter = scale.reads_per_day, scale.reads_per_day // 10
        limits = (2 * quarter, 2 * day, quarter, day)
        say(f"  {scale.athletes} athletes with {scale.years:g} years of activities: the long run ...")
        async with self._scene(scale.athletes, scale.years, limits, scale.speed) as scene:
            worker = await self._worker(scene, {"directory": str(scene.folder / "harvest")})
            began = time.monotonic()
            await worker.ask("start", skips_waits=True)
            days, refused, figures = await _watched(scene, worker)
            seconds = time.monotonic() - began
            await worker.ask("stop")
            again = await self._with_nothing_new(scene, worker)
        needed, sent = scene.told["needed"], days.total()
        whole = [days[number] for number in sorted(days)[1:-1]]
        shares = [count / day for count in whole]
        rows = [
            Row("H1", f"requests sent / needed, of {needed:,}", sent / needed, "", at_most=1.01),
            Row("H2", "answers with 429", refused, "", at_most=0.0),
            Row("H3", "memory: peak / level after 1,000", figures["peak_mb"] / figures["level_mb"], "x", at_most=1.2),
            Row("H3", "memory: peak", figures["peak_mb"], "MB", at_most=250.0),
            Row("H6", "a day's run with nothing new: requests per athlete", again, "", at_most=2.0),
            Row("", f"the long run, {seconds:.0f} s: days", len(days), ""),
            Row("", "the long run: incomplete", 0.0 if figures["complete"] else 1.0, "", at_most=0.0),
        ]
        if shares:
            rows.append(Row("H2", "least share of a day's quota, while there is work", min(shares), "", at_least=0.99))
        return rows

    async def _with_nothing_new(self, scene: Scene, worker: Process) -> float:
        """Return the requests for each athlete in a run a day after one that was complete."""
        for _ in range(2):  # the first may read the whole lists, as once a week
            scene.clock.move(DAY_SECONDS)
            await worker.ask("start", skips_waits=True)
            days, _, _ = await _watched(scene, worker)
            await worker.ask("stop")
        return days.total() / len(scene.told["tokens"])

    # -- short runs, without a quota in the way -----------------------------------------------------------------------

    async def short(self) -> list[Row]:
        """Return the rows of short runs."""
        scale = self._scale
        async with self._scene(scale.short_athletes, scale.short_years, ROOM, 1.0) as scene:
            worker = await self._worker(scene, {"path": str(scene.folder / "unused.sqlite")})
            say("  processor time beside ApiV3.get ...")
            rows = await self._cpu(scene, worker)
            say("  bytes on disk, and the way into the store ...")
            size = await worker.ask("streams_bytes", path=str(scene.folder / "size.sqlite"))
            rows.append(Row("H5", "bytes on disk of stream sets / their JSON", size["disk"] / size["json"], "", 0.33))
            await scene.strava.ask("slow", seconds=LATENCY_SECONDS)
            readable = await worker.ask("readable", path=str(scene.folder / "readable.sqlite"))
            rows.append(Row("H8", "from an answer to its being readable, at the most", readable["seconds"], "s", 1.0))
            say(f"  {scale.fleet} processes beside one ...")
            return [*rows, *await self._fleet(scene)]

    async def _cpu(self, scene: Scene, worker: Process) -> list[Row]:
        paths = await scene.strava.ask("paths")
        await worker.ask("get", paths=paths)  # so that the emulator has made everything
        ratios: list[float] = []
        for number in range(self._scale.rounds):
            alone = await worker.ask("get", paths=paths)
            whole = await worker.ask("harvest", path=str(scene.folder / f"{number}.sqlite"))
            ratios.append(whole["cpu_us"] / alone["cpu_us"])
        return [
            Row("H4", "processor per request / ApiV3.get alone", statistics.median(ratios), "x", at_most=1.5),
            Row("", "the same, best round", min(ratios), "x"),
            Row("", "processor per request", whole["cpu_us"], "us"),
        ]

    async def _fleet(self, scene: Scene) -> list[Row]:
        """Return the rows of four processes beside one, each with so many requests at once."""
        ids = [int(name) for name in scene.told["tokens"]]
        rates: list[float] = []
        fleet = self._scale.fleet
        for processes in (1, fleet):
            workers = [
                await self._worker(
                    scene,
                    {"directory": str(scene.folder / f"fleet{processes}")},
                    limiter=str(scene.folder / f"quota{processes}.db"),
                    concurrency=AT_ONCE,
                )
                for _ in range(processes)
            ]
            for place, worker in enumerate(workers):
                await worker.ask("start", athletes=ids[place::processes])
            await _under_way(scene, ids)
            began = time.monotonic()
            await asyncio.sleep(self._scale.fleet_seconds)
            report = await scene.strava.ask("report")
            rates.append(sum(report["athletes"].values()) / (time.monotonic() - began))
            left = sum([not (await worker.ask("figures"))["done"] for worker in workers])
            for worker in workers:
                await worker.ask("stop")
        progress = [report["athletes"].get(str(one), 0) for one in ids]
        return [
            Row(
                "H7",
                f"{fleet} processes beside one: requests per second",
                rates[1] / max(rates[0], 0.1),
                "x",
                at_least=3.0,
            ),
            Row("H7", "progress of athletes, most / least", max(progress) / max(1, min(progress)), "x", at_most=1.3),
            Row("", f"one process, {AT_ONCE} at once, 150 ms each: requests per second", rates[0], ""),
            Row("", "processes that had nothing left to do", fleet - left, "", at_most=0.0),
        ]

    # -- processes ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _scene(self, athletes: int, years: float, limits: tuple[int, ...], speed: float) -> AsyncIterator[Scene]:
        with TemporaryDirectory() as name:
            folder = Path(name)
            SharedClock.make(folder / "clock")
            clock = (str(folder / "clock"), SystemClock.monotonic(), SOME_MORNING, speed)
            async with AsyncExitStack() as stack:
                strava = await stack.enter_async_context(self._running("harvest_strava"))
                await strava.answer()
                told = await strava.ask("open", clock=clock, athletes=athletes, years=years, limits=limits)
                yield Scene(strava, told, SharedClock(*clock), clock, folder, stack)

    async def _worker(self, scene: Scene, store: Mapping[str, str], **arguments: Any) -> Process:
        worker = await scene.stack.enter_async_context(self._running("harvest_worker"))
        await worker.answer()
        await worker.ask("open", told=scene.told, clock=scene.clock_arguments, store=store, **arguments)
        return worker

    def _running(self, module: str) -> Any:
        return running(self._python, f"benchmarks.{module}", environ=self._environ)


async def _under_way(scene: Scene, ids: Sequence[int]) -> None:
    """Wait until something was served to each athlete."""
    served: Counter[str] = Counter()
    while len(served) < len(ids):
        await asyncio.sleep(_LOOK_SECONDS / 5)
        served.update((await scene.strava.ask("report"))["athletes"])


async def _watched(scene: Scene, worker: Process) -> tuple[Counter[int], int, Mapping[str, Any]]:
    """Wait for a harvest's end; return the requests by day, those that were refused, and the worker's figures."""
    days: Counter[int] = Counter()
    refused = 0
    while True:
        figures = await worker.ask("figures")
        report = await scene.strava.ask("report")
        days.update({int(number): count for number, count in report["days"].items()})
        refused += report["refused"]
        if figures["done"]:
            return days, refused, figures
        await asyncio.sleep(_LOOK_SECONDS)


# -- the command ------------------------------------------------------------------------------------------------------


async def _main(scale: Scale) -> None:
    print(environments.versions(environments.HARVEST))
    async for rows in measure(environments.HARVEST.python, scale):
        print(f"\n{render(rows)}", flush=True)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harvest", description="Print what a harvest costs.")
    parser.add_argument("--full", action="store_true", help="100 athletes with 1,000 activities: half an hour")
    given = parser.parse_args()
    environments.make(environments.HARVEST)
    began = time.monotonic()
    asyncio.run(_main(FULL if given.full else TENTH))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
