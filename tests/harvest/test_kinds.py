"""Each kind of a plan: what comes of it, page by page, and what a kind that the athlete may not have costs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from strava_async.harvest import Kind, Plan, State
from strava_async.harvest.failures import FORBIDDEN
from strava_async.harvest.fetch import plain_body
from strava_async.testing import Fault
from tests.harvest.world import LIST, World

pytestmark = pytest.mark.anyio
DAY = 86_400.0
EVERY_KIND = ["details", "streams", "laps", "zones", "comments", "kudos", "photos", "gear", "routes", "stats"]


async def body(world: World, kind: Kind, key: object) -> Any:
    resource = await world.store.read(world.ids[0], kind, str(key))
    if resource is None:
        return None
    packed = plain_body(resource)
    return resource.state if packed is None else json.loads(packed)


def only(names: list[dict[str, Any]]) -> list[Any]:
    return [each.get("id") or (each["firstname"], each["lastname"]) for each in names]


async def test_every_kind_comes_once_as_strava_has_it(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.04)
    first, second, *_ = (a for a in world.activities() if not a["manual"])
    first |= {"kudos_count": 41, "comment_count": 41, "total_photo_count": 3}
    second |= {"kudos_count": 0, "comment_count": 0, "total_photo_count": 0}
    world.emulator.refresh()
    for part in ("kudos", "comments"):
        world.emulator.faults.add(Fault.short_pages(180), path=f"/activities/{first['id']}/{part}", times=None)
    async with world.harvest(Plan.of(EVERY_KIND)) as harvest:
        outcome = await harvest.run()
        assert outcome.complete, outcome.failures
        asked = Counter(world.asked())
        assert (await harvest.run()).complete
        assert set(world.asked()) == {LIST}
    strava, key = world.emulator.world(), first["id"]
    assert only(await body(world, Kind.KUDOS, key)) == only(strava.kudos(key))
    assert only(await body(world, Kind.COMMENTS, key)) == only(strava.comments(key))
    assert len(await body(world, Kind.PHOTOS, key)) == len(strava.photos(key, size=100)) == 3
    assert await body(world, Kind.LAPS, key) == json.loads(json.dumps(strava.laps(key)))
    assert len(await body(world, Kind.ZONES, key)) == len(strava.activity_zones(key))
    assert {r["id"] for r in await body(world, Kind.ROUTES, world.ids[0])} == set(strava.routes)
    assert (await body(world, Kind.STATS, world.ids[0]))["all_run_totals"]["count"] >= 0
    gear = {a["gear_id"] for a in world.activities() if a["gear_id"]}
    assert {r.key for r in await world.store.resources(world.ids[0], kinds=[Kind.GEAR])} == gear
    assert asked[f"/activities/{key}/kudos"] == asked[f"/activities/{key}/comments"] == 3  # of 20
    for part in ("kudos", "comments", "photos"):
        assert f"/activities/{second['id']}/{part}" not in asked
    assert {count for path, count in asked.items() if path != LIST and not path.startswith(f"/activities/{key}/")} <= {
        1,
        2,  # routes end with an empty page
    }


async def test_a_list_that_grew_is_read_again(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.02)
    (first, *_) = world.activities()
    async with world.harvest(Plan.of(["kudos"])) as harvest:
        await harvest.run()
        first["kudos_count"] += 5
        world.emulator.refresh()
        world.clock.advance(DAY)
        world.asked()
        await harvest.run()
    assert [path for path in world.asked() if path != LIST] == [f"/activities/{first['id']}/kudos"]
    assert len(await body(world, Kind.KUDOS, first["id"])) == first["kudos_count"]


async def test_gear_routes_and_stats_are_renewed_weekly(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.02)
    async with world.harvest(Plan.of(["gear", "routes", "stats"])) as harvest:
        await harvest.run()
        once = Counter(world.asked())
        for day in range(1, 8):
            world.clock.advance(DAY)
            assert (await harvest.run()).complete
            asked = Counter(world.asked())
            assert asked.pop(LIST)
            assert asked == (once - Counter({LIST: once[LIST]}) if day == 7 else Counter())


# What the athlete may not have


@pytest.mark.parametrize(
    ("plan", "path", "fault"),
    [
        (Plan.of(["laps", "zones"]), "/activities/*/zones", Fault.status(402, {"message": "Payment Required"})),
        (
            Plan.of(["laps", "comments"]),
            "/activities/*/comments",
            Fault.status(
                401,
                {
                    "message": "Authorization Error",
                    "errors": [{"resource": "AccessToken", "field": "activity:read_permission", "code": "missing"}],
                },
            ),
        ),
        (
            Plan.of(["laps", "photos"]),
            "/activities/*/photos",
            Fault.status(
                401,
                {
                    "message": "Authorization Error",
                    "errors": [{"resource": "Application", "field": "internal", "code": "invalid"}],
                },
            ),
        ),
    ],
    ids=["subscription", "scope", "closed"],
)
async def test_a_kind_that_is_refused_is_noted_once_and_costs_no_request_for_each_activity(
    tmp_path: Path, plan: Plan, path: str, fault: Fault
) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    for activity in world.activities():
        activity |= {"comment_count": 1, "total_photo_count": 1}
    world.emulator.refresh()
    world.emulator.faults.add(fault, path=path, times=None)
    async with world.harvest(plan) as harvest:
        for _ in range(2):
            outcome = await harvest.run()
            assert len(outcome.failures) == 1
            assert not outcome.complete
    assert world.emulator.count("GET", path) <= 2 * 20  # those that were under way
    assert len(await world.bodies(Kind.LAPS)) == len(world.activities()) > 60


async def test_a_kind_that_is_forbidden_ends_with_a_few_and_what_one_forbids_ends_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    forbidden = Fault.status(403, {"message": "Forbidden", "errors": []})
    world.emulator.faults.add(forbidden, path="/activities/*/zones", times=None)
    some = [activity["id"] for activity in world.activities()[3::10]]
    assert len(some) > FORBIDDEN
    for one in some:
        world.emulator.faults.add(forbidden, path=f"/activities/{one}/laps", times=None)
    async with world.harvest(Plan.of(["details", "laps", "zones"])) as harvest:
        outcome = await harvest.run()
    assert FORBIDDEN <= world.emulator.count("GET", "/activities/*/zones") <= 20
    assert not outcome.complete
    stored = [held.resources for held in await world.store.scan(world.ids[0], None, 1000)]
    assert all(each[Kind.DETAIL].state == State.STORED for each in stored)
    assert [each[Kind.LAPS].state for each in stored].count(State.FAILED) == len(some)


async def test_a_scope_that_is_missing_for_everything_ends_the_athlete(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.1, athletes=2)
    world.tokens[world.ids[1]] = world.token(world.ids[1], scope=["read"])
    async with world.harvest() as harvest:
        outcome = await harvest.run()
    assert {failure.athlete_id for failure in outcome.failures} == {world.ids[1]}
    assert len(outcome.failures) == 1
    assert "activity:read_permission" in outcome.failures[0].reason
    assert len(await world.bodies(Kind.DETAIL, world.ids[0])) == len(world.activities(world.ids[0]))
