"""The store on Redis keeps what a store promises, on a real server. redis-py runs on asyncio only."""

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import redis
from redis.asyncio import Redis

from strava_async import InputError, TokenStoreError
from strava_async.redis import RedisTokenStore
from strava_async.stores import TokenStore
from strava_async.stores import redis_scripts as scripts
from strava_async.testing import FakeClock
from tests.frames import shown_by
from tests.redis_server import RedisServer, needs_redis, running
from tests.stores.contract import FULL, StrictStoreContract, numbered

pytestmark = [pytest.mark.anyio, needs_redis]

OLD, NEW = RedisTokenStore.generate_key(), RedisTokenStore.generate_key()
TOKENS = "{strava:7}:tokens"
LOCK = "{strava:7}:lock:7"
# What the documents say to be enough for this application's part.
PAGE = (Path(__file__).parent.parent.parent / "docs" / "accounts.md").read_text(encoding="utf-8")
ACL = [*re.findall(r"^ACL SETUSER .* >PASSWORD (.*)$", PAGE, re.M)[0].split(), "+waitaof"]
LOW = {"username": "low", "password": "p"}
KINDS: dict[str, Any] = {
    "plain": {},
    "encrypted": {"key": OLD},
    "texts": {"options": {"decode_responses": True}},
    "RESP3": {"options": {"protocol": 3}},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def script_of(command: Sequence[Any]) -> str:
    """Return the script of an EVAL; empty for another command."""
    return command[1].decode() if command[0] == "EVAL" else ""


def client_of(server: RedisServer, **options: Any) -> Redis:
    return Redis(port=server.port, **{"retry": None, **options})


@asynccontextmanager
async def store_on(server: RedisServer, *, options: Any = None, **arguments: Any) -> AsyncGenerator[RedisTokenStore]:
    async with client_of(server, **(options or {})) as client:
        yield RedisTokenStore(client, **{"application": "7", "timeout": 60.0, **arguments})


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisTokenStore]:
    async with store_on(redis_server) as store:
        yield store


