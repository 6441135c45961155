"""When the task of a shared limiter wakes and tells: as seldom as it may, as soon as it must."""

from __future__ import annotations

import gc
from contextlib import suppress
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import pytest

from strava_async.errors import LimiterError, QuotaExceededError, StoreError
from strava_async.limiter.base import Permit
from strava_async.limiter.shared import SharedLimiter
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from tests.limiter.contract import answer
from tests.limiter.meeting_double import MemoryPlace, make, new_clock
from tests.limiter.sharing import get_what_is_given_back

pytestmark = pytest.mark.anyio
WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


class CountingClock(FakeClock):
    """Counts how often somebody went to sleep."""

    sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


@pytest.fixture
def clock() -> CountingClock:
    return CountingClock(new_clock().time())


@pytest.fixture
def place() -> MemoryPlace:
    return MemoryPlace()


async def plenty(limiter: SharedLimiter, clock: FakeClock) -> None:
    """Let it have units in hand, and nothing to tell."""
    async with clock.autojump():
        for used in range(1, 25):
            (await limiter.acquire()).settle(200, roomy(clock, used))
            await clock.sleep(0.05)
        await clock.sleep(0.5)


def roomy(clock: FakeClock, used: int) -> dict[str, str]:
    return answer(clock, used, used) | {"x-ratelimit-limit": "6000,60000", "x-readratelimit-limit": "3000,30000"}


# -- how often ---------------------------------------------------------------------------------------------------------


async def test_with_units_in_hand_neither_a_call_nor_an_answer_waits_or_wakes_the_task(
    clock: CountingClock, place: MemoryPlace
) -> None:
    async with make(place, clock) as limiter:
        await plenty(limiter, clock)
        (await limiter.acquire()).settle(200, roomy(clock, 25))  # this may be news
        await anyio.wait_all_tasks_blocked()
        sleeps, calls = clock.sleeps, len(place.reports)
        for used in range(26, 36):
            acquiring = limiter.acquire()
            with pytest.raises(StopIteration) as returned:
                acquiring.send(None)  # no loop: it does not wait
            permit: Permit = returned.value.value
            permit.settle(200, roomy(clock, used))
        await anyio.wait_all_tasks_blocked()
        assert (clock.sleeps, len(place.reports)) == (sleeps, calls)


async def test_calls_that_come_while_others_wait_for_the_next_window_do_not_wake_it(
    clock: CountingClock, place: MemoryPlace
) -> None:
    async with make(place, clock) as limiter:
        (await limiter.acquire()).settle(200, answer(clock, 100, 100))
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(limiter.acquire)
            await anyio.wait_all_tasks_blocked()
            sleeps, calls = clock.sleeps, len(place.reports)
            for _ in range(200):
                tasks.start_soon(limiter.acquire)
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
            assert (clock.sleeps, len(place.reports)) == (sleeps, calls)
            tasks.cancel_scope.cancel()


