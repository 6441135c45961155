"""The limiter whose quota any number of hosts share on Redis, on a real server. redis-py runs on asyncio only."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel

from benchmarks.fleet_server_cost import measure
from strava_async import InputError
from strava_async.errors import LimiterError, QuotaExceededError, StoreError
from strava_async.limiter.base import ClosableLimiter, Limiter
from strava_async.limiter.redis_layout import STATE
from strava_async.limiter.redis_place import RedisPlace
from strava_async.quota.fleet.messages import Report, Spent, Wants
from strava_async.quota.fleet.state import Fleet
from strava_async.redis import RedisRateLimiter
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from tests.frames import shown_by
from tests.limiter.contract import ClosableLimiterContract, answer
from tests.limiter.patient_clock import PatientClock
from tests.limiter.sharing import get_what_is_given_back
from tests.redis_server import RedisServer, needs_redis, running
from tests.redis_topologies import NAME, cluster, watched

pytestmark = [pytest.mark.anyio, needs_redis]

QUOTA, ROWS = "{strava:7}:quota", "{strava:7}:rows"
KINDS: dict[str, Any] = {"plain": {}, "texts": {"decode_responses": True}, "RESP3": {"protocol": 3}}
PROCESSES = ["", "\0", "a\nb", "ü", "p" * 100, "state"]
COMMANDS = "+evalsha +eval +script|load +hget +hset +hgetall +hdel +hmget +pexpire +time"
ACL = ["~{strava:*}*", *COMMANDS.split()]
USED = ["~{strava:*}*", "+evalsha", "+eval", "+hget", "+hset", "+hgetall", "+hdel", "+pexpire", "+time"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> PatientClock:
    return PatientClock(SOME_TUESDAY + 1.5)


def client_of(server: RedisServer, **options: Any) -> Redis:
    return Redis(port=server.port, **{"retry": None, **options})


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    async with client_of(redis_server) as client:
        yield client


def make(client: Any, clock: PatientClock, **options: Any) -> RedisRateLimiter:
    limiter = RedisRateLimiter(client, application="7", clock=clock, random=lambda: 0.5, **options)
    clock.limiters.append(limiter)
    return limiter


@pytest.mark.parametrize("replies", KINDS)
class TestRedisRateLimiter(ClosableLimiterContract):
    """As every limiter, whatever the client makes of replies."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def clock(self) -> FakeClock:
        return PatientClock(SOME_TUESDAY + 1.5)

    @pytest.fixture
    async def limiter(self, clock: PatientClock, redis_server: RedisServer, replies: str) -> AsyncIterator[Limiter]:
        async with client_of(redis_server, **KINDS[replies]) as client, make(client, clock) as limiter:
            yield limiter

    @pytest.fixture
    def closable(self, limiter: ClosableLimiter) -> ClosableLimiter:
        return limiter


# -- shared ------------------------------------------------------------------------------------------------------------


async def test_what_one_spends_is_missing_in_the_other(
    clock: PatientClock, client: Redis, redis_server: RedisServer
) -> None:
    async with client_of(redis_server) as theirs, make(client, clock) as one, make(theirs, clock) as other:
        (await one.acquire()).settle(200, answer(clock, 99, 99))
        async with clock.autojump():
            await clock.sleep(0.5)
            await other.acquire()
            with pytest.raises(QuotaExceededError):
                await one.acquire(max_wait=20.0)
        assert other.quota.read_15min.limit == 100
        assert other.processes == 2
        assert (one.state, other.state) == ("shared", "shared")


async def test_a_waiter_gets_what_the_other_gives_back(clock: PatientClock, client: Redis) -> None:
    async with make(client, clock) as one, make(client, clock) as other:
        await get_what_is_given_back(one, other, clock)


async def test_applications_on_one_server_have_nothing_to_do_with_each_other(
    clock: PatientClock, client: Redis
) -> None:
    other = RedisRateLimiter(client, application="8", clock=clock)
    async with make(client, clock) as one, other:
        (await one.acquire()).settle(200, answer(clock, 100, 100))
        await other.acquire()
        assert other.processes == 1


