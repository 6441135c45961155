"""Faults of every kind at once, and a list that changes while it is read: in the end the store equals Strava."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from strava_async.harvest import Plan, Progress
from strava_async.harvest.callers import CALLERS
from strava_async.retry import RetryPolicy
from strava_async.testing import Fault, MeterLimits
from strava_async.testing.http.responses import EncodedBody, Response
from tests.harvest.world import LIST, World, needed

pytestmark = pytest.mark.anyio
DAY = 86_400.0


def altered(change: Callable[[Any], Any]) -> Fault:
    def alter(answer: Response) -> Response:
        try:
            value = json.loads(answer.body.plain)
        except ValueError:  # another fault was here before
            return answer
        return replace(
            answer, body=EncodedBody(json.dumps(change(value) if isinstance(value, list) else value).encode())
        )

    return Fault(alter=alter)


def without_start(page: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in page[0].items() if name != "start_date"}, *page[1:]] if page else page


ANYWHERE = [
    Fault.server_error(),
    Fault.server_error(500, html=False),
    Fault.status(597),
    Fault.html(),
    Fault.html(403),
    Fault.truncated(),
    Fault.empty_body(),
    Fault.lost(),
    Fault.refused(),
    Fault.rate_limited(),
    Fault.without_rate_headers(),
    Fault.latency(2.0),
    Fault.latency(40.0),
]
OF_LISTS = [altered(lambda page: [*page, *page[:2]]), altered(without_start), Fault.short_pages(3)]


@pytest.mark.parametrize(
    ("anyio_backend", "attempts", "is_cancelled"),
    [("asyncio", 1, False), ("trio", 1, True), ("asyncio", 4, True), ("trio", 4, False)],
)
async def test_five_percent_of_every_fault_cost_time_and_no_data(
    tmp_path: Path, attempts: int, is_cancelled: bool
) -> None:
    world = World(tmp_path / "h.sqlite", athletes=2)
    rng, count, faults = random.Random(f"{attempts} {is_cancelled}"), len(list(needed(world))), 0
    for fault in ANYWHERE:
        for _ in range(max(1, count // 20)):
            world.emulator.faults.add(fault, path="/a*", after=rng.randrange(2 * count))
            faults += 1
    for fault in OF_LISTS:
        world.emulator.faults.add(fault, path=LIST, after=rng.randrange(8), times=2)
    runs, cancelled, complete = 0, 0, False
    async with world.harvest(retry=RetryPolicy(max_attempts=attempts)) as harvest:
        while not complete:
            stop_at = rng.randrange(1, count) if is_cancelled and cancelled < 5 else 10**9
            with anyio.CancelScope() as scope:

                def stop(progress: Progress, scope: anyio.CancelScope = scope, at: int = stop_at) -> None:
                    if progress.counts.requests >= at:
                        scope.cancel()

                outcome = await harvest.run(on_progress=stop)
                complete = outcome.complete
            cancelled += scope.cancelled_caught
            runs += 1
            if runs == 20:
                world.emulator.faults.clear()
            assert runs < 30
            world.clock.advance(DAY)
    await world.assert_complete()
    asked = Counter(path for path in world.asked() if path != LIST)
    assert asked.keys() == set(needed(world))
    assert (asked - Counter(needed(world))).total() <= faults + cancelled * CALLERS


async def test_changes_while_the_list_is_read(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.3)
    world.emulator.faults.add(Fault.short_pages(180), path=LIST, times=None)
    numbers = [activity["id"] for activity in world.activities()]
    done: list[str] = []

    def change(progress: Progress) -> None:
        pages = progress.counts.listed // 20
        if pages == 1 and not done:
            world.emulator.delete_activity(numbers[1])  # it was on a page
            world.emulator.delete_activity(numbers[-2])  # it will not be on one
            world.emulator.record_activity()
            done.append("first")
        elif pages == 3 and len(done) == 1:
            world.emulator.edit_activity(numbers[0], name="Edited")
            world.emulator.edit_activity(numbers[-1], name="Edited too")
            world.emulator.delete_activity(numbers[-5])
            done.append("second")

    async with world.harvest(Plan.of(["details", "streams"])) as harvest:
        await harvest.run(on_progress=change)
        assert len(done) == 2
        world.clock.advance(DAY)
        assert (await harvest.run()).complete
    await world.assert_complete()
    assert max(Counter(path for path in world.asked() if path != LIST).values()) <= 2


async def test_many_activities_in_one_second_and_pages_cut_among_them(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.05)
    for n in range(230):
        fields = {
            "name": f"Gym {n}",
            "sport_type": "Workout",
            "start_date_local": "2025-12-06T00:00:01Z",
            "elapsed_time": 60,
        }
        world.emulator.world().add_manual(fields, activity_id=90_000_000_000 + n, now=world.clock.time())
    world.emulator.refresh()
    async with world.harvest(Plan.of([])) as harvest:
        assert (await harvest.run()).complete
    assert len(world.rows("select id from activities")) == len(world.activities())


async def test_quota_that_is_cut_and_a_clock_that_jumps(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", limits=MeterLimits(200, 10**4, 100, 10**4))
    async with world.harvest() as harvest, anyio.create_task_group() as tasks:

        async def disturb() -> None:
            await world.clock.sleep(10)
            world.emulator.meters_of().limits = MeterLimits(40, 10**4, 20, 10**4)
            await world.clock.sleep(2000)
            world.machine.offset += DAY
            await world.clock.sleep(2000)
            world.machine.offset -= 2 * DAY

        tasks.start_soon(disturb)
        for _ in range(5):
            if (await harvest.run()).complete:
                break
        tasks.cancel_scope.cancel()
    await world.assert_complete()
