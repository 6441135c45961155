"""The store of webhook events in a file: the contract, and what only a file does."""

import contextlib
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from strava_async._concurrency import threads
from strava_async.errors import EventStoreError, InputError
from strava_async.testing import FakeClock
from strava_async.webhooks import (
    Appended,
    Claim,
    GrantState,
    PersistedEvent,
    SqliteBacklog,
    SqliteEventStore,
    StoreStats,
)
from tests.webhooks.contract import (
    LEASE,
    MAX_OF_AN_OWNER,
    MAX_UNFINISHED,
    EventStoreContract,
    claimed,
    event,
    events_of,
    removed,
)

pytestmark = pytest.mark.anyio


async def quiet() -> None:
    """Wait until every task waits, and no thread works for one."""
    calm = 0
    while calm < 2:
        await anyio.wait_all_tasks_blocked()
        calm = 0 if threads.busy() else calm + 1
        if not calm:
            await anyio.sleep(0.001)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def made(path: Path, clock: FakeClock) -> SqliteEventStore:
    return SqliteEventStore(path, clock=clock, max_unfinished=MAX_UNFINISHED, max_unfinished_of_owner=MAX_OF_AN_OWNER)


async def one(store: SqliteEventStore, **arguments: bool) -> Claim:
    [claim] = await claimed(store, 1, LEASE, quiet=quiet, **arguments)
    return claim


class TestSqliteEventStore(EventStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, path: Path) -> None:
        self.path = path

    @asynccontextmanager
    async def opened_twice(self, clock: FakeClock) -> AsyncGenerator[tuple[SqliteEventStore, SqliteEventStore]]:
        first, second = made(self.path, clock), made(self.path, clock)
        async with first.running(), second.running():
            yield first, second

    async def quiet(self) -> None:
        await quiet()


# -- the file ---------------------------------------------------------------------------------------------------------


async def test_what_is_stored_outlives_the_process(path: Path, clock: FakeClock) -> None:
    assert await made(path, clock).append(event()) is Appended.STORED
    assert await made(path, clock).append(event()) is Appended.DUPLICATE
    later = made(path, clock)
    async with later.running():
        claim = await one(later)
    assert claim.pending.event == event()
    assert mode(path) == 0o600


async def test_what_is_settled_leaves_its_key_for_an_hour_and_nothing_else(path: Path, clock: FakeClock) -> None:
    store = made(path, clock)
    async with store.running():
        await store.append(event(1))
        await store.ack(await one(store))
        clock.advance(3599)
        assert await store.append(event(1)) is Appended.DUPLICATE
        clock.advance(1)
        await store.append(event(2))
        await store.ack(await one(store))
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("select count(*) from events").fetchone() == (0,)
        assert file.execute("select key from keys").fetchall() == [(event(2).key,)]
        assert file.execute("select count(*) from owners").fetchone() == (0,)


async def test_writes_that_come_together_are_one_transaction(path: Path, clock: FakeClock) -> None:
    store = SqliteEventStore(path, clock=clock)
    async with store.running():
        await store.append(event(1))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:

            def version() -> int:
                return int(file.execute("pragma data_version").fetchone()[0])

            await quiet()
            before = version()
            versions = set()
            async with anyio.create_task_group() as tasks:

                async def append(number: int) -> None:
                    assert await store.append(event(number, owner_id=number)) is Appended.STORED
                    versions.add(version())

                for number in range(2, 102):
                    tasks.start_soon(append, number)
            assert before not in versions
            assert len(versions) <= 2
        assert (await store.stats()).unfinished == 101


async def test_who_waits_for_an_event_has_that_of_another_process_within_a_second(path: Path, clock: FakeClock) -> None:
    store, claims = made(path, clock), list[Claim]()

    async def wait() -> None:
        claims.extend(await store.claim(1, LEASE))

    async with store.running(), anyio.create_task_group() as tasks:
        await quiet()
        tasks.start_soon(wait)
        await quiet()
        await made(path, clock).append(event())
        await quiet()
        assert claims == []
        for _ in range(3):
            clock.advance(0.25)
            await quiet()
        assert events_of(claims) == [event()]
        tasks.cancel_scope.cancel()


async def test_without_a_service_every_call_works_too(path: Path, clock: FakeClock) -> None:
    store = made(path, clock)
    assert await store.stats() == StoreStats(0, 0, None, None)
    await store.append(event())
    assert [stored.event for stored in await store.events()] == [event()]
    assert await store.turn(7) == 0
    assert await store.drop(event().key)