@pytest.mark.parametrize("application", ["7", "ü\0\n", "\U0001f600"], ids=ascii)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
async def test_what_a_client_makes_of_texts_is_no_matter(
    redis_server: RedisServer, client: Redis, encoding: str, application: str
) -> None:
    """Else they would not share it."""
    async with client_of(redis_server, encoding=encoding) as theirs:
        places = [RedisPlace(theirs, application), RedisPlace(client, application)]
        for place in places:
            await place.check()
        for process in PROCESSES:
            for count, place in enumerate(places, 1):
                assert not (await place.call(Report(process, count, quarter=5), 0)).stale
        fleets = [await place.read() for place in places]
        assert fleets[0] == fleets[1]
        assert set(fleets[0].rows) == set(PROCESSES)
        assert fleets[0].sequence == 2 * len(PROCESSES)


async def test_a_limiter_that_is_closed_leaves_nothing_behind_and_its_client_open(
    clock: PatientClock, client: Redis
) -> None:
    async with make(client, clock) as one:
        (await one.acquire()).settle(200, answer(clock, 1, 1))
    async with make(client, clock) as other:
        await other.acquire()
    fleet = await RedisPlace(client, "7").read()
    assert sum(row.held.overall for row in fleet.rows.values()) == 1  # the permit that has not ended
    assert await client.ping()


async def test_what_is_read_is_what_the_processes_know(client: Redis) -> None:
    place = RedisPlace(client, "7")
    assert await place.read() == Fleet()
    await place.call(Report("a", 1, quarter=5, ms_left=900_000, wants=Wants(0, 3)), 0)
    fleet = await place.read()
    assert list(fleet.rows) == ["a"]
    assert fleet.rows["a"].held == (1, 1)
    assert fleet.quarter == 5
    await client.hset(QUOTA, "state", b"\x02and more")
    with pytest.raises(StoreError, match="version"):
        await place.read()


# -- the server --------------------------------------------------------------------------------------------------------


def calls_of(server: RedisServer) -> dict[str, int]:
    """Return how often each command was carried out, those of scripts included."""
    told = server.ask("INFO", "commandstats")
    return {name.removeprefix("cmdstat_"): int(value["calls"]) for name, value in told.items()}


async def test_a_call_is_one_round_trip(client: Redis, redis_server: RedisServer) -> None:
    place = RedisPlace(client, "7")
    await place.check()
    redis_server.ask("CONFIG", "RESETSTAT")
    for count in range(1, 11):
        await place.call(Report("a", count, quarter=5, ms_left=900_000), 0)
    calls = calls_of(redis_server)
    assert calls["evalsha"] == 10
    assert "eval" not in calls
    # What the script does itself is no round trip. It reads its own row alone, once it has one.
    assert (calls["hget"], calls["hgetall"], calls["hset"], calls["time"]) == (19, 1, 20, 10)
    assert calls["pexpire"] <= 3


async def test_a_call_that_the_client_repeats_is_answered_as_it_was(client: Redis, redis_server: RedisServer) -> None:
    place = RedisPlace(client, "7")
    report = Report("a", 1, quarter=5, ms_left=900_000, wants=Wants(normal=5))
    first = await place.call(report, 0)
    assert first.granted.read > 0
    redis_server.ask("CONFIG", "RESETSTAT")
    again = await place.call(report, 0)
    assert (again.stale, again.granted, again.at, again.poll_ms) == (False, first.granted, first.at, first.poll_ms)
    assert "hset" not in calls_of(redis_server)
    assert (await place.read()).rows["a"].held == first.granted


async def test_a_script_that_was_flushed_is_sent_again(client: Redis, redis_server: RedisServer) -> None:
    place = RedisPlace(client, "7")
    await place.check()
    redis_server.ask("SCRIPT", "FLUSH")
    reply = await place.call(Report("a", 1, quarter=5, wants=Wants(0, 1)), 0)
    assert reply.granted == (1, 1)
    redis_server.ask("CONFIG", "RESETSTAT")
    await place.call(Report("a", 2, acknowledged=1, quarter=5), 0)
    assert "eval" not in calls_of(redis_server)


