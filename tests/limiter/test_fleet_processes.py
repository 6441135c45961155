"""Real faults: processes are killed and stopped, and what they meet in is lost, locked, late, replaced.

Several processes send as fast as they can over the turn of a quarter hour, until the next one is spent as well. Strava
is an emulator over loopback, in a process of its own, and counts. All clocks run so many times as fast as the
machine's; slower in the long runs. What each run has cost is printed (``-s``).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fleet_clock import REAL, Pace
from benchmarks.fleet_processes import (
    Fleet,
    MeetingPlace,
    QuotaFile,
    QuotaServer,
    Sent,
    Setup,
    limits_of,
    running_fleet,
)
from strava_async.quota.fleet_grants import IN_ADVANCE
from tests.environment import clean_environment
from tests.limiter.fleet_proxy import Proxy, proxy_to
from tests.redis_server import RedisServer, needs_redis, running

pytestmark = pytest.mark.anyio

LIMIT = 400
TASKS = 10
LATENCY = 1.0  # so that requests are under way when something happens
CALM_SECONDS = 10.0  # at the end, in which nobody may send

Disturb = Callable[[Fleet], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[pytest.param(30.0, id="fast"), pytest.param(3.0, marks=pytest.mark.long, id="slow")])
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(
        sys.executable,
        limits_of(LIMIT),
        processes=4,
        pace=Pace(request.param),
        begins_in=24.0,
        latency=LATENCY,
        environ=clean_environment(),
    )


@dataclass
class Outcome:
    """What came of a run."""

    sent: Sent
    figures: list[dict[str, Any]]
    after_turn: Sequence[int]

    @property
    def used(self) -> list[int]:
        """The units of each window that were spent."""
        return [sum(counts) for _, counts in sorted(self.sent.served.items())]

    def messages(self, level: str, words: str) -> list[int]:
        """Return how many such messages each process has logged."""
        return [sum(kind == level and words in text for kind, text in each["messages"]) for each in self.figures]


async def run(
    setup: Setup,
    place: MeetingPlace,
    disturb: Disturb,
    *,
    spends: int | None = None,
    requests: int | None = None,
    survivors: slice = slice(None),
) -> Outcome:
    """Let all processes send while something goes wrong, and then until the window after the turn is spent.

    Args:
        setup: the processes.
        place: where they meet.
        disturb: makes something go wrong.
        spends: how many units of that window are spent at least; None means all.
        requests: of each process, which are all answered; None means for ever.
        survivors: the processes that live to the end.
    """
    async with running_fleet(setup, place) as fleet:
        await fleet.ask_all("start", tasks=TASKS, requests=requests)
        await disturb(fleet)
        alive = fleet.workers[survivors]
        if requests is None:
            await until_spent(fleet, setup.limit if spends is None else spends)
        else:
            await fleet.ask_all("finish", alive)
        await fleet.clock.sleep(CALM_SECONDS)
        sent, figures = await fleet.sent(), await fleet.ask_all("figures", alive)
        await fleet.ask_all("stop", alive)
    outcome = Outcome(sent, figures, sent.served[fleet.first + 1])
    print(f"\n{sent.refusals} 429s, used {outcome.used}, round trips {place.trips()}", end="")
    return outcome


async def until_spent(fleet: Fleet, units: int) -> None:
    """Wait until so many units of the window after the turn are spent, or it is over."""
    window = fleet.first + 1
    while fleet.clock.time() < 900 * (window + 1):
        if sum((await fleet.sent()).served.get(window, ())) >= units:
            return
        await fleet.clock.sleep(3.0)
    raise AssertionError(f"the window is over, but not spent: {(await fleet.sent()).served}")


async def nothing(fleet: Fleet) -> None:
    """Let nothing go wrong."""


# -- processes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which forgets all when it is killed."""
    with running(tmp_path / "redis", "--appendonly", "no") as server:
        yield server


