"""What one activity cannot give stops nothing else, for as long as it lasts, and is never forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from strava_async.harvest import Kind, Plan
from strava_async.harvest.failures import AGAIN
from strava_async.testing import Fault
from tests.harvest.world import LIST, World

pytestmark = pytest.mark.anyio
HOUR = 3_600.0
ERROR = Fault.status(500, {"message": "error"})


async def test_one_bad_activity_for_days_costs_each_run_a_request_and_stops_nothing(tmp_path: Path) -> None:
    # dreeve #136 and #341, elevate #1124: such an activity ended each run of a nightly import, or began it anew.
    world = World(tmp_path / "h.sqlite")
    bad = world.activities()[3]["id"]
    world.emulator.faults.add(ERROR, path=f"/activities/{bad}", times=None)
    rest = {activity["id"] for activity in world.activities()} - {bad}
    for night in range(6):
        async with world.harvest() as harvest:
            outcome = await harvest.run()
        assert not outcome.complete
        assert [(failure.kind, failure.key) for failure in outcome.failures] == [(Kind.DETAIL, str(bad))]
        assert {key for key, body in (await world.bodies(Kind.DETAIL)).items() if body} == rest
        asked = [path for path in world.asked() if path != LIST]
        assert asked.count(f"/activities/{bad}") == 1
        assert (len(asked) == 1) == (night > 0)
        world.clock.advance(30 * HOUR)
    world.emulator.faults.clear()
    async with world.harvest() as harvest:
        assert (await harvest.run()).complete
    await world.assert_complete()


@pytest.mark.parametrize(
    ("plan", "path"),
    [(Plan(), "/activities/*/streams"), (Plan.of(["gear"]), "/gear/*"), (Plan.of(["stats"]), "/athletes/*/stats")],
    ids=["of an activity", "gear", "of the athlete"],
)
async def test_a_run_before_a_failure_is_due_again_is_not_complete_either(
    plan: Plan, path: str, tmp_path: Path
) -> None:
    world = World(tmp_path / "h.sqlite")
    world.emulator.faults.add(ERROR, path=path, times=1)
    async with world.harvest(plan) as harvest:
        first = await harvest.run()
        assert len(first.failures) == 1
        world.asked()
        again = await harvest.run()
        assert set(world.asked()) == {LIST}
        assert (again.complete, again.resume_at, again.failures) == (False, first.resume_at, ())
        part = await harvest.slice(world.ids[0])
        assert (part.done, part.resume_at) == (False, first.resume_at)
        world.clock.advance(HOUR)
        assert (await harvest.run()).complete


async def test_what_failed_before_is_no_row_of_failures(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=4)
    bad = [activity["id"] for one in world.ids for activity in world.activities(one)[: 2 * AGAIN : 2]]
    for number in bad:
        world.emulator.faults.add(ERROR, path=f"/activities/{number}", times=None)
    async with world.harvest(Plan.of(["details"])) as harvest:
        assert len((await harvest.run()).failures) == 4 * AGAIN
        world.clock.advance(HOUR)
        world.asked()
        await harvest.run()  # the last of an athlete would have come
        assert sorted(path for path in world.asked() if path != LIST) == sorted(f"/activities/{one}" for one in bad)