async def test_the_keys_expire_two_days_after_their_last_use(client: Redis, redis_server: RedisServer) -> None:
    place = RedisPlace(client, "7", server_time=False)
    hour, now, day = 3_600_000, 1_767_693_600_000, 86_400_000
    for count in range(1, 4):
        await place.call(Report("a", count, quarter=5, lease_ms=0, row_ms=0), now + count * 2 * hour)
        for key in (QUOTA, ROWS):
            assert 2 * day - 60_000 < int(redis_server.ask("PTTL", key)) <= 2 * day
            redis_server.ask("PEXPIRE", key, day)
    await place.call(Report("a", 4, quarter=5), now + 6 * hour + 1)
    assert int(redis_server.ask("PTTL", QUOTA)) <= day  # it was told that just now
    assert sorted(redis_server.ask("KEYS", "*")) == [QUOTA, ROWS]


async def test_a_process_takes_less_than_300_bytes(client: Redis, redis_server: RedisServer) -> None:
    place, used = RedisPlace(client, "7"), list[int]()
    for process in range(200):
        report = Report(f"{process:016x}", 1, quarter=5, done=Spent(400, 400), wants=Wants(0, 50), row_ms=900_000)
        await place.call(report, 0)
        used.append(sum(int(redis_server.ask("MEMORY", "USAGE", key, "SAMPLES", 0)) for key in (QUOTA, ROWS)))
    assert used[63] - used[7] <= 300 * 56
    assert used[199] - used[7] <= 300 * 192  # by then the server keeps the rows in another form


async def test_what_it_costs_the_server_can_be_measured(redis_server: RedisServer) -> None:
    with redis.Redis(port=redis_server.port) as client:
        cost = measure(client, turns=1)
    assert min(cost.row_us, cost.changed_us, cost.json_us, cost.few_us, cost.many_us) > 0
    assert str(cost).count("x or ") == 4
    assert cost.bytes_each <= 300


async def test_leases_go_by_the_server_s_clock(client: Redis, redis_server: RedisServer) -> None:
    seconds, _ = redis_server.ask("TIME")
    await RedisPlace(client, "7").call(Report("a", 1, quarter=5), 1)
    fleet = await RedisPlace(client, "7").read()
    assert abs(fleet.wall - int(seconds) * 1_000) < 60_000


async def test_or_by_the_clock_that_was_passed_in(clock: PatientClock, client: Redis) -> None:
    async with make(client, clock) as limiter:
        await limiter.acquire()
        fleet = await RedisPlace(client, "7").read()
    assert fleet.wall == int((SOME_TUESDAY + 1.5) * 1_000)


@pytest.mark.parametrize("in_flight", [True, False])
async def test_an_emptied_server_heals(
    clock: PatientClock, client: Redis, redis_server: RedisServer, in_flight: bool
) -> None:
    async with make(client, clock) as limiter, make(client, clock) as other, clock.autojump():
        (await limiter.acquire()).settle(200, answer(clock, 60, 60))
        await clock.sleep(1.0)
        flying = [await limiter.acquire(), await other.acquire()] if in_flight else []
        redis_server.ask("FLUSHALL")
        for permit in flying:
            permit.settle(200, answer(clock, 62, 62))
        permit = await limiter.acquire()
        fleet = await RedisPlace(client, "7").read()
        assert fleet.heals_until > 0
        assert fleet.usage[0] == 60 + len(flying)
        permit.release()
        await clock.sleep(5.0)
        assert limiter.quota.read_15min.usage == 60 + len(flying)


@pytest.mark.parametrize("key", [QUOTA, ROWS])
async def test_one_key_that_is_gone_heals_as_well(
    clock: PatientClock, client: Redis, redis_server: RedisServer, key: str
) -> None:
    async with make(client, clock) as limiter, clock.autojump():
        (await limiter.acquire()).settle(200, answer(clock, 60, 60))
        await clock.sleep(3.0)
        redis_server.ask("DEL", key)
        (await limiter.acquire()).release()
        await clock.sleep(5.0)
        assert limiter.quota.read_15min.usage == 60
        fleet = await RedisPlace(client, "7").read()
        assert fleet.heals_until > 0
        assert len(fleet.rows) == 1


