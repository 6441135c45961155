"""Several processes over one Redis, some of them stopped or killed; and the server killed, emptied, replicated."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from strava_async import Strava, TokenSet, TokenStoreError
from strava_async.redis import RedisTokenStore
from strava_async.testing import Emulator, MeterLimits, serve
from tests.redis_server import SAFE, RedisServer, needs_redis, running
from tests.stores.contract import numbered
from tests.worker_process import line, tell, worker

pytestmark = [pytest.mark.anyio, needs_redis]

ROOT = Path(__file__).parent.parent.parent
WORKER = [sys.executable, "-m", "tests.stores.redis_worker"]
ROOMY = MeterLimits(10_000, 100_000, 10_000, 100_000)
LEASE_SECONDS = 1.0  # the shortest there is: its end is waited for


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def store_on(server: RedisServer, **arguments: Any) -> AsyncGenerator[RedisTokenStore]:
    async with Redis(port=server.port, retry=None) as client:
        yield RedisTokenStore(client, application="7", **{"timeout": 60.0, **arguments})


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisTokenStore]:
    async with store_on(redis_server) as store:
        yield store


# Processes


@pytest.mark.parametrize("processes", [3, pytest.param(8, marks=pytest.mark.long)])
async def test_processes_with_two_stores_each_renew_an_expired_token_once(
    redis_server: RedisServer, store: RedisTokenStore, processes: int
) -> None:
    emulator = Emulator(limits=ROOMY, years=0.1)
    athlete_id = emulator.athlete_ids[0]
    granted = emulator.grant(athlete_id)
    emulator.expire_access_tokens()
    await store.save(athlete_id, TokenSet(granted["access_token"], granted["refresh_token"], 1, athlete_id=athlete_id))
    async with serve(emulator) as url, AsyncExitStack() as stack:
        orders = {"do": "call", "stores": 2, "port": redis_server.port, "url": url, "athlete_id": athlete_id}
        orders |= {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
        workers = [await stack.enter_async_context(worker(WORKER, **orders)) for _ in range(processes)]
        assert [await line(each) for each in workers] == ["ready"] * processes
        for each in workers:
            tell(each, "go")
        answers = [json.loads(await line(each)) for each in workers]
    assert answers == [[athlete_id, athlete_id]] * processes
    assert emulator.count("POST", "/oauth/token") == 1
    saved = await store.load(athlete_id)
    assert saved is not None
    assert saved.refresh_token != granted["refresh_token"]


async def test_a_holder_that_is_stopped_past_its_lease_and_woken_overwrites_nothing(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    await store.save(7, numbered(0))
    async with worker(WORKER, do="hold", port=redis_server.port, lock_seconds=LEASE_SECONDS) as holder:
        assert await line(holder) == "held"
        holder.send_signal(signal.SIGSTOP)
        async with store.lock(7):
            assert await store.save(7, numbered(1), replacing=numbered(0))
        holder.send_signal(signal.SIGCONT)
        tell(holder, "go on")
        held, compared, unconditional = json.loads(await line(holder))
    assert (held, compared) == (False, False)  # and the library reads what is there
    assert "passed to another process" in unconditional
    assert await store.load(7) == numbered(1)


async def test_a_holder_whose_lock_is_another_s_saves_nothing_although_nothing_has_changed_yet(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    await store.save(7, numbered(0))
    async with worker(WORKER, do="hold", port=redis_server.port, lock_seconds=LEASE_SECONDS) as holder:
        assert await line(holder) == "held"
        holder.send_signal(signal.SIGSTOP)
        async with store.lock(7):
            holder.send_signal(signal.SIGCONT)
            tell(holder, "go on")
            held, *refusals = json.loads(await line(holder))
            assert held is False
            assert all("passed to another process" in refusal for refusal in refusals)
            assert await store.load(7) == numbered(0)


@pytest.mark.parametrize("saved", [False, True], ids=["nothing saved meanwhile", "other tokens saved meanwhile"])
async def test_tokens_that_a_fence_has_refused_are_offered_again_or_give_way(
    redis_server: RedisServer, store: RedisTokenStore, *, saved: bool
) -> None:
    emulator = Emulator(limits=ROOMY, years=0.1)
    athlete_id = emulator.athlete_ids[0]
    granted = emulator.grant(athlete_id)
    emulator.expire_access_tokens()
    before = TokenSet(granted["access_token"], granted["refresh_token"], 1, athlete_id=athlete_id)
    await store.save(athlete_id, before)
    async with store_on(redis_server) as other, asyncio.TaskGroup() as tasks:
        has_it, may_leave = asyncio.Event(), asyncio.Event()

        async def take_over() -> None:
            async with other.lock(athlete_id):
                has_it.set()
                await may_leave.wait()

        async def sleep_past_the_lease(response: httpx.Response) -> None:
            if response.request.url.path == "/oauth/token" and emulator.count("POST", "/oauth/token") == 1:
                redis_server.ask("HSET", f"{{strava:7}}:lock:{athlete_id}", "until", 0)
                tasks.create_task(take_over())
                await has_it.wait()

        async with (
            httpx.AsyncClient(
                transport=httpx.ASGITransport(emulator.app), event_hooks={"response": [sleep_past_the_lease]}
            ) as http_client,
            Strava(emulator.client_id, emulator.client_secret, token_store=store, http_client=http_client) as strava,
        ):
            with pytest.raises(TokenStoreError, match="passed to another process"):
                await strava.api(athlete_id).get("/athlete")
            assert await other.load(athlete_id) == before
            later = emulator.grant(athlete_id)
            if saved:
                tokens = TokenSet(later["access_token"], later["refresh_token"], None, athlete_id=athlete_id)
                assert await other.save(athlete_id, tokens, replacing=before)
            may_leave.set()
            assert (await strava.api(athlete_id).get("/athlete"))["id"] == athlete_id
        found = await other.load(athlete_id)
        assert found is not None
        assert found.refresh_token != before.refresh_token
        assert (found.access_token == later["access_token"]) is saved
    assert emulator.count("POST", "/oauth/token") == 1  # what was refused is not asked for again


async def test_the_lock_of_a_killed_holder_is_free_when_its_lease_is_over(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    async with worker(WORKER, do="hold", port=redis_server.port, lock_seconds=LEASE_SECONDS) as holder:
        assert await line(holder) == "held"
        async with store_on(redis_server, lock_timeout=0) as impatient:
            with pytest.raises(TokenStoreError, match="not free"):
                async with impatient.lock(7):
                    pass
        holder.kill()
        async with store.lock(7) as lease:
            assert lease.held()


# The server


async def test_what_was_saved_survives_a_crash_of_the_server_and_the_lock_too(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server) as store, store_on(server, lock_timeout=0) as twin:
            await store.save(7, numbered(0))
            async with store.lock(7):
                server.kill()
                with pytest.raises(TokenStoreError, match="cannot be reached"):
                    await store.load(7)
                server.start()
                assert await store.save(7, numbered(1), replacing=numbered(0))
                with pytest.raises(TokenStoreError, match="not free"):
                    async with twin.lock(7):
                        pass
            assert await twin.load(7) == numbered(1)


async def test_a_server_that_goes_while_the_lock_is_held_lets_its_holder_leave(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server) as store:
            async with store.lock(7):
                server.kill()
            with pytest.raises(TokenStoreError, match="cannot be reached"):
                async with store.lock(7):
                    pass
            server.start()
            async with store.lock(8) as lease:
                assert lease.held()


async def test_a_server_that_answers_nothing_is_an_error_after_a_while(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server) as store, store_on(server, timeout=0.2) as hasty:
            await store.save(7, numbered(0))
            server.stop()
            with pytest.raises(TokenStoreError, match="did not answer in time"):
                await hasty.load(7)
            with pytest.raises(TokenStoreError, match="did not answer in time"):
                await hasty.save(7, numbered(1))
            server.go_on()
            assert await store.load(7) in (numbered(0), numbered(1))


async def test_a_server_that_comes_back_empty_has_nobody_and_undoes_no_lock(tmp_path: Path) -> None:
    with running(tmp_path / "redis", "--appendonly", "no") as server:
        async with store_on(server) as store, store_on(server, lock_timeout=0) as other:
            await store.save(7, numbered(0))
            async with store.lock(7):
                server.kill()
                with pytest.raises(TokenStoreError):  # a client of another kind would try again
                    await store.load(7)
                server.start()
                async with other.lock(7):
                    assert await other.load(7) is None
                    assert await store.save(7, numbered(1), replacing=numbered(0)) is False
                    with pytest.raises(TokenStoreError, match="passed to another process"):
                        await store.save(7, numbered(1))
            assert await store.load(7) is None


async def test_an_emptied_server_has_nobody_and_takes_the_next(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    await store.save(7, numbered(0))
    redis_server.ask("FLUSHALL")
    assert await store.load(7) is None
    assert await store.athlete_ids() == []
    async with store.lock(7):
        assert await store.save(7, numbered(1), replacing=None)
    assert await store.load(7) == numbered(1)


async def test_a_server_emptied_under_the_lock_undoes_nothing_and_its_fences_still_rise(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    await store.save(7, numbered(0))
    async with store_on(redis_server) as twin, store.lock(7):
        before = fence(redis_server)
        redis_server.ask("FLUSHALL")
        async with twin.lock(7):
            assert fence(redis_server) > before
            assert await twin.save(7, numbered(1), replacing=None)
            assert await store.save(7, numbered(2), replacing=numbered(0)) is False
            with pytest.raises(TokenStoreError, match="passed to another process"):
                await store.save(7, numbered(2))
    assert await store.load(7) == numbered(1)


def fence(server: RedisServer) -> int:
    return int(str(server.ask("HGET", "{strava:7}:lock:7", "fence")))


# Replicas


@asynccontextmanager
async def replicated(folder: Path) -> AsyncGenerator[tuple[RedisServer, RedisServer]]:
    """Yield a primary and its replica, which has what the primary has."""
    with running(folder / "a") as primary:
        follow = ("--replicaof", "127.0.0.1", str(primary.port), *SAFE)
        with running(folder / "b", *follow) as replica:
            async with store_on(primary, replicas=1) as first:
                await first.check_writable()  # a new one confirms nothing for up to a second
            yield primary, replica


async def test_a_save_is_confirmed_by_a_replica_which_has_it_then(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (primary, replica), store_on(primary, replicas=1) as store:
        async with store.lock(7):
            await store.save(7, numbered(1))
        primary.kill()
        replica.ask("REPLICAOF", "NO", "ONE")
        async with store_on(replica) as promoted:
            assert await promoted.load(7) == numbered(1)


async def test_nobody_is_let_in_while_the_replica_is_away(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (primary, replica), store_on(primary, replicas=1, timeout=3.0) as store:
        replica.stop()
        with pytest.raises(TokenStoreError, match="0 of 1 replicas"):
            async with store.lock(7):
                raise AssertionError("Strava would have been asked")
        replica.go_on()


async def test_what_is_not_confirmed_stays_in_hand_until_it_is(tmp_path: Path) -> None:
    emulator = Emulator(limits=ROOMY, years=0.1)
    athlete_id = emulator.athlete_ids[0]
    granted = emulator.grant(athlete_id)
    emulator.expire_access_tokens()
    async with replicated(tmp_path) as (primary, replica):

        async def lose_the_replica(request: httpx.Request) -> None:
            if request.url.path == "/oauth/token":
                replica.stop()

        async with (
            httpx.AsyncClient(
                transport=httpx.ASGITransport(emulator.app), event_hooks={"request": [lose_the_replica]}
            ) as http_client,
            store_on(primary, replicas=1, timeout=2.0) as store,
            Strava(emulator.client_id, emulator.client_secret, token_store=store, http_client=http_client) as strava,
        ):
            await store.save(athlete_id, TokenSet(granted["access_token"], granted["refresh_token"], 1))
            for _ in range(2):  # the second asks Strava no more
                with pytest.raises(TokenStoreError, match="0 of 1 replicas confirmed"):
                    await strava.api(athlete_id).get("/athlete")
            replica.go_on()
            assert (await strava.api(athlete_id).get("/athlete"))["id"] == athlete_id
    assert emulator.count("POST", "/oauth/token") == 1


async def test_a_read_only_replica_is_refused_before_strava_is_asked(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (primary, replica):
        async with store_on(primary, replicas=1) as store:
            await store.save(7, numbered(0))
        async with store_on(replica) as store:
            with pytest.raises(TokenStoreError, match="read-only replica"):
                async with store.lock(7):
                    raise AssertionError("Strava would have been asked")
            with pytest.raises(TokenStoreError, match="read-only replica"):
                await store.save(7, numbered(1))
            with pytest.raises(TokenStoreError, match="read-only replica"):
                await store.delete(7)
            assert await store.load(7) == numbered(0)


async def test_a_replica_that_is_promoted_without_the_last_save_has_the_tokens_before(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (primary, replica):
        async with store_on(primary, replicas=1) as careful, store_on(primary) as store:
            await careful.save(7, numbered(0))
            replica.stop()
            await store.save(7, numbered(1))
        primary.kill()
        replica.go_on()
        replica.ask("REPLICAOF", "NO", "ONE")
        async with store_on(replica) as store, store.lock(7):
            found = await store.load(7)
            assert found in (numbered(0), numbered(1))  # the kernel may have had it for the stopped process already
            assert await store.save(7, numbered(2), replacing=found)
