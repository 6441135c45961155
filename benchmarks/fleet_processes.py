"""Processes that share a quota, with their Strava and their meeting place: started, driven and ended together."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.fleet_clock import QUARTER_SECONDS, REAL, AgreedClock, Pace
from benchmarks.processes import Process, running
from strava_async.clock import SystemClock
from strava_async.quota.fleet.codec import load_fleet

TELL_SECONDS = 0.05  # for all to hear when the clock begins
SOME_HOUR = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC


class MeetingPlace(Protocol):
    """Where the processes meet.

    Attributes:
        kind: of the limiter; see ``fleet_worker.make_limiter``.
        where: likewise.
    """

    @property
    def kind(self) -> str:
        """See above."""
        ...

    @property
    def where(self) -> str:
        """See above."""
        ...

    def trips(self) -> int:
        """Return how many calls it has carried out, as it says itself."""
        ...


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Each process has a ``RateLimiter`` of its own."""

    kind: str = "alone"
    where: str = ""

    def trips(self) -> int:
        """Return 0."""
        return 0


@dataclass(frozen=True, slots=True)
class QuotaFile:
    """A ``SqliteRateLimiter``'s file."""

    path: Path
    kind: str = "file"

    @property
    def where(self) -> str:
        """The file."""
        return str(self.path)

    def trips(self) -> int:
        """Return the number of the state: each call makes another."""
        with closing(sqlite3.connect(self.path)) as connection:
            (state,) = connection.execute("select state from fleets").fetchone()
        return load_fleet(state, {}).sequence


@dataclass(frozen=True, slots=True)
class QuotaServer:
    """A ``RedisRateLimiter``'s server on 127.0.0.1.

    Attributes:
        port: that the processes connect to.
        server_port: its own, if something is in between; 0 means the same.
        kind: ``redis`` or ``server time``.
    """

    port: int
    server_port: int = 0
    kind: str = "redis"

    @property
    def where(self) -> str:
        """The port."""
        return str(self.port)

    def trips(self) -> int:
        """Return how many scripts it has run since its statistics were reset."""
        from redis import Redis

        with Redis(port=self.server_port or self.port, decode_responses=True) as client:
            stats: Any = client.info("commandstats")
        return sum(stats[name]["calls"] for name in ("cmdstat_eval", "cmdstat_evalsha") if name in stats)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a fleet is made of.

    Attributes:
        python: the interpreter of its processes.
        limits: Strava's, in the order of ``MeterLimits``.
        processes: how many.
        pace: of the agreed clock.
        begins_in: seconds of that clock from the beginning to the first turn of a quarter hour.
        latency: of a request; seconds of that clock.
        options: of the limiters.
        skews: what the clocks of the first processes are wrong by; seconds.
        environ: of the processes; None means ``clean_environ``.
    """

    python: str
    limits: tuple[int, int, int, int]
    processes: int = 8
    pace: Pace = REAL
    begins_in: float = 300.0
    latency: float = 0.2
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    skews: Sequence[float] = ()
    environ: Mapping[str, str] | None = None

    @property
    def limit(self) -> int:
        """Of reads in a quarter hour."""
        return self.limits[2]


def limits_of(reads: int) -> tuple[int, int, int, int]:
    """Return limits in Strava's proportions, by the reads in a quarter hour; the day does not matter here."""
    return 2 * reads, 80 * reads, reads, 40 * reads


@dataclass(frozen=True, slots=True)
class Sent:
    """What Strava has counted.

    Attributes:
        served: by quarter hour, the requests of each process.
        refused: likewise, those that were answered with 429.
    """

    served: Mapping[int, Sequence[int]]
    refused: Mapping[int, Sequence[int]]

    @property
    def refusals(self) -> int:
        """All of them."""
        return sum(map(sum, self.refused.values()))

    @property
    def requests(self) -> int:
        """All that were counted."""
        return sum(map(sum, self.served.values())) + self.refusals

    def before(self, quarter: int) -> list[Sequence[int]]:
        """Return the requests that were served in each window before one."""
        return [counts for window, counts in sorted(self.served.items()) if window < quarter]


class Fleet:
    """Processes that run.

    Args:
        setup: what they are.
        place: where they meet.
        strava: its process.
        workers: theirs.
        pids: their ids.
        clock: that of all.
    """

    def __init__(
        self,
        setup: Setup,
        place: MeetingPlace,
        strava: Process,
        workers: Sequence[Process],
        pids: Sequence[int],
        clock: AgreedClock,
    ) -> None:
        self.setup = setup
        self.place = place
        self.strava = strava
        self.workers = list(workers)
        self.pids = list(pids)
        self.clock = clock
        self.first = int(SOME_HOUR // QUARTER_SECONDS)

    async def begin(self) -> None:
        """Let the clock of all run."""
        epoch = SystemClock.monotonic() + TELL_SECONDS
        self.clock.begin(epoch)
        await self.ask_all("begin", [self.strava, *self.workers], epoch=epoch)

    async def ask_all(
        self, job: str, workers: Sequence[Process] | None = None, **arguments: Any
    ) -> list[dict[str, Any]]:
        """Send some workers a job, or all, and return their figures."""
        asked = self.workers if workers is None else workers
        return list(await asyncio.gather(*(worker.ask(job, **arguments) for worker in asked)))

    async def until(self, window: int, after: float = 0.0) -> None:
        """Wait until so many windows have ended since the beginning, and some seconds more."""
        at = (self.first + window) * QUARTER_SECONDS + after
        await self.clock.sleep(at - self.clock.time())

    async def sent(self) -> Sent:
        """Ask Strava what it has counted."""
        report = await self.strava.ask("report")
        served, refused = (
            {int(window): counts for window, counts in report[name].items()} for name in ("served", "refused")
        )
        return Sent(served, refused)


@asynccontextmanager
async def running_fleet(setup: Setup, place: MeetingPlace) -> AsyncIterator[Fleet]:
    """Run processes, until the block is left. Time begins when all are there; they make no requests yet."""
    async with AsyncExitStack() as stack:

        async def start_module(module: str) -> Process:
            program = running(setup.python, f"benchmarks.{module}", environ=setup.environ)
            return await stack.enter_async_context(program)

        strava = await start_module("fleet_strava")
        workers = [await start_module("fleet_worker") for _ in range(setup.processes)]
        await strava.answer()
        pids = [(await worker.answer())["pid"] for worker in workers]
        start = SOME_HOUR + QUARTER_SECONDS - setup.begins_in
        opened = await strava.ask(
            "open",
            pace=setup.pace,
            start=start,
            limits=setup.limits,
            athletes=setup.processes,
            latency=setup.latency,
        )
        skews = [*setup.skews, *[0.0] * setup.processes]
        common = {"pace": setup.pace, "start": start, "kind": place.kind, "where": place.where}
        opening = (
            worker.ask(
                "open",
                **common,
                api_url=opened["api_url"],
                token=opened["tokens"][index],
                skew=skews[index],
                options=setup.options,
            )
            for index, worker in enumerate(workers)
        )
        await asyncio.gather(*opening)
        fleet = Fleet(setup, place, strava, workers, pids, AgreedClock(setup.pace, start))
        await fleet.begin()
        yield fleet
