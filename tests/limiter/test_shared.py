"""The limiter of a quota that many processes share, over a place in memory: what holds whatever the place is."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from strava_async.errors import InputError, LimiterError, QuotaExceededError, StoreError
from strava_async.limiter.base import ClosableLimiter, Limiter
from strava_async.limiter.shared import SharedLimiter
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.values import QuotaClass
from strava_async.testing.clock import FakeClock
from tests.limiter.contract import ClosableLimiterContract, answer
from tests.limiter.meeting_double import MemoryPlace, make, new_clock

pytestmark = pytest.mark.anyio
SENTENCE = "the place is locked: let go of it"


def locked() -> StoreError:
    return StoreError(SENTENCE)


@pytest.fixture
def clock() -> FakeClock:
    return new_clock()


@pytest.fixture
def place() -> MemoryPlace:
    return MemoryPlace()


class TestSharedLimiter(ClosableLimiterContract):
    @pytest.fixture
    async def limiter(self, clock: FakeClock, place: MemoryPlace) -> AsyncIterator[Limiter]:
        async with make(place, clock) as limiter:
            yield limiter

    @pytest.fixture
    def closable(self, limiter: ClosableLimiter) -> ClosableLimiter:
        return limiter


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestSharedLimiterThatNobodyEntered(ClosableLimiterContract):
    @pytest.fixture
    async def limiter(self, clock: FakeClock, place: MemoryPlace) -> AsyncIterator[Limiter]:
        limiter = make(place, clock)
        yield limiter
        await limiter.aclose()

    @pytest.fixture
    def closable(self, limiter: ClosableLimiter) -> ClosableLimiter:
        return limiter


async def warm(limiter: SharedLimiter, clock: FakeClock, used: int = 1) -> None:
    """Let it know limits and use."""
    (await limiter.acquire()).settle(200, answer(clock, used, used))


@pytest.mark.parametrize("ends", ["in time", "cancelled"])
async def test_that_nothing_waits_any_more_is_told_within_about_a_second(
    clock: FakeClock, place: MemoryPlace, ends: str
) -> None:
    async with (
        make(place, clock) as one,
        make(place, clock) as other,
        clock.autojump(),
        anyio.create_task_group() as tasks,
    ):
        await warm(one, clock, 90)
        held = [await other.acquire() for _ in range(10)]
        await clock.sleep(3.0)
        if ends == "in time":
            with pytest.raises(QuotaExceededError):
                await one.acquire(max_wait=5.0)
        else:
            tasks.start_soon(one.acquire)
            await clock.sleep(5.0)
            assert sorted(row.wants.total for row in place.fleet.rows.values()) == [0, 1]
            if ends == "cancelled":
                tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await clock.sleep(1.2)
            assert [row.wants.total for row in place.fleet.rows.values()] == [0, 0]
            for permit in held:
                permit.release()


# -- begin and end -----------------------------------------------------------------------------------------------------


async def test_two_share_what_there_is(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as one, make(place, clock) as other, clock.autojump():
        await warm(one, clock, 98)
        await clock.sleep(3.0)
        held = [await one.acquire(), await other.acquire()]
        with pytest.raises(QuotaExceededError):
            await one.acquire(max_wait=5.0)
        assert (one.processes, other.processes) == (2, 2)
        assert (one.state, other.state) == ("shared", "shared")
        for permit in held:
            permit.release()


async def test_usage_is_what_strava_said_and_what_others_hold_is_reserved(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as one, make(place, clock) as other, clock.autojump():
        for used in range(1, 15):
            await warm(one, clock, used)
        held = [await one.acquire() for _ in range(3)]
        await clock.sleep(1.0)
        await warm(other, clock, 15)
        await clock.sleep(4.0)
        for limiter in (one, other):
            meter = limiter.quota.read_15min
            assert (meter.limit, meter.usage) == (100, 15)
            assert meter.reserved >= 3
            assert meter.remaining == 100 - 15 - meter.reserved
        for permit in held:
            permit.release()


async def test_closing_gives_back_what_is_in_hand_and_closes_the_place(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter:
        await warm(limiter, clock)
        for _ in range(5):
            (await limiter.acquire()).release()
        assert place.held > 0
    assert (place.held, place.closes) == (0, 1)
    assert place.reports[-1].lease_ms == 0


async def test_a_second_close_has_no_effect_and_calls_nothing(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter:
        await warm(limiter, clock)
    calls = len(place.reports)
    await limiter.aclose()
    assert len(place.reports) == calls


async def test_one_that_nobody_used_is_closed_without_a_call(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as entered:
        assert entered.is_entered
    await make(place, clock).aclose()
    assert (place.reports, place.closes) == ([], 2)


async def test_a_place_that_lost_its_state_heals_until_all_have_reported(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as one, make(place, clock) as other, clock.autojump():
        await warm(one, clock, 20)
        (await other.acquire()).release()
        await clock.sleep(3.0)
        place.fleet = Fleet()
        call = anyio.Event()

        async def wait() -> None:
            (await one.acquire(QuotaClass.UPLOAD)).release()
            call.set()

        async with anyio.create_task_group() as tasks:
            for _ in range(120):  # more than what it has units for
                tasks.start_soon(wait)
            await clock.sleep(2.0)
            states = {one.state}
            await call.wait()
        await clock.sleep(10.0)
        assert (states, one.state, one.processes) == ({"healing"}, "shared", 2)


async def test_a_snapshot_has_what_this_process_knows_and_nothing_restores_it(
    clock: FakeClock, place: MemoryPlace
) -> None:
    async with make(place, clock) as limiter, clock.autojump():
        await warm(limiter, clock, 20)
        saved = json.loads(json.dumps(limiter.snapshot()))
        assert '"usage": 20' in json.dumps(saved)
        assert limiter.quota.read_15min.usage == 20
    assert not hasattr(limiter, "restore")


async def test_it_is_entered_once(clock: FakeClock, place: MemoryPlace) -> None:
    async with make(place, clock) as limiter:
        with pytest.raises(InputError, match="entered already"):
            await limiter.__aenter__()
        await warm(limiter, clock)
    with pytest.raises(InputError, match="closed"):
        await limiter.__aenter__()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_on_trio_it_has_to_be_entered(clock: FakeClock, place: MemoryPlace) -> None:
    limiter = make(place, clock)
    with pytest.raises(InputError, match="async with limiter"):
        await limiter.acquire()
    async with limiter:
        await warm(limiter, clock)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_on_asyncio_it_may_be_entered_after_the_first_call(clock: FakeClock, place: MemoryPlace) -> None:
    limiter = make(place, clock)
    await warm(limiter, clock)
    assert not limiter.is_entered
    async with limiter:
        (await limiter.acquire()).release()
        assert place.checks == 1
    assert place.held == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [({"quota_class": "bytes"}, "quota class"), ({"priority": 9}, "priority"), ({"max_wait": -1.0}, "max_wait")],
)
async def test_arguments_that_are_invalid_are_refused(
    clock: FakeClock, place: MemoryPlace, options: dict[str, Any], name: str
) -> None:
    async with make(place, clock) as limiter:
        with pytest.raises(InputError, match=name):
            await limiter.acquire(**options)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 2.9, 300.1, 1e13, math.inf, -math.inf, math.nan])
def test_a_lease_that_is_too_short_or_long_is_refused(clock: FakeClock, place: MemoryPlace, seconds: float) -> None:
    with pytest.raises(InputError, match="lease_seconds must be between 3 and 300"):
        SharedLimiter(place, "it", clock=clock, random=None, reserve=0.2, away="share", lease_seconds=seconds)


async def test_until_the_place_has_answered_it_knows_of_no_other(clock: FakeClock, place: MemoryPlace) -> None:
    place.fails = locked()
    async with make(place, clock) as limiter:
        assert limiter.processes == 1
        with anyio.move_on_after(0.01):
            await limiter.acquire()
        assert limiter.processes == 1


# -- the check ---------------------------------------------------------------------------------------------------------


async def test_a_place_that_is_set_up_wrongly_is_an_error_on_entering_before_any_call(
    clock: FakeClock, place: MemoryPlace
) -> None:
    place.refuses = LimiterError("the user may not call EVALSHA: add +evalsha to its ACL")
    limiter = make(place, clock)
    with pytest.raises(LimiterError, match=r"\+evalsha"):
        await limiter.__aenter__()
    assert (place.reports, place.closes, limiter.is_entered) == ([], 0, False)
    place.refuses = None
    async with limiter:
        await warm(limiter, clock)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_is_the_error_of_all_calls_of_one_that_was_not_entered_until_it_is_mended(
    clock: FakeClock, place: MemoryPlace
) -> None:
    place.refuses = LimiterError("the user may not call EVALSHA: add +evalsha to its ACL")
    limiter = make(place, clock)
    failed: list[Exception] = []

    async def call() -> None:
        try:
            await limiter.acquire()
        except LimiterError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call)
    assert [str(error) for error in failed] == [str(place.refuses)] * 3
    assert len(set(map(id, failed))) == 3
    assert place.reports == []
    place.refuses = None
    await warm(limiter, clock)
    await limiter.aclose()


@pytest.mark.parametrize("refuses", [locked(), ZeroDivisionError("a bug")])
async def test_a_place_that_is_away_when_it_is_checked_keeps_nobody_from_starting(
    clock: FakeClock, place: MemoryPlace, refuses: Exception
) -> None:
    place.refuses = refuses
    async with make(place, clock) as limiter:
        await warm(limiter, clock)


async def test_a_check_that_hangs_is_given_up(clock: FakeClock, place: MemoryPlace) -> None:
    place.hangs = True
    async with make(place, clock, call_seconds=0.05) as limiter, jumps(clock, limiter):
        place.hangs = False
        await warm(limiter, clock)


# -- away --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["away", "hangs", "bug"])
async def test_an_outage_is_one_warning_and_one_info_and_goes_on_with_a_part(
    clock: FakeClock, place: MemoryPlace, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.INFO, "strava_async.limiter")
    # Of real time: on a busy machine the first call may take longer, and is then repeated after a pause.
    async with make(place, clock, call_seconds=0.05 if kind == "hangs" else 3.0) as limiter, jumps(clock, limiter):
        await warm(limiter, clock, 20)
        await clock.sleep(3.0)
        place.hangs = kind == "hangs"
        place.fails = {"away": locked(), "bug": ZeroDivisionError("secret")}.get(kind)
        for _ in range(12):
            await clock.sleep(5.0)
            await warm(limiter, clock, 20)
        assert limiter.state == "away"
        place.hangs, place.fails = False, None
        await clock.sleep(30.0)
        await warm(limiter, clock, 40)
        assert limiter.state in ("shared", "healing")
    errors = ["ERROR"] if kind == "bug" else []
    assert [record.levelname for record in caplog.records] == [*errors, "WARNING", "INFO"]
    warning = caplog.records[-2].getMessage()
    assert {"away": SENTENCE, "hangs": "did not reply within", "bug": "unexpected error"}[kind] in warning
    assert "secret" not in warning


async def test_a_fault_of_the_task_itself_leaves_nobody_waiting(
    clock: FakeClock, place: MemoryPlace, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = False

    def random() -> float:
        if faulty:
            raise MemoryError
        return 0.5

    limiter = make(place, clock, random=random)
    async with limiter, clock.autojump():
        await warm(limiter, clock, 20)
        await clock.sleep(3.0)
        faulty, place.fails = True, locked()
        await clock.sleep(20.0)
        await warm(limiter, clock, 20)
        assert limiter.state == "away"
        faulty, place.fails = False, None
        await clock.sleep(20.0)
        await warm(limiter, clock, 20)
        assert limiter.state in ("shared", "healing")
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


def jumps(clock: FakeClock, limiter: SharedLimiter) -> AbstractAsyncContextManager[TaskGroup]:
    """Let a clock jump, but not while a call to the place is under way: that takes no time here."""
    clock.is_busy = lambda: limiter.is_calling
    return clock.autojump()
