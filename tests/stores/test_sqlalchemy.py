"""The example of a store of one's own keeps what a store promises. SQLAlchemy's engines run on asyncio only."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from examples.sqlalchemy_store import Base, SqlAlchemyTokenStore, StravaTokenLock
from strava_async import TokenSet, TokenStore, TokenStoreError
from strava_async.testing import FakeClock
from tests.stores.contract import StoreContract

pytestmark = pytest.mark.anyio

LEASE_SECONDS = 180
TOKEN = TokenSet("access-1", "refresh-1", 1_900_000_000, frozenset({"read"}), 7)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class RestlessClock(FakeClock):
    """Stands still, and no sleep waits: those who wait try again at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def engine_of(path: Path, **arguments: Any) -> AsyncGenerator[AsyncEngine, None]:
    arguments.setdefault("connect_args", {"timeout": 60})
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", **arguments)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield engine
    finally:
        await engine.dispose()


def store_of(engine: AsyncEngine, clock: FakeClock, **arguments: Any) -> SqlAlchemyTokenStore:
    return SqlAlchemyTokenStore(async_sessionmaker(engine), clock=clock, lease_seconds=LEASE_SECONDS, **arguments)


async def leases(engine: AsyncEngine) -> list[str]:
    async with async_sessionmaker(engine)() as session:
        return list(await session.scalars(select(StravaTokenLock.holder)))


async def leave_lease(engine: AsyncEngine, clock: FakeClock) -> None:
    """Leave what a holder leaves that was killed."""
    async with async_sessionmaker(engine).begin() as session:
        session.add(StravaTokenLock(athlete_id=7, holder="dead", expires_at=int(clock.time()) + LEASE_SECONDS))


@pytest.fixture
def clock() -> RestlessClock:
    return RestlessClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.sqlite"


@pytest.fixture
async def engine(file: Path) -> AsyncGenerator[AsyncEngine, None]:
    async with engine_of(file) as engine:
        yield engine


@pytest.fixture
def store(engine: AsyncEngine, clock: RestlessClock) -> SqlAlchemyTokenStore:
    return store_of(engine, clock)


@pytest.fixture
async def other(file: Path, clock: RestlessClock) -> AsyncGenerator[SqlAlchemyTokenStore, None]:
    """The store as another process has it."""
    async with engine_of(file) as engine:
        yield store_of(engine, clock)


