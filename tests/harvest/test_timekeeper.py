"""What time it is for a harvest, by the machine's clock and Strava's."""

from __future__ import annotations

import pytest

from strava_async.harvest.timekeeper import Timekeeper
from strava_async.quota.readings import Meter, Quota
from strava_async.testing import FakeClock
from tests.harvest.world import MachineClock

QUARTER, YEAR = 900.0, 365 * 86_400.0


class Strava:
    """Its meters, which turn by its own clock."""

    def __init__(self, clock: FakeClock, limit: int | None = 100) -> None:
        self.looks = 0
        self._clock = clock
        self._limit = limit

    def quota(self) -> Quota:
        self.looks += 1
        meter = Meter(self._limit, 0, 0, (self._clock.time() // QUARTER + 1) * QUARTER)
        return Quota(meter, meter, meter, meter)


def keeper(offset: float, limit: int | None = 100) -> tuple[Timekeeper, FakeClock, MachineClock, Strava]:
    clock = FakeClock()
    machine, strava = MachineClock(clock), Strava(clock, limit)
    machine.offset = offset
    return Timekeeper(machine, strava.quota), clock, machine, strava


def answer(timekeeper: Timekeeper, clock: FakeClock, times: int = 2) -> None:
    for _ in range(times):
        sent_at = clock.monotonic()
        clock.advance(1.0)
        timekeeper.answered(sent_at)


@pytest.mark.parametrize("offset", [0.0, 30.0, -30.0])
def test_a_clock_that_is_right_counts(offset: float) -> None:
    timekeeper, clock, machine, _ = keeper(offset)
    answer(timekeeper, clock)
    assert timekeeper.time() == machine.time()
    assert (timekeeper.is_confirmed, timekeeper.was_wrong) == (True, False)
    assert timekeeper.on_machine(5.0) == 5.0


@pytest.mark.parametrize("offset", [YEAR, -YEAR, 3_600.0, -3_600.0])
def test_a_clock_that_is_wrong_is_corrected_to_the_quarter_hour(offset: float) -> None:
    timekeeper, clock, machine, _ = keeper(offset)
    answer(timekeeper, clock)
    assert abs(timekeeper.time() - clock.time()) <= QUARTER + 60
    assert (timekeeper.is_confirmed, timekeeper.was_wrong) == (True, True)
    assert timekeeper.on_machine(timekeeper.time() + 9) == pytest.approx(machine.time() + 9)


def test_it_takes_two_answers_one_after_the_other() -> None:
    timekeeper, clock, machine, _ = keeper(YEAR)
    sent_at = clock.monotonic()
    clock.advance(1.0)
    for _ in range(20):  # which were sent together
        timekeeper.answered(sent_at)
    assert timekeeper.time() == machine.time()
    assert not timekeeper.is_confirmed
    answer(timekeeper, clock, 1)
    assert timekeeper.time() < machine.time() - YEAR / 2


def test_a_clock_that_jumps_later_is_noticed_at_once_and_was_not_wrong_before() -> None:
    timekeeper, clock, machine, _ = keeper(0.0)
    answer(timekeeper, clock)
    timekeeper.time()
    machine.offset = YEAR
    assert abs(timekeeper.time() - clock.time()) <= QUARTER + 60
    machine.offset = 0.0
    assert timekeeper.time() == clock.time()
    assert not timekeeper.was_wrong


def test_a_limiter_that_learns_no_limits_confirms_nothing() -> None:
    timekeeper, clock, machine, _ = keeper(YEAR, limit=None)
    answer(timekeeper, clock)
    assert timekeeper.time() == machine.time()
    assert not timekeeper.is_confirmed


def test_the_meters_are_read_once_a_minute() -> None:
    timekeeper, clock, _, strava = keeper(0.0)
    answer(timekeeper, clock)
    for _ in range(1_000):
        timekeeper.time()
        clock.advance(0.06)
    assert strava.looks <= 2
