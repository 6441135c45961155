"""The store of webhook events on Redis: the contract, and what only a store on Redis does, on a real server."""

import asyncio
import itertools
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from strava_async import EventStoreError, InputError
from strava_async.redis import RedisEventStore
from strava_async.testing import FakeClock
from strava_async.webhooks import (
    Appended,
    Claim,
    EventStore,
    WaitReason,
    WebhookEvent,
    parse_event,
    redis_owner_scripts,
)
from strava_async.webhooks.owners import OwnerState
from strava_async.webhooks.redis_values import lane_name
from tests.redis_server import RedisServer, needs_redis, running
from tests.webhooks.contract import (
    HOUR,
    LEASE,
    MAX_OF_AN_OWNER,
    MAX_UNFINISHED,
    EventStoreContract,
    Store,
    claimed,
    event,
    events_of,
    removed,
)
from tests.webhooks.test_event_store_machine import ROOM, Machine
from tests.webhooks.test_event_store_machine import run as run_machine

pytestmark = [pytest.mark.anyio, needs_redis]

BOUNDS: dict[str, Any] = {"max_unfinished": MAX_UNFINISHED, "max_unfinished_of_owner": MAX_OF_AN_OWNER}
BASE = "{strava:7}:events"


class Counting(Redis):
    """Counts the calls that are under way, and all that were made."""

    under_way = 0
    calls = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        Counting.under_way += 1
        self.calls += 1
        try:
            return await self.execute(*args, **options)
        finally:
            Counting.under_way -= 1

    async def execute(self, *args: Any, **options: Any) -> Any:
        return await super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        return CountingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class CountingPipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        Counting.under_way += 1
        try:
            return await super().execute(raise_on_error)
        finally:
            Counting.under_way -= 1


class Repeating(Counting):
    """Asks everything twice, as a client does whose connection broke before the first answer."""

    async def execute(self, *args: Any, **options: Any) -> Any:
        await super().execute(*args, **options)
        return await super().execute(*args, **options)


KINDS: dict[str, Callable[..., Counting]] = {
    "once": Counting,
    "repeated": Repeating,
    "texts, RESP3": lambda **options: Counting(decode_responses=True, protocol=3, **options),
}


async def quiet() -> None:
    """Wait until all calls that can end have ended."""
    spins = 0
    while spins < 20:  # from an answer to the next question there are fewer
        await anyio.lowlevel.checkpoint()
        spins = 0 if Counting.under_way else spins + 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("kind", KINDS)
class TestRedisEventStore(EventStoreContract):
    @pytest.fixture(autouse=True)
    def given(self, redis_server: RedisServer, kind: str) -> None:
        self.server = redis_server
        self.client = KINDS[kind]

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @asynccontextmanager
    async def opened_twice(self, clock: FakeClock) -> AsyncGenerator[tuple[Store, Store]]:
        async with self.client(port=self.server.port) as first, self.client(port=self.server.port) as second:
            one, other = (RedisEventStore(each, application="7", clock=clock, **BOUNDS) for each in (first, second))
            async with one.running(), other.running():
                yield one, other

    async def quiet(self) -> None:
        await quiet()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def opened(
    server: RedisServer, clock: FakeClock | None = None, *, client: Callable[..., Redis] = Counting, **arguments: Any
) -> AsyncGenerator[RedisEventStore]:
    async with client(port=server.port) as connected:
        yield RedisEventStore(connected, **{"application": "7", "clock": clock, **BOUNDS, **arguments})


@pytest.fixture
async def store(redis_server: RedisServer, clock: FakeClock) -> AsyncGenerator[RedisEventStore]:
    async with opened(redis_server, clock) as store:
        yield store


async def now(work: Awaitable[Any]) -> Any:
    """Return what comes of something that does not wait for time."""
    with anyio.fail_after(60):
        return await work


# What is passed in