@pytest.fixture(params=["file", pytest.param("redis", marks=needs_redis)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> MeetingPlace:
    if request.param == "file":
        return QuotaFile(tmp_path / "quota.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return QuotaServer(server.port)


async def test_two_of_eight_killed_while_they_send(setup: Setup, place: MeetingPlace) -> None:
    async def kill(fleet: Fleet) -> None:
        for pid, after in zip(fleet.pids[:2], (-10.0, 2.0), strict=True):
            await fleet.until(1, after)
            os.kill(pid, signal.SIGKILL)

    # What they held may have been sent: nobody else uses it in this window.
    spends = LIMIT - 2 * (TASKS + IN_ADVANCE)
    outcome = await run(replace(setup, processes=8), place, kill, spends=spends, survivors=slice(2, None))
    assert outcome.sent.refusals == 0


async def test_one_stopped_for_longer_than_its_lease_goes_on(setup: Setup, place: MeetingPlace) -> None:
    before = 0

    async def stop(fleet: Fleet) -> None:
        nonlocal before
        await fleet.until(1, 2.0)
        os.kill(fleet.pids[0], signal.SIGSTOP)
        await fleet.until(1, 17.0)
        before = (await fleet.sent()).served[fleet.first + 1][0]
        os.kill(fleet.pids[0], signal.SIGCONT)

    outcome = await run(replace(setup, latency=3.0), place, stop)
    assert outcome.sent.refusals == 0
    assert outcome.after_turn[0] > before


async def test_a_start_within_a_second_of_a_turn(setup: Setup, place: MeetingPlace) -> None:
    outcome = await run(replace(setup, begins_in=1.0), place, nothing)
    assert outcome.sent.refusals == 0


@pytest.mark.parametrize("skew", [-60.0, 60.0])
async def test_a_host_whose_clock_is_wrong(setup: Setup, place: MeetingPlace, skew: float) -> None:
    outcome = await run(replace(setup, skews=[skew] * setup.processes), place, nothing)
    assert outcome.sent.refusals == 0


# -- no place to meet ------------------------------------------------------------------------------------------------

GONE = 75.0  # seconds; half a minute in the long runs, where a minute of the clock takes twenty seconds
OVER_A_TURN_AND_WHILE_SENDING = pytest.mark.parametrize("begin", [-15.0, 1.0], ids=["over a turn", "while sending"])


async def run_without_place(
    setup: Setup, place: MeetingPlace, begin: float, take_away: Callable[[], None], bring_back: Callable[[], None]
) -> None:
    """Let a meeting place be away from some seconds after the turn on, for some leases and what calls may take."""

    async def be_away(fleet: Fleet) -> None:
        await fleet.until(1, begin)
        take_away()
        await fleet.until(1, begin + GONE)
        bring_back()

    outcome = await run(replace(setup, limits=limits_of(100)), place, be_away, requests=45)
    assert [each["answers"] for each in outcome.figures] == [45] * setup.processes
    assert outcome.sent.refusals <= setup.processes
    assert max(outcome.messages("WARNING", "is away")) == 1
    assert outcome.messages("WARNING", "is away") == outcome.messages("INFO", "is back")


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def quota_file(tmp_path: Path) -> QuotaFile:
    folder = tmp_path / "folder"
    folder.mkdir()
    return QuotaFile(folder / "quota.db")


@OVER_A_TURN_AND_WHILE_SENDING
async def test_a_file_that_is_gone_for_some_time(setup: Setup, quota_file: QuotaFile, begin: float) -> None:
    folder = quota_file.path.parent
    elsewhere = folder.with_name("elsewhere")

    def take_away() -> None:
        folder.rename(elsewhere)

    def bring_back() -> None:
        elsewhere.rename(folder)

    await run_without_place(setup, quota_file, begin, take_away, bring_back)


async def test_a_file_that_is_locked_for_longer_than_a_lease(setup: Setup, quota_file: QuotaFile) -> None:
    async def lock(fleet: Fleet) -> None:
        await fleet.until(1, 2.0)
        with closing(sqlite3.connect(quota_file.path, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            await fleet.until(1, 45.0)
            connection.execute("rollback")

    outcome = await run(setup, quota_file, lock)
    assert outcome.sent.refusals <= setup.processes


async def test_a_file_that_is_deleted(setup: Setup, quota_file: QuotaFile) -> None:
    async def delete(fleet: Fleet) -> None:
        for after in (-10.0, 2.0, 20.0):
            await fleet.until(1, after)
            for file in sorted(quota_file.path.parent.glob("quota.db*"), reverse=True):
                if file.is_file():
                    file.unlink()

    outcome = await run(setup, quota_file, delete)
    assert outcome.sent.refusals == 0


async def test_a_file_that_is_replaced_by_an_older_copy(setup: Setup, quota_file: QuotaFile) -> None:
    copy = quota_file.path.with_name("copy.db")

    async def put_back(fleet: Fleet) -> None:
        for after in (-10.0, 2.0):
            await fleet.until(1, after)
            with closing(sqlite3.connect(quota_file.path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            copy.chmod(0o600)
            await fleet.until(1, after + 1.5)
            for companion in ("-wal", "-shm"):
                quota_file.path.with_name(f"quota.db{companion}").unlink(missing_ok=True)
            copy.replace(quota_file.path)

    outcome = await run(setup, quota_file, put_back)
    assert outcome.sent.refusals == 0


# -- Redis -------------------------------------------------------------------------------------------------------------


@needs_redis
async def test_a_server_that_is_emptied(setup: Setup, redis_server: RedisServer) -> None:
    async def flush(fleet: Fleet) -> None:
        for after in (-10.0, 2.0, 60.0):
            await fleet.until(1, after)
            redis_server.ask("FLUSHALL")

    outcome = await run(setup, QuotaServer(redis_server.port), flush)
    assert outcome.sent.refusals == 0


@needs_redis
async def test_a_server_that_forgets_its_scripts(setup: Setup, redis_server: RedisServer) -> None:
    async def flush(fleet: Fleet) -> None:
        for after in (-10.0, 2.0):
            await fleet.until(1, after)
            redis_server.ask("SCRIPT", "FLUSH")

    outcome = await run(setup, QuotaServer(redis_server.port), flush)
    assert outcome.sent.refusals == 0
    assert not any(outcome.messages("WARNING", ""))


@needs_redis
async def test_a_server_that_is_killed_and_comes_back_empty(setup: Setup, redis_server: RedisServer) -> None:
    async def kill(fleet: Fleet) -> None:
        for after in (-10.0, 2.0):
            await fleet.until(1, after)
            redis_server.kill()
            redis_server.start()

    outcome = await run(setup, QuotaServer(redis_server.port), kill)
    assert outcome.sent.refusals == 0


@needs_redis
@OVER_A_TURN_AND_WHILE_SENDING
@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
async def test_a_server_that_is_gone_for_some_time(setup: Setup, tmp_path: Path, begin: float, hangs: bool) -> None:
    with running(tmp_path / "redis") as server:
        place = QuotaServer(server.port)
        take_away, bring_back = (server.stop, server.go_on) if hangs else (server.kill, server.start)
        await run_without_place(setup, place, begin, take_away, bring_back)


@asynccontextmanager
async def replicated(folder: Path) -> AsyncIterator[tuple[Proxy, RedisServer]]:
    """Run a server and its replica; yield a proxy to the server, and the replica."""
    with ExitStack() as stack:
        primary = stack.enter_context(running(folder / "primary"))
        replica = stack.enter_context(running(folder / "replica", "--replicaof", f"127.0.0.1 {primary.port}"))
        async with proxy_to(primary.port) as proxy:
            yield proxy, replica


@needs_redis
async def test_a_replica_promoted_with_a_second_of_writes_missing(setup: Setup, tmp_path: Path) -> None:
    async with replicated(tmp_path) as (proxy, replica):

        async def fail_over(fleet: Fleet) -> None:
            await fleet.until(1, 1.5)
            replica.ask("REPLICAOF", "NO", "ONE")
            await fleet.until(1, 2.5)
            proxy.switch(replica.port)

        outcome = await run(setup, QuotaServer(proxy.port, replica.port), fail_over)
    assert outcome.sent.refusals == 0


@needs_redis
async def test_a_replica_that_takes_no_writes(setup: Setup, tmp_path: Path) -> None:
    async with replicated(tmp_path) as (proxy, replica):
        primary_port = proxy.target
        await run_without_place(
            setup,
            QuotaServer(proxy.port, primary_port),
            1.0,
            lambda: proxy.switch(replica.port),
            lambda: proxy.switch(primary_port),
        )


@needs_redis
async def test_replies_that_come_late_or_never(setup: Setup, redis_server: RedisServer) -> None:
    async def spoil(fleet: Fleet) -> None:
        proxy.latency = 1.0 / setup.pace.speed
        proxy.loses = 0.2

    async with proxy_to(redis_server.port) as proxy:
        outcome = await run(setup, QuotaServer(proxy.port, redis_server.port), spoil)
    assert proxy.lost > 3
    assert outcome.sent.refusals == 0


@needs_redis
async def test_hosts_whose_clocks_differ_by_two_minutes(setup: Setup, redis_server: RedisServer) -> None:
    place = QuotaServer(redis_server.port, kind="server time")
    real = replace(setup, pace=REAL, begins_in=2.0, latency=0.1, skews=[-60.0, 60.0, 20.0, 0.0], limits=limits_of(100))
    outcome = await run(real, place, nothing)
    assert outcome.sent.refusals == 0
    assert outcome.used == [100, 100]
