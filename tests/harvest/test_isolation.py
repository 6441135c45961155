"""What one activity cannot give stops nothing else, for as long as it lasts, and is never forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from strava_async.harvest import Kind, Plan
from strava_async.harvest.failures import AGAIN
from strava_async.harvest.rows import instant_of
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
    world = World(tmp_path / "h.sqlite", athletes=3)
    bad = [activity["id"] for one in world.ids for activity in world.activities(one)[: 2 * AGAIN : 2]]
    for number in bad:
        world.emulator.faults.add(ERROR, path=f"/activities/{number}", times=None)
    async with world.harvest(Plan.of(["details"])) as harvest:
        assert len((await harvest.run()).failures) == 3 * AGAIN
        world.clock.advance(HOUR)
        world.asked()
        await harvest.run()  # the last of an athlete would have come
        assert sorted(path for path in world.asked() if path != LIST) == sorted(f"/activities/{one}" for one in bad)


@pytest.mark.parametrize(
    "changes",
    [{"id": 10**30}, {"id": -1}, {"start_date": "\ud800"}, {"start_date": "0000-13-01"}, {"start_date": 10**30}],
    ids=["id beyond 64 bits", "negative", "half of a surrogate pair", "no date", "number"],
)
async def test_an_entry_of_the_list_that_no_file_can_hold_is_reported(
    changes: dict[str, object], tmp_path: Path
) -> None:
    world = World(tmp_path / "h.sqlite")
    whole = world.activities()[:4]
    odd = {**whole[3], "name": "\ud800\x1b", "distance": 10**400, "elapsed_time": 10**30, "athlete": {"id": 10**30}}
    answer = json.dumps([*whole[:3], {**odd, **changes}, {**odd}])
    page = Fault.status(200, answer, content_type="application/json")
    world.emulator.faults.add(page, path=LIST, times=1)
    world.emulator.faults.add(Fault.status(200, []), path=LIST, times=None)
    async with world.harvest(Plan.of([])) as harvest:
        outcome = await harvest.run()
    assert [str(failure).partition(": ")[2] for failure in outcome.failures] == [
        "1 of its activities lack their id or their start, or are nested too deeply"
    ]
    assert world.rows("select count(*) from activities") == [(4,)]


async def test_a_reason_that_no_file_can_hold_and_no_terminal_may_show_is_kept_without_that(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite")
    bad = world.activities()[3]["id"]
    message = json.dumps({"message": "odd \ud800\x1b[2J" + 1_000 * "long"})
    fault = Fault.status(400, message, content_type="application/json")
    world.emulator.faults.add(fault, path=f"/activities/{bad}", times=None)
    async with world.harvest() as harvest:
        outcome = await harvest.run()
    ((reason,),) = world.rows("select reason from resources where state = 'failed'")
    assert "odd \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2J" in reason
    assert len(reason) <= 300
    assert [failure.reason for failure in outcome.failures] == [reason]


async def test_streams_come_by_time_where_there_are_none_by_distance(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    recorded = [activity for activity in world.activities() if not activity["manual"]]
    indoor = next(activity for activity in recorded if not activity["distance"])
    hidden, none = [activity["id"] for activity in recorded if activity["distance"]][:2]
    since = min(instant_of(activity["start_date"]) or 0 for activity in (indoor, *recorded[:3]))
    missing = Fault.status(404, {"message": "Record Not Found"})
    world.emulator.faults.add(missing, path=f"/activities/{hidden}/streams", times=1)
    world.emulator.faults.add(missing, path=f"/activities/{none}/streams", times=None)
    async with world.harvest(Plan.of(["streams"], since=since)) as harvest:
        assert (await harvest.run()).complete
    queries = {
        number: [served.query.get("series_type") for served in world.emulator.requests if f"/{number}/" in served.path]
        for number in (indoor["id"], hidden, none)
    }
    assert list(queries.values()) == [["time"], [None, "time"], [None, "time"]]
    bodies = await world.bodies(Kind.STREAMS)
    assert "distance" not in bodies[indoor["id"]]
    assert bodies[indoor["id"]]["time"]["data"]
    assert bodies[hidden]["time"]["data"]
    assert bodies[none] is None
