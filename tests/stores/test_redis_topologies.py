"""The store on Redis over several servers: a cluster whose slots move, and a Sentinel that promotes a replica."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.sentinel import Sentinel

from strava_async import TokenStoreError
from strava_async.redis import RedisTokenStore
from tests.redis_server import needs_redis
from tests.redis_topologies import NAME, Cluster, Watched, cluster, watched
from tests.stores.contract import numbered

pytestmark = [pytest.mark.anyio, pytest.mark.one_python, needs_redis]

TOKENS = "{strava:7}:tokens"
KEY = RedisTokenStore.generate_key()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def cluster_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def three(cluster_of_module: Cluster) -> Cluster:
    """Three servers of a cluster, which are empty."""
    for server in cluster_of_module.servers:
        server.ask("FLUSHALL")
    return cluster_of_module


@asynccontextmanager
async def store_on(servers: Cluster, application: str, **arguments: Any) -> AsyncGenerator[RedisTokenStore]:
    """Yield a store whose client knows where the slots are now."""
    async with RedisCluster(host="127.0.0.1", port=servers.servers[0].port) as client:
        yield RedisTokenStore(client, **{"application": application, "timeout": 60.0, **arguments})


# A cluster


async def test_applications_are_spread_over_a_cluster_and_each_is_on_one_server(three: Cluster) -> None:
    owners = set[int]()
    for application in ("1", "2", "3", "4", "5", "6"):
        async with store_on(three, application, key=KEY) as store:
            async with store.lock(7):
                assert await store.save(7, numbered(1), replacing=None)
            assert await store.save(8, numbered(8))
            assert await store.rotate() == 2
            assert await store.athlete_ids() == [7, 8]
            assert await store.delete(8)
        owners.add(three.owner(f"{{strava:{application}}}:tokens"))
    assert owners == {0, 1, 2}
    counts = [server.ask("DBSIZE") for server in three.servers]
    assert all(counts)
    assert sum(counts) == 18  # each the tokens, a lock, and that some were deleted


async def test_the_replicas_that_confirm_are_those_of_the_server_that_has_the_tokens(three: Cluster) -> None:
    async with store_on(three, "careful", replicas=1, timeout=3.0) as store:
        with pytest.raises(TokenStoreError, match="0 of 1 replicas"):
            await store.save(7, numbered(1))


async def test_a_store_follows_its_slot_also_while_it_holds_the_lock(three: Cluster) -> None:
    source = three.owner("{strava:moved}:tokens")
    target = (source + 1) % 3
    async with store_on(three, "moved") as store, store_on(three, "moved", lock_timeout=0) as other:
        await other.save(7, numbered(0))
        async with store.lock(7) as lease:
            three.move("{strava:moved}:tokens", source, target)
            assert await store.save(7, numbered(1), replacing=numbered(0))
            with pytest.raises(TokenStoreError, match="not free"):
                async with other.lock(7):
                    pass
            assert lease.held()
        assert await other.load(7) == numbered(1)
        three.move("{strava:moved}:tokens", target, source)
        assert await other.save(7, numbered(2), replacing=numbered(1))
        assert await store.load(7) == numbered(2)


async def test_while_a_slot_is_moving_tokens_are_read_and_a_save_says_so(three: Cluster) -> None:
    source = three.owner("{strava:moving}:tokens")
    async with store_on(three, "moving") as store:
        await store.save(7, numbered(0))
        with three.moving("{strava:moving}:tokens", source, (source + 1) % 3):
            assert await store.load(7) == numbered(0)
            with pytest.raises(TokenStoreError, match="is moving these keys to another of its servers"):
                await store.save(7, numbered(1))
        assert await store.save(7, numbered(1), replacing=numbered(0))
        assert await store.load(7) == numbered(1)


# A Sentinel


@asynccontextmanager
async def through(servers: Watched, **arguments: Any) -> AsyncGenerator[RedisTokenStore]:
    sentinel = Sentinel([("127.0.0.1", servers.sentinel.port)])
    async with sentinel.master_for(NAME) as client:
        yield RedisTokenStore(client, **{"application": "7", "timeout": 60.0, **arguments})
    for each in sentinel.sentinels:
        await each.aclose()


async def test_a_failover_while_the_lock_is_held_loses_neither_the_tokens_nor_the_lock(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        async with (
            through(servers, replicas=1) as store,
            through(servers, lock_timeout=0) as other,
            through(servers, replicas=1, timeout=3.0) as hasty,
        ):
            await store.save(7, numbered(0))
            async with store.lock(7) as lease:
                killed, promoted = await asyncio.to_thread(servers.fail_over)
                assert await other.load(7) == numbered(0)
                with pytest.raises(TokenStoreError, match="not free"):
                    async with other.lock(7):
                        pass
                with pytest.raises(TokenStoreError, match="0 of 1 replicas"):
                    await hasty.save(8, numbered(8))  # nobody is left to confirm it
                killed.start()
                killed.ask("REPLICAOF", "127.0.0.1", promoted.port)  # as the Sentinel does some ten seconds later
                assert await store.save(7, numbered(1), replacing=numbered(0))
                assert lease.held()
            assert await other.load(7) == numbered(1)


async def test_the_primary_of_before_takes_no_save_from_one_who_finds_it_back(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        async with through(servers) as store, through(servers, lock_timeout=60.0) as other:
            await store.save(7, numbered(0))
            async with store.lock(7):
                killed, promoted = await asyncio.to_thread(servers.fail_over)
                promoted.ask("HSET", "{strava:7}:lock:7", "until", 0)  # as time does to a holder that was stopped
                async with other.lock(7):
                    killed.start()
                    assert await other.save(7, numbered(1))
                    assert await store.save(7, numbered(2), replacing=numbered(0)) is False
                    with pytest.raises(TokenStoreError, match="passed to another process"):
                        await store.save(7, numbered(2))
            assert await store.load(7) == numbered(1)
