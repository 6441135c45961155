"""``Harvest.follow`` and ``purge``: an event becomes work, and nothing is deleted because a stranger said so."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from strava_async.errors import InputError
from strava_async.harvest import Followed, Kind, Plan
from strava_async.testing import Fault
from strava_async.webhooks import WebhookEvent
from tests.harvest.test_store_sqlite import found_in
from tests.harvest.world import LIST, World

pytestmark = pytest.mark.anyio
HOUR = 3600.0


def event(
    world: World, object_id: int, aspect_type: str, object_type: str = "activity", **updates: str
) -> WebhookEvent:
    return WebhookEvent(object_type, object_id, aspect_type, world.ids[0], 1, int(world.clock.time()), updates)


async def test_what_an_event_says_is_asked_about_once(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    async with world.harvest() as harvest:
        await harvest.run()
        old, gone, kept = (world.activities()[n]["id"] for n in (-1, -2, -3))
        assert old not in [a["id"] for a in world.activities()[:20]]
        world.emulator.edit_activity(old, name="Another name", sport_type="Walk")
        world.emulator.delete_activity(gone)
        for each in (
            event(world, old, "update", title="Another name"),
            event(world, old, "update", title="Another name"),
            event(world, gone, "delete"),
            event(world, kept, "delete"),  # forged
            event(world, 5, "create"),  # forged
        ):
            assert await harvest.follow(each) == Followed.QUEUED
        world.asked()
        world.clock.advance(HOUR)
        assert (await harvest.run()).complete
        asked = Counter(world.asked())
        assert asked.pop(LIST) == 2
        # The sport is part of what the zones are of, and not of the streams.
        assert asked == Counter(f"/activities/{one}" for one in (old, gone, kept, 5))
        assert world.rows("select sport_type, name from activities where id = ?", old) == [("Walk", "Another name")]
        await world.assert_complete()
        await harvest.run()
        assert set(world.asked()) == {LIST}
        assert found_in(tmp_path, b"%d" % gone) == []


async def test_a_late_upload_of_long_ago_comes_by_its_event(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite")
    async with world.harvest() as harvest:
        await harvest.run()
        fields = {
            "name": "Gym",
            "sport_type": "Workout",
            "start_date_local": "2025-03-06T10:00:00Z",
            "elapsed_time": 60,
        }
        world.emulator.world().add_manual(fields, activity_id=90_000_000_000, now=world.clock.time())
        world.emulator.refresh()
        await harvest.follow(event(world, 90_000_000_000, "create"))
        assert (await harvest.run()).complete
        await world.assert_complete()


async def test_an_event_about_somebody_elses_activity_brings_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite")
    async with world.harvest() as harvest:
        await harvest.run()
        other = {**world.activities()[0], "id": 77, "athlete": {"id": 1}}
        world.emulator.faults.add(Fault.status(200, other), path="/activities/77", times=None)
        await harvest.follow(event(world, 77, "create"))
        await harvest.run()
        assert world.rows("select 1 from activities where id = 77") == []


async def test_an_event_of_an_unknown_athlete_is_ignored(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite")
    async with world.harvest() as harvest:
        assert await harvest.follow(event(world, 5, "delete")) == Followed.IGNORED
        await harvest.run()
        assert await harvest.follow(event(world, world.ids[0], "update", "athlete", weight="5")) == Followed.IGNORED


async def test_a_deauthorization_is_believed_when_strava_refuses_the_grant(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2)
    athlete_id = world.ids[0]
    leaving = event(world, athlete_id, "update", "athlete", authorized="false")
    async with world.harvest() as harvest:
        await harvest.run()
        numbers = [b"%d" % number for number in (athlete_id, *(a["id"] for a in world.activities(athlete_id)))]
        assert await harvest.follow(leaving) == Followed.UNCONFIRMED
        assert len(await world.bodies(Kind.DETAIL, athlete_id)) == len(numbers) - 1
        world.emulator.disconnect(athlete_id)
        assert await harvest.follow(leaving) == Followed.DELETED
        assert found_in(tmp_path, *numbers) == []
        assert await world.store.athlete_ids() == [world.ids[1]]
        assert (await harvest.run()).complete


async def test_purging_deletes_an_athlete_or_what_is_old(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2)
    async with world.harvest(Plan.of(["details"])) as harvest:
        await harvest.run()
        count = len(world.activities(world.ids[0]))
        assert await harvest.purge(athlete_id=world.ids[0]) == 2 * count
        assert await harvest.purge(athlete_id=world.ids[0]) == 0
        world.clock.advance(HOUR)
        assert await harvest.purge(older_than=timedelta(hours=2)) == 0
        assert await harvest.purge(older_than=timedelta(minutes=30)) == 2 * len(world.activities(world.ids[1]))
        for arguments in ({}, {"athlete_id": 1, "older_than": timedelta(1)}, {"older_than": timedelta(-1)}):
            with pytest.raises(InputError):
                await harvest.purge(**arguments)  # type: ignore[arg-type]
        assert (await world.store.counts()).oldest is None
