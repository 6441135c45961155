"""Webhook events on Redis while processes die, answers are lost, and the server is away, full, replaced or emptied."""

import asyncio
import json
import logging
import re
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel

from strava_async import EventStoreError
from strava_async.clock import SystemClock
from strava_async.redis import RedisEventStore
from strava_async.webhooks import Appended, Claim, StoreStats
from strava_async.webhooks.counts import Offer
from strava_async.webhooks.pending import AttemptResult, Outcome, PendingEvent
from strava_async.webhooks.queue import EventQueue
from strava_async.webhooks.redis_values import lane_name
from tests.frames import shown_by
from tests.redis_server import SAFE, RedisServer, needs_redis, running
from tests.redis_topologies import NAME, Cluster, cluster, watched
from tests.webhooks import test_killed_services as killed
from tests.webhooks.contract import event, events_of, removed
from tests.worker_process import line, tell, worker

pytestmark = [pytest.mark.anyio, needs_redis]

ROOT = Path(__file__).parent.parent.parent
WORKER = [sys.executable, "-m", "tests.webhooks.redis_worker"]
BASE = "{strava:7}:events"
LEASE = 60.0
SHORT_LEASE = 0.5  # its end is waited for
# What the docstring says to be enough.
ACL = re.findall(r"[+~]\S+", str(RedisEventStore.__doc__).split("ACL SETUSER")[1].split("\n\n")[0])
LOW = {"username": "low", "password": "p"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def store_on(server: RedisServer, *, options: Any = None, **arguments: Any) -> AsyncGenerator[RedisEventStore]:
    async with Redis(port=server.port, **{"retry": None, **(options or {})}) as client:
        yield RedisEventStore(client, **{"application": "7", "timeout": 30.0, **arguments})


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisEventStore]:
    async with store_on(redis_server) as store:
        yield store


async def now(work: Awaitable[Any]) -> Any:
    with anyio.fail_after(60):
        return await work


async def claimed(store: RedisEventStore, n: int = 9, **arguments: Any) -> list[Claim]:
    return list(await now(store.claim(n, LEASE, **arguments)))


# Processes


async def test_a_worker_that_is_stopped_past_its_lease_and_woken_settles_nothing(
    redis_server: RedisServer, store: RedisEventStore
) -> None:
    await store.append(event(1, 1))
    await store.append(event(1, 2))
    async with worker(WORKER, port=redis_server.port, lease=SHORT_LEASE) as holder:
        assert await line(holder) == "claimed"
        holder.send_signal(signal.SIGSTOP)
        [taken] = await claimed(store)
        assert (taken.pending.event, taken.pending.claimed) == (event(1, 1), True)
        holder.send_signal(signal.SIGCONT)
        tell(holder, "go on")
        assert json.loads(await line(holder)) == [False, False, False]
        assert await store.ack(taken)
        assert events_of(await claimed(store)) == [event(1, 2)]


async def test_what_a_killed_worker_had_is_taken_over(redis_server: RedisServer, store: RedisEventStore) -> None:
    await store.append(event())
    async with worker(WORKER, port=redis_server.port, lease=SHORT_LEASE) as holder:
        assert await line(holder) == "claimed"
        holder.kill()
        [taken] = await claimed(store)
        assert await store.ack(taken)


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_service_of_two_processes_that_are_killed_loses_nothing(
    redis_server: RedisServer, tmp_path: Path, kills: int
) -> None:
    log = tmp_path / "handled"
    arguments = ["tests.webhooks.redis_worker:store_of_service", str(redis_server.port), str(log)]
    accepted = killed.stream(arguments, kills, kills, lambda: not redis_server.ask("HLEN", f"{BASE}:rows"))
    killed.check(log, accepted, kills)


# The server


