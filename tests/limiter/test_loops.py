"""One limiter, several event loops or threads: an error at once, and never a wait without an end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from strava_async.errors import InputError
from strava_async.limiter.base import Permit
from strava_async.limiter.local import RateLimiter
from strava_async.quota.readings import Meter
from strava_async.quota.values import Blocked, Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from strava_async.testing.meters import MeterLimits
from tests.limiter.world import Queue, Strava, spend

BACKENDS = ["asyncio", "trio"]
FEW = MeterLimits(read_15min=20, read_day=1_000)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(SOME_TUESDAY + 1.5)


@pytest.fixture
def strava(clock: FakeClock) -> Strava:
    return Strava(clock, FEW)


@pytest.fixture
def limiter(clock: FakeClock) -> RateLimiter:
    return RateLimiter(clock=clock, random=lambda: 0.5)


class AlarmlessClock(FakeClock):
    """Its time moves, and wakes nobody."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep_forever()


def run(backend: str, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    return anyio.run(function, *arguments, backend=backend)


def run_and_close(coroutine: Coroutine[Any, Any, None], turns: int = 10) -> list[asyncio.Task[None]]:
    """Run for a few turns, then close the loop over the heads of its tasks: as a program that ends in a hurry."""

    async def main() -> list[asyncio.Task[None]]:
        started = [asyncio.create_task(coroutine)]
        for _ in range(turns):
            await asyncio.sleep(0)
        return [*started, *(asyncio.all_tasks() - {asyncio.current_task(), *started})]

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


async def wait_with(limiter: RateLimiter, strava: Strava, permits: list[Permit], waiters: int) -> None:
    """Leave two permits of the window, take them, and let others wait."""
    await strava.warm(limiter, 18)
    permits += [await limiter.acquire(), await limiter.acquire()]
    async with asyncio.TaskGroup() as tasks:
        for _ in range(waiters):
            tasks.create_task(limiter.acquire())


# -- another loop that is alive ----------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("other", BACKENDS)
@pytest.mark.parametrize("full", [False, True])
async def test_another_thread_with_a_loop_is_refused_at_once(
    limiter: RateLimiter, strava: Strava, other: str, full: bool
) -> None:
    await spend(limiter, strava) if full else await strava.warm(limiter)
    before = limiter.quota
    refusals: list[str] = []

    async def elsewhere() -> None:
        with pytest.raises(InputError) as caught:
            await limiter.acquire()
        refusals.append(str(caught.value))

    thread = threading.Thread(target=run, args=(other, elsewhere))
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    assert "this rate limiter belongs to another event loop" in refusals[0]
    assert limiter.quota == before


@pytest.mark.anyio
async def test_an_answer_settled_in_another_thread_lets_the_next_call_start(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    strava = Strava(clock, MeterLimits(read_15min=12, read_day=1_000))
    await strava.warm(limiter, 11)
    ends: list[tuple[Callable[[Permit], None], bool]] = [
        (lambda permit: permit.release(), True),
        (lambda permit: permit.settle(200, {}), False),
        (lambda permit: permit.abandon(), False),
    ]
    queue = Queue(limiter)
    for end, makes_room in ends:
        last = await limiter.acquire()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.call, "next")
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(end, last)
            await anyio.wait_all_tasks_blocked()
            assert bool(queue.served) is makes_room  # at once: nothing else happens, and the clock stands still
            clock.advance(0 if makes_room else 900)
        assert limiter.quota.read_15min.reserved == 1
        queue.permits.pop().release()
        queue.served.clear()


@pytest.mark.anyio
async def test_the_meters_can_be_looked_at_in_another_thread() -> None:
    clock = AlarmlessClock(SOME_TUESDAY + 1.5)
    limiter, strava = RateLimiter(clock=clock), Strava(clock, FEW)
    await spend(limiter, strava)
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.call, "waits")
        await anyio.wait_all_tasks_blocked()
        quota = await anyio.to_thread.run_sync(lambda: limiter.quota)
        blocked = await anyio.to_thread.run_sync(limiter.blocked, QuotaClass.READ)
        saved = await anyio.to_thread.run_sync(limiter.snapshot)
        assert quota.read_15min == Meter(limit=20, usage=20, reserved=0, resets_at=SOME_TUESDAY + 900)
        assert blocked == Blocked("read_15min", SOME_TUESDAY + 900)
        assert RateLimiter.restore(saved, clock=clock).quota.read_15min == quota.read_15min
        assert queue.served == []
        clock.advance(899.5)
        await anyio.to_thread.run_sync(lambda: limiter.quota)
        await anyio.wait_all_tasks_blocked()
        assert queue.served == ["waits"], "by the loop, which was told"


# -- a loop that has ended ----------------------------------------------------------------