@pytest.mark.parametrize("application", ["", "{7}", 7, None, "\ud800"])
async def test_an_application_is_a_text_without_braces(redis_server: RedisServer, application: Any) -> None:
    with pytest.raises(InputError, match="application"):
        RedisEventStore(Redis(port=redis_server.port), application=application)


@pytest.mark.parametrize("make", [redis.Redis, object])
async def test_a_client_that_is_not_async_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=r"RedisEventStore takes a client of redis\.asyncio"):
        RedisEventStore(make(), application="7")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"max_unfinished": 0}, {"max_unfinished_of_owner": 0}, {"replicas": -1}, {"replicas": True}),
        *({"timeout": 0}, {"timeout": math.inf}, {"timeout": math.nan}, {"replicas": 1001}),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(redis_server: RedisServer, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RedisEventStore(Redis(port=redis_server.port), application="7", **wrong)


def test_another_loop_is_told_and_so_is_trio(redis_server: RedisServer) -> None:
    async def use() -> None:
        async with opened(redis_server) as store:
            await store.stats()
            with pytest.raises(InputError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, store.stats())

    asyncio.run(use())
    made = RedisEventStore(Redis(port=redis_server.port), application="7")
    with pytest.raises(InputError, match="runs on asyncio"):
        anyio.run(made.stats, backend="trio")


def test_a_store_serves_one_loop_after_another_also_after_a_claim_that_was_left(redis_server: RedisServer) -> None:
    client = Redis(port=redis_server.port)
    store = RedisEventStore(client, application="7")

    async def leave() -> None:
        waiting = asyncio.create_task(store.claim(1, LEASE))
        await asyncio.sleep(0)
        assert not waiting.done()
        await client.aclose()  # its connections are the loop's

    async def use() -> None:
        await store.append(event())
        assert len(await now(store.claim(1, LEASE))) == 1
        await client.aclose()

    asyncio.run(leave())
    asyncio.run(use())


async def test_applications_live_side_by_side(redis_server: RedisServer, store: RedisEventStore) -> None:
    async with opened(redis_server, application="läuft 8") as other:
        assert [await each.append(event()) for each in (store, other)] == [Appended.STORED] * 2
        assert (await other.stats()).unfinished == 1
    assert repr(store) == "<RedisEventStore '7'>"
    assert store.application == "7"


# What a stranger may send


@pytest.mark.parametrize(
    "strange",
    [
        WebhookEvent("\ud800 }:\r\n{", 1, "\x00", 7, 9, 1, {"\ud800": "\udfff", "": "x y" * 1000}),
        WebhookEvent("activity", 2**63 - 1, "update", 2**63 - 1, 2**63 - 1, 2**63 - 1),
        parse_event(
            b'{"object_type":"a b","object_id":1,"aspect_type":"u","owner_id":7,"subscription_id":9,"event_time":1}'
        ),
    ],
    ids=["text", "numbers", "space"],
)
async def test_whatever_an_event_is_made_of_it_comes_back(store: RedisEventStore, strange: WebhookEvent) -> None:
    await store.append(strange)
    [claim] = await now(store.claim(1, LEASE))
    assert claim.pending.event == strange
    claim.pending.error = "Ünknown error\ud800"
    assert await store.retry(claim, 0)
    [claim] = await now(store.claim(1, LEASE))
    assert claim.pending.error == "Ünknown error\ud800"
    assert await store.ack(claim)


def test_the_name_of_a_lane_is_short_and_has_known_characters() -> None:
    names = {lane_name(event(number, owner_id=owner)) for number in (1, 2) for owner in (7, 8)}
    names |= {lane_name(replace(event(), object_type=kind)) for kind in ("\ud800", "x" * 10_000, "a:b c/d")}
    names |= {lane_name(removed(owner_id=owner)) for owner in (7, 8)}
    assert len(names) == 9
    assert all(len(name) < 60 and name.isascii() and not set(name) & set(" :{}") for name in names)


# How few calls it takes


async def test_each_method_is_one_round_trip(redis_server: RedisServer, clock: FakeClock) -> None:
    async with Counting(port=redis_server.port) as client:
        store = RedisEventStore(client, application="7", clock=clock)
        await store.stats()  # looks at the settings first
        before = client.calls
        await store.append(event())
        [claim] = await now(store.claim(9, LEASE))
        await store.turn(7)
        await store.not_found(7)
        await store.renew([claim, claim], LEASE)
        await store.retry(claim, 0)
        [claim] = await now(store.claim(9, LEASE))
        await store.ack(claim)
        await store.stats()
        await store.events()
        await store.retry_now("x")
        await store.drop("x")
        assert client.calls - before == 12
        assert list(await store.renew([], LEASE)) == []
        assert client.calls - before == 12


async def test_many_that_wait_ask_twice_a_second_together(redis_server: RedisServer, clock: FakeClock) -> None:
    async with Counting(port=redis_server.port) as client, anyio.create_task_group() as tasks:
        store = RedisEventStore(client, application="7", clock=clock)
        await store.stats()  # looks at the settings first
        for deauthorizations in [False] * 50 + [True] * 3:
            tasks.start_soon(partial(store.claim, 1, LEASE, deauthorizations=deauthorizations))
        await quiet()
        before = client.calls
        for _ in range(20):
            clock.advance(0.5)
            await quiet()
        assert client.calls - before == 20
        tasks.cancel_scope.cancel()


async def test_what_is_settled_leaves_nothing_after_an_hour_though_no_event_follows(
    redis_server: RedisServer, store: RedisEventStore, clock: FakeClock
) -> None:
    await store.append(event())
    await store.turn(7)
    [claim] = await now(store.claim(1, LEASE))
    await store.ack(claim)
    clock.advance(HOUR)
    assert await claimed(store, quiet=quiet) == []
    assert {key for key in redis_server.ask("KEYS", "*") if redis_server.ask("TTL", key) == -1} == {BASE}


@pytest.mark.parametrize("deauthorizations", [False, True])
@pytest.mark.parametrize("delay", [0.0, 0.02], ids=["due", "due soon"])
async def test_who_asks_learns_what_the_others_wait_for(
    redis_server: RedisServer, clock: FakeClock, deauthorizations: bool, delay: float
) -> None:
    appended = removed() if deauthorizations else event()
    claims: list[Claim] = []
    async with Counting(port=redis_server.port) as client, opened(redis_server, clock) as other:
        store = RedisEventStore(client, application="7", clock=clock)

        async def wait() -> None:
            claims.extend(await store.claim(1, LEASE, deauthorizations=deauthorizations))

        async with anyio.create_task_group() as tasks, anyio.create_task_group() as waiters:
            tasks.start_soon(partial(store.claim, 1, LEASE, deauthorizations=not deauthorizations))  # the one who asks
            await quiet()
            waiters.start_soon(wait)
            await quiet()
            await other.append(appended)
            if delay:
                [claim] = await now(other.claim(1, LEASE, deauthorizations=deauthorizations))
                assert await other.retry(claim, 0.5 + delay)
            before = client.calls
            clock.advance(0.5)
            await quiet()
            assert len(claims) == (not delay)
            clock.advance(delay)
            await quiet()
            assert len(claims) == 1
            assert client.calls - before == 2
            tasks.cancel_scope.cancel()


async def test_those_who_wait_ask_themselves_where_the_others_get_no_answer(
    redis_server: RedisServer, clock: FakeClock
) -> None:
    async with Losing(port=redis_server.port) as client, opened(redis_server, clock) as other:
        store = RedisEventStore(client, application="7", clock=clock)
        await store.stats()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.claim, 1, LEASE)
            await quiet()
            client.loses = 1
            with pytest.raises(EventStoreError):
                await now(store.claim(1, LEASE, deauthorizations=True))
            await other.append(event())
            clock.advance(0.5)
            await quiet()
            assert (await store.stats()).claimed == 1
            tasks.cancel_scope.cancel()