async def test_a_queue_loses_nothing_that_was_accepted_while_the_server_is_killed_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "strava_async.webhooks")
    handled: list[int] = []

    async def attempt(pending: PendingEvent, is_last: bool) -> AttemptResult:
        await anyio.sleep(0.05)
        handled.append(pending.event.object_id)
        return Outcome.HANDLED

    with running(tmp_path / "redis") as server:
        async with Redis(port=server.port) as client:  # it repeats what meets a connection of before
            store = RedisEventStore(client, application="7")
            queue = EventQueue(attempt, store, clock=SystemClock(), workers=4, drain_seconds=None)
            accepted: list[int] = []

            async def offer(*numbers: int) -> None:
                for number in numbers:
                    if await queue.offer(event(number, owner_id=number)) is Offer.ACCEPTED:
                        accepted.append(number)

            async with queue.running():
                await offer(*range(1, 21))
                while not handled:
                    await anyio.lowlevel.checkpoint()
                server.kill()
                await offer(21, 22)
                assert accepted == list(range(1, 21))
                server.start()
                while 23 not in accepted:
                    await offer(23)
                with anyio.fail_after(60):
                    while not queue.counts.handled >= len(accepted):
                        await anyio.lowlevel.checkpoint()
            assert set(handled) == set(accepted)
            assert (await store.stats()).unfinished == 0
    told = [each.levelname for each in caplog.records if "the store of the webhook events" in each.getMessage()]
    assert (told[0], told[-1]) == ("WARNING", "INFO")


async def test_a_crash_of_the_server_loses_no_event_and_a_handler_under_way_settles_later(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server) as store:
            await store.append(event(1))
            await store.append(event(2))
            claim, _ = await claimed(store)
            server.kill()
            uses = (
                *(store.append(event(3)), store.claim(1, LEASE), store.renew([claim], LEASE), store.ack(claim)),
                *(store.retry(claim, 0), store.turn(7), store.not_found(7), store.stats(), store.events()),
                *(store.retry_now("x"), store.drop("x")),
            )
            for use in uses:
                with pytest.raises(EventStoreError, match=r"^Redis \(application 7\) cannot be reached: see that"):
                    await now(use)
            server.start()
            assert await store.ack(claim)
            assert await store.append(event(1)) is Appended.DUPLICATE
            assert (await store.stats()).unfinished == 1


async def test_a_server_that_is_silent_is_an_error_in_time_and_nothing_is_done_twice(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server, timeout=1.0) as store:
            await store.append(event(1))
            [claim] = await claimed(store)
            server.stop()
            for use in (store.append(event(2)), store.claim(1, LEASE), store.ack(claim)):
                with pytest.raises(EventStoreError, match="did not answer in time"):
                    await now(use)
            server.go_on()
        async with store_on(server) as other:
            assert await other.append(event(2)) in {Appended.DUPLICATE, Appended.STORED}


async def test_an_emptied_server_has_lost_all_and_takes_the_next(
    redis_server: RedisServer, store: RedisEventStore
) -> None:
    await store.append(event(1, 1))
    await store.append(event(1, 2))
    [claim] = await claimed(store)
    redis_server.ask("FLUSHALL")
    assert await store.stats() == StoreStats(0, 0, None, None)
    assert list(await store.renew([claim], LEASE)) == [False]
    assert not await store.retry(claim, 0)
    assert not await store.ack(claim)
    assert await store.append(event(1, 1)) is Appended.STORED
    assert events_of(await claimed(store)) == [event(1, 1)]


async def test_a_server_that_forgets_its_scripts_loses_nothing(
    redis_server: RedisServer, store: RedisEventStore
) -> None:
    await store.append(event())
    redis_server.ask("SCRIPT", "FLUSH")
    [claim] = await claimed(store)
    redis_server.ask("SCRIPT", "FLUSH")
    assert await store.ack(claim)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--appendonly", "no"), "loses all events accepted since its last snapshot"),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "loses the last second of events accepted"),
        (("--appendonly", "yes", "--appendfsync", "always"), None),
    ],
)
async def test_weaker_settings_are_one_warning_that_says_what_a_crash_loses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], said: str | None
) -> None:
    with running(tmp_path / "redis", *options) as server:
        async with store_on(server) as store:
            for number in (1, 2, 3):
                await store.append(event(number))
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warned) == (said is not None)
    for each in warned:
        assert each.name == "strava_async.webhooks"
        assert f"a crash of Redis (application 7) {said}" in each.getMessage()