@pytest.mark.parametrize("kind", KINDS)
class TestRedisTokenStore(StrictStoreContract):
    """As every store: plain, encrypted, and whatever the client makes of replies."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    async def store(self, redis_server: RedisServer, kind: str) -> AsyncGenerator[TokenStore]:
        async with store_on(redis_server, **KINDS[kind]) as store:
            yield store

    @pytest.fixture
    async def twin(self, redis_server: RedisServer, kind: str) -> AsyncGenerator[TokenStore]:
        async with store_on(redis_server, **KINDS[kind]) as store:
            yield store


# What is passed in


@pytest.mark.parametrize("application", ["", "{7}", "7}", 7, None, "\ud800", "7\n", "7" * 201])
async def test_an_application_is_a_text_without_braces(redis_server: RedisServer, application: Any) -> None:
    with pytest.raises(InputError, match="application"):
        RedisTokenStore(client_of(redis_server), application=application)


@pytest.mark.parametrize("make", [redis.Redis, object])
async def test_a_client_that_is_not_async_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=r"redis\.asyncio"):
        RedisTokenStore(make(), application="7")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"lock_seconds": 0.9}, {"lock_seconds": float("nan")}, {"lock_timeout": -1}, {"timeout": 0}),
        *({"lock_seconds": 3601}, {"lock_seconds": "30"}, {"lock_timeout": float("nan")}, {"lock_timeout": None}),
        *({"timeout": 60.1}, {"timeout": float("inf")}, {"timeout": float("nan")}, {"timeout": 0.009}),
        *({"timeout": True}, {"timeout": "5"}, {"replicas": 1001}),
        *({"replicas": -1}, {"replicas": True}, {"replicas": 1.0}, {"key": "secret"}, {"key": []}),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(redis_server: RedisServer, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        RedisTokenStore(client_of(redis_server), application="7", **wrong)
    assert "secret" not in str(caught.value)


async def test_a_closed_store_is_used_no_more_and_its_client_is_not_closed(redis_server: RedisServer) -> None:
    async with client_of(redis_server) as client:
        async with RedisTokenStore(client, application="7") as store:
            await store.save(7, FULL)
        uses: tuple[Callable[[], Any], ...] = (
            lambda: store.load(7),
            lambda: store.save(7, FULL),
            lambda: store.delete(7),
            store.athlete_ids,
            store.check_writable,
            lambda: store.lock(7).__aenter__(),
            lambda: anext(store.iter_athlete_ids()),
        )
        for use in uses:
            with pytest.raises(InputError, match="closed"):
                await use()
        assert await client.ping()
        assert await RedisTokenStore(client, application="7").load(7) == FULL


async def test_closing_waits_for_what_is_being_given_up(redis_server: RedisServer) -> None:
    async with client_of(redis_server) as client:
        store = RedisTokenStore(client, application="7")
        inside = asyncio.Event()

        async def hold() -> None:
            async with store.lock(7):
                inside.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await inside.wait()
        holder.cancel()
        await asyncio.sleep(0)
        holder.cancel()  # once more, while it gives up the lock
        await asyncio.wait({holder})
        await store.aclose()
        assert redis_server.ask("HGET", LOCK, "until") == "0"


def test_another_loop_is_told_and_so_is_trio(redis_server: RedisServer) -> None:
    async def use() -> None:
        async with store_on(redis_server) as store:
            await store.load(7)
            with pytest.raises(InputError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, store.load(7))

    asyncio.run(use())
    made = RedisTokenStore(client_of(redis_server), application="7")
    with pytest.raises(InputError, match="runs on asyncio"):
        anyio.run(made.load, 7, backend="trio")


def test_a_store_serves_one_loop_after_another(redis_server: RedisServer) -> None:
    client = client_of(redis_server, single_connection_client=False)
    store = RedisTokenStore(client, application="7")

    async def count() -> None:
        async with store.lock(7):
            token = await store.load(7)
            await store.save(7, numbered(int(token.access_token[1:]) + 1 if token else 1))
        await client.aclose()  # its connections are the loop's

    for _ in range(2):
        asyncio.run(count())
    assert redis_server.ask("HEXISTS", TOKENS, 7)


async def test_a_task_that_asks_twice_is_told(store: RedisTokenStore) -> None:
    async with store.lock(7):
        with pytest.raises(InputError, match="holds the lock already"):
            async with store.lock(7):
                pass


async def test_applications_live_side_by_side(redis_server: RedisServer, store: RedisTokenStore) -> None:
    async with store_on(redis_server, application="läuft 8") as other:
        await store.save(7, FULL)
        assert await other.load(7) is None
        await other.save(8, numbered(8))
        async with store.lock(7), other.lock(7):
            assert (await store.athlete_ids(), await other.athlete_ids()) == ([7], [8])
    assert all(str(key).startswith("{strava:") for key in redis_server.ask("KEYS", "*"))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
async def test_the_encoding_of_a_client_is_no_matter(redis_server: RedisServer, encoding: str) -> None:
    async with (
        store_on(redis_server, application="läuft 8") as store,
        store_on(redis_server, application="läuft 8", options={"encoding": encoding}) as other,
    ):
        async with other.lock(7):
            await other.save(7, FULL)
            assert len(redis_server.ask("KEYS", "*läuft 8*")) == len(redis_server.ask("KEYS", "*"))
        assert await store.load(7) == FULL


async def test_tokens_never_expire_and_locks_are_forgotten(redis_server: RedisServer, store: RedisTokenStore) -> None:
    async with store.lock(7):
        await store.save(7, FULL)
    assert redis_server.ask("TTL", TOKENS) == -1
    assert redis_server.ask("TTL", LOCK) > 3600


async def test_ten_thousand_athletes_are_listed(redis_server: RedisServer, store: RedisTokenStore) -> None:
    await store.save(10_000, FULL)
    script = "for i = 1, 9999 do redis.call('HSET', KEYS[1], i, redis.call('HGET', KEYS[1], '10000')) end"
    redis_server.ask("EVAL", script, 1, TOKENS)
    assert await store.athlete_ids() == list(range(1, 10_001))


# The lease


async def until(server: RedisServer) -> int:
    return int(str(server.ask("HGET", LOCK, "until")))


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["left", "cancelled"])
async def test_a_lock_that_was_left_is_free_and_renewed_no_more(redis_server: RedisServer, is_cancelled: bool) -> None:
    clock = FakeClock()
    async with store_on(redis_server, clock=clock) as store:
        with anyio.CancelScope() as scope:
            async with store.lock(7) as lease:
                await sleeping(clock)
                assert lease.held()
                if is_cancelled:
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
        assert redis_server.ask("HGET", LOCK, "holder") == ""
        assert not lease.held()
        await anyio.lowlevel.checkpoint()
        assert clock.sleeping == 0


async def test_a_lease_is_renewed_while_it_is_held(redis_server: RedisServer) -> None:
    clock = FakeClock()
    async with store_on(redis_server, clock=clock) as store, store.lock(7) as lease:
        for _ in range(10):
            before = await until(redis_server)
            while clock.sleeping == 0:
                await anyio.lowlevel.checkpoint()
            clock.advance(10.1)
            with anyio.fail_after(60):
                while await until(redis_server) == before:  # the server counts milliseconds
                    await anyio.lowlevel.checkpoint()
            assert lease.held()


async def test_a_lease_that_cannot_be_renewed_ends_by_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path / "redis") as server:
        async with store_on(server, clock=clock) as store, store.lock(7) as lease:
            server.kill()
            clock.advance(29.9)
            assert lease.held()
            clock.advance(0.2)
            assert not lease.held()


async def test_a_renewal_that_fails_is_tried_again(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path / "redis") as server:
        async with store_on(server, clock=clock) as store, store.lock(7) as lease:
            server.kill()
            await sleeping(clock)
            clock.advance(10.1)  # refused
            await sleeping(clock)
            server.start()
            clock.advance(3.1)
            await sleeping(clock)
            clock.advance(9.0)
            clock.advance(9.0)  # 31 s since it was had
            assert lease.held()


async def sleeping(clock: FakeClock) -> None:
    with anyio.fail_after(60):
        while clock.sleeping == 0:
            await anyio.lowlevel.checkpoint()


async def test_a_holder_finds_out_that_another_has_its_lock(redis_server: RedisServer) -> None:
    clock = FakeClock()
    async with store_on(redis_server, clock=clock) as store, store_on(redis_server) as other, store.lock(7) as lease:
        redis_server.ask("HSET", LOCK, "until", 0)  # as time does
        async with other.lock(7):
            await sleeping(clock)
            clock.advance(10.1)
            with anyio.fail_after(60):
                while lease.held():
                    await anyio.lowlevel.checkpoint()


async def test_a_lease_that_ran_out_is_had_again_if_nobody_came(redis_server: RedisServer) -> None:
    clock = FakeClock()
    async with store_on(redis_server, clock=clock) as store, store.lock(7) as lease:
        redis_server.ask("HSET", LOCK, "until", 0)
        await sleeping(clock)
        clock.advance(31.0)
        assert not lease.held()
        with anyio.fail_after(60):
            while not lease.held():
                await anyio.lowlevel.checkpoint()


async def test_a_lock_that_another_took_before_a_write_was_confirmed_is_not_had(redis_server: RedisServer) -> None:
    class Late(Redis):
        """Looks at the settings while another takes the lock."""

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            if script_of(args) == scripts.INFO and redis_server.ask("EXISTS", LOCK):
                await super().execute_command("HSET", LOCK, "holder", "another")
            return await super().execute_command(*args, **options)

    async with Late(port=redis_server.port) as client:
        with pytest.raises(TokenStoreError, match="was not free"):
            async with RedisTokenStore(client, application="7").lock(7):
                raise AssertionError("it is another's")
        assert redis_server.ask("HGET", LOCK, "holder") == "another"


async def test_a_fence_rises_although_the_server_has_forgotten_the_one_before(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    async with store.lock(7), store_on(redis_server) as other:
        before = int(redis_server.ask("HGET", LOCK, "fence"))
        redis_server.ask("DEL", LOCK)  # as a replica that is promoted without the last second
        async with other.lock(7):
            assert int(redis_server.ask("HGET", LOCK, "fence")) > before
            with pytest.raises(TokenStoreError, match="passed to another process"):
                await store.save(7, FULL)


async def test_fences_rise_from_holder_to_holder(redis_server: RedisServer, store: RedisTokenStore) -> None:
    fences: list[int] = []
    for _ in range(5):
        async with store.lock(7):
            fences.append(int(str(redis_server.ask("HGET", LOCK, "fence"))))
    redis_server.ask("HSET", LOCK, "fence", 2**52)  # as if the clock had been ahead
    async with store.lock(7):
        fences += [2**52, int(str(redis_server.ask("HGET", LOCK, "fence")))]
    assert fences == sorted(set(fences))


async def test_the_wait_for_a_lock_ends_after_its_timeout(redis_server: RedisServer, store: RedisTokenStore) -> None:
    async with store_on(redis_server, lock_timeout=0.05) as impatient, store.lock(7):
        errors: list[str] = []

        async def enter() -> None:
            try:
                async with impatient.lock(7):
                    pass
            except TokenStoreError as error:
                errors.append(str(error))

        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(enter)
    assert errors == [f"the lock {LOCK} was not free for 0.05 s: see who holds it"] * 2


async def test_a_delete_under_a_lock_that_is_another_s_is_refused(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    await store.save(7, FULL)
    async with store_on(redis_server) as other, store.lock(7):
        redis_server.ask("HSET", LOCK, "until", 0)
        async with other.lock(7):
            with pytest.raises(TokenStoreError, match="passed to another process"):
                await store.delete(7)
    assert await store.load(7) == FULL


class Slow(Redis):
    """Has done what it was asked, and keeps the answer to itself until it is told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        answer = await super().execute_command(*args, **options)
        if "'fence', fence" in script_of(args):
            self.is_asked.set()
            await self.may_answer.wait()
        return answer