async def test_a_write_whose_service_ends_before_it_began_is_done_all_the_same(path: Path, clock: FakeClock) -> None:
    store = made(path, clock)
    results: list[Appended] = []

    async def append(number: int) -> None:
        results.append(await store.append(event(number)))

    async with anyio.create_task_group() as tasks, store.running():
        await store.append(event(1))
        tasks.start_soon(append, 2)
        tasks.start_soon(append, 3)
        await anyio.lowlevel.checkpoint()
    assert results == [Appended.STORED] * 2
    assert (await store.stats()).unfinished == 3


def lock(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("begin immediate")
    return connection


async def test_a_file_that_is_locked_is_an_error_and_used_again_when_it_is_free(path: Path, clock: FakeClock) -> None:
    store = made(path, clock)
    async with store.running():
        await store.append(event(1))
        with contextlib.closing(lock(path)), pytest.raises(EventStoreError, match="another process has locked"):
            await store.append(event(2))
        assert await store.append(event(2)) is Appended.STORED


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"not a database at all" * 100, "damaged"), (b"", "empty")],
)
async def test_a_file_that_is_no_database_is_left_alone(
    path: Path, clock: FakeClock, content: bytes, match: str
) -> None:
    put(path, content)
    store = made(path, clock)
    async with store.running():
        with pytest.raises(EventStoreError, match=match):
            await store.append(event())
        assert content_of(path) == content
        remove(path)
        assert await store.append(event()) is Appended.STORED


@pytest.mark.parametrize(
    ("pragma", "match"), [("application_id = 5", "another program's"), ("user_version = 9", "newer strava-async")]
)
async def test_a_file_of_another_program_or_version_is_left_alone(
    path: Path, clock: FakeClock, pragma: str, match: str
) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.executescript(
            f"pragma application_id = {0x53747262}; pragma user_version = 2; pragma {pragma}; create table things (id)"
        )
    before = content_of(path)
    store = made(path, clock)
    with pytest.raises(EventStoreError, match=match):
        await store.append(event())
    with pytest.raises(EventStoreError, match=match):
        await store.stats()
    assert content_of(path) == before


async def test_a_file_that_is_replaced_meanwhile_is_used_from_then_on(path: Path, clock: FakeClock) -> None:
    store = made(path, clock)
    async with store.running():
        await store.append(event(1))
        await quiet()
        remove(path, Path(f"{path}-wal"), Path(f"{path}-shm"))
        assert await store.append(event(2)) is Appended.STORED
        assert events_of(await claimed(store, quiet=quiet)) == [event(2)]


async def test_a_row_that_cannot_be_read_is_dropped_and_the_others_follow(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = made(path, clock)
    await store.append(event(1, 1))
    await store.append(event(1, 2))
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("update events set value = 'läuft' where id = 1")
        file.commit()
    async with store.running():
        assert events_of(await claimed(store, quiet=quiet)) == [event(1, 2)]
    assert "cannot be read" in caplog.text
    assert "läuft" not in caplog.text


@pytest.mark.parametrize("argument", [{"max_unfinished": 0}, {"max_unfinished_of_owner": -1}])
def test_invalid_bounds_are_refused(path: Path, argument: dict[str, int]) -> None:
    with pytest.raises(InputError):
        SqliteEventStore(path, **argument)


# -- a backlog's file -------------------------------------------------------------------------------------------------


async def test_the_file_of_a_backlog_is_taken_over_with_its_events(path: Path, clock: FakeClock) -> None:
    kept = [
        PersistedEvent(event(1, 2), clock.time() - 60, failures={"trouble": 3}),
        PersistedEvent(event(1, 1), clock.time() - 90),
        PersistedEvent(removed(), clock.time() - 50, grant_state=GrantState.DELETED),
    ]
    await SqliteBacklog(path, clock=clock).keep(kept)
    store = made(path, clock)
    async with store.running():
        first = await one(store)
        assert (first.pending.event, first.pending.accepted_at) == (event(1, 1), clock.time() - 90)
        assert await store.append(event(1, 1)) is Appended.DUPLICATE
        await store.ack(first)
        second = await one(store)
        assert (second.pending.event, dict(second.pending.failures)) == (event(1, 2), {"trouble": 3})
        removal = await one(store, deauthorizations=True)
        assert removal.pending.grant_state is GrantState.DELETED


async def test_a_backlog_that_a_process_uses_is_taken_over_when_that_has_ended(path: Path, clock: FakeClock) -> None:
    backlog = SqliteBacklog(path, clock=clock)
    await backlog.hold([PersistedEvent(event(), clock.time())])
    store = made(path, clock)
    with pytest.raises(EventStoreError, match="end it, and its events are taken over"):
        await store.append(event(2))
    await backlog.settle([event().key])
    assert await store.append(event(2)) is Appended.STORED
    with pytest.raises(EventStoreError, match="newer"):
        await backlog.take()
    assert [stored.event for stored in await store.events()] == [event(2)]
