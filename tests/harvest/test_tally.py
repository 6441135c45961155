"""What a harvest says of itself while it runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from strava_async.harvest import Kind, KindProgress, Plan, Progress
from strava_async.testing import Fault, MeterLimits
from tests.harvest.world import World


async def progress_of(world: World, plan: Plan, keep: timedelta | None = None, **limits: int) -> list[Progress]:
    seen: list[Progress] = []
    async with world.harvest(plan, keep=keep) as harvest:
        await harvest.run(on_progress=seen.append, **limits)
    return seen


@pytest.mark.anyio
async def test_what_is_wanted_is_known_as_soon_as_the_list_was_read(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, years=0.02)
    seen = await progress_of(world, Plan(gear=True))
    activities = [each for one in world.ids for each in world.activities(one)]
    streams = sum(not each["manual"] for each in activities)
    gear = sum(len({a["gear_id"] for a in world.activities(one) if a["gear_id"]}) for one in world.ids)
    assert {each.athletes_total for each in seen} == {2}
    first = next(each for each in seen if each.athletes_listed == 2)
    assert (first.activities, first.kinds[Kind.DETAIL].wanted) == (len(activities), len(activities))
    assert [first.kinds[kind].wanted for kind in (Kind.STREAMS, Kind.GEAR)] == [streams, gear]
    held = [each.kinds[Kind.DETAIL].held for each in seen if each.athletes_listed == 2]
    assert held == sorted(held)
    assert all(part.left == part.failed == part.pending == 0 for part in seen[-1].kinds.values())
    assert seen[-1].kinds[Kind.DETAIL] == KindProgress(len(activities), len(activities))
    assert (seen[-1].athletes, seen[-1].asking) == (0, 0)


@pytest.mark.anyio
async def test_a_later_run_counts_what_is_held_and_what_failed(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.05)
    newest, second = (each["id"] for each in world.activities()[:2])
    for path in (f"/activities/{newest}", f"/activities/{second}"):
        world.emulator.faults.add(Fault.status(500, {"message": "error"}), path=path, times=1)
    plan, wanted = Plan(streams=False), len(world.activities())
    seen = await progress_of(world, plan)
    assert seen[-1].kinds == {Kind.DETAIL: KindProgress(wanted, wanted - 2, failed=2)}
    seen = await progress_of(world, plan)  # too early to try again
    assert seen[-1].kinds == {Kind.DETAIL: KindProgress(wanted, wanted - 2, failed=2)}
    world.clock.advance(3_600.0)
    seen = await progress_of(world, plan, max_requests=3)
    assert seen[-1].kinds == {Kind.DETAIL: KindProgress(wanted, wanted - 1, failed=1)}


@pytest.mark.anyio
async def test_what_keeps_the_next_request_is_told(tmp_path: Path) -> None:
    limits = MeterLimits(read_15min=10, overall_15min=20)
    world = World(tmp_path / "h.sqlite", years=0.05, limits=limits)
    seen = await progress_of(world, Plan(streams=False), max_requests=10)
    blocked = seen[-1].blocked
    assert blocked is not None
    assert blocked.window == "read_15min"
    assert (seen[-1].athletes, seen[-1].asking, seen[-1].counts.requests) == (1, 0, 10)
    assert world.clock.time() < blocked.resume_at <= world.clock.time() + 910


@pytest.mark.anyio
async def test_a_run_that_may_not_wait_says_when_there_is_quota(tmp_path: Path) -> None:
    limits = MeterLimits(read_15min=10, overall_15min=20)
    world = World(tmp_path / "h.sqlite", years=0.05, limits=limits)
    began_at = world.clock.time()
    async with world.harvest(Plan(streams=True)) as harvest:
        outcome = await harvest.run(max_wait=2.0)
    assert not outcome.complete
    assert outcome.quota_at is not None
    assert began_at < outcome.quota_at <= began_at + 910
    assert world.clock.time() < began_at + 60
    async with world.harvest(Plan(streams=True)) as harvest:
        assert (await harvest.run()).quota_at is None


@pytest.mark.anyio
async def test_there_is_nothing_to_come_back_for_before_there_is_quota(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.05, limits=MeterLimits(read_15min=10, overall_15min=20))
    late = next(each["id"] for each in world.activities() if not each["manual"])
    world.emulator.faults.add(Fault.status(200, {}), path=f"/activities/{late}/streams", times=None)
    world.clock.advance(60.0)  # its streams are due in five minutes, and the window ends later
    async with world.harvest(Plan(streams=True)) as harvest:
        outcome = await harvest.run(max_wait=2.0)
    assert outcome.counts.pending == 1
    assert outcome.resume_at == outcome.quota_at