class TestSqlAlchemyTokenStore(StoreContract):
    """As every store."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def store(self, engine: AsyncEngine) -> TokenStore:
        return SqlAlchemyTokenStore(async_sessionmaker(engine))

    @pytest.fixture
    async def twin(self, file: Path) -> AsyncGenerator[TokenStore, None]:
        async with engine_of(file) as engine:
            yield SqlAlchemyTokenStore(async_sessionmaker(engine))


async def test_tokens_survive_the_engine(file: Path, clock: RestlessClock) -> None:
    async with engine_of(file) as engine:
        await store_of(engine, clock).save(7, TOKEN)
    async with engine_of(file) as engine:
        assert await store_of(engine, clock).load(7) == TOKEN


async def test_first_saves_at_once_leave_one_row(store: SqlAlchemyTokenStore, other: SqlAlchemyTokenStore) -> None:
    tokens = [TokenSet(f"access-{n}", athlete_id=7) for n in range(12)]
    async with anyio.create_task_group() as saves:
        for n, token in enumerate(tokens):
            saves.start_soon((store, other)[n % 2].save, 7, token)
    assert await store.load(7) in tokens
    assert await store.athlete_ids() == [7]


class Interrupted(AsyncSession):
    """Lets somebody else in between what merge reads and what it will write, once."""

    async def merge(self, *arguments: Any, **more: Any) -> Any:
        merged = await super().merge(*arguments, **more)
        interruption: list[Callable[[], Awaitable[None]]] = self.info["interruption"]
        while interruption:
            await interruption.pop()()
        return merged


def interrupted(engine: AsyncEngine, clock: FakeClock, work: Callable[[], Awaitable[None]]) -> SqlAlchemyTokenStore:
    sessions: async_sessionmaker[AsyncSession] = async_sessionmaker(
        engine, class_=Interrupted, info={"interruption": [work]}
    )
    return SqlAlchemyTokenStore(sessions, clock=clock)


async def test_a_first_save_goes_over_one_that_came_in_between(
    engine: AsyncEngine, clock: RestlessClock, other: SqlAlchemyTokenStore
) -> None:
    store = interrupted(engine, clock, lambda: other.save(7, TokenSet("theirs")))
    await store.save(7, TOKEN)
    assert await other.load(7) == TOKEN


async def test_a_save_goes_over_a_delete_that_came_in_between(
    engine: AsyncEngine, clock: RestlessClock, other: SqlAlchemyTokenStore
) -> None:
    await other.save(7, TokenSet("old"))
    store = interrupted(engine, clock, lambda: other.delete(7))
    await store.save(7, TOKEN)
    assert await other.load(7) == TOKEN


async def test_a_save_that_fails_shows_no_token(file: Path, engine: AsyncEngine, clock: RestlessClock) -> None:
    async with engine_of(file, connect_args={"timeout": 0}) as impatient, engine.connect() as writer:
        await writer.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked") as caught:
            await store_of(impatient, clock).save(7, TOKEN)
        await writer.rollback()
    assert "INSERT" in str(caught.value)
    assert not [text for text in ("access-1", "refresh-1") if text in repr(vars(caught.value)) + str(caught.value)]


async def test_no_two_are_ever_inside(
    engine: AsyncEngine, clock: RestlessClock, store: SqlAlchemyTokenStore, other: SqlAlchemyTokenStore
) -> None:
    inside: list[int] = []
    together: list[int] = []

    async def hold(n: int) -> None:
        async with (store, other)[n % 2].lock(7):
            inside.append(n)
            together.append(len(inside))
            await store.load(7)
            together.append(len(inside))
            inside.remove(n)

    async with anyio.create_task_group() as holders:
        for n in range(20):
            holders.start_soon(hold, n)
    assert together == [1] * 40
    assert clock.pauses  # they did contend
    assert await leases(engine) == []


async def test_a_lock_is_one_athletes_own(store: SqlAlchemyTokenStore, other: SqlAlchemyTokenStore) -> None:
    async with store.lock(7), other.lock(8), store.lock(9):
        pass


async def test_a_holder_holds_no_connection(
    file: Path, engine: AsyncEngine, store: SqlAlchemyTokenStore, clock: RestlessClock
) -> None:
    async with store.lock(7), engine_of(file, connect_args={"timeout": 0}) as impatient:
        assert "Current Checked out connections: 0" in engine.pool.status()
        await store_of(impatient, clock).save(7, TOKEN)


async def test_an_error_inside_the_lock_releases_it(engine: AsyncEngine, store: SqlAlchemyTokenStore) -> None:
    with pytest.raises(LookupError):
        async with store.lock(7):
            raise LookupError
    assert await leases(engine) == []


async def cancel(work: Callable[[], Awaitable[None]], turns: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


# Of the event loop, before the cancellation: from not yet begun to long inside, or waiting.
TURNS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)


async def test_cancelled_at_any_point_of_taking_and_holding_it_leaves_no_lease(
    engine: AsyncEngine, store: SqlAlchemyTokenStore
) -> None:
    async def hold() -> None:
        async with store.lock(7):
            await anyio.sleep_forever()

    for turns in TURNS:
        await cancel(hold, turns)
        assert await leases(engine) == []


async def test_cancelled_at_any_point_of_waiting_it_leaves_the_holders_lease(
    engine: AsyncEngine,
    store: SqlAlchemyTokenStore,
    other: SqlAlchemyTokenStore,
) -> None:
    async def wait() -> None:
        async with other.lock(7):
            pytest.fail("it was held")

    async with store.lock(7):
        held = await leases(engine)
        for turns in TURNS:
            await cancel(wait, turns)
            assert await leases(engine) == held
    assert await leases(engine) == []


async def test_a_holder_cancelled_again_while_it_releases_leaves_no_lease(
    engine: AsyncEngine, store: SqlAlchemyTokenStore
) -> None:
    entered = anyio.Event()

    async def hold() -> None:
        async with store.lock(7):
            entered.set()
            await anyio.sleep_forever()

    task = asyncio.ensure_future(hold())
    await entered.wait()
    for _ in range(2):
        task.cancel()
        await anyio.lowlevel.checkpoint()
    await asyncio.wait([task])
    with anyio.fail_after(30):
        while await leases(engine):
            await anyio.lowlevel.checkpoint()


async def test_a_lease_is_its_holders_for_all_its_time(engine: AsyncEngine, clock: RestlessClock) -> None:
    await leave_lease(engine, clock)
    clock.advance(LEASE_SECONDS)
    with pytest.raises(TokenStoreError):
        async with store_of(engine, clock, wait_seconds=0).lock(7):
            pass
    assert await leases(engine) == ["dead"]


async def test_a_lease_that_has_run_out_is_taken_over(
    engine: AsyncEngine, store: SqlAlchemyTokenStore, clock: RestlessClock
) -> None:
    await leave_lease(engine, clock)
    clock.advance(LEASE_SECONDS + 1)
    async with store.lock(7):
        (holder,) = await leases(engine)
        assert holder != "dead"
        with pytest.raises(TokenStoreError):  # it is a whole lease again
            async with store_of(engine, clock, wait_seconds=0).lock(7):
                pass
    assert clock.pauses == []
    assert await leases(engine) == []


async def test_a_lease_that_has_run_out_is_one_takers_only(
    engine: AsyncEngine, store: SqlAlchemyTokenStore, other: SqlAlchemyTokenStore, clock: RestlessClock
) -> None:
    await leave_lease(engine, clock)
    clock.advance(LEASE_SECONDS + 1)
    await test_no_two_are_ever_inside(engine, clock, store, other)


async def test_a_holder_whose_lease_ran_out_leaves_the_new_holders_alone(
    engine: AsyncEngine, store: SqlAlchemyTokenStore, other: SqlAlchemyTokenStore, clock: RestlessClock
) -> None:
    slow = store.lock(7)
    lease = await slow.__aenter__()
    clock.advance(LEASE_SECONDS - 1)
    assert lease.held()
    clock.advance(2)
    assert not lease.held()
    async with other.lock(7):
        mine = await leases(engine)
        await slow.__aexit__(None, None, None)
        assert await leases(engine) == mine
    assert await leases(engine) == []


async def test_a_waiter_asks_less_and_less_often_and_gives_up(engine: AsyncEngine) -> None:
    clock = FakeClock()
    waits: list[float] = []

    class Counted(FakeClock):
        async def sleep(self, seconds: float) -> None:
            waits.append(seconds)
            self.advance(seconds)
            await anyio.lowlevel.checkpoint()

    await leave_lease(engine, clock)
    with pytest.raises(TokenStoreError, match="athlete 7"):
        async with store_of(engine, Counted(), wait_seconds=10).lock(7):
            pytest.fail("it was held")
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.02, 0.5)
    assert 10 <= sum(waits) < 10.5
    assert await leases(engine) == ["dead"]
