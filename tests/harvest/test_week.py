"""A week of simulated time: after each night the store equals what a list row or an event shows."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from strava_async.harvest import Followed, Harvest, SqliteHarvestStore
from strava_async.webhooks import WebhookEvent
from tests.harvest.test_store_sqlite import found_in
from tests.harvest.world import World, traces

pytestmark = [pytest.mark.anyio, pytest.mark.one_python]
DAY = 86_400.0


class Days:
    """What athletes do, and what events tell of it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.deleted: dict[int, float] = {}
        self.traces: dict[int, list[bytes]] = {}

    async def pass_one(self, harvest: Harvest) -> None:
        world, rng = self.world, self.rng
        for athlete_id in world.ids:
            numbers = [activity["id"] for activity in world.activities(athlete_id)]
            world.emulator.record_activity(athlete_id)
            recent, old = rng.choice(numbers[:3]), rng.choice(numbers[len(numbers) // 2 :])
            world.emulator.edit_activity(recent, name=f"Edited {recent}")  # its event is lost: the list shows it
            world.emulator.edit_activity(old, name=f"Edited {old}", sport_type="Hike")
            await self._tell(harvest, athlete_id, old, "update")
            gone, lost = rng.sample([one for one in numbers if one not in (recent, old)], 2)
            self.traces |= {one: traces(world.path.parent, one) for one in (gone, lost)}
            world.emulator.delete_activity(gone)
            await self._tell(harvest, athlete_id, gone, "delete")
            if lost in numbers[:5]:
                world.emulator.delete_activity(lost)  # this event is lost, too
                self.deleted[lost] = world.clock.time()
            self.deleted[gone] = world.clock.time()
            await self._tell(harvest, athlete_id, rng.choice(numbers), "delete")  # forged, more often than not

    async def _tell(self, harvest: Harvest, athlete_id: int, number: int, aspect: str) -> None:
        event = WebhookEvent("activity", number, aspect, athlete_id, 1, int(self.world.clock.time()))
        assert await harvest.follow(event) == Followed.QUEUED


@pytest.mark.parametrize(("anyio_backend", "in_directory"), [("asyncio", False), ("trio", True)])
async def test_a_week(tmp_path: Path, in_directory: bool) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, years=0.1)
    if in_directory:
        world.store = SqliteHarvestStore(directory=tmp_path, clock=world.clock)
    days = Days(world, seed=int(in_directory))
    async with world.harvest(keep=timedelta(days=7)) as harvest:
        assert (await harvest.run()).complete
        for _ in range(9):
            world.clock.advance(DAY / 2)
            await days.pass_one(harvest)
            world.clock.advance(DAY / 2)
            outcome = await harvest.run()
            assert outcome.complete, outcome.failures
            if not in_directory:
                await world.assert_complete()
            counts = await world.store.counts()
            assert counts.oldest is not None
            assert counts.oldest >= world.clock.time() - 7 * DAY
            assert counts.activities == sum(len(world.activities(one)) for one in world.ids)
            old = [number for number, at in days.deleted.items() if at < world.clock.time() - 2 * DAY]
            assert found_in(tmp_path, *(trace for number in old for trace in days.traces[number])) == []
    assert len(days.deleted) > 15
    assert sum(len(found) for found in days.traces.values()) > 2 * len(days.traces)
