"""Tokens in memory."""

import subprocess
import sys
import threading
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from strava_async._concurrency.keyed_lock import KeyedLock
from strava_async.errors import InputError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores import MemoryTokenStore, TokenStore
from tests.stores.contract import FULL, StrictStoreContract


class TestMemoryTokenStore(StrictStoreContract):
    @pytest.fixture
    def store(self) -> TokenStore:
        return MemoryTokenStore()


def test_a_store_outlives_an_event_loop(anyio_backend: str) -> None:
    store = MemoryTokenStore()

    async def use() -> TokenSet | None:
        async with store.lock(7):
            before = await store.load(7)
            await store.save(7, FULL)
        return before

    assert anyio.run(use, backend=anyio_backend) is None
    assert anyio.run(use, backend=anyio_backend) == FULL


def test_a_loop_that_stopped_inside_a_lock_leaves_it_to_the_next() -> None:
    store = MemoryTokenStore()
    contexts = []

    async def stop_inside() -> None:
        contexts.append(store.lock(7))
        await contexts[0].__aenter__()

    async def enter() -> str:
        async with store.lock(7):
            return "inside"

    anyio.run(stop_inside)
    assert anyio.run(enter) == "inside"


def test_the_lock_in_a_second_loop_that_has_not_ended_is_an_error_at_once(anyio_backend: str) -> None:
    store = MemoryTokenStore()
    inside, told = threading.Event(), threading.Event()
    errors: list[InputError] = []

    async def hold() -> None:
        async with store.lock(7):
            inside.set()
            await anyio.to_thread.run_sync(told.wait, 10)

    async def enter() -> str:
        async with store.lock(8):  # whoever is in the lock: the store is the other loop's
            return "inside"

    other = threading.Thread(target=partial(anyio.run, hold, backend=anyio_backend))
    other.start()
    assert inside.wait(10)
    try:
        anyio.run(enter, backend=anyio_backend)
    except InputError as error:
        errors.append(error)
    finally:
        told.set()
        other.join()
    assert "another event loop" in str(errors[0])
    assert anyio.run(enter, backend=anyio_backend) == "inside"


@pytest.mark.anyio
async def test_waiters_come_in_in_the_order_in_which_they_asked() -> None:
    store = MemoryTokenStore()
    order: list[int] = []

    async def enter(number: int) -> None:
        async with store.lock(7):
            order.append(number)

    async with anyio.create_task_group() as tasks, store.lock(7):
        for number in range(5):
            tasks.start_soon(enter, number)
            await anyio.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.anyio
async def test_locks_of_idle_athletes_are_not_kept() -> None:
    lock = KeyedLock()

    async def enter(key: int) -> None:
        async with lock.hold(key):
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for key in range(100):
            tasks.start_soon(enter, key % 50)
        await anyio.lowlevel.checkpoint()
    assert lock.in_use() == 0


@pytest.mark.anyio
async def test_a_waiter_who_gave_up_leaves_no_lock_behind() -> None:
    lock = KeyedLock()

    async def wait() -> None:
        async with lock.hold(7):
            raise AssertionError("two are in")

    async with anyio.create_task_group() as tasks, lock.hold(7):
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert lock.in_use() == 0


@pytest.mark.anyio
async def test_a_task_that_would_wait_for_itself_is_reported() -> None:
    store = MemoryTokenStore()
    async with store.lock(7):
        with pytest.raises(InputError, match="wait for itself"):
            async with store.lock(7):
                pass
    async with store.lock(7):
        pass


@pytest.mark.anyio
async def test_the_repr_says_how_many_athletes() -> None:
    store = MemoryTokenStore()
    await store.save(7, FULL)
    assert repr(store) == "<MemoryTokenStore athletes=1>"


def test_memory_does_not_pay_for_sqlite() -> None:
    script = "import sys; from strava_async.stores import MemoryTokenStore; print('sqlite3' in sys.modules)"
    script += "; from strava_async.stores import SqliteTokenStore; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_another_name_is_an_attribute_error() -> None:
    import strava_async.stores

    with pytest.raises(AttributeError, match="PostgresTokenStore"):
        getattr(strava_async.stores, "Postgres" + "TokenStore")
