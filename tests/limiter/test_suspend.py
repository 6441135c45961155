"""A machine that sleeps, and a clock that is set: both look alike, and one call finds out."""

from __future__ import annotations

import sys
import time

import anyio
import anyio.lowlevel
import pytest

from strava_async.clock import SystemClock
from strava_async.errors import QuotaExceededError
from strava_async.limiter.local import RateLimiter
from strava_async.quota.readings import Meter
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from strava_async.testing.meters import MeterLimits
from tests.limiter.world import Queue, Strava, spend

pytestmark = pytest.mark.anyio

START = SOME_TUESDAY + 100.4
INTERACTIVE, NORMAL, BACKGROUND = Priority
HOUR = 3_600.0
DAY_FULL = MeterLimits(read_15min=9_999, read_day=50, overall_15min=9_999, overall_day=100)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def limiter(clock: FakeClock) -> RateLimiter:
    return RateLimiter(clock=clock, random=lambda: 0.5)


def sleep(clock: FakeClock, strava: Strava, seconds: float) -> None:
    """Let the machine of the client sleep, while Strava is awake."""
    clock.suspend(seconds)
    strava.ahead += seconds


async def step(clock: FakeClock, seconds: float) -> None:
    clock.advance(seconds)
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("priority", [NORMAL, BACKGROUND])
@pytest.mark.parametrize(
    ("limits", "hours"), [(MeterLimits(), 2.0), (DAY_FULL, 15.0)], ids=["the quarter hour", "the day"]
)
async def test_a_waiter_starts_within_a_minute_of_the_awakening(
    clock: FakeClock, limiter: RateLimiter, limits: MeterLimits, hours: float, priority: Priority
) -> None:
    strava = Strava(clock, limits)
    await spend(limiter, strava)
    strava.started.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(15):
            tasks.start_soon(lambda: strava.call(limiter, priority=priority))
        await anyio.wait_all_tasks_blocked()
        sleep(clock, strava, hours * HOUR)
        async with clock.autojump():
            await clock.sleep(63)
            tasks.cancel_scope.cancel()
    assert len(strava.started) == 15
    assert strava.rejected == 0


async def test_a_call_made_after_the_awakening_does_not_wait_at_all(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock, DAY_FULL)
    await spend(limiter, strava)
    sleep(clock, strava, 15 * HOUR)
    permit = await limiter.acquire(max_wait=0)
    permit.settle(*strava.headers())
    assert limiter.quota.read_day == Meter(limit=50, usage=1, reserved=0, resets_at=SOME_TUESDAY + 38 * HOUR)


async def test_the_second_call_after_the_awakening_hopes_for_the_first(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock)
    await spend(limiter, strava)
    sleep(clock, strava, HOUR)
    strava.started.clear()
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(lambda: strava.call(limiter, max_wait=2))
    assert len(strava.started) == 20
    assert strava.started[1] > strava.started[0]
    assert strava.rejected == 0


async def test_with_quota_at_hand_one_call_looks_first(clock: FakeClock, limiter: RateLimiter) -> None:
    """Others may have spent what was left an hour ago."""
    strava = Strava(clock)
    await strava.warm(limiter, 20)
    sleep(clock, strava, HOUR)
    for _ in range(100):
        strava.meters.count("read", strava.now)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(strava.call, limiter)
        async with clock.autojump():
            await clock.sleep(300)
            tasks.cancel_scope.cancel()
    assert strava.rejected == 1


@pytest.mark.parametrize("set_by", [20.0, 8 * HOUR, 365 * 24 * HOUR])
async def test_a_clock_that_was_set_costs_one_request_and_changes_nothing(
    clock: FakeClock, limiter: RateLimiter, set_by: float
) -> None:
    strava = Strava(clock)
    await spend(limiter, strava)
    strava.started.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(15):
            tasks.start_soon(lambda: strava.call(limiter))
        await anyio.wait_all_tasks_blocked()
        clock.wall_offset += set_by
        async with clock.autojump():
            await clock.sleep(SOME_TUESDAY + 899.9 - clock.monotonic())
            assert strava.rejected == 1
            assert len(strava.started) == 1
            await clock.sleep(2)
            assert SOME_TUESDAY + 900 <= strava.started[1] <= SOME_TUESDAY + 901
            tasks.cancel_scope.cancel()
    assert len(strava.started) == 16
    assert strava.rejected == 1


@pytest.mark.parametrize("set_by", [-HOUR, -10.0, 3.0])
async def test_a_clock_that_was_set_back_or_corrected_is_no_sign_of_sleep(
    clock: FakeClock, limiter: RateLimiter, set_by: float
) -> None:
    strava = Strava(clock)
    await spend(limiter, strava)
    strava.started.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(strava.call, limiter)
        await anyio.wait_all_tasks_blocked()
        clock.wall_offset += set_by
        async with clock.autojump():
            await clock.sleep(SOME_TUESDAY + 901.5 - clock.monotonic())
            tasks.cancel_scope.cancel()
    (started_at,) = strava.started
    assert SOME_TUESDAY + 900 <= started_at <= SOME_TUESDAY + 901
    assert strava.rejected == 0


async def test_a_thread_that_stood_still_between_two_readings_is_no_sign_of_sleep() -> None:
    class StallingClock(FakeClock):
        stall = 0.0

        def time(self) -> float:
            stall, self.stall = self.stall, 0.0
            self.advance(stall)
            return super().time()

    clock = StallingClock(START)
    limiter = RateLimiter(clock=clock)
    await spend(limiter, Strava(clock))
    clock.stall = 500.0
    with pytest.raises(QuotaExceededError) as caught:
        await limiter.acquire(max_wait=100)
    assert clock.monotonic() == START + 500
    assert caught.value.resume_at == SOME_TUESDAY + 900