@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("second", BACKENDS)
def test_the_next_loop_goes_on_with_the_same_books(
    limiter: RateLimiter, strava: Strava, first: str, second: str
) -> None:
    run(first, strava.warm, limiter, 15)
    assert limiter.quota.read_15min.usage == 15
    run(second, strava.warm, limiter, 5)
    assert limiter.quota.read_15min.usage == 20


@pytest.mark.parametrize("second", BACKENDS)
def test_a_loop_that_was_closed_with_waiters_is_forgotten(
    clock: FakeClock, limiter: RateLimiter, strava: Strava, second: str
) -> None:
    permits: list[Permit] = []
    left_behind = run_and_close(wait_with(limiter, strava, permits, 5))
    assert clock.sleeping == 1

    async def go_on() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(strava.call, limiter)
            await anyio.wait_all_tasks_blocked()
            assert limiter.quota.read_15min == Meter(limit=20, usage=20, reserved=0, resets_at=SOME_TUESDAY + 900)
            for permit in permits:
                permit.settle(*strava.headers())  # nobody counts them any more
            assert limiter.quota.read_15min.usage == 20
            async with clock.autojump():
                await clock.sleep(900)

    strava.started.clear()
    run(second, go_on)
    assert len(strava.started) == 3
    assert SOME_TUESDAY + 900 <= strava.started[0] <= SOME_TUESDAY + 901
    assert limiter.quota.read_15min.reserved == 0
    after = limiter.quota
    for task in left_behind:
        close(task)
    assert limiter.quota == after, "what ends now was forgotten"


@pytest.mark.parametrize("end", ["settle", "release", "abandon", "exit"])
def test_a_permit_can_be_ended_when_its_loop_has_ended(
    clock: FakeClock, limiter: RateLimiter, strava: Strava, end: str
) -> None:
    permits: list[Permit] = []
    left_behind = run_and_close(wait_with(limiter, strava, permits, 5))
    strava.meters.limits = MeterLimits()  # an answer now makes room for those who waited
    for permit in permits:
        match end:
            case "settle":
                permit.settle(*strava.headers())
            case "exit":
                permit.__exit__(None, None, None)
            case _:
                getattr(permit, end)()
    quota = limiter.quota.read_15min
    assert quota.reserved == 0
    assert quota.usage == (18 if end == "release" else 20)
    assert (limiter.blocked(QuotaClass.READ) is None) == (end in ("release", "settle"))
    limiter.snapshot()
    for task in left_behind:
        close(task)


def test_a_permit_ended_between_two_runs_of_a_loop_serves_the_next_in_the_second(
    limiter: RateLimiter, clock: FakeClock
) -> None:
    strava = Strava(clock, MeterLimits(read_15min=12, read_day=1_000))
    queue = Queue(limiter)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(strava.warm(limiter, 11))
        last = loop.run_until_complete(limiter.acquire())
        waiting = [loop.create_task(queue.call(name)) for name in ("first", "second")]
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        last.release()
        assert queue.served == []
        loop.run_until_complete(asyncio.wait_for(waiting[0], 10))
        assert queue.served == ["first"]
        queue.permits[0].release()
        loop.run_until_complete(asyncio.wait_for(waiting[1], 10))
        assert queue.served == ["first", "second"]
    finally:
        loop.close()


def test_the_log_says_that_a_forgotten_wait_has_ended(
    clock: FakeClock, limiter: RateLimiter, strava: Strava, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="strava_async.limiter")
    left_behind = run_and_close(wait_with(limiter, strava, [], 5))
    clock.advance(900)
    run("asyncio", strava.warm, limiter, 1)
    began, ended = (record.getMessage() for record in caplog.records)
    assert "read calls wait until" in began
    assert "0 still wait" in ended
    for task in left_behind:
        close(task)


def close(task: asyncio.Task[None]) -> None:
    """End the coroutine of a task whose loop is closed, and let the task say nothing of it."""
    task._log_destroy_pending = False
    coroutine = task.get_coro()
    assert coroutine is not None
    with contextlib.suppress(RuntimeError):  # anyio's scopes and asyncio's groups want a running loop to be left
        coroutine.close()


def test_a_call_keeps_its_place_in_the_next_loop(clock: FakeClock, limiter: RateLimiter, strava: Strava) -> None:

    async def first() -> Permit:
        permit = await limiter.acquire()
        permit.settle(*strava.headers())
        return permit

    early = run("asyncio", first)

    async def second() -> list[str]:
        await strava.warm(limiter, 18)
        last = await limiter.acquire()
        queue = Queue(limiter, keep=False)
        async with anyio.create_task_group() as tasks:
            for name, retry_of in (("young", None), ("early", early)):
                tasks.start_soon(queue.call, name, QuotaClass.READ, Priority.NORMAL, retry_of)
                await anyio.wait_all_tasks_blocked()
            last.release()
        return queue.served

    assert run("asyncio", second) == ["early", "young"]
