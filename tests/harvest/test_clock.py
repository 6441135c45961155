"""A machine's clock that is wrong: nothing is deleted as too old, nor kept for longer, nor asked for twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from strava_async.harvest import Plan, Progress
from strava_async.testing import Fault
from strava_async.testing.clock import SOME_TUESDAY
from tests.harvest.world import LIST, World

pytestmark = pytest.mark.anyio
DAY = 86_400.0
YEAR = 365 * DAY
KEEP = timedelta(days=7)
FEW = {"years": 0.03}
JUMPS = pytest.mark.parametrize(
    ("anyio_backend", "offset"), [("asyncio", YEAR), ("trio", DAY), ("asyncio", -DAY), ("trio", -YEAR)]
)


def stamps(world: World) -> list[float]:
    found = world.rows("select fetched_at from resources union select listed_at from activities")
    return [at for (at,) in found]


@JUMPS
async def test_a_clock_that_jumps_before_a_run_deletes_nothing(tmp_path: Path, offset: float) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, **FEW)
    async with world.harvest(keep=KEEP) as harvest:
        assert (await harvest.run()).complete
    held = await world.store.counts()
    world.asked()
    world.clock.advance(3600)
    world.machine.offset = offset
    async with world.harvest(keep=KEEP) as harvest:
        outcome = await harvest.run()
    assert (outcome.counts.purged, outcome.counts.gone) == (0, 0)
    assert (await world.store.counts()).resources == held.resources
    assert set(world.asked()) == {LIST}
    world.machine.offset = 0.0
    async with world.harvest(keep=KEEP) as harvest:
        for _ in range(8):
            world.clock.advance(DAY)
            assert (await harvest.run()).complete
            assert world.clock.time() - 7 * DAY <= min(stamps(world)) <= max(stamps(world)) <= world.clock.time()
    assert {count for path, count in Counter(world.asked()).items() if path != LIST} == {1}
    await world.assert_complete()


@JUMPS
async def test_a_clock_that_jumps_during_a_run_deletes_nothing(tmp_path: Path, offset: float) -> None:
    world = World(tmp_path / "h.sqlite", latency_seconds=2.0, **FEW)

    def jump(progress: Progress) -> None:
        if progress.counts.requests > 3:
            world.machine.offset = offset

    async with world.harvest(keep=KEEP) as harvest:
        outcome = await harvest.run(on_progress=jump)
    assert outcome.complete
    assert outcome.counts.purged == 0
    await world.assert_complete()
    assert SOME_TUESDAY - 1000 <= min(stamps(world)) <= max(stamps(world)) <= world.clock.time() + 1000


@JUMPS
async def test_a_first_run_with_a_clock_that_is_wrong_stores_everything_with_its_time(
    tmp_path: Path, offset: float
) -> None:
    world = World(tmp_path / "h.sqlite", athletes=3, **FEW)
    world.machine.offset = offset
    async with world.harvest(keep=KEEP) as harvest:
        outcome = await harvest.run()
    assert outcome.complete
    await world.assert_complete()
    assert SOME_TUESDAY - 1000 <= min(stamps(world)) <= max(stamps(world)) <= world.clock.time() + 1000


async def test_a_file_of_a_wrong_clock_is_fetched_again(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", **FEW)
    async with world.harvest(keep=KEEP) as harvest:
        await harvest.run()
        for table, column in (("resources", "fetched_at"), ("activities", "listed_at")):
            world.execute(f"update {table} set {column} = {column} + ?", YEAR)
        world.asked()
        assert (await harvest.run()).complete
    assert max(stamps(world)) <= world.clock.time()
    await world.assert_complete()


async def test_without_an_answer_what_is_old_is_deleted_as_long_as_runs_follow_each_other(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", **FEW)
    async with world.harvest(keep=KEEP) as harvest:
        await harvest.run()
        count = len(world.activities())
        world.emulator.faults.add(Fault.refused(), times=None)
        world.machine.offset = YEAR
        assert (await harvest.run()).counts.purged == 0  # it could have jumped
        world.machine.offset = 0.0
        world.clock.advance(6 * DAY)
        assert (await harvest.run()).counts.purged == 0
        world.clock.advance(DAY + 60)
        assert (await harvest.run()).counts.purged >= 2 * count
    assert stamps(world) == []


async def test_with_everybody_gone_what_is_old_is_deleted(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", **FEW)
    async with world.harvest(keep=KEEP) as harvest:
        await harvest.run()
        world.emulator.disconnect()
        world.clock.advance(8 * DAY)
        outcome = await harvest.run()
    assert not outcome.complete
    assert stamps(world) == []


async def test_slices_delete_what_is_old_of_everybody_twice_a_day(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2, **FEW)
    first, other = world.ids
    async with world.harvest(Plan.of(["details"]), keep=KEEP) as harvest:
        for one in world.ids:
            assert (await harvest.slice(one)).done
        held = len(world.activities(other))
        for day in range(1, 9):
            world.clock.advance(DAY)
            await harvest.slice(first)
            found = await world.store.counts(other)
            assert found.activities == (held if day <= 7 else 0)
        assert (await world.store.counts(first)).activities == len(world.activities(first))