async def test_what_is_due_soon_is_asked_for_at_its_instant(store: RedisEventStore, clock: FakeClock) -> None:
    await store.append(event())
    [claim] = await now(store.claim(1, LEASE))
    claims: list[Claim] = []

    async def wait() -> None:
        claims.extend(await store.claim(1, LEASE))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await quiet()
        await store.retry(claim, 0.02)
        await quiet()
        clock.advance(0.019)
        await quiet()
        assert claims == []
        clock.advance(0.001)
        await quiet()
    assert len(claims) == 1


# After a lost answer


class Losing(Counting):
    """Loses an answer after the server has done what it was asked.

    Attributes:
        loses: how many of the next answers.
    """

    loses = 0

    async def execute(self, *args: Any, **options: Any) -> Any:
        answer = await super().execute(*args, **options)
        if self.loses:
            self.loses -= 1
            raise redis.ConnectionError("lost")
        return answer


async def test_what_is_called_again_after_a_lost_answer_is_done_once(
    redis_server: RedisServer, clock: FakeClock
) -> None:
    async with Losing(port=redis_server.port) as client:
        store = RedisEventStore(client, application="7", clock=clock, **BOUNDS)

        async def twice(call: Callable[[], Awaitable[Any]]) -> Any:
            await store.stats()
            client.loses = 1
            with pytest.raises(EventStoreError, match="cannot be reached"):
                await now(call())
            return await now(call())

        await store.stats()
        assert await twice(lambda: store.append(event())) is Appended.DUPLICATE  # Strava sends it again
        for number in (2, 3):
            await store.append(event(number))
        [claim] = await twice(lambda: store.claim(1, LEASE))
        assert (claim.pending.event, claim.pending.claimed) == (event(), False)
        assert await twice(lambda: store.retry(claim, 10)) is True
        first, second = await twice(lambda: store.claim(2, LEASE))
        assert events_of([first, second]) == [event(2), event(3)]
        assert await twice(lambda: store.renew([first, second], LEASE)) == [True, True]
        assert await twice(lambda: store.ack(first, confirmed=True)) is True
        assert not await store.ack(first)
        assert (await store.stats()).unfinished == 2