async def test_a_server_that_was_killed_and_comes_back_empty(
    clock: PatientClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "strava_async.limiter")
    with running(tmp_path / "redis", "--appendonly", "no") as server:
        async with client_of(server) as client, make(client, clock) as limiter, clock.autojump():
            (await limiter.acquire()).settle(200, answer(clock, 60, 60))
            await clock.sleep(1.0)
            server.kill()
            (await limiter.acquire()).release()
            await clock.sleep(20.0)
            assert limiter.state == "away"
            server.start()
            await clock.sleep(10.0)
            (await limiter.acquire()).release()
            assert limiter.state in ("shared", "healing")
            assert limiter.quota.read_15min.usage == 60
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "cannot be reached" in caplog.text


async def away_of(limiter: RedisRateLimiter, clock: PatientClock) -> None:
    """Let a limiter find that its server is of no use."""
    async with limiter, clock.autojump():
        permit = await limiter.acquire()
        assert limiter.state == "away"
        with pytest.raises(QuotaExceededError):
            await limiter.acquire(max_wait=0.5)
        permit.release()


async def test_a_read_only_replica_is_away(
    clock: PatientClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        running(tmp_path / "a") as primary,
        running(tmp_path / "b", "--replicaof", "127.0.0.1", str(primary.port)) as replica,
    ):
        async with client_of(replica) as client:
            await away_of(make(client, clock), clock)
    assert "read-only replica" in caplog.text


async def test_a_server_that_becomes_a_replica_is_away(client: Redis, tmp_path: Path) -> None:
    with running(tmp_path / "a") as primary, running(tmp_path / "b") as server:
        async with client_of(server) as client:
            place = RedisPlace(client, "7")
            await place.call(Report("a", 1, quarter=5), 0)
            server.ask("REPLICAOF", "127.0.0.1", primary.port)
            with pytest.raises(StoreError, match="read-only replica"):
                await place.call(Report("a", 2, quarter=5), 0)


async def test_a_replica_without_its_primary_is_away(tmp_path: Path) -> None:
    with running(tmp_path / "b") as server:
        server.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
        server.ask("REPLICAOF", "127.0.0.1", 9)
        async with client_of(server) as client:
            with pytest.raises(StoreError, match="has lost its primary"):
                await RedisPlace(client, "7").call(Report("a", 1, quarter=5), 0)


async def test_a_full_server_is_away_and_takes_no_half_of_a_call(client: Redis, redis_server: RedisServer) -> None:
    place = RedisPlace(client, "7")
    await place.call(Report("a", 1, quarter=5), 0)
    before = await place.read()
    redis_server.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(StoreError, match="no memory left"):
            await place.call(Report("a", 2, quarter=5), 0)
        with pytest.raises(StoreError, match="no memory left"):
            await RedisPlace(client, "7").check()
    finally:
        redis_server.ask("CONFIG", "SET", "maxmemory", 0)
    assert await place.read() == before


