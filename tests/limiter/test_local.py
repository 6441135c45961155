"""The limiter as callers see it: waiting, order, cancellation, deadlines, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
import random
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from strava_async.clock import SystemClock
from strava_async.errors import InputError, QuotaExceededError
from strava_async.limiter.base import Limiter, Permit
from strava_async.limiter.local import RateLimiter
from strava_async.limiter.unlimited import Unlimited
from strava_async.quota.readings import Meter
from strava_async.quota.values import Blocked, Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from strava_async.testing.meters import MeterLimits
from tests.limiter.world import Queue, Strava, last_unit, spend, turn

pytestmark = pytest.mark.anyio

INTERACTIVE, NORMAL, BACKGROUND = Priority
READ, UPLOAD = QuotaClass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(SOME_TUESDAY + 1.5)


@pytest.fixture
def strava(clock: FakeClock) -> Strava:
    return Strava(clock)


@pytest.fixture
def limiter(clock: FakeClock) -> RateLimiter:
    return RateLimiter(clock=clock, random=lambda: 0.5)


# -- the guarantees ----------------------------------------------------------------


@pytest.mark.parametrize("latency", [0.0, 0.15, 3.0])
async def test_guarantee_01_never_over_with_a_thousand_callers(clock: FakeClock, latency: float) -> None:
    limiter = RateLimiter(clock=clock)
    strava = Strava(clock, latency=latency)
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for i in range(1_000):
            tasks.start_soon(strava.call, limiter, UPLOAD if i % 5 == 0 else READ)
    assert strava.rejected == 0
    assert len(strava.started) == 1_000


async def test_guarantee_02_never_idle_the_last_unit_of_each_window_is_spent(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(350):
            tasks.start_soon(strava.call, limiter)
    per_window = [sum(1 for at in strava.started if at // 900 == SOME_TUESDAY // 900 + i) for i in range(4)]
    assert per_window == [100, 100, 100, 50]


@pytest.mark.parametrize("skew", [-120.0, -20.0, 0.7, 20.0, 120.0])
async def test_guarantee_03_the_first_waiter_starts_within_a_second_of_the_reset(skew: float) -> None:
    clock = FakeClock(SOME_TUESDAY + 300.7, wall_offset=skew)
    limiter = RateLimiter(clock=clock, random=lambda: 0.99)
    strava = Strava(clock)
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(101):
            tasks.start_soon(strava.call, limiter)
    assert SOME_TUESDAY + 900 <= strava.started[-1] <= SOME_TUESDAY + 901
    assert strava.rejected == 0


async def test_guarantee_04_settle_never_raises_and_nonsense_changes_nothing(
    limiter: RateLimiter, strava: Strava
) -> None:
    await strava.warm(limiter, 20)
    rng = random.Random(1)
    names = ["Date", "X-RateLimit-Limit", "X-RateLimit-Usage", "X-ReadRateLimit-Limit", "X-ReadRateLimit-Usage"]
    values = ["", ",", "1,2,3", "-1,-1", "x", "٣,٣", "9" * 5_000, "0,0"]
    for _ in range(50):
        (await limiter.acquire()).settle(rng.choice([0, 200, 500, 999]), {n: rng.choice(values) for n in names})
    assert limiter.quota.read_15min == Meter(limit=100, usage=70, reserved=0, resets_at=SOME_TUESDAY + 900)


async def test_guarantee_05_others_are_respected_within_one_answer(limiter: RateLimiter, strava: Strava) -> None:
    await strava.warm(limiter)
    for _ in range(88):
        strava.meters.count("read", strava.clock.monotonic())
    status, headers = 200, strava.headers()[1]
    (await limiter.acquire()).settle(status, headers)
    assert limiter.blocked(READ) == Blocked("read_15min", SOME_TUESDAY + 900)
    with pytest.raises(QuotaExceededError):
        await limiter.acquire(max_wait=0)


async def test_guarantee_06_a_cold_start_sends_one_and_then_more(limiter: RateLimiter, strava: Strava) -> None:
    queue = Queue(limiter)
    flights: list[int] = []
    async with anyio.create_task_group() as tasks:
        for i in range(60):
            tasks.start_soon(queue.call, str(i))
        while sum(flights) < 60:
            await anyio.wait_all_tasks_blocked()
            flight, queue.permits = queue.permits, []
            flights.append(len(flight))
            for permit in flight:
                permit.settle(*strava.headers())
    assert flights[0] == 1
    assert 1 < flights[1] <= 25
    assert flights[2] > flights[1]


async def test_guarantee_07_first_come_first_served(clock: FakeClock, limiter: RateLimiter) -> None:
    last = await last_unit(limiter, clock)
    queue = Queue(limiter, keep=False)
    async with anyio.create_task_group() as tasks:
        for i in range(60):
            tasks.start_soon(queue.call, str(i))
            await anyio.lowlevel.checkpoint()
        last.release()
    assert queue.served == [str(i) for i in range(60)]


async def test_guarantee_07_interactive_before_normal_before_background(clock: FakeClock) -> None:
    limiter = RateLimiter(clock=clock, reserve=0.0)
    last = await last_unit(limiter, clock)
    queue = Queue(limiter, keep=False)
    async with anyio.create_task_group() as tasks:
        for name, priority in (("b", BACKGROUND), ("n", NORMAL), ("i", INTERACTIVE), ("n2", NORMAL)):
            tasks.start_soon(queue.call, name, READ, priority)
            await anyio.wait_all_tasks_blocked()
        last.release()
    assert queue.served == ["i", "n", "n2", "b"]


async def test_guarantee_07_background_is_not_starved_for_ever(clock: FakeClock) -> None:
    limiter = RateLimiter(clock=clock, random=lambda: 0.5)
    strava = Strava(clock, MeterLimits(read_15min=20, read_day=100_000, overall_15min=50, overall_day=100_000))
    await spend(limiter, strava)
    served: list[str] = []

    async def call(name: str, priority: Priority) -> None:
        await strava.call(limiter, priority=priority)
        served.append(name)

    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(call, "background", BACKGROUND)
        for _ in range(200):
            tasks.start_soon(call, "normal", NORMAL)
    before = served[: served.index("background")]
    assert 20 <= len(before) <= 50, "it waits for a window first"
    assert served[:100].count("background") >= 3
    assert served[:60].count("background") <= 4, "and it takes no more than a tenth"


async def test_guarantee_07_an_upload_is_not_stuck_behind_reads(limiter: RateLimiter, strava: Strava) -> None:
    await spend(limiter, strava)
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        for i in range(3):
            tasks.start_soon(queue.call, f"read {i}")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(queue.call, "upload", UPLOAD, BACKGROUND)
        await anyio.wait_all_tasks_blocked()
        assert queue.served == ["upload"]
        tasks.cancel_scope.cancel()


async def test_guarantee_08_a_cancelled_waiter_leaves_and_the_next_is_served(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    await spend(limiter, strava)
    before = limiter.quota
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as doomed:
            for i in range(3):
                doomed.start_soon(queue.call, f"doomed {i}")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(queue.call, "next")
            await anyio.wait_all_tasks_blocked()
            doomed.cancel_scope.cancel()
        assert limiter.quota == before
        clock.advance(900)
        await anyio.wait_all_tasks_blocked()
        assert queue.served == ["next"]


async def test_guarantee_08_a_permit_cancelled_before_its_caller_knew_goes_to_the_next(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    strava = Strava(clock, MeterLimits(read_15min=12, read_day=1_000))
    await strava.warm(limiter, 11)
    last = await limiter.acquire()
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as doomed:
            doomed.start_soon(queue.call, "doomed")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(queue.call, "next")
            await anyio.wait_all_tasks_blocked()
            last.release()
            doomed.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        held = limiter.quota.read_15min.reserved
        tasks.cancel_scope.cancel()
    assert len(queue.served) == 1
    assert held == 1


async def test_guarantee_08_a_dropped_permit_counts_as_spent_and_does_not_leak(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    await strava.warm(limiter, 20)
    for _ in range(10):
        await limiter.acquire()
    gc.collect()
    assert (limiter.quota.read_15min.usage, limiter.quota.read_15min.reserved) == (30, 0)
    clock.advance(901)
    assert (limiter.quota.read_15min.usage, limiter.quota.read_15min.reserved) == (0, 0)


async def test_guarantee_09_a_call_that_cannot_start_in_time_fails_at_once(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    await spend(limiter, strava)
    before = limiter.quota
    with pytest.raises(QuotaExceededError) as caught:
        await limiter.acquire(max_wait=60)
    assert caught.value.quota_class == "read"
    assert caught.value.window == "read_15min"
    assert caught.value.resume_at == SOME_TUESDAY + 900
    assert caught.value.wait_seconds == pytest.approx(898.5, abs=1)
    assert limiter.quota == before
    assert clock.sleeping == 0


async def test_guarantee_10_one_timer_and_as_many_wakings_as_starts(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    await spend(limiter, strava)
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        for i in range(150):
            tasks.start_soon(queue.call, str(i))
        await anyio.wait_all_tasks_blocked()
        assert clock.sleeping == 1
        await turn(clock, queue, strava)
        assert len(queue.served) == 100
        assert clock.sleeping == 1
        tasks.cancel_scope.cancel()


async def test_guarantee_11_a_long_wait_is_logged_once_with_meter_and_time(
    clock: FakeClock, limiter: RateLimiter, strava: Strava, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="strava_async.limiter")
    await spend(limiter, strava)
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(strava.call, limiter)
    began, ended = (record.getMessage() for record in caplog.records)
    assert "read_15min" in began
    assert "2026-01-06T10:15:00+00:00" in began
    assert "go on" in ended
    assert {record.levelname for record in caplog.records} == {"INFO"}


@pytest.mark.parametrize(("day", "level"), [(20, "WARNING"), (1_000, "INFO")], ids=["the day", "the quarter hour"])
@pytest.mark.parametrize("start", [0.0, 1.5, 899.0])
async def test_guarantee_11_a_wait_of_hours_is_seen_at_the_default_level(
    day: int, level: str, start: float, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(SOME_TUESDAY + start)
    limiter, strava = RateLimiter(clock=clock, random=lambda: 0.99), Strava(clock, MeterLimits(20, 2_000, 20, day))
    await spend(limiter, strava)
    caplog.set_level(logging.INFO, logger="strava_async.limiter")
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(strava.call, limiter)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    if day == 1_000 and start == 899.0:
        assert lines == [], "a second is no long wait"
        return
    (began, what), (ended, _) = lines
    assert (began, ended) == (level, "INFO")
    meter, until = ("read_day", "2026-01-07T00:00:00") if day == 20 else ("read_15min", "2026-01-06T10:15:00")
    assert what == f"{meter} is spent: 1 read calls wait until {until}+00:00"


async def test_guarantee_11_a_wait_that_becomes_one_of_hours_is_logged_again(
    clock: FakeClock, limiter: RateLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    """First the quarter hour is full; then the last two answers show that the day is."""
    strava = Strava(clock, MeterLimits(40, 2_000, 20, 21))
    await strava.warm(limiter, 19)
    last = await limiter.acquire()
    late = [await limiter.acquire(UPLOAD) for _ in range(2)]
    last.settle(*strava.headers())
    caplog.set_level(logging.INFO, logger="strava_async.limiter")
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(limiter.acquire)
        await anyio.wait_all_tasks_blocked()
        strava.meters.count("read", clock.monotonic())
        for permit in late:
            permit.settle(*strava.headers(UPLOAD))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert "read_15min" in caplog.messages[0]
    assert "read_day" in caplog.messages[1]


async def test_guarantee_11_a_short_wait_is_not_logged(
    clock: FakeClock, limiter: RateLimiter, strava: Strava, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="strava_async.limiter")
    clock.advance(860)
    await spend(limiter, strava)
    async with clock.autojump():
        await strava.call(limiter)
    assert caplog.records == []


# -- acquire ----------------------------------------------------------------


@pytest.mark.parametrize("max_wait", [-1, -0.001, math.nan, -math.inf])
async def test_an_invalid_wait_is_refused(limiter: RateLimiter, max_wait: float) -> None:
    with pytest.raises(InputError):
        await limiter.acquire(max_wait=max_wait)
    assert limiter.quota.read_15min.reserved == 0


async def test_unknown_classes_and_priorities_are_refused(limiter: RateLimiter) -> None:
    with pytest.raises(InputError):
        await limiter.acquire("write")
    with pytest.raises(InputError):
        await limiter.acquire(priority=7)
    with pytest.raises(InputError):
        limiter.blocked("write")
    with pytest.raises(InputError):
        RateLimiter(reserve=1.5)


async def test_no_wait_means_now_or_never(limiter: RateLimiter) -> None:
    permit = await limiter.acquire(max_wait=0)
    with pytest.raises(QuotaExceededError) as caught:
        await limiter.acquire(max_wait=0)
    assert caught.value.wait_seconds == 1, "the answer to the request in flight decides"
    permit.release()
    await limiter.acquire(max_wait=0)


async def test_a_call_with_a_deadline_waits_as_long_as_there_is_hope(clock: FakeClock, limiter: RateLimiter) -> None:
    permit = await last_unit(limiter, clock)
    waited: list[float] = []

    async def call() -> None:
        with pytest.raises(QuotaExceededError):
            await limiter.acquire(max_wait=30)
        waited.append(clock.monotonic())

    async with clock.autojump(), anyio.create_task_group() as tasks:
        tasks.start_soon(call)
    assert waited == [pytest.approx(SOME_TUESDAY + 31.5)]
    assert clock.sleeping == 0
    permit.release()


async def test_guarantee_09_waiting_calls_are_refused_when_their_hope_ends(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    permit = await limiter.acquire()
    async with anyio.create_task_group() as tasks:
        refused: list[QuotaExceededError] = []

        async def call() -> None:
            with pytest.raises(QuotaExceededError) as caught:
                await limiter.acquire(max_wait=30)
            refused.append(caught.value)

        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        for _ in range(100):
            strava.meters.count("read", clock.monotonic())
        permit.settle(*strava.headers())
        await anyio.wait_all_tasks_blocked()
        assert [error.window for error in refused] == ["read_15min"]


async def test_guarantee_09_the_place_in_the_queue_decides_about_a_deadline(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    await spend(limiter, strava)
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        for i in range(250):
            tasks.start_soon(queue.call, str(i))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(QuotaExceededError) as caught:
            await limiter.acquire(max_wait=1_000)
        assert caught.value.resume_at == SOME_TUESDAY + 2_700
        tasks.start_soon(queue.call, "urgent", READ, INTERACTIVE)
        await anyio.wait_all_tasks_blocked()
        await turn(clock, queue, strava)
        assert len(queue.served) == 100
        assert "urgent" in queue.served
        tasks.cancel_scope.cancel()


async def test_guarantee_07_a_retry_keeps_its_place(clock: FakeClock, limiter: RateLimiter) -> None:
    first = await last_unit(limiter, clock)
    first.release()
    second = await limiter.acquire()
    second.release()
    last = await limiter.acquire()
    queue = Queue(limiter, keep=False)
    async with anyio.create_task_group() as tasks:
        for name, retry_of in (("young", None), ("second", second), ("first", first), ("younger", None)):
            tasks.start_soon(queue.call, name, READ, NORMAL, retry_of)
            await anyio.wait_all_tasks_blocked()
        last.release()
    assert queue.served == ["first", "second", "young", "younger"]


async def test_the_permit_of_another_limiter_is_no_place_in_the_queue(clock: FakeClock, limiter: RateLimiter) -> None:
    other = RateLimiter(clock=clock)
    for _ in range(20):
        theirs = await other.acquire(QuotaClass.UPLOAD)
        theirs.release()
    last = await last_unit(limiter, clock)
    queue = Queue(limiter, keep=False)
    async with anyio.create_task_group() as tasks:
        for name, retry_of in (("stranger", theirs), ("young", None), ("younger", None)):
            tasks.start_soon(queue.call, name, READ, NORMAL, retry_of)
            await anyio.wait_all_tasks_blocked()
        last.release()
    assert queue.served == ["stranger", "young", "younger"]


async def test_a_429_waits_for_its_reset_and_then_succeeds(
    clock: FakeClock, limiter: RateLimiter, strava: Strava
) -> None:
    await strava.warm(limiter)
    for _ in range(88):
        strava.meters.count("read", clock.monotonic())
    async with clock.autojump():
        await strava.call(limiter)
    assert strava.rejected == 1
    assert SOME_TUESDAY + 900 <= strava.started[-1] <= SOME_TUESDAY + 901


# -- ends of permits ----------------------------------------------------------------


async def test_a_permit_ends_once(limiter: RateLimiter, strava: Strava) -> None:
    await strava.warm(limiter, 20)
    permit = await limiter.acquire()
    permit.settle(*strava.headers())
    after = limiter.quota
    permit.settle(*strava.headers())
    permit.release()
    permit.abandon()
    with permit:
        pass
    assert limiter.quota == after


async def test_a_block_without_an_end_abandons_the_permit(limiter: RateLimiter, strava: Strava) -> None:
    await strava.warm(limiter, 20)
    with await limiter.acquire():
        assert limiter.quota.read_15min.reserved == 1
    with pytest.raises(RuntimeError), await limiter.acquire():
        raise RuntimeError
    with await limiter.acquire() as permit:
        permit.release()
    assert (limiter.quota.read_15min.usage, limiter.quota.read_15min.reserved) == (22, 0)


async def test_an_end_lets_the_next_start(limiter: RateLimiter, strava: Strava) -> None:
    ends: list[Callable[[Permit], None]] = [
        lambda permit: permit.settle(*strava.headers()),
        lambda permit: permit.release(),
        lambda permit: permit.abandon(),
    ]
    for end in ends:
        fresh = RateLimiter(clock=limiter.clock)
        queue = Queue(fresh)
        async with anyio.create_task_group() as tasks:
            probe = await fresh.acquire()
            tasks.start_soon(queue.call, "next")
            await anyio.wait_all_tasks_blocked()
            assert queue.served == []
            end(probe)
            await anyio.wait_all_tasks_blocked()
            assert queue.served == ["next"]
        queue.permits[0].release()


async def test_permits_say_nothing_of_the_world(limiter: RateLimiter) -> None:
    permit = await limiter.acquire()
    assert "object at" in repr(permit)
    permit.release()


# -- cancellation ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_a_cancellation_storm_leaks_nothing(clock: FakeClock, seed: int) -> None:
    """A thousand tasks over several windows, many of them cancelled: queued, served, in flight, keeping the time."""
    rng = random.Random(seed)
    limiter = RateLimiter(clock=clock, random=rng.random)
    strava = Strava(clock, MeterLimits(overall_15min=300, overall_day=9_000, read_15min=200, read_day=8_000))
    done: list[int] = []

    async def call(number: int) -> None:
        await clock.sleep(rng.choice([0, 0, 0, rng.uniform(0, 2_000)]))
        patience = rng.choice([math.inf, 0.001, 0.05, 0.12, rng.uniform(0, 3_000)])
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                if patience < math.inf:
                    tasks.start_soon(cancel_after, patience, scope)
                await strava.call(limiter, UPLOAD if number % 4 == 0 else READ, priority=Priority(number % 3))
                done.append(number)
                tasks.cancel_scope.cancel()

    async def cancel_after(seconds: float, scope: anyio.CancelScope) -> None:
        await clock.sleep(seconds)
        scope.cancel()

    async with clock.autojump():
        async with anyio.create_task_group() as tasks:
            for number in range(1_000):
                tasks.start_soon(call, number)
        assert len(done) > 200
        assert strava.rejected == 0
        gc.collect()
        quota = limiter.quota
        assert quota.read_15min.reserved == quota.overall_15min.reserved == 0
        await clock.sleep(900)
        await strava.call(limiter)
    assert clock.sleeping == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_native_cancellation_of_asyncio_is_right_too(clock: FakeClock) -> None:
    limiter = RateLimiter(clock=clock, random=lambda: 0.5)
    strava = Strava(clock)
    await spend(limiter, strava)
    queue = Queue(limiter)
    tasks = [asyncio.create_task(queue.call(str(i))) for i in range(6)]
    await anyio.wait_all_tasks_blocked()
    tasks[0].cancel()  # it keeps the time
    tasks[2].cancel()  # it waits
    await anyio.wait_all_tasks_blocked()
    assert clock.sleeping == 1
    clock.advance(900)
    tasks[1].cancel()  # its timer has rung
    tasks[3].cancel()
    await anyio.wait_all_tasks_blocked()
    queue.permits[0].settle(*strava.headers())
    results = await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = [i for i, result in enumerate(results) if isinstance(result, asyncio.CancelledError)]
    assert cancelled == [0, 1, 2, 3]
    assert queue.served == ["4", "5"]
    assert limiter.quota.read_15min.reserved == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_cancelled_in_the_turn_in_which_it_is_served_gives_its_permit_back(clock: FakeClock) -> None:
    limiter = RateLimiter(clock=clock, random=lambda: 0.5)
    probe = await limiter.acquire()
    queue = Queue(limiter)
    keeper, waiter = (asyncio.create_task(queue.call(name)) for name in ("keeper", "waiter"))
    await anyio.wait_all_tasks_blocked()
    probe.release()  # serves the keeper ...
    keeper.cancel()  # ... which never learns of it
    await anyio.wait_all_tasks_blocked()
    assert keeper.cancelled()
    assert queue.served == ["waiter"]
    await waiter


async def test_the_owner_of_the_timer_passes_it_on(clock: FakeClock, limiter: RateLimiter, strava: Strava) -> None:
    await spend(limiter, strava)
    queue = Queue(limiter)
    scopes: list[anyio.CancelScope] = []

    async def call(name: str) -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await queue.call(name)

    async with anyio.create_task_group() as tasks:
        for i in range(20):
            tasks.start_soon(call, str(i))
            await anyio.wait_all_tasks_blocked()
        for scope in scopes[:19]:
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert clock.sleeping == 1
        clock.advance(900)
    assert queue.served == ["19"]


async def test_waiters_that_give_up_leave_nothing_behind(
    clock: FakeClock, limiter: RateLimiter, strava: Strava, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="strava_async.limiter")
    await spend(limiter, strava)
    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(limiter.acquire)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert clock.sleeping == 0
    assert len(caplog.records) == 2


# -- priorities and time ----------------------------------------------------------------


async def test_interactive_calls_beside_a_backfill_do_not_wait(clock: FakeClock) -> None:
    limiter = RateLimiter(clock=clock, random=lambda: 0.5)
    strava = Strava(clock)
    waits: list[float] = []

    async def visitor(at: float) -> None:
        await clock.sleep(at)
        asked_at = clock.monotonic()
        await strava.call(limiter, priority=INTERACTIVE)
        waits.append(clock.monotonic() - asked_at)

    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(lambda: strava.call(limiter, priority=BACKGROUND))
        for i in range(60):
            tasks.start_soon(visitor, 5.0 + 45.0 * i)
    assert strava.rejected == 0
    assert sorted(waits)[-2] < 1


async def test_background_calls_go_on_as_the_reserve_melts(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock)
    await strava.warm(limiter, 80)
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(lambda: strava.call(limiter, priority=BACKGROUND))
    assert strava.started[-1] < SOME_TUESDAY + 900
    assert strava.started == sorted(strava.started)
    assert len({round(at) for at in strava.started}) > 15


async def test_a_new_date_wakes_the_owner_of_the_timer_earlier(clock: FakeClock) -> None:
    """While a slow answer is on its way the turn of the window is only known roughly; the answer tells it better."""
    limiter = RateLimiter(clock=clock, random=lambda: 0.0)
    strava = Strava(clock)
    await spend(limiter, strava)
    late = await limiter.acquire(UPLOAD)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(limiter.acquire)
        await anyio.wait_all_tasks_blocked()
        clock.advance(880)
        await anyio.wait_all_tasks_blocked()
        first = clock.next_wake_at
        clock.advance(0.5)
        late.settle(*strava.headers(UPLOAD))
        await anyio.wait_all_tasks_blocked()
        second = clock.next_wake_at
        tasks.cancel_scope.cancel()
    assert first is not None
    assert second is not None
    assert SOME_TUESDAY + 900 < second < first


# -- snapshot, blocked, Unlimited ----------------------------------------------------------------


async def test_a_restart_takes_up_where_it_stopped(clock: FakeClock, limiter: RateLimiter, strava: Strava) -> None:
    await strava.warm(limiter, 90)
    await limiter.acquire()
    saved = json.loads(json.dumps(limiter.snapshot()))
    again = RateLimiter.restore(saved, clock=clock, random=lambda: 0.5)
    assert again.quota.read_15min == Meter(limit=100, usage=91, reserved=0, resets_at=SOME_TUESDAY + 900)
    assert again.clock is clock
    with pytest.raises(InputError):
        RateLimiter.restore({"version": 1})


async def test_blocked_names_the_meter_that_turns_last(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock, MeterLimits(read_15min=12, read_day=12))
    assert limiter.blocked(READ) is None
    await strava.warm(limiter, 12)
    assert limiter.blocked(READ) == Blocked("read_day", SOME_TUESDAY + 14 * 3_600)
    assert limiter.blocked(UPLOAD) is None


async def test_unlimited_never_waits_and_counts_nothing(clock: FakeClock) -> None:
    limiter: Limiter = Unlimited(clock=clock, random=lambda: 0.5)
    for _ in range(1_000):
        with await limiter.acquire(UPLOAD, priority=BACKGROUND, max_wait=0) as permit:
            permit.settle(429, {})
            permit.release()
            permit.abandon()
    assert limiter.blocked(READ) is None
    assert limiter.quota.read_15min == Meter(limit=None, usage=None, reserved=0, resets_at=SOME_TUESDAY + 900)
    assert limiter.quota.overall_day.resets_at == SOME_TUESDAY + 14 * 3_600
    assert limiter.random() == 0.5
    assert limiter.clock is clock


async def test_the_system_clock_serves_where_none_is_given() -> None:
    limiters: list[Limiter] = [RateLimiter(), Unlimited()]
    for limiter in limiters:
        assert isinstance(limiter.clock, SystemClock)
        assert 0 <= limiter.random() < 1
        waiting: Awaitable[Permit] = limiter.acquire()
        (await waiting).release()