@pytest.mark.parametrize("what", ["append", "stats"])
async def test_after_an_error_the_settings_are_looked_at_again(tmp_path: Path, clock: FakeClock, what: str) -> None:
    uses: dict[str, Callable[[RedisEventStore], Awaitable[Any]]] = {
        "append": lambda store: store.append(event()),
        "stats": lambda store: store.stats(),
    }
    with running(tmp_path / "redis") as server:
        async with Losing(port=server.port) as client:
            store = RedisEventStore(client, application="7", clock=clock)
            await store.stats()
            server.ask("CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru")
            await uses[what](store)  # as a failover to a server that is set otherwise
            client.loses = 1
            with pytest.raises(EventStoreError, match="cannot be reached"):
                await uses[what](store)
            with pytest.raises(EventStoreError, match="allkeys-lru"):
                await uses[what](store)
            server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            await uses[what](store)
            server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            clock.advance(60)
            with pytest.raises(EventStoreError, match="allkeys-lru"):
                await uses[what](store)


async def test_what_was_claimed_without_an_answer_is_leased_from_the_next_call_on(
    redis_server: RedisServer, clock: FakeClock
) -> None:
    async with Losing(port=redis_server.port) as client, opened(redis_server, clock) as other:
        store = RedisEventStore(client, application="7", clock=clock, **BOUNDS)
        await store.append(event(1))
        await store.append(event(2))
        await store.stats()
        client.loses = 1
        with pytest.raises(EventStoreError):
            await now(store.claim(2, LEASE))
        clock.advance(LEASE - 1)
        claims = await now(store.claim(2, LEASE))
        assert events_of(list(claims)) == [event(1), event(2)]
        assert not any(claim.pending.claimed for claim in claims)
        await store.stats()
        clock.advance(LEASE - 1)
        assert await claimed(other, quiet=quiet) == []
        clock.advance(1)
        assert len(await claimed(other, quiet=quiet)) == 2