async def test_a_lock_that_was_had_after_its_waiter_was_cancelled_is_given_up(
    redis_server: RedisServer, store: RedisTokenStore
) -> None:
    async with Slow(port=redis_server.port) as client, store_on(redis_server, lock_timeout=0) as impatient:
        slow = RedisTokenStore(client, application="7")

        async def enter() -> None:
            async with slow.lock(7):
                raise AssertionError("cancelled before")

        waiter = asyncio.create_task(enter())
        await client.is_asked.wait()
        waiter.cancel()
        await asyncio.sleep(0)
        client.may_answer.set()
        await asyncio.wait({waiter})
        assert waiter.cancelled()
        async with impatient.lock(7):
            pass


class Repeating(Redis):
    """Asks everything twice, as a client does whose connection broke before the first answer."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        await super().execute_command(*args, **options)
        return await super().execute_command(*args, **options)


async def test_a_server_whose_clock_is_set_back_keeps_no_lock_for_longer(redis_server: RedisServer) -> None:
    def until() -> float:
        (until,), (seconds, _) = redis_server.ask("HMGET", LOCK, "until"), redis_server.ask("TIME")
        return int(until) / 1000 - int(seconds)

    hasty = store_on(redis_server, lock_timeout=0, lock_seconds=1)
    async with store_on(redis_server) as store, hasty as other, store.lock(7):
        redis_server.ask("HINCRBY", LOCK, "until", 3_600_000)
        with pytest.raises(TokenStoreError, match="was not free"):
            await other.lock(7).__aenter__()
        assert 28 < until() < 32


@pytest.mark.parametrize("key", [None, OLD], ids=["plain", "encrypted"])
async def test_what_reaches_the_server_twice_is_done_once(redis_server: RedisServer, key: Any) -> None:
    async with Repeating(port=redis_server.port) as client:
        store = RedisTokenStore(client, application="7", key=key)
        async with store.lock(7) as lease:
            assert await store.save(7, numbered(1), replacing=None)
            assert await store.save(7, numbered(2), replacing=numbered(1))
            assert await store.save(7, numbered(3), replacing=numbered(1)) is False
            assert lease.held()
            assert await store.load(7) == numbered(2)
            assert await store.delete(7, if_unchanged=numbered(2)) is True
            assert await store.delete(7) is False
            assert await store.save(7, FULL)
            assert await store.delete(7) is True
        assert await store.athlete_ids() == []
        await store.save(8, FULL)
        assert await store.delete(8) is True
        assert redis_server.ask("TTL", LOCK) > 86_400  # so long its fence is remembered
        assert 0 < redis_server.ask("TTL", LOCK.removesuffix("7") + "8") <= 60


async def test_a_burst_of_calls_waits_for_the_connections_that_there_may_be(redis_server: RedisServer) -> None:
    async with client_of(redis_server, max_connections=10) as client:
        store = RedisTokenStore(client, application="7")
        await store.save(7, FULL)
        assert await asyncio.gather(*(store.load(7) for _ in range(300))) == [FULL] * 300
        assert redis_server.ask("INFO", "clients")["connected_clients"] <= 6  # with that of the test


async def test_a_burst_at_a_silent_server_ends_in_time(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with client_of(server, max_connections=10) as client:
            store = RedisTokenStore(client, application="7", timeout=60.0)
            await store.save(7, FULL)
            hasty = RedisTokenStore(client, application="7", timeout=0.3)
            server.stop()
            with anyio.fail_after(30):  # one after another they would take longer
                results = await asyncio.gather(*(hasty.load(7) for _ in range(300)), return_exceptions=True)
            assert all("did not answer in time" in str(each) for each in results)
            server.go_on()
            assert await store.load(7) == FULL


async def test_a_lease_is_renewed_while_saves_wait_to_be_confirmed(redis_server: RedisServer) -> None:
    clock = FakeClock()
    async with client_of(redis_server, max_connections=10, socket_timeout=None) as client:
        store = RedisTokenStore(client, application="7", clock=clock, replicas=1, timeout=60.0)
        quick = RedisTokenStore(client, application="7", clock=clock)
        async with quick.lock(7) as lease:
            await sleeping(clock)
            saves = [asyncio.create_task(store.save(8, FULL)) for _ in range(50)]
            await asyncio.wait(saves, timeout=0.1)
            before = await until(redis_server)
            clock.advance(10.1)
            with anyio.fail_after(60):
                while await until(redis_server) == before:
                    await anyio.lowlevel.checkpoint()
            assert lease.held()
            assert not any(each.done() for each in saves)
            for each in saves:
                each.cancel()
            await asyncio.wait(saves)


# How safe "saved" is


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.name for record in caplog.records} <= {"strava_async.stores", "asyncio"}
    return found


async def use(store: RedisTokenStore) -> None:
    for number in range(3):
        async with store.lock(7):
            await store.save(7, numbered(number))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("--appendonly", "no"), "loses all tokens saved since its last snapshot"),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "loses the last second of tokens saved"),
        (("--appendonly", "yes", "--appendfsync", "no"), "loses the last half minute of tokens saved"),
        (("--appendonly", "yes", "--appendfsync", "always"), None),
    ],
)
async def test_weaker_settings_are_one_warning_that_says_what_a_crash_loses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: tuple[str, ...], said: str | None
) -> None:
    with running(tmp_path / "redis", *settings) as server:
        version = server.version
        async with store_on(server) as store:
            await use(store)
    if version >= (7, 2) and "everysec" in settings:
        said = None  # WAITAOF
    warned = warnings_of(caplog)
    assert len(warned) == (said is not None)
    assert all(str(said) in each and "Redis (application 7)" in each for each in warned)


async def test_a_user_who_is_not_told_the_setting_is_warned(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    grant(redis_server, "+config|get")
    async with store_on(redis_server, options=LOW) as store:
        await use(store)
    assert [each for each in warnings_of(caplog) if "does not tell its appendfsync" not in each] == []


class Newer(Redis):
    """A server that has a log on the disk and says when a write is in it, as from 7.2 on, whatever this machine has.

    Attributes:
        logged: what it answers; an exception is an error.
        asked: what it was asked.
    """

    logged: Any = (1, 0)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[tuple[Any, ...]] = []

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        told = await super().execute_command(*args, **options)
        if "call('INFO')" in script_of(args):
            return re.sub(rb"redis_version:\S+", b"redis_version:7.2.4", told)
        return told

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return NewerPipeline(self, super().pipeline(transaction, shard_hint))


class NewerPipeline:
    def __init__(self, client: Newer, real: Any) -> None:
        self._client = client
        self._real = real
        self._at: list[int] = []

    def execute_command(self, *args: Any) -> None:
        if args[0] == "WAITAOF":
            self._client.asked.append(args)
            self._at.append(len(self._real.command_stack))
        else:
            self._real.execute_command(*args)

    async def execute(self, raise_on_error: bool) -> list[Any]:
        results: list[Any] = await self._real.execute(raise_on_error=raise_on_error)
        for place in self._at:
            results.insert(place, self._client.logged)
        return results


async def test_a_save_waits_until_the_log_has_it(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with Newer(port=redis_server.port) as client:
        store = RedisTokenStore(client, application="7")
        async with store.lock(7):
            assert client.asked == [("WAITAOF", 1, 0, 4000)]
            assert await store.save(7, FULL)
        assert client.asked == [("WAITAOF", 1, 0, 4000)] * 2
        assert warnings_of(caplog) == []
        assert await store.load(7) == FULL


async def test_a_save_that_the_log_does_not_confirm_is_an_error_until_it_does(redis_server: RedisServer) -> None:
    async with Newer(port=redis_server.port) as client:
        store = RedisTokenStore(client, application="7")
        async with store.lock(7):
            client.logged = (0, 0)
            with pytest.raises(TokenStoreError, match=r"athlete 7 are written, but its log .* did not confirm"):
                await store.save(7, FULL)
            with pytest.raises(TokenStoreError, match="are written, but"):
                await store.load(7)
            assert await store.load(8) is None
            client.logged = (1, 0)
            assert await store.load(7) == FULL
            client.logged = (0, 0)
            with pytest.raises(TokenStoreError, match="are written, but"):
                await store.save(7, numbered(1))
            redis_server.ask("HINCRBY", LOCK, "fence", 1)
            with pytest.raises(TokenStoreError, match="passed to another process"):
                await store.save(7, numbered(2))
            with pytest.raises(TokenStoreError, match="are written, but"):
                await store.load(7)  # the one before is still in doubt
            client.logged = (1, 0)
            assert await store.load(7) == numbered(1)
            asked = len(client.asked)
            assert await store.load(7) == numbered(1)
            assert len(client.asked) == asked
        client.logged = (0, 0)
        with pytest.raises(TokenStoreError, match="could not keep what is saved now"):
            async with store.lock(7):
                raise AssertionError("Strava would have been asked")


async def test_what_is_deleted_is_confirmed_by_another_write(redis_server: RedisServer) -> None:
    def changes() -> int:
        return int(redis_server.ask("INFO", "persistence")["rdb_changes_since_last_save"])

    async with Newer(port=redis_server.port) as client:
        store = RedisTokenStore(client, application="7", key=OLD)
        await store.save(7, FULL)
        client.logged = (0, 0)
        with pytest.raises(TokenStoreError, match="are written, but"):
            await store.delete(7)
        client.logged = (1, 0)
        before = changes()
        assert await store.load(7) is None
        assert changes() > before  # a server confirms what the connection has written, and else nothing
        assert await store.athlete_ids() == []


async def test_it_waits_for_the_log_no_longer_than_the_client_listens(redis_server: RedisServer) -> None:
    for seconds, milliseconds in ((1.0, 800), (60.0, 24_000), (None, 24_000)):
        async with Newer(port=redis_server.port, socket_timeout=seconds) as client:
            await RedisTokenStore(client, application="7", timeout=60.0).save(7, FULL)
            assert client.asked == [("WAITAOF", 1, 0, milliseconds)]


async def test_a_log_that_is_turned_off_is_found_at_the_next_save(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path / "redis") as server:
        async with Newer(port=server.port) as client:
            store = RedisTokenStore(client, application="7")
            await store.save(7, FULL)
            server.ask("CONFIG", "SET", "appendonly", "no")
            client.logged = redis.ResponseError(
                "WAITAOF cannot be used when numlocal is set but appendonly is disabled."
            )
            with pytest.raises(TokenStoreError):
                await store.save(7, numbered(1))
            assert await store.save(7, numbered(1))
            assert [each for each in warnings_of(caplog) if "set appendonly yes" not in each] == []


async def test_a_save_that_was_refused_leaves_nothing_to_confirm(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with Newer(port=server.port) as client:
            store = RedisTokenStore(client, application="7")
            await store.save(7, FULL)
            server.ask("CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(TokenStoreError, match="no memory left"):
                await store.save(7, numbered(1))
            client.logged = (0, 0)
            assert await store.load(7) == FULL


async def test_a_server_without_waitaof_says_so(redis_server: RedisServer) -> None:
    async with Newer(port=redis_server.port) as client:
        client.logged = redis.ResponseError("unknown command 'WAITAOF', with args beginning with: '1' '0'")
        with pytest.raises(TokenStoreError, match="does not know the command WAITAOF"):
            await RedisTokenStore(client, application="7").save(7, FULL)


async def test_a_server_that_throws_keys_away_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server) as store:
            await store.save(7, FULL)
            server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            async with store.lock(7):
                pass  # it throws nothing away as long as nothing bounds its memory
            server.ask("CONFIG", "SET", "maxmemory", "1gb")
            with pytest.raises(TokenStoreError, match=r"allkeys-lru.*noeviction"):
                async with store.lock(7):
                    pass
        async with store_on(server) as store:
            with pytest.raises(TokenStoreError, match="allkeys-lru"):
                await store.load(7)
            server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
            assert await store.load(7) == FULL


async def test_a_full_server_is_found_before_strava_is_asked(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as server:
        async with store_on(server) as store:
            await store.save(7, FULL)
            server.ask("CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(TokenStoreError, match="no memory left"):
                async with store.lock(7):
                    raise AssertionError("Strava would have been asked")
            assert await store.load(7) == FULL


# Who may


def grant(server: RedisServer, but: str = "") -> None:
    """Make a user with all permissions that are needed, but one."""
    known = [each for each in ACL if each != "+waitaof" or server.version >= (7, 2)]
    server.ask("ACL", "SETUSER", "low", "reset", "on", ">p", *(each for each in known if each != but))


async def use_all(store: RedisTokenStore) -> None:
    await store.check_writable()
    await use(store)
    assert await store.athlete_ids() == [7]
    assert await store.rotate() == 1
    assert await store.delete(7)


@pytest.mark.parametrize("missing", [each for each in ACL if each != "+config|get"])
async def test_a_missing_permission_is_named(redis_server: RedisServer, missing: str) -> None:
    if missing == "+waitaof" and redis_server.version < (7, 2):
        return  # it cannot be withheld where there is none
    grant(redis_server, missing)
    async with store_on(redis_server, options=LOW, key=OLD, replicas=int(missing == "+wait")) as store:
        with pytest.raises(TokenStoreError) as caught:
            await use_all(store)
    needed = missing.replace("*}", "7}")
    assert f"add {needed} to its ACL" in str(caught.value)
    assert needed.removeprefix("+").upper() in str(caught.value) or "the keys {strava:7}:*" in str(caught.value)


async def test_the_permissions_of_the_documents_suffice(redis_server: RedisServer) -> None:
    grant(redis_server)
    async with store_on(redis_server, options=LOW, key=OLD) as store:
        await use_all(store)


@pytest.mark.parametrize("options", [{"password": "wr0ng"}, {"username": "nobody", "password": "wr0ng"}, {}], ids=str)
async def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path, options: dict[str, Any]) -> None:
    with running(tmp_path / "redis", "--requirepass", "r1ght") as server:
        async with client_of(server, **options) as client:
            with pytest.raises(TokenStoreError, match="password: give the client") as caught:
                async with RedisTokenStore(client, application="7"):
                    pass
    assert "wr0ng" not in "".join(text for _, text in shown_by(caught.value))


async def test_a_key_that_is_another_program_s_is_told(redis_server: RedisServer, store: RedisTokenStore) -> None:
    redis_server.ask("SET", TOKENS, "x")
    with pytest.raises(TokenStoreError, match="holds something else"):
        await store.load(7)


# Encryption


async def test_with_a_key_monitor_sees_no_token(redis_server: RedisServer) -> None:
    async with client_of(redis_server, decode_responses=True) as watching, watching.monitor() as monitor:
        async with store_on(redis_server, key=OLD) as store, store_on(redis_server, key=[NEW, OLD]) as other:
            async with store.lock(7):
                await store.save(7, FULL, replacing=None)
                await store.save(7, numbered(1), replacing=FULL)
                await store.save(7, FULL)
            await other.rotate()
            assert await other.load(7) == FULL
            assert await other.delete(7, if_unchanged=FULL)
        redis_server.ask("ECHO", "the end")
        seen = ""
        while "the end" not in seen:
            seen += str(await monitor.next_command())
    assert "HSET" in seen
    assert not [token for token in ("access-0", "refresh-0", "a1", "r1") if f'"{token}' in seen or f"{token}\\" in seen]
    assert not {OLD, NEW} & set(re.findall(r"[\w=-]+", seen))


async def test_without_one_monitor_would(redis_server: RedisServer, store: RedisTokenStore) -> None:
    async with client_of(redis_server, decode_responses=True) as watching, watching.monitor() as monitor:
        await store.save(7, FULL)
        redis_server.ask("ECHO", "the end")
        seen = ""
        while "the end" not in seen:
            seen += str(await monitor.next_command())
    assert "refresh-0" in seen


@pytest.mark.parametrize("key", [None, NEW], ids=["none", "wrong"])
async def test_a_missing_or_wrong_key_is_told_before_anything_is_done(redis_server: RedisServer, key: Any) -> None:
    async with store_on(redis_server, key=OLD) as store, store_on(redis_server, key=key) as other:
        await store.save(7, FULL)
        before = redis_server.ask("HGETALL", TOKENS)
        uses: tuple[Callable[[], Any], ...] = (
            lambda: other.load(7),
            lambda: other.load(8),
            lambda: other.save(8, FULL),
            lambda: other.delete(7),
            other.athlete_ids,
            other.check_writable,
            lambda: other.lock(7).__aenter__(),
        )
        for each in uses:
            with pytest.raises(TokenStoreError, match=r"Redis \(application 7\) are encrypted.*: pass"):
                await each()
        assert redis_server.ask("HGETALL", TOKENS) == before


async def test_a_key_is_changed_while_processes_run(redis_server: RedisServer) -> None:
    async with (
        store_on(redis_server, key=OLD) as old,
        store_on(redis_server, key=[NEW, OLD]) as between,
        store_on(redis_server, key=NEW) as new,
    ):
        await old.save(7, numbered(7))
        await between.save(8, numbered(8))
        assert await old.load(8) == numbered(8)  # all go on with the old key
        async with old.lock(7):
            assert await between.rotate() == 2
            with pytest.raises(TokenStoreError, match="another key"):
                await old.save(7, FULL)
        assert [await new.load(each) for each in (7, 8)] == [numbered(7), numbered(8)]
        assert await between.save(7, FULL, replacing=numbered(7))
        assert await new.load(7) == FULL


async def test_plain_tokens_are_read_with_a_key_and_encrypted_by_rotate(redis_server: RedisServer) -> None:
    async with store_on(redis_server) as plain, store_on(redis_server, key=OLD) as store:
        await plain.save(7, FULL)
        assert await store.load(7) == FULL
        await store.save(8, numbered(8))
        with pytest.raises(TokenStoreError, match="pass the key"):
            await plain.load(7)
        assert "refresh-0" in str(redis_server.ask("HGET", TOKENS, 7))
        assert await store.rotate() == 2
        assert "refresh-0" not in str(redis_server.ask("HGETALL", TOKENS))
        assert await store.load(7) == FULL
        with pytest.raises(InputError, match="needs a key"):
            await plain.rotate()


async def test_a_save_that_meets_a_rotation_is_encrypted_with_the_new_key(redis_server: RedisServer) -> None:
    class Late(Redis):
        """Lets somebody rotate between what a save reads and what it writes."""

        other: RedisTokenStore | None = None

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            found = await super().execute_command(*args, **options)
            other, self.other = (self.other, None) if args[-1] == 8 else (None, self.other)
            if other is not None:
                await other.rotate()
            return found

    async with Late(port=redis_server.port) as client, store_on(redis_server, key=[NEW, OLD]) as other:
        store = RedisTokenStore(client, application="7", key=[OLD, NEW])
        await store.save(7, FULL)
        client.other = other
        assert await store.save(8, numbered(8))
    async with store_on(redis_server, key=NEW) as new:
        assert [await new.load(each) for each in (7, 8)] == [FULL, numbered(8)]


async def test_rotate_goes_on_when_others_write_meanwhile(redis_server: RedisServer) -> None:
    class Busy(Redis):
        """Lets somebody save between what a rotation reads and what it writes, twice."""

        others: list[RedisTokenStore]

        async def execute_command(self, *args: Any, **options: Any) -> Any:
            found = await super().execute_command(*args, **options)
            if "HGETALL" in script_of(args) and self.others:
                await self.others.pop().save(len(self.others), numbered(len(self.others)))
            return found

    async with Busy(port=redis_server.port) as client, store_on(redis_server, key=OLD) as other:
        await other.save(7, FULL)
        client.others = [other, other]
        assert await RedisTokenStore(client, application="7", key=[NEW, OLD]).rotate() == 3
    async with store_on(redis_server, key=NEW) as new:
        assert [await new.load(each) for each in (0, 1, 7)] == [numbered(0), numbered(1), FULL]


@pytest.mark.parametrize("key", [None, OLD], ids=["plain", "encrypted"])
async def test_a_row_that_is_another_s_or_nothing_is_refused(redis_server: RedisServer, key: Any) -> None:
    async with store_on(redis_server, key=key) as store:
        await store.save(7, FULL)
        for row in (redis_server.ask("HGET", TOKENS, 7), "[]", "x"):
            redis_server.ask("HSET", TOKENS, 8, str(row))
            with pytest.raises(TokenStoreError, match="row of athlete 8") as caught:
                await store.load(8)
            assert "refresh-0" not in "".join(text for _, text in shown_by(caught.value))


async def test_no_error_shows_a_token_or_a_key(tmp_path: Path) -> None:
    for key in (None, OLD):
        with running(tmp_path / "redis") as server:
            async with store_on(server, key=key) as store:
                await store.save(7, FULL)
                server.ask("CONFIG", "SET", "maxmemory", 1)
                errors: list[BaseException] = []
                for last in (False, True):
                    with pytest.raises(TokenStoreError) as caught:
                        await store.save(7, numbered(1), replacing=FULL)
                    errors.append(caught.value)
                    if not last:
                        server.kill()
                for error in errors:
                    shown = "".join(text for _, text in shown_by(error))
                    assert not [each for each in ("access-0", "refresh-0", 'r1"', OLD) if each in shown]
                assert OLD not in repr(store)


class Contested(Newer):
    """Lets somebody else save after each time that all tokens were read, if there is one."""

    other: RedisTokenStore | None = None
    numbers = itertools.count(2)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        found = await super().execute_command(*args, **options)
        if self.other is not None and script_of(args) == scripts.EVERYTHING:
            await self.other.save(7, numbered(next(self.numbers)))
        return found


@pytest.mark.parametrize("key", [None, OLD], ids=["plain", "encrypted"])
async def test_no_error_about_what_came_of_a_write_shows_a_token(redis_server: RedisServer, key: Any) -> None:
    errors: list[BaseException] = []

    async def failing(work: Awaitable[Any], match: str) -> None:
        with pytest.raises(TokenStoreError, match=match) as caught:
            await work
        errors.append(caught.value)

    async with Contested(port=redis_server.port) as client, store_on(redis_server, key=key) as other:
        store = RedisTokenStore(client, application="7", key=key)
        await store.save(7, FULL)
        async with store.lock(7):
            redis_server.ask("HINCRBY", LOCK, "fence", 1)
            await failing(store.save(7, FULL), "passed to another process")
            await failing(store.delete(7, if_unchanged=FULL), "passed to another process")
        client.logged = (0, 0)
        await failing(store.save(7, FULL, replacing=FULL), "are written, but")
        await failing(store.load(7), "are written, but")
        await failing(store.delete(7), "are written, but")
        if key:
            await failing(store.rotate(), "rotated tokens are written, but")
        client.logged, client.other = (1, 0), other
        await other.save(7, FULL)
        if key:
            await failing(store.rotate(), "during each attempt")
    for error in errors:
        shown = "".join(text for _, text in shown_by(error))
        assert not [each for each in ("access-0", "refresh-0", 'r1"', OLD) if each in shown]