async def test_one_that_is_idle_calls_nobody(clock: CountingClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter:
        await plenty(limiter, clock)
        async with clock.autojump():
            await clock.sleep(30.0)
            calls = len(place.reports)
            await clock.sleep(300.0)
        assert len(place.reports) == calls


async def test_its_task_knows_nothing_of_the_call_that_started_it(clock: CountingClock, place: MemoryPlace) -> None:
    seen: list[str] = []
    place.before = lambda: seen.append(WHOSE.get())
    WHOSE.set("the first caller's")
    async with make(place, clock) as limiter:
        (await limiter.acquire()).release()
    assert set(seen) == {"nobody's"}


# -- how soon ----------------------------------------------------------------------------------------------------------


async def test_a_person_who_waits_is_told_of_at_once_though_others_have_been_refused(
    clock: CountingClock, place: MemoryPlace
) -> None:
    async with make(place, clock) as one, make(place, clock) as other:
        (await one.acquire()).settle(200, answer(clock, 97, 97))
        async with clock.autojump() as tasks:
            await clock.sleep(5.0)
            held = [await other.acquire() for _ in range(3)]
            tasks.start_soon(one.acquire)
            await clock.sleep(2.0)
            tasks.start_soon(lambda: one.acquire(priority=Priority.INTERACTIVE))
            told_at = clock.monotonic()
            while not place.reports[-1].wants.interactive:
                await clock.sleep(0.01)
            assert clock.monotonic() - told_at <= 0.05
            for permit in held:
                permit.release()


async def test_a_permit_that_was_dropped_is_told_of_with_the_next_call(
    clock: CountingClock, place: MemoryPlace
) -> None:
    async with make(place, clock) as limiter:
        await plenty(limiter, clock)
        await limiter.acquire()
        gc.collect()
        async with clock.autojump():
            await clock.sleep(20.0)
        assert {row.held.overall for row in place.fleet.rows.values()} <= {0}


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_waiter_in_another_process_has_what_was_given_back_within_a_second(
    clock: CountingClock, place: MemoryPlace, in_thread: bool
) -> None:
    async with make(place, clock) as one, make(place, clock) as other:
        await get_what_is_given_back(one, other, clock, seconds=1.0, in_thread=in_thread)


async def test_an_answer_that_shows_the_next_window_lets_waiters_ask_at_once(place: MemoryPlace) -> None:
    clock = CountingClock(SOME_TUESDAY + 870)  # what is out is told every three seconds
    async with make(place, clock) as limiter:
        (await limiter.acquire()).settle(200, answer(clock, 99, 99))
        async with clock.autojump() as tasks:
            last = await limiter.acquire()
            got: list[Permit] = []

            async def wait() -> None:
                got.append(await limiter.acquire())

            tasks.start_soon(wait)
            await clock.sleep(SOME_TUESDAY + 900.6 - clock.monotonic())
            last.settle(200, answer(clock, 1, 1))
            await clock.sleep(0.5)
        assert len(got) == 1
        assert clock.time() <= SOME_TUESDAY + 902


# -- a machine that sleeps ---------------------------------------------------------------------------------------------


async def test_units_are_void_after_a_sleep_that_the_monotonic_clock_does_not_see(
    clock: CountingClock, place: MemoryPlace
) -> None:
    async with make(place, clock) as limiter:
        await plenty(limiter, clock)
        (await limiter.acquire(max_wait=0)).release()  # without a call
        await anyio.wait_all_tasks_blocked()
        calls = len(place.reports)
        clock.suspend(60.0)  # longer than a lease, in one window
        (await limiter.acquire()).release()
        assert len(place.reports) > calls


# -- away --------------------------------------------------------------------------------------------------------------


async def away(limiter: SharedLimiter, clock: FakeClock, place: MemoryPlace, used: int = 20) -> None:
    """Let it know its quota; then the place is away for longer than a lease."""
    (await limiter.acquire()).settle(200, answer(clock, used, used))
    held = await limiter.acquire()
    await clock.sleep(3.0)
    place.fails = StoreError("the place is locked: let go of it")
    await clock.sleep(20.0)
    held.settle(200, answer(clock, used + 1, used + 1))


@pytest.mark.parametrize("max_wait", [0.0, 5.0])
@pytest.mark.parametrize("priority", Priority)
async def test_who_is_to_wait_while_it_is_away_fails_at_the_deadline(
    clock: CountingClock, place: MemoryPlace, priority: Priority, max_wait: float
) -> None:
    async with make(place, clock, away="wait") as limiter, clock.autojump():
        await away(limiter, clock, place)
        began = clock.monotonic()
        with pytest.raises(LimiterError, match="is away: the place is locked") as caught:
            await limiter.acquire(priority=priority, max_wait=max_wait)
        assert isinstance(caught.value.__cause__, QuotaExceededError)
        assert clock.monotonic() - began <= max_wait


async def test_who_has_time_waits_until_it_is_back_and_the_most_urgent_is_first(
    clock: CountingClock, place: MemoryPlace
) -> None:
    served: list[Priority] = []

    async def call(priority: Priority) -> None:
        await limiter.acquire(priority=priority)
        served.append(priority)

    async with make(place, clock, away="wait") as limiter, clock.autojump() as tasks:
        await away(limiter, clock, place, used=98)  # and one more: a single unit is left
        for priority in reversed(Priority):
            tasks.start_soon(call, priority)
        await clock.sleep(60.0)
        assert served == []
        place.fails = None
        await clock.sleep(60.0)
        assert served == [Priority.INTERACTIVE]


@pytest.mark.parametrize("priority", Priority)
async def test_a_part_of_the_quota_serves_all_priorities_while_it_is_away(
    clock: CountingClock, place: MemoryPlace, priority: Priority
) -> None:
    async with make(place, clock) as limiter, clock.autojump():
        await away(limiter, clock, place)
        assert limiter.state == "away"
        held = [await limiter.acquire(priority=priority, max_wait=0.0) for _ in range(5)]
        while limiter.blocked(QuotaClass.READ) is None and len(held) < 100:
            with suppress(QuotaExceededError):  # the reserve
                held.append(await limiter.acquire(priority=priority, max_wait=0.0))
                continue
            break
        assert len(held) <= 40  # half of the room that is known, of one process
        for permit in held:
            permit.release()


async def test_what_was_not_started_in_time_before_it_is_away_is_a_matter_of_quota(
    clock: CountingClock, place: MemoryPlace
) -> None:
    async with make(place, clock, away="wait") as limiter, clock.autojump():
        place.fails = StoreError("the place is locked: let go of it")
        with pytest.raises(QuotaExceededError):
            await limiter.acquire(max_wait=2.0)