async def test_a_server_that_hangs_is_away(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with client_of(server) as client:
            place, hasty = RedisPlace(client, "7", timeout=60.0), RedisPlace(client, "7", timeout=0.2)
            await place.call(Report("a", 1, quarter=5), 0)
            server.stop()
            with pytest.raises(StoreError, match="did not answer in time"):
                await hasty.call(Report("a", 2, quarter=5), 0)
            server.go_on()
            # The client has made a new connection: no reply is taken for that of another call.
            assert (await place.call(Report("a", 3, quarter=5), 0)).sequence >= 2


async def test_a_server_that_is_busy_with_a_script_is_away(tmp_path: Path) -> None:
    async def call(place: RedisPlace) -> None:
        for count in itertools.count(2):
            await place.call(Report("a", count, quarter=5), 0)

    with running(tmp_path / "redis", "--busy-reply-threshold", "1") as server:
        async with client_of(server) as client, client_of(server) as other:
            place = RedisPlace(client, "7")
            await place.call(Report("a", 1, quarter=5), 0)
            theirs = asyncio.create_task(other.eval("while true do end", 0))
            with pytest.raises(StoreError, match="busy with a script"):
                await call(place)
            server.ask("SCRIPT", "KILL")
            with pytest.raises(redis.ResponseError):
                await theirs
            assert not (await place.call(Report("a", 2**31, quarter=5), 0)).stale


async def test_another_program_s_key_is_told(client: Redis, redis_server: RedisServer, clock: PatientClock) -> None:
    redis_server.ask("SET", QUOTA, "x")
    with pytest.raises(LimiterError, match="holds something else"):
        await make(client, clock).acquire()
    assert redis_server.ask("GET", QUOTA) == "x"


async def test_a_later_version_s_quota_is_left_alone(client: Redis, redis_server: RedisServer) -> None:
    await client.hset(QUOTA, "state", b"\xff and more")
    with pytest.raises(StoreError, match="later strava_async"):
        await RedisPlace(client, "7").call(Report("a", 1, quarter=5), 0)
    assert await client.hget(QUOTA, "state") == b"\xff and more"


@pytest.mark.parametrize(("key", "field", "next_is"), [(QUOTA, "state", "a"), (ROWS, "a", "a"), (ROWS, "b", "new")])
async def test_a_damaged_quota_is_left_alone_and_told(client: Redis, key: str, field: str, next_is: str) -> None:
    place = RedisPlace(client, "7")
    for process in ("a", "b"):
        await place.call(Report(process, 1, quarter=5), 0)
    text = await client.hget(key, field)
    damaged = text[:20] if isinstance(text, bytes) else ""
    await client.hset(key, field, damaged)
    with pytest.raises(StoreError, match=r"damaged: delete its two keys, {strava:7}:quota and {strava:7}:rows"):
        await place.call(Report(next_is, 2, acknowledged=1, quarter=5), 0)
    assert await client.hget(key, field) == damaged
    with pytest.raises(StoreError, match="does not know"):
        await place.read()


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -5.0, 1e300, 2.0**53])
async def test_numbers_that_are_none_are_told_to_who_reads(client: Redis, number: float) -> None:
    place = RedisPlace(client, "7")
    await place.call(Report("a", 1, quarter=5), 0)
    text = await client.hget(QUOTA, "state")
    assert isinstance(text, bytes)
    first = len(text) - 8 * STATE.size
    await client.hset(QUOTA, "state", text[:first] + struct.pack("<d", number) + text[first + 8 :])
    with pytest.raises(StoreError, match="does not know"):
        await place.read()


@pytest.mark.parametrize("row", [(b"b", b"x" * 1_000_000), (b"\xff", None), (b"b" * 101, None)])
async def test_a_row_of_another_is_told_to_who_reads(client: Redis, row: tuple[bytes, bytes | None]) -> None:
    place = RedisPlace(client, "7")
    await place.call(Report("a", 1, quarter=5), 0)
    process, text = row
    await client.hset(ROWS, process, text or await client.hget(ROWS, "a") or b"")
    with pytest.raises(StoreError, match="does not know"):
        await place.read()


async def test_an_earlier_version_s_is_begun_anew(client: Redis) -> None:
    await client.hset(QUOTA, "state", b"\x00 and more")
    await client.hset(ROWS, mapping={"a": "theirs", "b": "theirs"})
    place = RedisPlace(client, "7")
    await place.call(Report("a", 9, acknowledged=8, seen=700, quarter=5), 0)
    fleet = await place.read()
    assert (fleet.sequence, list(fleet.rows)) == (701, ["a"])
    assert fleet.heals_until > fleet.at


# -- who may -----------------------------------------------------------------------------------------------------------


