"""``Harvest.slice``: a while of one athlete, which never waits for a window."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from strava_async.harvest import Harvest, Plan, Slice
from strava_async.testing import Fault, MeterLimits
from tests.harvest.world import LIST, World

pytestmark = pytest.mark.anyio


async def test_slices_come_to_the_end_and_never_wait_for_a_window(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", limits=MeterLimits(30, 10**4, 20, 10**4), latency_seconds=0.2)
    slices = 0
    async with world.harvest() as harvest:
        while True:
            began = world.clock.time()
            done = await harvest.slice(world.ids[0], seconds=60)
            slices += 1
            assert world.clock.time() <= began + 62
            assert done.resume_at >= world.clock.time()
            if done.done:
                break
            assert slices < 20
            world.clock.advance(done.resume_at - world.clock.time())
    assert 3 <= slices <= 12
    assert all(served.status_code != 429 for served in world.emulator.requests)
    await world.assert_complete()


async def test_a_slice_that_is_done_comes_back_for_the_list(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite")
    async with world.harvest(Plan.of([])) as harvest:
        first = await harvest.slice(world.ids[0])
        assert first.done
        assert first.resume_at == pytest.approx(world.clock.time() + 12 * 3600, abs=60)
        world.asked()
        assert (await harvest.slice(world.ids[0])).done
        assert world.asked() == []
        world.clock.advance(first.resume_at - world.clock.time())
        assert (await harvest.slice(world.ids[0])).done
        assert world.asked() == [LIST, LIST]


async def test_a_slice_keeps_to_its_requests_and_its_time(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", latency_seconds=2.0)
    async with world.harvest() as harvest:
        few = await harvest.slice(world.ids[0], max_requests=5)
        assert (few.done, few.counts.requests, len(world.asked())) == (False, 5, 5)
        began = world.clock.time()
        short = await harvest.slice(world.ids[0], seconds=4)
    assert not short.done
    assert short.resume_at <= world.clock.time()
    assert all(served.at <= began + 4 + 2 for served in world.emulator.requests)


# What a task queue does: it calls a slice again at its ``resume_at``.

LOST_LIST = (Fault.server_error(500), LIST)
LOST_EVERYTHING = (Fault.server_error(503), None)
LOST_DETAILS = (Fault.server_error(500), "/activities/*")


async def calls_of_a_day(world: World, harvest: Harvest, *, most: int, max_requests: int | None = None) -> list[Slice]:
    """Call slices for a day as a queue does, but no more than so many."""
    end = world.clock.time() + 86_400
    slices: list[Slice] = []
    while world.clock.time() < end and len(slices) <= most:
        part = await harvest.slice(world.ids[0], seconds=300, max_requests=max_requests)
        assert part.resume_at >= world.machine.time()
        slices.append(part)
        world.clock.advance(max(0.0, part.resume_at - world.machine.time()))
    return slices


@pytest.mark.parametrize(("anyio_backend", "offset"), [("asyncio", 0.0), ("trio", 86_400.0), ("asyncio", -86_400.0)])
async def test_a_queue_that_waits_for_quota_calls_once_or_twice_a_window(tmp_path: Path, offset: float) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3, limits=MeterLimits(40, 60, 20, 60))
    world.machine.offset = offset
    async with world.harvest() as harvest:
        slices = await calls_of_a_day(world, harvest, most=60)
    assert len(slices) <= 60
    assert world.emulator.count() >= 60
    assert all(served.status_code != 429 for served in world.emulator.requests)


@pytest.mark.parametrize(
    ("fault", "path"),
    [LOST_LIST, LOST_EVERYTHING, LOST_DETAILS, (Fault.refused(), None), (Fault.rate_limited(), LIST)],
    ids=["list", "everything", "details", "offline", "429"],
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_queue_does_not_spin_while_strava_fails(tmp_path: Path, fault: Fault, path: str | None) -> None:
    world = World(tmp_path / "h.sqlite", years=0.2)
    world.emulator.faults.add(fault, path=path, times=None)
    began_at = world.clock.time()
    async with world.harvest() as harvest:
        slices = await calls_of_a_day(world, harvest, most=200)
        assert len(slices) <= 100  # as there are quarter hours
        assert sum(part.resume_at < began_at + 900 for part in slices) <= 1
        assert slices[0].resume_at < began_at + 1_000
        world.emulator.faults.clear()
        world.clock.advance(86_400)
        while not (await harvest.slice(world.ids[0])).done:
            world.clock.advance(3_600)
    await world.assert_complete()


async def test_a_queue_does_not_spin_after_the_grant_has_ended_nor_for_what_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.1)
    world.emulator.quirks.subscribed = False
    async with world.harvest(Plan.of(["zones"]), keep=timedelta(days=7)) as harvest:
        assert len(await calls_of_a_day(world, harvest, most=20)) <= 3
        world.emulator.disconnect()
        assert len(await calls_of_a_day(world, harvest, most=20)) <= 3


async def test_a_queue_of_small_slices_makes_progress_with_each(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.05)
    async with world.harvest() as harvest:
        slices = await calls_of_a_day(world, harvest, most=50, max_requests=3)
    assert all(part.counts.requests == 3 for part in slices if not part.done)
    assert slices[-1].done
    await world.assert_complete()


async def test_whoever_comes_back_when_a_slice_says_keeps_nothing_for_longer_than_keep(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.05)
    keep = 3_600.0
    async with world.harvest(keep=timedelta(seconds=keep)) as harvest:
        await harvest.run()
        for _ in range(6):
            part = await harvest.slice(world.ids[0])
            assert part.done
            world.clock.advance(part.resume_at - world.clock.time())
            oldest = (await world.store.counts()).oldest
            assert oldest is not None
            assert world.clock.time() - oldest < keep
    assert (await world.store.counts()).activities == len(world.activities())