async def test_what_was_claimed_without_an_answer_may_be_another_s_by_now(
    redis_server: RedisServer, clock: FakeClock
) -> None:
    async with Losing(port=redis_server.port) as client, opened(redis_server, clock) as other:
        store = RedisEventStore(client, application="7", clock=clock, **BOUNDS)
        await store.append(event(1))
        await store.append(event(2))
        await store.stats()
        client.loses = 1
        with pytest.raises(EventStoreError):
            await now(store.claim(2, LEASE))
        clock.advance(LEASE)
        [taken] = await claimed(other, 1, quiet=quiet)
        [left] = await now(store.claim(2, LEASE))
        assert {taken.pending.event.object_id, left.pending.event.object_id} == {1, 2}
        assert await other.ack(taken)


async def test_of_what_was_claimed_without_an_answer_the_next_gets_no_more_than_it_wants(
    redis_server: RedisServer, clock: FakeClock
) -> None:
    async with Losing(port=redis_server.port) as client, opened(redis_server, clock) as other:
        store = RedisEventStore(client, application="7", clock=clock, **BOUNDS)
        for number in (1, 2, 3):
            await store.append(event(number))
        await store.stats()
        client.loses = 1
        with pytest.raises(EventStoreError):
            await now(store.claim(3, LEASE))
        await store.stats()
        client.loses = 1
        with pytest.raises(EventStoreError):
            await now(store.claim(2, LEASE))
        first = await now(store.claim(1, LEASE))
        rest = await claimed(other, quiet=quiet)
        assert events_of([*first, *rest]) == [event(1), event(3), event(2)]
        assert not any(claim.pending.claimed for claim in rest)


async def test_a_claim_that_was_cancelled_is_the_next_ones(redis_server: RedisServer, clock: FakeClock) -> None:
    class Late(Counting):
        answers = asyncio.Event()
        has_answered = asyncio.Event()

        async def execute(self, *args: Any, **options: Any) -> Any:
            answer = await super().execute(*args, **options)
            if b"was_claimed" in args[1]:
                self.has_answered.set()
                await self.answers.wait()
            return answer

    async with Late(port=redis_server.port) as client:
        store = RedisEventStore(client, application="7", clock=clock)
        await store.append(event())
        waiting = asyncio.create_task(store.claim(1, LEASE))
        await client.has_answered.wait()
        waiting.cancel()
        await asyncio.wait({waiting})
        client.answers.set()
        [claim] = await now(store.claim(1, LEASE))
        assert not claim.pending.claimed
        assert await store.ack(claim)


# Time


async def test_a_server_whose_clock_is_set_back_makes_nothing_wait_longer(redis_server: RedisServer) -> None:
    class Back(FakeClock):
        by = 0.0

        def monotonic(self) -> float:
            return super().monotonic() - self.by

    clock = Back()
    async with opened(redis_server, clock) as store:
        await store.append(event(1))
        await store.append(event(2))
        left, claim = await now(store.claim(2, 30))
        await store.retry(claim, 20)
        clock.by = 86_400.0
        await store.stats()
        assert await store.renew([left], 30) == [True]  # the first call that is told
        for seconds, found in ((19, []), (1, [event(2)]), (9, []), (1, [event(1)])):
            clock.advance(seconds)
            claims = []
            with anyio.move_on_after(0.05):
                claims = list(await store.claim(1, LEASE))
            assert events_of(claims) == found, seconds


# Bounded memory