def grant(server: RedisServer, but: str = "") -> None:
    """Make a user with all permissions that the documents name, but one."""
    server.ask("ACL", "SETUSER", "low", "reset", "on", ">p", *(each for each in ACL if each != but))


@asynccontextmanager
async def low(server: RedisServer) -> AsyncGenerator[Redis]:
    async with client_of(server, username="low", password="p") as client:
        yield client


@pytest.mark.parametrize("enters", [True, False])
@pytest.mark.parametrize("missing", USED)
async def test_a_missing_permission_is_named_before_anything_is_written(
    redis_server: RedisServer, missing: str, enters: bool
) -> None:
    grant(redis_server, missing)
    async with low(redis_server) as client:
        limiter = RedisRateLimiter(client, application="7")
        with pytest.raises(LimiterError) as caught:
            await (limiter.__aenter__() if enters else limiter.acquire())
        assert f"add {missing.replace('*}', '7}:')} to its ACL" in str(caught.value)
        assert redis_server.ask("DBSIZE") == 0
        # Once it is given, the same limiter goes on.
        grant(redis_server)
        (await limiter.acquire()).release()
        await limiter.aclose()


@pytest.mark.parametrize("missing", ["+hset", "+hdel", "+pexpire", "+hgetall", "~{strava:*}*"])
async def test_one_that_is_taken_away_later_leaves_nothing_half_written(
    redis_server: RedisServer, client: Redis, missing: str
) -> None:
    grant(redis_server)
    reader = RedisPlace(client, "7")
    async with low(redis_server) as theirs:
        place = RedisPlace(theirs, "7", server_time=False)
        await place.call(Report("a", 1, quarter=5, lease_ms=1, row_ms=1), 1_000)
        await place.call(Report("b", 1, quarter=5), 2_000)
        before = await reader.read()
        grant(redis_server, missing)
        # By then a row has to go, and the keys are told anew when to expire.
        with pytest.raises(StoreError, match="to its ACL"):
            await place.call(Report("b", 2, quarter=5), 5_000_000)
    assert await reader.read() == before


async def test_the_permissions_of_the_documents_suffice(redis_server: RedisServer) -> None:
    grant(redis_server)
    async with low(redis_server) as client, RedisRateLimiter(client, application="7") as limiter:
        (await limiter.acquire()).release()
        redis_server.ask("SCRIPT", "FLUSH")
        (await limiter.acquire()).release()
        assert limiter.state == "shared"
        assert await RedisPlace(client, "7").read() != Fleet()


async def test_reading_needs_one_command(redis_server: RedisServer, client: Redis) -> None:
    await RedisPlace(client, "7").call(Report("a", 1, quarter=5), 0)
    redis_server.ask("ACL", "SETUSER", "low", "reset", "on", ">p", "~{strava:*}*", "+hgetall")
    async with low(redis_server) as theirs:
        assert list((await RedisPlace(theirs, "7").read()).rows) == ["a"]


