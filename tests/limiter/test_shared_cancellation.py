"""A shared limiter whose calls, entering or closing are cancelled anywhere: nothing is lost, nobody hangs."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from strava_async.errors import InputError, LimiterError, StoreError
from strava_async.limiter.base import Permit
from strava_async.limiter.shared import SharedLimiter
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import FakeClock
from tests.limiter.contract import answer, meters
from tests.limiter.meeting_double import MemoryPlace, make, new_clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> FakeClock:
    return new_clock()


@pytest.fixture
def place() -> MemoryPlace:
    return MemoryPlace()


def out(limiter: SharedLimiter) -> set[int]:
    return {meter.reserved for meter in meters(limiter).values()}


async def spin(checkpoints: int) -> None:
    for _ in range(checkpoints):
        await anyio.lowlevel.checkpoint()


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoints", range(12))
async def test_calls_cancelled_after_so_many_steps_leave_nothing(
    clock: FakeClock, place: MemoryPlace, checkpoints: int
) -> None:
    async with make(place, clock) as limiter:
        async with anyio.create_task_group() as tasks:
            for quota_class in QuotaClass:
                for priority in Priority:
                    tasks.start_soon(lambda c=quota_class, p=priority: limiter.acquire(c, priority=p))
            await spin(checkpoints)
            tasks.cancel_scope.cancel()
        gc.collect()  # permits that nobody got to end
        async with clock.autojump():
            (await limiter.acquire()).settle(200, answer(clock, 1, 1))
            await clock.sleep(15.0)
        assert out(limiter) == {0}
    assert place.held <= 8  # those that were given and dropped count as sent


async def test_a_call_without_time_to_wait_leaves_nothing(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter:
        with anyio.move_on_after(0):
            await limiter.acquire()
        assert out(limiter) == {0}
        await anyio.wait_all_tasks_blocked()
        (await limiter.acquire()).release()


async def test_a_thousand_calls_cancelled_at_once(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter, make(place, clock) as other:
        (await limiter.acquire()).settle(200, answer(clock, 100, 100))
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            for _ in range(1_000):
                tasks.start_soon(limiter.acquire)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert out(limiter) == {0}
        async with clock.autojump():
            (await other.acquire()).settle(200, answer(clock, 1, 1))
    assert place.held == 0


@pytest.mark.parametrize("seed", range(6))
async def test_calls_cancelled_at_random_between_processes_leave_nothing(
    clock: FakeClock, place: MemoryPlace, seed: int
) -> None:
    """The place is away now and then, and loses replies; the meters are those of a server that counts exactly."""
    rng = random.Random(seed)
    sent = 0
    limiters = [make(place, clock) for _ in range(3)]

    def unreliable() -> None:
        place.fails = StoreError("away") if rng.random() < 0.1 else None

    async def cancel(scope: anyio.CancelScope, seconds: float) -> None:
        await clock.sleep(seconds)
        scope.cancel()

    async def call(limiter: SharedLimiter) -> None:
        nonlocal sent
        for _ in range(5):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel, scope, max(0.0, rng.random() * 4 - 1))
                    with await limiter.acquire(priority=rng.choice(list(Priority))) as permit:
                        sent += 1
                        await clock.sleep(rng.random() * 0.2)
                        permit.settle(200, answer(clock, min(sent, 100), sent))
                    tasks.cancel_scope.cancel()

    place.before = unreliable
    async with limiters[0], limiters[1], limiters[2], clock.autojump():
        async with anyio.create_task_group() as tasks:
            for limiter in limiters:
                for _ in range(7):
                    tasks.start_soon(call, limiter)
        place.before, place.fails = lambda: None, None
        await clock.sleep(15.0)
        gc.collect()
        await clock.sleep(15.0)  # each tells what it has out
        assert {row.held.overall for row in place.fleet.rows.values()} <= {0}
    assert {row.held.overall for row in place.fleet.rows.values()} <= {0}


# -- the block ---------------------------------------------------------------------------------------------------------


async def test_an_error_of_the_block_comes_out_as_it_is(clock: FakeClock, place: MemoryPlace) -> None:
    error = ZeroDivisionError()

    async def block() -> None:
        async with make(place, clock) as limiter:
            await limiter.acquire()
            raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await block()
    assert caught.value is error
    assert (place.reports[-1].lease_ms, place.closes) == (0, 1)


async def test_a_block_that_is_cancelled_still_gives_back(clock: FakeClock, place: MemoryPlace) -> None:
    with anyio.CancelScope() as scope:
        async with make(place, clock) as limiter:
            await limiter.acquire()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert (place.reports[-1].lease_ms, place.closes) == (0, 1)


async def test_an_error_of_a_block_that_is_cancelled_is_not_lost(clock: FakeClock, place: MemoryPlace) -> None:

    async def block(scope: anyio.CancelScope) -> None:
        async with make(place, clock):
            scope.cancel()
            raise ZeroDivisionError

    with anyio.CancelScope() as scope, pytest.raises(ZeroDivisionError):
        await block(scope)


@pytest.mark.parametrize("checkpoints", range(6))
async def test_entering_that_is_cancelled_leaves_it_as_it_was(
    clock: FakeClock, place: MemoryPlace, checkpoints: int
) -> None:
    limiter = make(place, clock)
    entered = False
    async with anyio.create_task_group() as tasks:

        async def enter() -> None:
            nonlocal entered
            async with limiter:
                entered = True
                await anyio.sleep_forever()

        tasks.start_soon(enter)
        await spin(checkpoints)
        tasks.cancel_scope.cancel()
    if entered:
        assert place.closes == 1
        return
    assert not limiter.is_entered
    async with limiter:
        (await limiter.acquire()).release()
    assert place.closes == 1


async def test_a_place_that_hangs_does_not_keep_it_open(clock: FakeClock, place: MemoryPlace) -> None:
    with anyio.fail_after(3):
        async with make(place, clock) as limiter:
            (await limiter.acquire()).release()
            (await limiter.acquire()).settle(200, answer(clock, 100, 100))
            await anyio.wait_all_tasks_blocked()
            place.hangs = True
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_refused, limiter)
                await anyio.wait_all_tasks_blocked()
                await limiter.aclose()
                assert place.closes == 1
                tasks.cancel_scope.cancel()


async def _refused(limiter: SharedLimiter) -> None:
    with pytest.raises(LimiterError, match="closed"):
        await limiter.acquire()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_closing_in_a_task_that_is_cancelled_is_completed(clock: FakeClock, place: MemoryPlace) -> None:
    limiter = make(place, clock)
    (await limiter.acquire()).release()
    await anyio.wait_all_tasks_blocked()
    closing = asyncio.get_running_loop().create_task(limiter.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await anyio.wait_all_tasks_blocked()
    assert (place.reports[-1].lease_ms, place.held, place.closes) == (0, 0, 1)


async def test_closing_that_is_cancelled_is_completed(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter:
        (await limiter.acquire()).release()
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0):
            await limiter.aclose()
        assert (place.reports[-1].lease_ms, place.held, place.closes) == (0, 0, 1)


async def test_several_may_close_it_at_once(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter, anyio.create_task_group() as tasks:
        (await limiter.acquire()).release()
        for _ in range(3):
            tasks.start_soon(limiter.aclose)
    assert (place.held, place.closes) == (0, 1)


# -- event loops that end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["settle", "release"])
def test_a_loop_that_ends_gives_back_what_is_in_hand(clock: FakeClock, place: MemoryPlace, last: str) -> None:
    limiter = make(place, clock)

    async def main() -> None:
        permit = await limiter.acquire()
        permit.settle(200, answer(clock, 1, 1))
        for _ in range(20):
            (await limiter.acquire()).release()
        held = await limiter.acquire()
        (await limiter.acquire()).settle(200, answer(clock, 99, 99))
        for _ in range(50):
            await asyncio.sleep(0)
        if last == "settle":
            held.settle(200, answer(clock, 100, 100))  # wakes the task, which the loop cancels in the same moment
        else:
            held.release()

    asyncio.run(asyncio.wait_for(main(), 10))
    gc.collect()
    assert place.held == 0
    asyncio.run(limiter.aclose())
    assert place.closes == 1


def test_calls_of_a_task_that_the_loop_cancels_are_refused(clock: FakeClock, place: MemoryPlace) -> None:
    limiter = make(place, clock)
    refused: list[str] = []
    kept: list[asyncio.Task[None]] = []

    async def clean_up() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                await limiter.acquire()
            except LimiterError as error:
                refused.append(str(error))

    async def main() -> None:
        (await limiter.acquire()).release()
        kept.append(asyncio.get_running_loop().create_task(clean_up()))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert refused
    assert "end of an event loop" in refused[0]


def test_the_next_loop_starts_a_new_task(clock: FakeClock, place: MemoryPlace) -> None:
    limiter = make(place, clock)

    async def main(used: int) -> None:
        for number in range(used, used + 5):
            (await limiter.acquire()).settle(200, answer(clock, number, number))
            await spin(5)

    for turn in range(3):
        asyncio.run(asyncio.wait_for(main(1 + 5 * turn), 10))
        assert (place.held, place.checks, place.closes) == (0, turn + 1, 0)
    assert len({report.process for report in place.reports}) == 1
    asyncio.run(limiter.aclose())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
def test_so_it_does_where_the_loop_was_closed_over_the_head_of_its_task(clock: FakeClock, place: MemoryPlace) -> None:
    limiter = make(place, clock)

    async def main() -> Permit:
        (await limiter.acquire()).settle(200, answer(clock, 1, 1))
        for _ in range(20):
            await asyncio.sleep(0)
        return await limiter.acquire()

    loop = asyncio.new_event_loop()
    held = loop.run_until_complete(main())
    loop.close()

    async def again() -> None:
        held.release()
        async with clock.autojump():
            for number in range(2, 7):
                (await limiter.acquire()).settle(200, answer(clock, number, number))
        await limiter.aclose()

    asyncio.run(asyncio.wait_for(again(), 10))
    assert place.closes == 1
    assert place.held == 0


def test_a_task_of_a_loop_that_is_cancelled_by_hand_is_closed_quietly(tmp_path: Path) -> None:
    script = """
import asyncio, gc
from contextlib import suppress
from strava_async import SqliteRateLimiter

async def main(how):
    limiter = SqliteRateLimiter(how, application="7")
    for _ in range(3):
        with await limiter.acquire() as permit:
            permit.release()
    if how == "fails":
        raise SystemExit(3)
    if how == "waits":
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        await asyncio.sleep(60)

for how in ("returns", "fails", "waits"):
    with suppress(asyncio.CancelledError, SystemExit):
        asyncio.run(main(how))
    gc.collect()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_another_loop_is_refused_while_the_first_one_lives(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter:
        (await limiter.acquire()).release()

        def elsewhere() -> None:
            for use in (limiter.acquire, limiter.aclose, limiter.__aenter__):
                with pytest.raises(InputError):
                    asyncio.run(use())

        await anyio.to_thread.run_sync(elsewhere)
        (await limiter.acquire()).release()
