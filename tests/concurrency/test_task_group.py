"""An error comes out of a task group as it is, and nothing goes on behind it."""

import gc
import sys
import traceback
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from strava_async._concurrency.task_group import TaskGroup

pytestmark = pytest.mark.anyio


class MyError(Exception):
    """An error of a test's own."""


async def fail(error: Exception) -> None:
    raise error


async def wait_for_ever(ended: list[str], name: str = "task") -> None:
    try:
        await anyio.sleep_forever()
    finally:
        ended.append(name)


async def test_all_tasks_end_before_the_block_does() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        done.append(number)

    async with TaskGroup() as tasks:
        for number in range(1_000):
            tasks.start_soon(work, number)
    assert sorted(done) == list(range(1_000))


async def test_the_error_of_a_task_comes_out_as_it_is_and_ends_the_block_and_the_other_tasks() -> None:
    ended: list[str] = []
    error = MyError("task")

    async def block() -> None:
        async with TaskGroup() as tasks:
            tasks.start_soon(wait_for_ever, ended)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(fail, error)
            await wait_for_ever(ended, "block")

    with pytest.raises(MyError) as caught:
        await block()
    assert caught.value is error
    assert sorted(ended) == ["block", "task"]
    assert (error.__cause__, error.__context__) == (None, None)
    assert fail.__name__ in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("where", ["block", "task"])
async def test_an_error_keeps_its_context_and_ends_the_tasks(where: str) -> None:
    ended: list[str] = []

    async def fail_while_handling() -> None:
        try:
            raise KeyError("before")
        except KeyError:
            await fail(MyError("after"))

    async def block() -> None:
        async with TaskGroup() as tasks:
            tasks.start_soon(wait_for_ever, ended)
            await anyio.wait_all_tasks_blocked()
            if where == "block":
                await fail_while_handling()
            tasks.start_soon(fail_while_handling)
            await anyio.sleep_forever()

    with pytest.raises(MyError) as caught:
        await block()
    assert isinstance(caught.value.__context__, KeyError)
    assert ended == ["task"]


@pytest.mark.parametrize("where", ["block", "task"])
async def test_of_many_errors_the_first_comes_out(where: str) -> None:
    first = MyError("first")

    async def fail_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await fail(MyError("later"))

    async def block() -> None:
        async with TaskGroup() as tasks:
            for _ in range(100):
                tasks.start_soon(fail_when_cancelled)
            await anyio.wait_all_tasks_blocked()
            if where == "block":
                await fail(first)
            tasks.start_soon(fail, first)
            await fail_when_cancelled()

    with pytest.raises(MyError) as caught:
        await block()
    assert caught.value is first


async def test_to_cancel_the_group_is_no_error() -> None:
    ended: list[str] = []
    async with TaskGroup() as tasks:
        tasks.start_soon(wait_for_ever, ended)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        await anyio.sleep_forever()
    assert ended == ["task"]


async def test_a_cancellation_from_outside_goes_through() -> None:
    ended: list[str] = []
    with anyio.CancelScope() as outside:
        async with TaskGroup() as tasks:
            tasks.start_soon(wait_for_ever, ended)
            await anyio.wait_all_tasks_blocked()
            outside.cancel()
            await anyio.sleep_forever()
        ended.append("went on")
    assert ended == ["task"]
    assert outside.cancelled_caught


async def test_what_is_no_exception_is_not_kept_back() -> None:
    async def block() -> None:
        async with TaskGroup() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            sys.exit(3)

    with pytest.raises((SystemExit, BaseExceptionGroup)):
        await block()


async def test_groups_may_be_nested() -> None:
    error = MyError("inner")

    async def inner() -> None:
        async with TaskGroup() as tasks:
            tasks.start_soon(fail, error)

    async def outer() -> None:
        async with TaskGroup() as tasks:
            tasks.start_soon(inner)

    with pytest.raises(MyError) as caught:
        await outer()
    assert caught.value is error


@pytest.mark.parametrize("where", ["block", "task"])
async def test_an_error_keeps_nothing_alive_in_a_circle(where: str) -> None:
    async def fail_again() -> None:
        raise MyError("its own frame does not hold it")

    async def block() -> None:
        async with TaskGroup() as tasks:
            if where == "block":
                await fail_again()
            tasks.start_soon(fail_again)

    gc.collect()
    gc.disable()
    try:
        with suppress(MyError):
            await block()
        assert not [found for found in gc.get_objects() if isinstance(found, MyError)]
    finally:
        gc.enable()
