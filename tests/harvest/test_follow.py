"""``Harvest.follow`` and ``purge``: an event becomes work, and nothing is deleted because a stranger said so."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from strava_async.errors import InputError
from strava_async.harvest import Followed, Harvest, Kind, Plan
from strava_async.testing import Fault, MeterLimits
from strava_async.webhooks import WebhookEvent
from tests.harvest.test_store_sqlite import found_in
from tests.harvest.world import LIST, World, needed, traces

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


@pytest.mark.parametrize(
    ("anyio_backend", "held"),
    [("asyncio", False), ("trio", True)],
    ids=["of ids that nobody has", "of ids that are held"],
)
async def test_a_thousand_forged_events_cost_an_athlete_twenty_requests_a_day_and_a_list(
    tmp_path: Path, held: bool
) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    ids = [activity["id"] for activity in world.activities()] if held else range(1, 1_001)
    async with world.harvest() as harvest:
        await harvest.run()
        world.clock.advance(6 * HOUR)
        world.asked()
        for hour in range(6):
            events = [event(world, number, "update") for number in ids]
            await follow_all(harvest, events if held else events[:: 1 if hour == 0 else 100])
            assert (await harvest.run()).complete
            world.clock.advance(HOUR)
        asked = Counter(world.asked())
    assert asked.pop(LIST) == 2 * 6
    assert asked.total() == 20
    await world.assert_complete()


async def follow_all(harvest: Harvest, events: list[WebhookEvent]) -> None:
    async with anyio.create_task_group() as tasks:
        for each in events:
            tasks.start_soon(harvest.follow, each)


async def test_what_more_events_than_are_checked_told_comes_with_the_list(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    old = [activity["id"] for activity in world.activities()[30:]]
    gone, edited = old[:25], old[25:40]
    async with world.harvest() as harvest:
        await harvest.run()
        world.clock.advance(13 * HOUR)
        for number in gone:
            world.emulator.delete_activity(number)
            await harvest.follow(event(world, number, "delete"))
        for number in edited:
            world.emulator.edit_activity(number, name="Edited")
            await harvest.follow(event(world, number, "update"))
        assert (await harvest.run()).complete
        await world.assert_complete()
        state = await world.store.state(world.ids[0])
        assert state is not None
        assert not state.is_list_due


async def test_events_that_come_while_the_list_is_read_are_not_forgotten(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    events = [event(world, number, "update") for number in range(1, 100)]
    async with world.harvest() as harvest:
        world.before(2, lambda: follow_all(harvest, events))  # the second page
        await harvest.run()
        state = await world.store.state(world.ids[0])
        assert state is not None
        assert state.is_list_due


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_run_of_days_follows_what_more_events_than_are_checked_told(tmp_path: Path) -> None:
    limits = MeterLimits(10**4, 10**4, 10**4, 60)
    world = World(tmp_path / "h.sqlite", years=0.3, limits=limits)
    old = [activity["id"] for activity in world.activities()[14:20]]
    assert world.activities()[14]["start_date"] < "2025-12-23"  # no list but a complete one shows it
    events = [event(world, number, "delete") for number in (*range(1, 21), *old)]
    async with world.harvest() as harvest:

        async def delete() -> None:
            for number in old:
                world.emulator.delete_activity(number)
            await follow_all(harvest, events)
            events.clear()

        world.before(70, delete)  # what they are about is stored: of each day 60 requests are served, 20 at once
        assert (await harvest.run()).complete
    assert not events
    await world.assert_complete()


async def test_an_event_that_comes_during_a_run_is_asked_about_in_it(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.2, latency_seconds=1.0)
    gone = world.activities()[0]["id"]
    async with world.harvest() as harvest:

        async def delete() -> None:
            world.emulator.delete_activity(gone)
            assert await harvest.follow(event(world, gone, "delete")) == Followed.QUEUED

        world.before(40, delete)  # 20 are under way at once: what it is about is stored
        assert (await harvest.run()).counts.gone == 1
    assert len(list(needed(world))) > 40
    await world.assert_complete()


@pytest.mark.parametrize("number", [0, -1, 2**63, 2**70])
async def test_ids_that_are_none_are_ignored(tmp_path: Path, number: int) -> None:
    world = World(tmp_path / "h.sqlite", years=0.02)
    async with world.harvest() as harvest:
        await harvest.run(max_requests=1)
        assert await harvest.follow(event(world, number, "update")) == Followed.IGNORED
        other = WebhookEvent("activity", 5, "update", number, 1, int(world.clock.time()))
        assert await harvest.follow(other) == Followed.IGNORED


async def test_an_event_about_what_another_athlete_has_touches_nothing_of_it(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.05, athletes=2)
    theirs = world.activities(world.ids[1])[0]["id"]
    async with world.harvest() as harvest:
        await harvest.run()
        await harvest.follow(event(world, theirs, "delete"))  # as the first athlete's
        assert (await harvest.run()).complete
        await world.assert_complete()


async def test_an_activity_that_goes_private_is_deleted_where_that_may_not_be_seen(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.05)
    world.tokens[world.ids[0]] = world.token(world.ids[0], scope=["read", "activity:read"])
    hidden, listed = (a["id"] for a in world.activities()[:2])
    async with world.harvest() as harvest:
        await harvest.run()
        world.emulator.edit_activity(hidden, private=True)
        await harvest.follow(event(world, hidden, "delete"))  # so Strava says it
        world.emulator.edit_activity(listed, private=True)  # and here its event is lost
        assert (await harvest.run()).counts.gone == 2
        assert found_in(tmp_path, b"%d" % hidden, b"%d" % listed) == []
        world.emulator.edit_activity(hidden, private=False)
        assert (await harvest.run()).complete
        assert hidden in await world.bodies(Kind.STREAMS) or hidden in await world.bodies(Kind.DETAIL)


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
        mine = [activity["id"] for activity in world.activities(athlete_id)]
        bytes_of_mine = [b"%d" % athlete_id, *traces(tmp_path, *mine)]
        assert len(bytes_of_mine) > 2 * len(mine)
        assert await harvest.follow(leaving) == Followed.UNCONFIRMED
        assert len(await world.bodies(Kind.DETAIL, athlete_id)) == len(mine)
        world.emulator.disconnect(athlete_id)
        assert await harvest.follow(leaving) == Followed.DELETED
        assert found_in(tmp_path, *bytes_of_mine) == []
        assert await world.store.athlete_ids() == [world.ids[1]]
        assert (await harvest.run()).complete


async def test_purging_deletes_an_athlete_or_what_is_old(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2)
    async with world.harvest(Plan.of(["details"])) as harvest:
        await harvest.run()
        of_both = [traces(tmp_path, *(a["id"] for a in world.activities(one))) for one in world.ids]
        count = len(world.activities(world.ids[0]))
        assert await harvest.purge(athlete_id=world.ids[0]) == 2 * count
        assert found_in(tmp_path, b"%d" % world.ids[0], *of_both[0]) == []
        assert await harvest.purge(athlete_id=world.ids[0]) == 0
        world.clock.advance(HOUR)
        assert await harvest.purge(older_than=timedelta(hours=2)) == 0
        assert await harvest.purge(older_than=timedelta(minutes=30)) == 2 * len(world.activities(world.ids[1]))
        assert found_in(tmp_path, *of_both[1]) == []
        wrong: tuple[dict[str, Any], ...]
        wrong = ({}, {"athlete_id": 1, "older_than": timedelta(1)}, {"older_than": timedelta(-1)})
        for arguments in wrong:
            with pytest.raises(InputError):
                await harvest.purge(**arguments)
        assert (await world.store.counts()).oldest is None