@pytest.mark.parametrize(
    "options", [{"password": "wr0ng"}, {"username": "nobody", "password": "wr0ng"}, {}, {"protocol": 2}], ids=str
)
async def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path, options: dict[str, Any]) -> None:
    with running(tmp_path / "redis", "--requirepass", "r1ght") as server:
        async with client_of(server, **options) as client:
            with pytest.raises(LimiterError, match="password: give the client") as caught:
                async with RedisRateLimiter(client, application="7"):
                    pass
            assert "wr0ng" not in "".join(text for _, text in shown_by(caught.value))
            with pytest.raises(LimiterError, match="password: give the client"):
                await RedisRateLimiter(client, application="7").acquire()


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"application": ""}, "application"),
        ({"application": "a{b}"}, "braces"),
        ({"application": 7}, "application"),
        ({"application": "7\n"}, "printable"),
        ({"application": "\ud800"}, "printable"),
        ({"application": "7" * 201}, "200"),
        ({"away": "open"}, "away"),
        ({"lease_seconds": 2.9}, "lease_seconds"),
        ({"lease_seconds": float("nan")}, "lease_seconds"),
        ({"reserve": 1.1}, "reserve"),
    ],
)
async def test_bad_arguments_are_refused_at_once(client: Redis, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        RedisRateLimiter(client, **{"application": "7", **options})


@pytest.mark.parametrize("make_client", [redis.Redis, lambda: "redis://localhost", lambda: None])
async def test_a_client_that_is_not_async_is_refused(make_client: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=re.escape("redis.asyncio")):
        RedisRateLimiter(make_client(), application="7")


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize("enters", [True, False])
async def test_trio_is_told_in_one_sentence(enters: bool) -> None:
    limiter = RedisRateLimiter(Redis(), application="7")
    with pytest.raises(InputError, match="use SqliteRateLimiter on trio"):
        await (limiter.__aenter__() if enters else limiter.acquire())


def test_another_loop_is_told(redis_server: RedisServer) -> None:
    client = client_of(redis_server)
    limiter = RedisRateLimiter(client, application="7")

    async def use() -> None:
        (await limiter.acquire()).release()

    async def main() -> None:
        await use()
        with pytest.raises(InputError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, use())
        await limiter.aclose()
        with pytest.raises(InputError, match="closed"):
            await use()
        await client.aclose()

    asyncio.run(main())


# -- several servers ---------------------------------------------------------------------------------------------------


async def test_a_cluster_keeps_both_keys_on_one_server_and_may_move_them(tmp_path: Path, clock: PatientClock) -> None:
    with cluster(tmp_path) as servers:
        async with RedisCluster(host="127.0.0.1", port=servers.servers[0].port) as client:
            async with make(client, clock) as one, make(client, clock) as other:
                (await one.acquire()).settle(200, answer(clock, 99, 99))
                async with clock.autojump():
                    await clock.sleep(0.5)
                    await other.acquire()
                    with pytest.raises(QuotaExceededError):
                        await one.acquire(max_wait=20.0)
                assert (one.state, other.state, one.processes) == ("shared", "shared", 2)
            place = RedisPlace(client, "7", server_time=False, timeout=60.0)
            sequence = (await place.call(Report("a", 1, quarter=5), 0)).sequence
            source = servers.owner(QUOTA)
            servers.move(QUOTA, source, (source + 1) % 3)
            assert (await place.call(Report("a", 2, quarter=5), 0)).sequence == sequence + 1
            assert (await place.read()).most == 2


async def test_behind_a_sentinel_it_goes_on_with_the_new_primary(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        sentinel = Sentinel([("127.0.0.1", servers.sentinel.port)])
        async with sentinel.master_for(NAME, redis_class=Redis) as client:
            limiter = RedisRateLimiter(client, application="7")
            async with limiter:
                (await limiter.acquire()).release()
                servers.fail_over()
                with anyio.fail_after(60):
                    (await limiter.acquire()).release()
        for each in sentinel.sentinels:
            await each.aclose()


# -- processes ---------------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from email.utils import formatdate
from redis.asyncio import Redis
from strava_async.redis import RedisRateLimiter

async def main(port, counter, count):
    async with Redis(port=port) as client, RedisRateLimiter(client, application="7") as limiter:
        refused = 0
        for _ in range(count):
            with await limiter.acquire() as permit:
                with open(counter, "a") as file:
                    file.write(".")
                used = len(open(counter).read())
                refused += used > 100
                fields = {"date": formatdate(limiter.clock.time(), usegmt=True), "x-ratelimit-limit": "200,2000",
                    "x-readratelimit-limit": "100,1000", "x-ratelimit-usage": f"{used},{used}",
                    "x-readratelimit-usage": f"{used},{used}"}
                permit.settle(200, fields)
        print(refused, limiter.state)

asyncio.run(main(int(sys.argv[1]), sys.argv[2], 20))
"""


def test_processes_share_it(redis_server: RedisServer, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    arguments = [sys.executable, "-c", PROGRAM, str(redis_server.port), str(counter)]
    started = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    output = [process.communicate(timeout=60)[0].strip() for process in started]
    assert output == ["0 shared"] * 3
    assert len(counter.read_text()) == 60
