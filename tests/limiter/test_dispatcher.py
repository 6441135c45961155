"""The dispatcher over a ledger that is not ours: it needs the Protocol, and nothing of the class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress

import anyio
import pytest

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.errors import LimiterError, QuotaExceededError
from strava_async.limiter.dispatcher import Dispatcher
from strava_async.limiter.queue import Waiter, WaitQueue
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.readings import Meter, Quota
from strava_async.quota.values import Blocked, Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock

REFILL_SECONDS = 30.0


class Tray:
    """A ledger of some units, which are all there again at each refill; its reserve, if any, never melts."""

    def __init__(self, now: float, units: int, refill_seconds: float) -> None:
        self.units = self.size = units
        self.refill_seconds = refill_seconds
        self.refills_at = now + refill_seconds
        self.reserves = False
        self.answers = 0
        self.log: list[str] = []

    def roll_windows(self, now: float) -> None:
        if now >= self.refills_at:
            self.units, self.refills_at = self.size, now + self.refill_seconds

    def next_change(self) -> float:
        return self.refills_at

    def note_sleep(self, seconds: float, now: float) -> None:
        self.log.append(f"slept {seconds:.0f}")

    def admits(self, quota_class: QuotaClass, priority: Priority, now: float) -> bool:
        return self.units > 0 and not (self.reserves and priority is Priority.BACKGROUND)

    def book(self, quota_class: QuotaClass, priority: Priority, now: float) -> LedgerEntry:
        self.units -= 1
        self.log.append(f"{quota_class} {priority.name}")
        return LedgerEntry(quota_class is QuotaClass.READ, len(self.log), now, now)

    def settle(self, entry: LedgerEntry, status_code: int, headers: Mapping[str, str], now: float) -> None:
        self.answers += 1

    def release(self, entry: LedgerEntry, now: float) -> None:
        self.units += 1
        self.log.append("release")

    def abandon(self, entry: LedgerEntry, now: float) -> None:
        self.log.append("abandon")

    def abandon_all(self, now: float) -> None:
        self.log.append("abandon all")

    def quota(self) -> Quota:
        meter = Meter(self.size, self.size - self.units, 0, self.refills_at)
        return Quota(meter, meter, meter, meter)

    def blocked(
        self, quota_class: QuotaClass, now: float, reads_ahead: int = 0, uploads_ahead: int = 0
    ) -> Blocked | None:
        if self.units > reads_ahead + uploads_ahead:
            return None
        return Blocked("the tray", self.refills_at, until=self.refills_at)

    def reserve_wait(self, quota_class: QuotaClass, now: float, *, after_answers: bool = False) -> Blocked | None:
        return None

    def default_wait(self, quota_class: QuotaClass, now: float) -> Blocked:
        return Blocked("the tray", now + 1, "an answer", until=now + 1)


class Calls:
    """A dispatcher in front of a tray, and the calls that go through it."""

    def __init__(self, units: int, *, refill_seconds: float = REFILL_SECONDS) -> None:
        self.clock = FakeClock(SOME_TUESDAY)
        self.tray = Tray(self.clock.monotonic(), units, refill_seconds)
        self.binding = LoopBinding("this dispatcher")
        self.dispatcher = Dispatcher(self.tray, self.clock, self.binding)
        self.served: list[str] = []

    async def call(
        self,
        name: str,
        quota_class: QuotaClass = QuotaClass.READ,
        priority: Priority = Priority.NORMAL,
        max_wait: float = math.inf,
    ) -> LedgerEntry:
        self.binding.enter()
        dispatcher = self.dispatcher
        now = dispatcher.now()
        entry = dispatcher.try_enter(quota_class, priority, now)
        if entry is None:
            waiter = Waiter(quota_class, priority, dispatcher.ticket(None), now, now + max_wait)
            entry = await dispatcher.wait(waiter, now)
        self.served.append(name)
        return entry


@pytest.mark.anyio
async def test_the_classes_reach_the_ledger_as_they_were_asked_for() -> None:
    calls = Calls(2)
    await calls.call("now", QuotaClass.UPLOAD, Priority.INTERACTIVE)
    await calls.call("then", QuotaClass.READ, Priority.BACKGROUND)
    assert calls.tray.log == ["upload INTERACTIVE", "read BACKGROUND"]


@pytest.mark.anyio
async def test_a_unit_given_back_goes_to_the_first_who_waits() -> None:
    calls = Calls(1)
    entry = await calls.call("first")
    async with anyio.create_task_group() as tasks:
        for name in ("second", "third"):
            tasks.start_soon(calls.call, name)
            await anyio.wait_all_tasks_blocked()
        calls.dispatcher.release(entry)
        await anyio.wait_all_tasks_blocked()
        assert calls.served == ["first", "second"]
        calls.clock.advance(REFILL_SECONDS)
        await anyio.wait_all_tasks_blocked()
        assert calls.served == ["first", "second", "third"]


@pytest.mark.anyio
async def test_who_cannot_start_in_time_is_refused_with_what_the_ledger_says() -> None:
    calls = Calls(0)
    with pytest.raises(QuotaExceededError) as caught:
        await calls.call("never", max_wait=5.0)
    assert (caught.value.window, caught.value.wait_seconds) == ("the tray", REFILL_SECONDS)
    calls.tray.size = 1
    async with calls.clock.autojump():
        await calls.call("after the refill", max_wait=40.0)
    assert calls.served == ["after the refill"]


@pytest.mark.anyio
async def test_who_is_refused_and_cancelled_before_it_knows_gives_nothing_back() -> None:
    calls = Calls(0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(calls.call, "refused", QuotaClass.READ, Priority.NORMAL, REFILL_SECONDS + 1)
        await anyio.wait_all_tasks_blocked()
        calls.tray.refills_at += REFILL_SECONDS  # that is later than it may wait
        calls.dispatcher.advance()
        tasks.cancel_scope.cancel()
    assert (calls.tray.units, calls.tray.log, calls.served) == (0, [], [])


@pytest.mark.anyio
async def test_when_it_is_closed_every_call_that_waits_raises_an_error_of_its_own() -> None:
    calls, errors = Calls(1), list[LimiterError]()
    entry = await calls.call("out")

    async def fail(quota_class: QuotaClass, priority: Priority, max_wait: float) -> None:
        with pytest.raises(LimiterError, match="closed") as caught:
            await calls.call("never", quota_class, priority, max_wait)
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for quota_class in QuotaClass:
            for priority in Priority:
                tasks.start_soon(fail, quota_class, priority, math.inf)
                tasks.start_soon(fail, quota_class, priority, 2 * REFILL_SECONDS)
        await anyio.wait_all_tasks_blocked()
        assert calls.dispatcher.lengths() == (2, 2, 2, 6)
        calls.dispatcher.refuse_all(lambda: LimiterError("this limiter is closed"))
    assert len({id(error) for error in errors}) == 12
    assert calls.dispatcher.lengths() == (0, 0, 0, 0)
    calls.dispatcher.release(entry)
    await calls.call("again")
    assert calls.tray.log == ["read NORMAL", "release", "read NORMAL"]


@pytest.mark.anyio
async def test_who_is_cancelled_while_it_is_closed_gives_nothing_back() -> None:
    calls = Calls(0)

    async def call() -> None:
        with suppress(LimiterError):  # of which its task may know before the cancellation
            await calls.call("never")

    async with anyio.create_task_group() as tasks:
        for _ in ("owner of the timer", "parked"):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        calls.dispatcher.refuse_all(lambda: LimiterError("this limiter is closed"))
        tasks.cancel_scope.cancel()
    assert (calls.tray.units, calls.tray.log, calls.served) == (0, [], [])


@pytest.mark.anyio
async def test_the_log_says_that_calls_go_on_while_others_still_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "strava_async.limiter")
    calls = Calls(1, refill_seconds=300.0)
    await calls.call("first")
    async with anyio.create_task_group() as tasks:
        for name in ("second", "third"):
            tasks.start_soon(calls.call, name)
        await anyio.wait_all_tasks_blocked()
        calls.clock.advance(300)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert "read calls go on after 300 s; 1 still wait" in caplog.messages


def test_the_reserve_does_not_hold_back_a_background_call_that_is_starved() -> None:
    tray = Tray(0.0, 100, 10_000.0)
    tray.reserves = True
    queue = WaitQueue(tray)
    starved = Waiter(QuotaClass.READ, Priority.BACKGROUND, 0, 0.0, math.inf)
    queue.enter(starved)
    assert queue.next_start(1_000.0) is None, "the reserve is for those before it, and may be needed"
    for ticket in range(1, 20):
        queue.enter(Waiter(QuotaClass.READ, Priority.NORMAL, ticket, 1_000.0, math.inf))
    started = [queue.next_start(1_000.0) for _ in range(10)]
    assert started.index(starved) == 9


@pytest.mark.anyio
async def test_a_machine_that_slept_is_reported_to_the_ledger() -> None:
    calls = Calls(1)
    calls.clock.suspend(600)
    await calls.call("awake")
    assert calls.tray.log == ["slept 600", "read NORMAL"]