async def test_a_server_that_throws_keys_away_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        server.ask("CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lfu")
        async with store_on(server) as store:
            with pytest.raises(EventStoreError, match=r"allkeys-lfu\), and events with them: set maxmemory-policy"):
                await store.append(event())
            server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            assert await store.append(event()) is Appended.STORED


async def test_a_full_server_takes_no_event_and_what_it_has_is_handled(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server) as store:
            for at in (1, 2, 3):
                await store.append(event(1, at))
            await store.append(removed())
            server.ask("CONFIG", "SET", "maxmemory", 1)
            before = server.ask("HGETALL", BASE), server.ask("ZRANGE", f"{BASE}:known", 0, -1)
            with pytest.raises(EventStoreError, match="has no memory left"):
                await store.append(event(9))
            assert (server.ask("HGETALL", BASE), server.ask("ZRANGE", f"{BASE}:known", 0, -1)) == before
            [claim] = await claimed(store)
            assert await store.turn(7) == 0
            assert await store.not_found(7)
            assert list(await store.renew([claim], LEASE)) == [True]
            assert await store.retry(claim, 0)
            for at in (1, 2):
                [claim] = await claimed(store)
                assert claim.pending.event == event(1, at)
                assert await store.ack(claim, confirmed=True)
            assert await store.drop(event(1, 3).key)
            [claim] = await claimed(store, deauthorizations=True)
            assert await store.ack(claim)
            assert (await store.stats()).unfinished == 0
            server.ask("CONFIG", "SET", "maxmemory", 0)
            assert await store.append(event(9)) is Appended.STORED


# Lost answers


class Proxy:
    """Passes on what it gets, and loses answers of the server when it is told to.

    Attributes:
        loses: how many of the next answers it loses, each with its connection.
    """

    def __init__(self, port: int) -> None:
        self.loses = 0
        self.port = 0
        self._server_port = port
        self._tasks = set[asyncio.Task[None]]()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pass_on, reader, their_writer, False, tasks.cancel_scope)
                tasks.start_soon(self._pass_on, their_reader, writer, True, tasks.cancel_scope)
        finally:
            for each in (writer, their_writer):
                each.close()
            self._tasks.discard(task)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_lose: bool, scope: anyio.CancelScope
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if may_lose and self.loses:
                    self.loses -= 1
                    break
                writer.write(data)
                await writer.drain()
        scope.cancel()


async def test_a_client_that_repeats_what_got_no_answer_does_it_once(redis_server: RedisServer) -> None:
    proxy = Proxy(redis_server.port)
    async with proxy.running(), Redis(port=proxy.port) as client:
        store = RedisEventStore(client, application="7", timeout=30.0)
        await store.stats()

        async def lossy(work: Awaitable[Any]) -> Any:
            proxy.loses = 1
            result = await now(work)
            assert proxy.loses == 0
            return result

        assert await lossy(store.append(event())) is Appended.STORED
        assert [await store.append(removed(at)) for at in (1, 2)] == [Appended.STORED] * 2
        assert await lossy(store.append(removed(3))) is Appended.SUPERSEDED
        [claim] = await lossy(store.claim(9, LEASE))
        assert not claim.pending.claimed
        assert await lossy(store.turn(7)) == 0
        for _ in range(9):
            assert await store.turn(7) == 0  # the one that was lost counts once
        assert await store.turn(7) > 0
        for _ in range(3):
            assert await lossy(store.not_found(7))
        assert not await store.not_found(7)
        assert list(await lossy(store.renew([claim], LEASE))) == [True]
        assert await lossy(store.retry(claim, 1000))
        assert await lossy(store.retry_now(event().key))
        [claim] = await lossy(store.claim(9, LEASE))
        assert await lossy(store.ack(claim))
        assert await lossy(store.drop(removed(3).key))
        assert (await lossy(store.stats())).unfinished == 1


