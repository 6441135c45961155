"""``Harvest.slice``: a while of one athlete, which never waits for a window."""

from __future__ import annotations

from pathlib import Path

import pytest

from strava_async.harvest import Plan
from strava_async.testing import MeterLimits
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
