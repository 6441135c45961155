"""Before the first answer, and while answers are slow: a few calls go out, the urgent ones first."""

from __future__ import annotations

import anyio
import pytest

from strava_async.errors import QuotaExceededError
from strava_async.limiter.base import Permit
from strava_async.limiter.local import RateLimiter
from strava_async.quota.values import Priority
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from tests.limiter.world import Queue, Strava

pytestmark = pytest.mark.anyio

START = SOME_TUESDAY + 100
INTERACTIVE, NORMAL, BACKGROUND = Priority


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def limiter(clock: FakeClock) -> RateLimiter:
    return RateLimiter(clock=clock, random=lambda: 0.5)


async def test_a_page_of_calls_is_served_while_the_first_answer_is_slow(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock, latency=6.0)
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(lambda: strava.call(limiter, max_wait=2.0))
    assert strava.started[0] == START
    assert [at - START for at in strava.started[1:]] == pytest.approx([1.0] * 5, abs=0.01)


async def test_ten_in_all_are_out_before_the_first_number_the_urgent_first(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    queue = Queue(limiter)
    async with anyio.create_task_group() as tasks:
        for i in range(20):
            tasks.start_soon(queue.call, f"normal {i}")
            await anyio.wait_all_tasks_blocked()
        for i in range(3):
            tasks.start_soon(queue.call, f"urgent {i}", "read", INTERACTIVE)
            await anyio.wait_all_tasks_blocked()
        assert queue.served == ["normal 0"]
        clock.advance(0.9)
        await anyio.wait_all_tasks_blocked()
        assert queue.served == ["normal 0"]
        clock.advance(0.2)
        await anyio.wait_all_tasks_blocked()
        assert {"urgent 0", "urgent 1", "urgent 2", "normal 6"} <= set(queue.served)
        assert len(queue.served) == 10
        clock.advance(300)
        await anyio.wait_all_tasks_blocked()
        assert len(queue.served) == 10
        tasks.cancel_scope.cancel()


async def test_a_refusal_says_that_it_waits_for_the_first_answer(clock: FakeClock, limiter: RateLimiter) -> None:
    permit = await limiter.acquire()
    with pytest.raises(QuotaExceededError, match="the first answer") as caught:
        await limiter.acquire(max_wait=0)
    assert "no quota left" not in str(caught.value)
    assert caught.value.awaits == "the first answer"
    assert (caught.value.window, caught.value.wait_seconds) == ("read_15min", 1.0)
    permit.release()


async def test_a_refusal_behind_answers_in_progress_says_so(clock: FakeClock, limiter: RateLimiter) -> None:
    strava = Strava(clock)
    await strava.warm(limiter, 1)
    flight = [await limiter.acquire() for _ in range(10)]
    with pytest.raises(QuotaExceededError, match="answers under way") as caught:
        await limiter.acquire(max_wait=0)
    assert "no quota left" not in str(caught.value)
    for permit in flight:
        permit.release()


async def test_an_urgent_call_does_not_wait_for_the_repeats_of_one_that_fails(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    """A server in trouble: each attempt of the first call takes 29 s and ends with a 503 without numbers."""
    waited: list[float] = []

    async def failing() -> None:
        retry_of: Permit | None = None
        for _ in range(4):
            permit = await limiter.acquire(priority=INTERACTIVE, retry_of=retry_of)
            await clock.sleep(29)
            permit.settle(503, {})
            retry_of = permit

    async def urgent(after: float) -> None:
        await clock.sleep(after)
        asked_at = clock.monotonic()
        permit = await limiter.acquire(priority=INTERACTIVE)
        waited.append(clock.monotonic() - asked_at)
        await clock.sleep(29)
        permit.abandon()

    async with clock.autojump(), anyio.create_task_group() as tasks:
        tasks.start_soon(failing)
        for after in (0.2, 5.0, 29.1, 60.0):
            tasks.start_soon(urgent, after)
    assert max(waited) <= 1.01


async def test_a_slow_flight_is_followed_by_another_after_a_second(clock: FakeClock, limiter: RateLimiter) -> None:
    """The numbers are known; the ten that go out with them are slow. Nobody is refused with 89 of 100 left."""
    strava = Strava(clock, latency=6.0)
    await strava.warm(limiter, 1)
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(lambda: strava.call(limiter, max_wait=2.5))
    at = [round(at - START, 1) for at in strava.started]
    assert at == [0.0] * 10 + [1.0] * 10 + [2.0] * 10
    assert strava.rejected == 0


async def test_waiting_for_a_slow_answer_takes_one_timer_and_no_more_wakings_than_there_are_flights(
    clock: FakeClock, limiter: RateLimiter
) -> None:
    queue = Queue(limiter)
    wakings = 0
    async with anyio.create_task_group() as tasks:
        for i in range(100):
            tasks.start_soon(queue.call, str(i))
        await anyio.wait_all_tasks_blocked()
        while clock.monotonic() < START + 600:
            assert clock.sleeping == 1
            assert clock.next_wake_at is not None
            clock.advance(clock.next_wake_at - clock.monotonic())
            await anyio.wait_all_tasks_blocked()
            wakings += 1
        assert wakings <= 12, "one after a second, then one a minute"
        tasks.cancel_scope.cancel()