async def test_a_clock_that_jumps_about_is_believed_by_nobody(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock)
    await spend(limiter, strava)
    strava.started.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(strava.call, limiter)
        await anyio.wait_all_tasks_blocked()
        async with clock.autojump():
            for jump in (HOUR, -2 * HOUR, HOUR, 7.0, -7.0, 24 * HOUR):
                clock.wall_offset += jump
                await clock.sleep(61)
            tasks.cancel_scope.cancel()
    assert len(strava.started) <= 4, "one for each jump ahead"
    assert strava.rejected == len(strava.started)


async def test_a_question_that_is_lost_is_asked_again_later_and_later(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock, DAY_FULL)
    await spend(limiter, strava)
    sleep(clock, strava, 15 * HOUR)
    asked: list[float] = []

    async def call() -> None:
        permit = await limiter.acquire()
        asked.append(clock.monotonic() - START)
        permit.abandon()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(call)
        async with clock.autojump():
            await clock.sleep(790)
            tasks.cancel_scope.cancel()
    assert asked == pytest.approx([0, 60, 180, 420], abs=0.1)


async def test_a_question_that_never_left_may_be_asked_at_once(clock: FakeClock, limiter: RateLimiter) -> None:
    """The network of a machine that wakes up is not there yet."""
    strava = Strava(clock, DAY_FULL)
    await spend(limiter, strava)
    sleep(clock, strava, 15 * HOUR)
    for _ in range(5):
        (await limiter.acquire(max_wait=0)).release()
    (await limiter.acquire(max_wait=0)).settle(*strava.headers())
    assert limiter.quota.read_day.usage == 1


async def test_calls_of_before_do_not_keep_the_question_back_for_ever(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock, DAY_FULL)
    await strava.warm(limiter, 45)
    under_way = [await limiter.acquire() for _ in range(5)]
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.call, "waits")
        await anyio.wait_all_tasks_blocked()
        sleep(clock, strava, 15 * HOUR)
        for permit in under_way:  # their connections are dead
            permit.abandon()
        await anyio.wait_all_tasks_blocked()
        assert queue.served == ["waits"]


async def test_an_answer_from_before_the_sleep_does_not_tell_that_there_was_none(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    """It lay in the buffer of its connection: counted and stamped before, read after."""
    strava = Strava(clock, DAY_FULL)
    await strava.warm(limiter, 49)
    last = await limiter.acquire()
    before = strava.headers()
    sleep(clock, strava, 15 * HOUR)
    last.settle(*before)
    (await limiter.acquire(max_wait=0)).settle(*strava.headers())
    assert limiter.quota.read_day == Meter(limit=50, usage=1, reserved=0, resets_at=SOME_TUESDAY + 38 * HOUR)


async def test_an_answer_that_was_counted_before_the_sleep_and_stamped_after_it_spoils_no_window(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    strava = Strava(clock, DAY_FULL)
    await strava.warm(limiter, 49)
    last = await limiter.acquire()
    _, counted = strava.headers()
    sleep(clock, strava, 15 * HOUR)
    stamp = strava.headers()[1]["Date"]
    last.settle(200, counted | {"Date": stamp})
    permit = await limiter.acquire(max_wait=0)
    permit.settle(*strava.headers())
    assert (limiter.quota.read_day.usage, limiter.quota.read_day.limit) == (2, 50)


async def test_a_hold_may_be_over_after_sleep(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock)
    await strava.warm(limiter, 20)
    (await limiter.acquire()).settle(429, {"Retry-After": "600"})
    assert limiter.blocked(QuotaClass.READ) is not None
    sleep(clock, strava, 700)
    one = await limiter.acquire(max_wait=0)
    assert limiter.quota.overall_15min.reserved == 1
    one.settle(*strava.headers())
    assert limiter.blocked(QuotaClass.READ) is None


async def test_ten_thousand_waiters_have_one_timer_that_rings_once_a_minute(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    strava = Strava(clock, DAY_FULL)
    await spend(limiter, strava)
    async with anyio.create_task_group() as tasks:
        for _ in range(10_000):
            tasks.start_soon(limiter.acquire)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        wakings = 0
        while clock.monotonic() < START + HOUR:
            assert clock.sleeping == 1
            assert clock.next_wake_at is not None
            assert clock.next_wake_at <= clock.monotonic() + 60
            clock.advance(clock.next_wake_at - clock.monotonic())
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            wakings += 1
        assert wakings <= 70, "each minute, and once or twice at each of the four quarter hours"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.skipif(sys.platform != "linux", reason="the name of such a clock is each system's own")
async def test_the_clock_of_the_system_counts_the_seconds_of_a_machine_that_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = SystemClock().monotonic()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_a_fake_clock_sleeps_with_its_machine(clock: FakeClock) -> None:
    woken: list[float] = []

    async def sleeper() -> None:
        await clock.sleep(10)
        woken.append(clock.monotonic())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper)
        await anyio.wait_all_tasks_blocked()
        clock.suspend(100)
        assert (clock.monotonic(), clock.time()) == (START, START + 100)
        await step(clock, 9)
        assert woken == []
        await step(clock, 1)
    assert woken == [START + 10]