async def test_what_is_settled_leaves_nothing_but_its_key_for_an_hour(
    redis_server: RedisServer, store: RedisEventStore, clock: FakeClock
) -> None:
    for number in range(3):
        await store.append(event(number + 1, owner_id=number + 1))
    await store.append(removed())
    for deauthorizations in (False, True):
        for claim in await now(store.claim(9, LEASE, deauthorizations=deauthorizations)):
            claim.pending.waits_for = WaitReason.OWNER_TURN
            assert await store.retry(claim, 0)
        for claim in await now(store.claim(9, LEASE, deauthorizations=deauthorizations)):
            assert await store.ack(claim)
    keys = {str(key) for key in redis_server.ask("KEYS", "*")}
    assert {key for key in keys if ":reply:" not in key} == {BASE, f"{BASE}:known"}
    assert all(0 < redis_server.ask("PTTL", key) <= 120_000 for key in keys if ":reply:" in key)
    assert redis_server.ask("ZCARD", f"{BASE}:known") == 4
    clock.advance(HOUR)
    await store.append(event(9))
    assert redis_server.ask("ZCARD", f"{BASE}:known") == 1


async def test_a_long_list_is_asked_for_in_parts(redis_server: RedisServer, clock: FakeClock) -> None:
    async with Counting(port=redis_server.port) as client:
        store = RedisEventStore(client, application="7", clock=clock)
        for number in range(1, 1101):
            await store.append(event(number, owner_id=number))
            clock.advance(0.001)
        for limit, parts in ((1, 1), (500, 1), (501, 2), (1200, 3)):
            before = client.calls
            numbers = [each.event.object_id for each in await store.events(limit=limit)]
            assert numbers == list(range(1, min(limit, 1100) + 1))
            assert client.calls - before == parts


async def test_athletes_are_forgotten_an_hour_after_their_last_event_and_confirmed_ones_after_a_month(
    redis_server: RedisServer, store: RedisEventStore, clock: FakeClock
) -> None:
    await store.append(event())
    [claim] = await now(store.claim(1, LEASE))
    assert await store.ack(claim, confirmed=True)
    for owner_id in range(100, 110):
        await store.turn(owner_id)
    assert redis_server.ask("HLEN", f"{BASE}:owners") == 11
    clock.advance(HOUR)
    await store.turn(200)
    assert set(redis_server.ask("HKEYS", f"{BASE}:owners")) == {"7", "200"}
    clock.advance(30 * 86_400)
    await store.turn(201)
    assert set(redis_server.ask("HKEYS", f"{BASE}:owners")) == {"201"}


async def test_keys_and_athletes_that_are_too_many_are_forgotten_oldest_first(
    redis_server: RedisServer, store: RedisEventStore, clock: FakeClock
) -> None:
    await store.append(event())
    fill = "for i = 1, tonumber(ARGV[2]) do redis.call('ZADD', KEYS[1], ARGV[1], 'k' .. i) end"
    until = int((clock.monotonic() + 60) * 1000)
    for key, most in (("known", 100_000), ("quiet", redis_owner_scripts.REMEMBERED_OWNERS)):
        redis_server.ask("EVAL", fill, 1, f"{BASE}:{key}", until, most)
    await store.append(event(2))
    await store.turn(7)
    assert redis_server.ask("ZCARD", f"{BASE}:known") == 100_000
    assert redis_server.ask("ZCARD", f"{BASE}:quiet") == redis_owner_scripts.REMEMBERED_OWNERS
    assert await store.append(event(2)) is Appended.DUPLICATE  # the newest are known


# What somebody has removed by hand


async def test_a_row_that_is_gone_is_passed_over(redis_server: RedisServer, store: RedisEventStore) -> None:
    for what in (event(1, 1), event(1, 2), event(2)):
        await store.append(what)
    redis_server.ask("HDEL", f"{BASE}:rows", event(1, 1).key, event(2).key)
    assert events_of(list(await now(store.claim(9, LEASE)))) == [event(1, 2)]


async def test_a_row_that_cannot_be_read_stands_in_nobodys_way(
    redis_server: RedisServer, store: RedisEventStore, clock: FakeClock
) -> None:
    await store.append(event(1))
    redis_server.ask("HSET", f"{BASE}:rows", event(1).key, f"{lane_name(event(1))} x")
    with pytest.raises(EventStoreError, match="has an event that is none"):
        await now(store.claim(9, LEASE))
    await store.append(event(2))
    assert events_of(list(await now(store.claim(9, LEASE)))) == [event(2)]
    assert [each.event for each in await store.events()] == [event(2)]
    clock.advance(LEASE)
    assert await store.drop(event(1).key)


