"""The clock that moves on demand: what it does to those who wait, and to tests that wait for them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest

from strava_async.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start=0.0)


async def test_sleepers_wake_in_the_order_of_their_instants(clock: FakeClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.time()))

    async with clock.autojump(), anyio.create_task_group() as sleepers:
        for name, seconds in (("c", 30.0), ("a", 10.0), ("b", 20.0)):
            sleepers.start_soon(sleep, name, seconds)
    assert woken == [("a", 10.0), ("b", 20.0), ("c", 30.0)]


async def test_who_comes_while_nobody_sleeps_is_woken_too(clock: FakeClock) -> None:
    async with clock.autojump():
        for _ in range(3):
            await anyio.wait_all_tasks_blocked()
            await clock.sleep(5.0)
    assert clock.time() == 15.0


async def test_a_sleeper_that_is_cancelled_is_forgotten(clock: FakeClock) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 10.0)
        tasks.start_soon(clock.sleep, 20.0)
        await anyio.wait_all_tasks_blocked()
        assert (clock.sleeping, clock.next_wake_at) == (2, 10.0)
        tasks.cancel_scope.cancel()
    assert (clock.sleeping, clock.next_wake_at) == (0, None)
    async with clock.autojump():  # nor does it keep the clock from the next
        await clock.sleep(30.0)
    assert clock.time() == 30.0


async def test_time_stands_still_while_something_else_works(clock: FakeClock) -> None:
    looks: list[float] = []

    def is_busy() -> bool:
        looks.append(clock.time())
        return len(looks) < 4

    clock.is_busy = is_busy
    async with clock.autojump():
        await clock.sleep(10.0)
    assert looks == [0.0] * 4
    assert clock.time() == 10.0


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the timers that are set."""

    timers = 0

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)


def test_while_nobody_sleeps_nothing_keeps_a_test_from_seeing_that_all_tasks_wait() -> None:
    # Two that look every now and then, at the same instants, may not see each other wait for minutes.
    loop = CountingLoop()

    async def main() -> None:
        async with FakeClock().autojump():
            for _ in range(50):
                await anyio.wait_all_tasks_blocked()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert loop.timers == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_sleeper_in_one_thread_is_woken_from_another(clock: FakeClock, backend: str) -> None:
    slept: list[float] = []

    async def sleep() -> None:
        await clock.sleep(10.0)
        slept.append(clock.time())

    def other() -> None:
        anyio.run(sleep, backend=backend)

    async def jump() -> None:
        async with clock.autojump():
            thread.start()
            await anyio.to_thread.run_sync(thread.join)

    thread = threading.Thread(target=other)
    anyio.run(jump, backend=backend)
    assert slept == [10.0]
