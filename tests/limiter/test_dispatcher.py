"""The dispatcher over a ledger that is not ours: it needs the Protocol, and nothing of the class."""

from __future__ import annotations

import math
from collections.abc import Mapping

import anyio
import pytest

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.errors import QuotaExceededError
from strava_async.limiter.dispatcher import Dispatcher
from strava_async.limiter.queue import Waiter
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.values import Blocked, Meter, Priority, Quota, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock

pytestmark = pytest.mark.anyio

REFILL_SECONDS = 30.0


class Tray:
    """A ledger of some units, which are all there again every half minute."""

    def __init__(self, now: float, units: int) -> None:
        self.units = self.size = units
        self.refills_at = now + REFILL_SECONDS
        self.answers = 0
        self.log: list[str] = []

    def roll_windows(self, now: float) -> None:
        if now >= self.refills_at:
            self.units, self.refills_at = self.size, now + REFILL_SECONDS

    def next_change(self) -> float:
        return self.refills_at

    def note_sleep(self, seconds: float, now: float) -> None:
        self.log.append(f"slept {seconds:.0f}")

    def admits(self, quota_class: QuotaClass, priority: Priority, now: float) -> bool:
        return self.units > 0

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

    def __init__(self, units: int) -> None:
        self.clock = FakeClock(SOME_TUESDAY)
        self.tray = Tray(self.clock.monotonic(), units)
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


async def test_the_classes_reach_the_ledger_as_they_were_asked_for() -> None:
    calls = Calls(2)
    await calls.call("now", QuotaClass.UPLOAD, Priority.INTERACTIVE)
    await calls.call("then", QuotaClass.READ, Priority.BACKGROUND)
    assert calls.tray.log == ["upload INTERACTIVE", "read BACKGROUND"]


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


async def test_who_cannot_start_in_time_is_refused_with_what_the_ledger_says() -> None:
    calls = Calls(0)
    with pytest.raises(QuotaExceededError) as caught:
        await calls.call("never", max_wait=5.0)
    assert (caught.value.window, caught.value.wait_seconds) == ("the tray", REFILL_SECONDS)
    calls.tray.size = 1
    async with calls.clock.autojump():
        await calls.call("after the refill", max_wait=40.0)
    assert calls.served == ["after the refill"]


async def test_a_machine_that_slept_is_reported_to_the_ledger() -> None:
    calls = Calls(1)
    calls.clock.suspend(600)
    await calls.call("awake")
    assert calls.tray.log == ["slept 600", "read NORMAL"]
