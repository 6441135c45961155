"""What several callers write at once goes into the store together, whatever fails and whoever is cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, cast

import anyio
import anyio.abc
import pytest

from strava_async.errors import StoreError
from strava_async.harvest import Changes
from strava_async.harvest.writer import Writer

pytestmark = pytest.mark.anyio
LONG = 20.0


class Store:
    """Notes the athletes of each write.

    Args:
        failing: the athletes with whom a write fails.
    """

    def __init__(self, failing: Sequence[int] = ()) -> None:
        self.written: list[list[int]] = []
        self.may_end = anyio.Event()
        self.may_end.set()
        self.begun = anyio.Event()
        self._failing = set(failing)

    async def write(self, *changes: Changes) -> None:
        self.begun.set()
        await self.may_end.wait()
        ids = [each.athlete_id for each in changes]
        if self._failing & set(ids):
            raise StoreError(f"not {ids}")
        self.written.append(sorted(ids))  # trio starts tasks in any order


def writer_of(store: Store, seconds: float = LONG) -> Writer:
    return Writer(cast(Any, store), seconds)


@asynccontextmanager
async def many(writer: Writer, ids: Sequence[int], errors: list[int]) -> AsyncGenerator[anyio.abc.TaskGroup]:
    """Write for athletes at once."""

    async def write(athlete_id: int) -> None:
        try:
            await writer.write(Changes(athlete_id))
        except StoreError:
            errors.append(athlete_id)

    async with anyio.create_task_group() as tasks:
        for athlete_id in ids:
            tasks.start_soon(write, athlete_id)
        yield tasks


async def test_what_nobody_else_asks_beside_is_written_at_once() -> None:
    store = Store()
    writer = writer_of(store)
    await writer.write(Changes(7))
    with writer.asking():
        pass
    await writer.write(Changes(8))
    assert store.written == [[7], [8]]


async def test_writes_wait_until_two_of_three_have_something() -> None:
    store = Store()
    writer = writer_of(store)
    with ExitStack() as asking:
        for _ in range(3):
            asking.enter_context(writer.asking())
        async with many(writer, range(1, 6), []):
            await anyio.wait_all_tasks_blocked()
            assert store.written == []
            await writer.write(Changes(6))
            assert store.written == [[1, 2, 3, 4, 5, 6]]


async def test_writes_wait_until_nobody_asks_any_more() -> None:
    store = Store()
    writer = writer_of(store)
    async with many(writer, [1], []):
        with writer.asking():
            await anyio.wait_all_tasks_blocked()
            assert store.written == []
    assert store.written == [[1]]


async def test_writes_do_not_wait_for_long() -> None:
    store = Store()
    writer = writer_of(store, 0.0)
    with writer.asking():
        await writer.write(Changes(7))
    assert store.written == [[7]]


async def test_one_that_fails_fails_alone() -> None:
    store, errors = Store(failing=[2, 4]), list[int]()
    writer = writer_of(store)
    async with many(writer, range(1, 6), errors):
        pass
    assert (sorted(store.written), sorted(errors)) == ([[1], [3], [5]], [2, 4])


async def test_what_comes_meanwhile_is_written_next_by_another() -> None:
    store = Store()
    writer = writer_of(store)
    store.may_end = anyio.Event()
    async with many(writer, [1], []), many(writer, [], []) as tasks:
        await store.begun.wait()
        for athlete_id in (2, 3):
            tasks.start_soon(writer.write, Changes(athlete_id))
        await anyio.wait_all_tasks_blocked()
        store.may_end.set()
    assert store.written == [[1], [2, 3]]
    await writer.wait_idle()


@pytest.mark.parametrize("cancelled", ["the first", "the others", "all", "all before it begins"])
async def test_what_was_to_be_written_is_written_whoever_is_cancelled(cancelled: str) -> None:
    store = Store()
    writer = writer_of(store)
    store.may_end = anyio.Event()
    with ExitStack() as asking:
        if cancelled == "all before it begins":
            asking.enter_context(writer.asking())
        async with anyio.create_task_group() as first, many(writer, [], []) as others:
            first.start_soon(writer.write, Changes(1))
            await anyio.wait_all_tasks_blocked()
            for athlete_id in (2, 3):
                others.start_soon(writer.write, Changes(athlete_id))
            await anyio.wait_all_tasks_blocked()
            if cancelled != "the others":
                first.cancel_scope.cancel()
            if cancelled != "the first":
                others.cancel_scope.cancel()
            asking.close()
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
                store.may_end.set()
    await writer.wait_idle()
    assert sorted(one for ids in store.written for one in ids) == [1, 2, 3]
