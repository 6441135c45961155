"""T16 to T21: eight processes that share a quota: ``python -m benchmarks --only fleet``.

Real processes, ``ApiV3`` and an emulator over loopback. Their clock runs fast, and is the same for all: so what takes a
millisecond here takes that many times as long on it. While a window's units are sent it is slow enough for two cores: a
lease of ten seconds is five or more. Once they are spent, and all wait for the turn, it is fast. Limiters that are
compared run at the same time, some seconds apart, because each window begins with a burst.

Who has not asked for a second and a half of the clock is not counted among those who wait. So where other load on the
machine stops a process for as long as that, and the row of the worst lag says so, fairness and round trips are that
load's and not the protocol's.

Its own process prints the rows of each part, as JSON in a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fleet_clock import QUARTER_SECONDS, Pace
from benchmarks.fleet_figures import NAMES, harvest_rows, lag_row, visit_rows
from benchmarks.fleet_processes import (
    Fleet,
    MeetingPlace,
    Nowhere,
    QuotaFile,
    QuotaServer,
    Setup,
    limits_of,
    running_fleet,
)
from benchmarks.fleet_redis import redis_binary, running_redis
from benchmarks.processes import Process, say
from benchmarks.table import Row

PROCESSES, TASKS = 8, 50
WAIT_SECONDS = 3.0  # of a call, until there is room
MARGIN = 40.0  # seconds before the end of a window at which it is looked at
VISITS = 0.1  # of the limit


@dataclass(frozen=True, slots=True)
class Harvest:
    """Processes that always have more to send.

    Attributes:
        limit: reads in a quarter hour.
        pace: of the clock.
    """

    limit: int
    pace: Pace


@dataclass(frozen=True, slots=True)
class Scale:
    """The amount of work.

    Attributes:
        groups: the harvests that run at the same time.
        visited: where interactive requests come in between.
        seconds_apart: between the beginnings of two of them.
        processes, tasks: that many, and that many in each.
        windows: that are spent, besides the one in which they start.
        begins_in: seconds until the first turn.
        one_by_one: requests one at a time.
        wakes: of a call that waits.
    """

    groups: tuple[tuple[Harvest, ...], ...]
    visited: Harvest
    seconds_apart: float
    processes: int
    tasks: int
    windows: int
    begins_in: float
    one_by_one: int
    wakes: int


SHORT, LONG, SINGLE = Pace(1.5, 25.0, 150.0), Pace(2.0, 40.0, 150.0), Pace(2.0)
WHOLE = Scale(
    groups=((Harvest(100, SHORT), Harvest(600, SHORT)), (Harvest(3_000, LONG),)),
    visited=Harvest(600, Pace(2.0, 25.0, 20.0)),
    seconds_apart=4.0,
    processes=PROCESSES,
    tasks=TASKS,
    windows=2,
    begins_in=300.0,
    one_by_one=300,
    wakes=5,
)
TENTH = Scale(
    groups=((Harvest(60, Pace(20.0, 40.0, 400.0)),),),
    visited=Harvest(100, Pace(20.0, 20.0, 400.0)),
    seconds_apart=0.0,
    processes=2,
    tasks=10,
    windows=1,
    begins_in=300.0,
    one_by_one=20,
    wakes=1,
)

OpenPlace = Callable[[], AbstractAsyncContextManager[MeetingPlace]]


@asynccontextmanager
async def nowhere() -> AsyncIterator[MeetingPlace]:
    """Yield no meeting place."""
    yield Nowhere()


@asynccontextmanager
async def quota_file() -> AsyncIterator[MeetingPlace]:
    """Yield a new file."""
    with TemporaryDirectory() as folder:
        yield QuotaFile(Path(folder, "quota.db"))


@asynccontextmanager
async def quota_server() -> AsyncIterator[MeetingPlace]:
    """Yield a new server."""
    async with running_redis() as port:
        yield QuotaServer(port)


PLACES: dict[str, OpenPlace] = {"alone": nowhere, "file": quota_file, "redis": quota_server}


async def measure(python: str, scale: Scale, environ: Mapping[str, str] | None = None) -> AsyncIterator[list[Row]]:
    """Yield the rows of one part after the other.

    Args:
        python: the interpreter of the processes.
        scale: the amount of work.
        environ: of the processes; None means ``clean_environ``.
    """
    bench = FleetBench(python, scale, environ)
    for group in scale.groups:
        yield await bench.harvest(group)
    yield await bench.visits()
    yield await bench.single()


class FleetBench:
    """Runs fleets.

    Args:
        python: see ``measure``.
        scale: likewise.
        environ: likewise.
    """

    def __init__(self, python: str, scale: Scale, environ: Mapping[str, str] | None) -> None:
        self._scale = scale
        self._setup = Setup(python, limits_of(1), scale.processes, environ=environ)
        self._kinds = [kind for kind in PLACES if kind != "redis" or redis_binary() is not None]
        self._shared = [kind for kind in self._kinds if kind != "alone"]
        if "redis" not in self._kinds:
            say("  redis-server is not installed: only the file is measured")

    async def harvest(self, group: Sequence[Harvest]) -> list[Row]:
        """Return the rows of harvests that run at the same time, with each limiter."""
        runs = [(harvest, kind) for harvest in group for kind in self._kinds]
        with _Effort(f"{', '.join(str(harvest.limit) for harvest in group)} per quarter hour", group[0].pace) as effort:
            found = await asyncio.gather(*(self._harvest(*run, index) for index, run in enumerate(runs)))
        return [*(row for rows in found for row in rows), effort.row]

    async def _harvest(self, harvest: Harvest, kind: str, index: int) -> list[Row]:
        scale = self._scale
        setup = self._of(harvest)
        await asyncio.sleep(index * scale.seconds_apart)
        async with PLACES[kind]() as place, running_fleet(setup, place) as fleet:
            await fleet.ask_all("start", tasks=scale.tasks)
            await fleet.until(scale.windows + 1, -MARGIN)
            sent, trips = await fleet.sent(), place.trips()
            lag = max(figures["lag"] for figures in await fleet.ask_all("figures"))
            await fleet.ask_all("stop")
        return [*harvest_rows(kind, setup, sent, trips), lag_row(kind, setup, lag)]

    async def visits(self) -> list[Row]:
        """Return the rows of interactive requests beside processes that harvest."""
        with _Effort("interactive requests beside harvests", self._scale.visited.pace) as effort:
            found = await asyncio.gather(*(self._visits(kind, index) for index, kind in enumerate(self._shared)))
        return [*(row for rows in found for row in rows), effort.row]

    async def _visits(self, kind: str, index: int) -> list[Row]:
        scale = self._scale
        setup = self._of(scale.visited)
        await asyncio.sleep(index * scale.seconds_apart)
        rate = VISITS * setup.limit / QUARTER_SECONDS
        async with PLACES[kind]() as place, running_fleet(setup, place) as fleet:
            web, *others = fleet.workers
            await fleet.ask_all("start", others, tasks=scale.tasks, priority="BACKGROUND")
            await web.ask("visit", rate=rate, seed=1)
            await fleet.until(scale.windows + 1, -MARGIN)
            figures, sent = await web.ask("figures"), await fleet.sent()
            await fleet.ask_all("stop")
        return visit_rows(kind, setup, figures["visits"], sent)

    async def single(self) -> list[Row]:
        """Return the rows of a process that makes one request at a time, and of one that waits for another."""
        with _Effort("one request at a time, and a waiter", SINGLE) as effort:
            found = await asyncio.gather(*map(self._single, self._shared))
        return [*(row for rows in found for row in rows), effort.row]

    async def _single(self, kind: str) -> list[Row]:
        count = self._scale.one_by_one
        setup = replace(
            self._setup, limits=limits_of(2 * count), processes=2, pace=SINGLE, begins_in=800.0, latency=0.05
        )
        async with PLACES[kind]() as place, running_fleet(setup, place) as fleet:
            one, other = fleet.workers
            await one.ask("start", tasks=1, requests=count)
            await one.ask("finish")
            trips = place.trips() / count
            waited = await self._wakes(fleet, one, other, count)
            await fleet.ask_all("stop")
        return [
            Row("T18", f"{NAMES[kind]}: round trips per request, one at a time", trips, "", at_most=1.2),
            Row("T21", f"{NAMES[kind]}: a waiter wakes after room in another process", waited, "s", at_most=1.0),
        ]

    async def _wakes(self, fleet: Fleet, one: Process, other: Process, room: int) -> float:
        """Return how long a call goes on waiting after another process has given a unit back; the worst of some."""
        await one.ask("hold", count=room)
        waited: list[float] = []
        for _ in range(self._scale.wakes):
            waiting = asyncio.ensure_future(other.ask("hold", count=1))
            await fleet.clock.sleep(WAIT_SECONDS)
            freed = await one.ask("free", count=1)
            waited.append((await waiting)["at"] - freed["at"])
        return max(waited)

    def _of(self, harvest: Harvest) -> Setup:
        return replace(self._setup, limits=limits_of(harvest.limit), pace=harvest.pace, begins_in=self._scale.begins_in)


class _Effort:
    """Says what runs, and measures what share of the processors it takes."""

    def __init__(self, what: str, pace: Pace) -> None:
        self._what = f"{what}, clock x {pace.speed:g} to {pace.idle_speed or pace.speed:g}"
        self.row = Row("", "", 0.0, "")

    def __enter__(self) -> _Effort:
        say(f"  {self._what} ...")
        self._began, self._cpu = time.monotonic(), _children_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self._began
        share = (_children_seconds() - self._cpu) / seconds / (os.cpu_count() or 1)
        self.row = Row("", f"{self._what}, {seconds:.0f} s: share of all processors", 100 * share, "%")


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# -- the command ------------------------------------------------------------------------------------------------------


async def _main(scale: Scale) -> None:
    async for rows in measure(sys.executable, scale):
        print(json.dumps({"rows": [asdict(row) for row in rows]}), flush=True)
    print(json.dumps({"rows": []}), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(TENTH if "--quick" in sys.argv[1:] else WHOLE))
