"""Heavy work of the emulator is done in turns, and leaves room for what is light."""

import asyncio
from itertools import pairwise

import anyio
import pytest
from anyio.lowlevel import checkpoint

from strava_async.testing.http.serial_executor import SerialExecutor
from tests.testing.event_loops import each_loop

pytestmark = pytest.mark.anyio
anyio_backend = each_loop

SHARED = SerialExecutor()


async def test_who_came_first_works_first_and_others_get_in_between():
    executor, done = SerialExecutor(), []

    async def light():
        while len(done) - done.count("light") < 5:
            done.append("light")
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(executor.run, lambda number=number: done.append(number))
        tasks.start_soon(light)
    heavy = [one for one in done if one != "light"]
    assert sorted(heavy) == list(range(5))
    places = [place for place, one in enumerate(done) if one != "light"]
    assert all(later > earlier + 1 for earlier, later in pairwise(places))


async def test_the_order_is_that_of_coming():
    executor, done = SerialExecutor(), []
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(executor.run, lambda number=number: done.append(number))
            await checkpoint()
    assert done == list(range(5))


async def test_what_work_returns_or_raises_comes_back_and_the_next_one_goes_on():
    def fail():
        raise KeyError("broken")

    executor = SerialExecutor()
    with pytest.raises(KeyError, match="broken"):
        await executor.run(fail)
    assert await executor.run(lambda: 7) == 7


async def test_who_gives_up_holds_nobody_up():
    executor, done = SerialExecutor(), []
    async with anyio.create_task_group() as tasks:
        for number in range(3):
            scope = anyio.CancelScope()
            if number == 1:
                scope.cancel()

            async def work(number=number, scope=scope):
                with scope:
                    await executor.run(lambda: done.append(number))

            tasks.start_soon(work)
    assert sorted(done) == [0, 2]


@pytest.mark.parametrize("round_", [1, 2])
async def test_one_serves_several_event_loops_one_after_the_other(round_):
    with anyio.move_on_after(0):
        await SHARED.run(lambda: round_)
    assert await SHARED.run(lambda: round_) == round_


async def test_event_loops_do_not_wait_for_each_other():
    executor, done = SerialExecutor(), []

    async def elsewhere():
        await executor.run(lambda: done.append("elsewhere"))

    async def here():
        await executor.run(lambda: done.append("here"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here)
        tasks.start_soon(here)
        await checkpoint()
        waiting = anyio.to_thread.run_sync(anyio.run, elsewhere)
        await waiting
    assert sorted(done) == ["elsewhere", "here", "here"]


def test_a_loop_that_ended_before_its_turn_holds_nobody_up():
    executor, done, dead = SerialExecutor(), [], asyncio.new_event_loop()
    task = dead.create_task(executor.run(lambda: done.append("never")))
    dead.call_soon(dead.stop)
    dead.run_forever()  # once around: it has asked for its turn
    dead.close()
    anyio.run(executor.run, lambda: done.append("next"))
    assert done == ["next"]
    task._log_destroy_pending = False
