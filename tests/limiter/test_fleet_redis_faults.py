"""The Redis on which processes share a quota is killed, emptied, replaced, slow while they send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fleet_clock import REAL
from benchmarks.fleet_processes import Fleet, QuotaServer, Setup, limits_of
from tests.limiter.fleet_faults import Disturb, nothing, over_a_turn, run, run_without_place, while_sending
from tests.limiter.fleet_faults import anyio_backend as anyio_backend
from tests.limiter.fleet_faults import redis_server as redis_server
from tests.limiter.fleet_faults import setup as setup
from tests.limiter.fleet_proxy import Proxy, proxy_to
from tests.redis_server import RedisServer, needs_redis, running

pytestmark = [pytest.mark.anyio, pytest.mark.one_python, needs_redis]


async def test_a_server_that_is_emptied(setup: Setup, redis_server: RedisServer) -> None:
    async def flush(fleet: Fleet) -> None:
        for after in (-10.0, 2.0, 60.0):
            await fleet.until(1, after)
            redis_server.ask("FLUSHALL")

    outcome = await run(setup, QuotaServer(redis_server.port), flush)
    assert outcome.sent.refusals == 0


async def test_a_server_that_forgets_its_scripts(setup: Setup, redis_server: RedisServer) -> None:
    async def flush(fleet: Fleet) -> None:
        for after in (-10.0, 2.0):
            await fleet.until(1, after)
            redis_server.ask("SCRIPT", "FLUSH")

    outcome = await run(setup, QuotaServer(redis_server.port), flush)
    assert outcome.sent.refusals == 0
    assert not any(outcome.messages("WARNING", ""))


async def test_a_server_that_is_killed_and_comes_back_empty(setup: Setup, redis_server: RedisServer) -> None:
    async def kill(fleet: Fleet) -> None:
        for after in (-10.0, 2.0):
            await fleet.until(1, after)
            redis_server.kill()
            redis_server.start()

    outcome = await run(setup, QuotaServer(redis_server.port), kill)
    assert outcome.sent.refusals == 0


@pytest.mark.parametrize(
    ("begin", "hangs"),
    [
        pytest.param(over_a_turn, False, id="refuses, over a turn"),
        pytest.param(while_sending, True, id="hangs, while sending"),
        pytest.param(over_a_turn, True, marks=pytest.mark.long, id="hangs, over a turn"),
        pytest.param(while_sending, False, marks=pytest.mark.long, id="refuses, while sending"),
    ],
)
async def test_a_server_that_is_gone_for_some_time(setup: Setup, tmp_path: Path, begin: Disturb, hangs: bool) -> None:
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


async def test_a_replica_promoted_with_a_second_of_writes_missing(setup: Setup, tmp_path: Path) -> None:
    async with replicated(tmp_path) as (proxy, replica):

        async def fail_over(fleet: Fleet) -> None:
            await fleet.until(1, 1.5)
            replica.ask("REPLICAOF", "NO", "ONE")
            await fleet.until(1, 2.5)
            proxy.switch(replica.port)

        outcome = await run(setup, QuotaServer(proxy.port, replica.port), fail_over)
    assert outcome.sent.refusals == 0


async def test_a_replica_that_takes_no_writes(setup: Setup, tmp_path: Path) -> None:
    async with replicated(tmp_path) as (proxy, replica):
        primary_port = proxy.target
        await run_without_place(
            setup,
            QuotaServer(proxy.port, primary_port),
            while_sending,
            lambda: proxy.switch(replica.port),
            lambda: proxy.switch(primary_port),
        )


async def test_replies_that_come_late_or_never(setup: Setup, redis_server: RedisServer) -> None:
    async def spoil(fleet: Fleet) -> None:
        proxy.latency = 1.0 / setup.pace.speed
        proxy.loses = 0.2

    async with proxy_to(redis_server.port) as proxy:
        outcome = await run(setup, QuotaServer(proxy.port, redis_server.port), spoil)
    assert proxy.lost > 3
    assert outcome.sent.refusals == 0


async def test_hosts_whose_clocks_differ_by_two_minutes(setup: Setup, redis_server: RedisServer) -> None:
    place = QuotaServer(redis_server.port, kind="server time")
    real = replace(setup, pace=REAL, begins_in=2.0, latency=0.1, skews=[-60.0, 60.0, 20.0], limits=limits_of(100))
    outcome = await run(real, place, nothing, calm=2.0)
    assert outcome.sent.refusals == 0