# Replicas, Sentinel, cluster


@asynccontextmanager
async def replicated(folder: Path) -> AsyncGenerator[tuple[RedisServer, RedisServer]]:
    """Yield a primary and its replica, which has what the primary has."""
    with running(folder / "a") as primary, replica_of(primary, folder / "b") as replica:
        async with store_on(primary, replicas=1) as first:
            await until_confirmed(first)
            await first.ack(*await claimed(first))
        yield primary, replica


def replica_of(primary: RedisServer, folder: Path) -> AbstractContextManager[RedisServer]:
    return running(folder, "--replicaof", "127.0.0.1", str(primary.port), *SAFE)


async def until_confirmed(store: RedisEventStore) -> None:
    """Append an event until replicas confirm it: a new one does not for up to a second."""
    with anyio.fail_after(60):
        while True:
            with suppress(EventStoreError):
                await store.append(event(99))
                return


async def test_what_a_replica_has_confirmed_survives_a_failover(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (primary, replica), store_on(primary, replicas=1) as store:
        assert await store.append(event()) is Appended.STORED
        primary.kill()
        replica.ask("REPLICAOF", "NO", "ONE")
        async with store_on(replica) as promoted:
            assert events_of(await claimed(promoted)) == [event()]


async def test_strava_is_thanked_for_nothing_that_no_replica_has_confirmed(tmp_path: Path) -> None:
    async with (
        replicated(tmp_path) as (primary, replica),
        store_on(primary, replicas=1, timeout=3.0) as store,
        store_on(primary, replicas=1, timeout=3.0) as other,
    ):
        await until_confirmed(store)
        await until_confirmed(other)
        replica.stop()
        for each in (store, other):  # it comes again, and is known by now
            with pytest.raises(EventStoreError, match="has the event, but 0 of 1 replicas confirmed"):
                await each.append(event())
        replica.go_on()
        with anyio.fail_after(60):
            while True:
                with suppress(EventStoreError):
                    assert await store.append(event()) is Appended.DUPLICATE
                    break


async def test_a_replica_promoted_without_the_last_second_hands_out_what_it_has(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (primary, replica):
        async with store_on(primary, replicas=1) as careful, store_on(primary) as store:
            await careful.append(event(1, 1))
            await careful.append(event(1, 2))
            replica.stop()
            [claim] = await claimed(store)
            await store.ack(claim)
        primary.kill()
        replica.go_on()
        replica.ask("REPLICAOF", "NO", "ONE")
        async with store_on(replica) as store:
            found = events_of(await claimed(store))
            assert found in ([event(1, 1)], [event(1, 2)])  # the kernel may have had it for the stopped one already


async def test_a_read_only_replica_is_refused(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (_, replica), store_on(replica) as store:
        for use in (store.append(event()), store.claim(1, LEASE), store.turn(7)):
            with pytest.raises(EventStoreError, match="is a read-only replica"):
                await now(use)


async def test_a_sentinel_leads_to_the_next_primary(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        sentinel = Sentinel([("127.0.0.1", servers.sentinel.port)])
        async with sentinel.master_for(NAME) as client:
            store = RedisEventStore(client, application="7", timeout=30.0, replicas=1)
            await until_confirmed(store)
            [claim] = await claimed(store)
            await asyncio.to_thread(servers.fail_over)
            with suppress(EventStoreError):
                await store.stats()  # a connection that is left over
            assert (await store.stats()).unfinished == 1
            assert list(await store.renew([claim], LEASE)) in ([True], [False])  # the claim itself waits for no replica
        for each in sentinel.sentinels:
            await each.aclose()


class Hasty(RedisCluster):
    RedisClusterRequestTTL = 2  # how often it follows or waits while a slot is moving


async def test_a_cluster_keeps_the_events_of_an_application_together(tmp_path: Path) -> None:
    with cluster(tmp_path) as servers:
        async with Hasty(host="127.0.0.1", port=servers.servers[0].port) as client:
            for application in ("1", "7"):
                store = RedisEventStore(client, application=application, timeout=30.0)
                for number in (1, 2):
                    await store.append(event(number, owner_id=number))
                first, second = await claimed(store)
                source = servers.owner(f"{{strava:{application}}}")
                servers.move(f"{{strava:{application}}}", source, (source + 1) % 3)
                assert await store.ack(first, confirmed=True)
                assert await store.retry(second, 0)
                assert events_of(await claimed(store)) == [event(2, owner_id=2)]
                careful = RedisEventStore(client, application=application, replicas=1, timeout=3.0)
                with pytest.raises(EventStoreError, match="0 of 1 replicas"):
                    await careful.append(event(3))
            await use_while_moving(servers, store)


async def use_while_moving(servers: Cluster, store: RedisEventStore) -> None:
    """A server that has some of the keys takes those that have not come yet for empty."""
    target = servers.owner(BASE)
    source = (target + 1) % 3
    lane = f"{BASE}:lane:{lane_name(event(3))}"
    for first in ({BASE}, {lane}):
        with servers.moving(BASE, source, target, first=first):
            with pytest.raises(EventStoreError, match="is moving these keys to another"):
                await store.append(event(4))
            with pytest.raises(EventStoreError, match="is moving these keys to another"):
                await store.claim(9, LEASE)
        source, target = target, source
        assert await store.append(event(3)) is Appended.DUPLICATE
        assert [each.event for each in await store.events()] == [event(2, owner_id=2), event(3)]
    assert events_of(await claimed(store)) == [event(3)]


# Who may


def grant(server: RedisServer, but: str = "") -> None:
    server.ask("ACL", "SETUSER", "low", "reset", "on", ">p", *(each for each in [*ACL, "+wait"] if each != but))


async def use_all(store: RedisEventStore) -> None:
    for at in (1, 2):
        await store.append(event(1, at))
    for at in (1, 2, 3):
        await store.append(removed(at))
    [claim] = await claimed(store)
    await store.turn(7)
    await store.not_found(7)
    await store.renew([claim], LEASE)
    await store.retry(claim, 1000)
    await store.retry_now(event(1, 1).key)
    [claim] = await claimed(store)
    await store.ack(claim, confirmed=True)
    await store.drop(event(1, 2).key)
    await store.events()
    await store.stats()


async def test_the_permissions_of_the_docstring_suffice(redis_server: RedisServer) -> None:
    grant(redis_server)
    async with store_on(redis_server, options=LOW) as store:
        await use_all(store)


@pytest.mark.parametrize("missing", [each for each in ACL if each != "+config|get"])
async def test_a_missing_permission_is_named_before_anything_is_written(
    redis_server: RedisServer, missing: str
) -> None:
    grant(redis_server, missing)
    async with store_on(redis_server, options=LOW) as store:
        with pytest.raises(EventStoreError) as caught:
            await store.append(event())
    assert f"add {missing.replace('*}', '7}')} to its ACL" in str(caught.value)
    assert [key for key in redis_server.ask("KEYS", "*") if ":check:" not in key] == []


async def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path) -> None:
    with running(tmp_path / "redis", "--requirepass", "r1ght") as server:
        async with store_on(server, options={"password": "wr0ng"}) as store:
            with pytest.raises(EventStoreError, match="password: give the client") as caught:
                await store.append(event())
    assert "wr0ng" not in "".join(text for _, text in shown_by(caught.value))


@pytest.mark.parametrize("key", ["", ":rows", ":known", ":ages", ":lanes", ":claims", ":counts", ":owners", ":quiet"])
async def test_a_key_that_is_another_programs_is_told_before_anything_is_written(
    redis_server: RedisServer, store: RedisEventStore, key: str
) -> None:
    redis_server.ask("SET", f"{BASE}{key}", "x")
    with pytest.raises(EventStoreError, match="holds something else"):
        await store.append(event())
    assert redis_server.ask("KEYS", "*") == [f"{BASE}{key}"]
