"""Processes that share a quota are killed, stopped, started at a bad moment, and have a wrong clock."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fleet_processes import Fleet, MeetingPlace, QuotaFile, QuotaServer, Setup
from strava_async.quota.fleet.grants import IN_ADVANCE
from tests.limiter.fleet_faults import LIMIT, TASKS, nothing, run
from tests.limiter.fleet_faults import anyio_backend as anyio_backend
from tests.limiter.fleet_faults import redis_server as redis_server
from tests.limiter.fleet_faults import setup as setup
from tests.redis_server import RedisServer, needs_redis

pytestmark = [pytest.mark.anyio, pytest.mark.one_python]


FILE, REDIS = pytest.param("file"), pytest.param("redis", marks=needs_redis)
FILE_IF_LONG = pytest.param("file", marks=pytest.mark.long)
REDIS_IF_LONG = pytest.param("redis", marks=[needs_redis, pytest.mark.long])


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> MeetingPlace:
    if request.param == "file":
        return QuotaFile(tmp_path / "quota.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return QuotaServer(server.port)


@pytest.mark.parametrize("place", [FILE, REDIS], indirect=True)
async def test_two_of_many_killed_while_they_send(setup: Setup, place: MeetingPlace) -> None:
    async def kill(fleet: Fleet) -> None:
        for pid, after in zip(fleet.pids[:2], (-10.0, 2.0), strict=True):
            await fleet.until(1, after)
            os.kill(pid, signal.SIGKILL)

    # What they held may have been sent: nobody else uses it in this window.
    spends = LIMIT - 2 * (TASKS + IN_ADVANCE)
    many = 8 if setup.processes > 2 else 4
    outcome = await run(replace(setup, processes=many), place, kill, spends=spends, survivors=slice(2, None))
    assert outcome.sent.refusals == 0


@pytest.mark.parametrize("place", [FILE_IF_LONG, REDIS], indirect=True)
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


@pytest.mark.parametrize("place", [FILE, REDIS_IF_LONG], indirect=True)
async def test_a_start_within_a_second_of_a_turn(setup: Setup, place: MeetingPlace) -> None:
    outcome = await run(replace(setup, begins_in=1.0), place, nothing)
    assert outcome.sent.refusals == 0


@pytest.mark.parametrize("place", [FILE_IF_LONG, REDIS], indirect=True)
@pytest.mark.parametrize("skew", [-60.0, pytest.param(60.0, marks=pytest.mark.long)])
async def test_a_host_whose_clock_is_wrong(setup: Setup, place: MeetingPlace, skew: float) -> None:
    outcome = await run(replace(setup, skews=[skew] * setup.processes), place, nothing)
    assert outcome.sent.refusals == 0