async def test_what_waits_for_its_turn_goes_on_waiting_when_no_bound_is_lifted(store: RedisEventStore) -> None:
    for number in (1, 2, 3):
        await store.append(event(number))
    first, second, third = await now(store.claim(3, LEASE))
    assert await store.ack(first, confirmed=True)
    third.pending.waits_for = WaitReason.OWNER_TURN
    await store.retry(third, 30)
    assert await store.ack(second, confirmed=True)  # the athlete was confirmed already
    assert await claimed(store, quiet=quiet) == []


async def test_what_waited_for_its_turn_and_has_a_worker_keeps_its_lease_when_a_bound_is_lifted(
    store: RedisEventStore, clock: FakeClock
) -> None:
    for number in (1, 2):
        await store.append(event(number))
    [first, second] = await now(store.claim(2, LEASE))
    second.pending.waits_for = WaitReason.OWNER_TURN
    await store.retry(second, 0)
    assert len(await now(store.claim(2, LEASE))) == 1
    assert await store.ack(first, confirmed=True)
    clock.advance(LEASE - 1)
    assert await claimed(store, quiet=quiet) == []


# Workers that die, pause and come back


@pytest.mark.parametrize(
    "examples", [8, pytest.param(120, marks=[pytest.mark.long, pytest.mark.timeout(1800)])], ids=["some", "many"]
)
def test_workers_of_a_store_on_redis(redis_server: RedisServer, examples: int) -> None:
    applications = itertools.count(1)

    class OnRedis(Machine):
        @asynccontextmanager
        async def opened(self) -> AsyncGenerator[tuple[EventStore, EventStore]]:
            arguments: dict[str, Any] = {"application": f"machine-{next(applications)}", "max_unfinished": ROOM}
            arguments["max_unfinished_of_owner"] = ROOM
            async with (
                opened(redis_server, self.clock, **arguments) as one,
                opened(redis_server, self.clock, client=Repeating, **arguments) as other,
            ):
                yield one, other

        async def quiet(self) -> None:
            await quiet()

    run_machine(OnRedis, examples)


# The rules of an athlete's bounds, there and here

STEPS = st.lists(
    st.tuples(st.sampled_from(["turn", "cautious turn", "not found", "confirm", "found"]), st.integers(0, 5_000_000)),
    max_size=60,
)
OWNERS = itertools.count(1000)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_script_and_the_function_agree_about_an_athlete(redis_server: RedisServer, steps: Any) -> None:
    asyncio.run(compare(redis_server, next(OWNERS), steps))


async def compare(server: RedisServer, owner_id: int, steps: list[tuple[str, int]]) -> None:
    clock, state = FakeClock(), OwnerState()
    async with opened(server, clock, application=f"twin-{owner_id}") as store:
        for number, (step, milliseconds) in enumerate(steps):
            clock.advance(round(milliseconds * (0.001 if number % 3 else 1e-6), 3))
            at = round(clock.monotonic() * 1000) / 1000
            if step.endswith("turn"):
                is_cautious = step != "turn"
                expected = state.turn(at, unless_doubted=is_cautious)
                waits = await store.turn(owner_id, unless_doubted=is_cautious)
                assert waits == (expected if expected == math.inf else pytest.approx(expected, abs=0.002))
            elif step == "not found":
                assert await store.not_found(owner_id) is state.note_not_found(at)
            else:
                await store.append(event(number + 1, owner_id=owner_id))
                [claim] = await now(store.claim(1, LEASE))
                claim.pending.standing.was_not_found = step == "found"
                await store.ack(claim, confirmed=True)
                state.confirm(was_not_found=step == "found")
