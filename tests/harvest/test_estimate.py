"""The estimate: by the four meters and the calendar, alone and beside what a run takes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from strava_async.harvest import Harvest, Plan
from strava_async.harvest.estimate import Estimate, Work, estimated
from strava_async.quota.readings import Meter, Quota
from strava_async.testing import MeterLimits
from tests.harvest.world import World

QUARTER, DAY = 900.0, 86_400.0
MIDNIGHT = 20_459 * DAY


def meters(
    now: float, *, read: tuple[int, int] = (100, 1000), overall: tuple[int, int] = (200, 2000), used: int = 0
) -> Quota:
    quarter, day = (now // QUARTER + 1) * QUARTER, (now // DAY + 1) * DAY
    return Quota(
        Meter(read[0], used, 0, quarter),
        Meter(read[1], used, 0, day),
        Meter(overall[0], used, 0, quarter),
        Meter(overall[1], used, 0, day),
    )


def work(count: int, *, keep: float | None = None, later: list[float] | None = None, athletes: int = 0) -> Work:
    return Work([0.0] * count + (later or []), athletes, 0, keep)


@pytest.mark.parametrize(
    ("count", "begins", "used", "ends"),
    [
        (0, 0.0, 0, 0.0),
        (100, 0.0, 0, 0.0),
        (101, 0.0, 0, QUARTER),
        (100, 300.0, 60, QUARTER),
        (1000, 0.0, 0, 9 * QUARTER),
        (1001, 0.0, 0, DAY),
        (2150, 0.0, 0, 2 * DAY + QUARTER),
        (100, DAY - 60, 90, DAY),
    ],
)
def test_quarters_and_days_bound_what_is_sent(count: int, begins: float, used: int, ends: float) -> None:
    now = MIDNIGHT + begins
    expected = Estimate(count, MIDNIGHT + ends, 0, True) if ends else Estimate(count, now, 0, True)
    assert estimated(work(count), meters(now, used=used), now, unlisted=0, reserve=0.0) == expected


def test_the_overall_meters_bound_it_too() -> None:
    estimate = estimated(
        work(150), meters(MIDNIGHT, read=(500, 5000), overall=(50, 120)), MIDNIGHT, unlisted=0, reserve=0.0
    )
    assert estimate.done_at == MIDNIGHT + DAY


def test_what_is_renewed_meanwhile_counts() -> None:
    soon = [MIDNIGHT + QUARTER] * 100
    assert estimated(work(1000, later=soon), meters(MIDNIGHT), MIDNIGHT, unlisted=0, reserve=0.0).requests == 1100
    later = [MIDNIGHT + 5 * DAY] * 100
    assert estimated(work(1000, later=later), meters(MIDNIGHT), MIDNIGHT, unlisted=0, reserve=0.0).requests == 1000


def test_more_than_can_be_renewed_is_never_done() -> None:
    assert estimated(work(5_900, keep=6 * DAY), meters(MIDNIGHT), MIDNIGHT, unlisted=0, reserve=0.0).done_at is not None
    never = estimated(work(6_100, keep=6 * DAY), meters(MIDNIGHT), MIDNIGHT, unlisted=0, reserve=0.0)
    assert never.done_at is None


def test_what_is_left_of_a_day_to_others_comes_late_in_the_day() -> None:
    assert estimated(work(890), meters(MIDNIGHT), MIDNIGHT, unlisted=0).done_at == MIDNIGHT + 8 * QUARTER
    late = estimated(work(950), meters(MIDNIGHT), MIDNIGHT, unlisted=0).done_at
    assert late is not None
    assert MIDNIGHT + 0.45 * DAY < late < MIDNIGHT + 0.55 * DAY


def test_lists_are_read_each_day() -> None:
    assert estimated(work(3000, athletes=100), meters(MIDNIGHT), MIDNIGHT, unlisted=0, reserve=0.0).requests == 3600


def test_without_an_answer_the_quota_of_a_new_application_is_assumed() -> None:
    unknown = Meter(None, None, 0, MIDNIGHT + QUARTER)
    estimate = estimated(work(150), Quota(unknown, unknown, unknown, unknown), MIDNIGHT, unlisted=2, reserve=0.0)
    assert estimate == Estimate(150, MIDNIGHT + QUARTER, 2, False)


@pytest.mark.anyio
@pytest.mark.one_python
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_run_of_three_days_ends_when_it_was_said(tmp_path: Path) -> None:
    keep = timedelta(days=7)
    world = World(tmp_path / "h.sqlite", limits=MeterLimits(40, 400, 20, 64), years=0.25, athletes=2)
    async with world.strava() as strava:
        await Harvest(strava, world.store, keep=keep, plan=Plan.of([])).run()
        harvest = Harvest(strava, world.store, keep=keep)
        began, asked = world.clock.time(), len(world.asked())
        estimate = await harvest.estimate()
        assert len(world.asked()) == 0
        outcome = await harvest.run()
    assert asked
    assert outcome.complete
    assert estimate.done_at is not None
    assert world.clock.time() - began > 2.5 * DAY
    assert estimate.requests == pytest.approx(outcome.counts.requests, rel=0.05)
    assert estimate.done_at - began == pytest.approx(world.clock.time() - began, rel=0.05)
    assert (estimate.unlisted, estimate.quota_is_known) == (0, True)


@pytest.mark.anyio
async def test_before_the_lists_are_known_it_says_so(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=3)
    async with world.harvest() as harvest:
        first = await harvest.estimate()
        assert (first.unlisted, first.quota_is_known) == (3, False)
        assert first.requests == pytest.approx(3 * (2 * 500 + 4), rel=0.05)
        await harvest.run([world.ids[0]])
        some = await harvest.estimate()
        assert some.unlisted == 2
        assert (await harvest.estimate([world.ids[0]])).requests == 2  # pages of its list
    assert world.path.exists()
