"""What is no number, no id and no function is refused before anything is asked or written."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from strava_async.errors import InputError
from strava_async.harvest import Harvest, SqliteHarvestStore
from tests.harvest.world import World

pytestmark = pytest.mark.anyio

NUMBERS: tuple[Any, ...] = (math.nan, math.inf, True, "5", b"5", [1], 1j, 10**400)
COUNTS: tuple[Any, ...] = (math.nan, math.inf, True, "5", [1], 1.5, 0, -1)
IDS: tuple[Any, ...] = (math.nan, True, "7", "../7", 7.0, [7], None, 2**63)


async def awaited(_: object) -> None:
    raise AssertionError("it is never called")


CALLS: Mapping[str, tuple[Callable[[Harvest, Any], Awaitable[object]], tuple[Any, ...]]] = {
    "max_requests": (lambda harvest, value: harvest.run(max_requests=value), COUNTS),
    "max_wait": (lambda harvest, value: harvest.run(max_wait=value), (*NUMBERS, 0, -1)),
    "until": (lambda harvest, value: harvest.run(until=value), NUMBERS),
    "on_progress": (lambda harvest, value: harvest.run(on_progress=value), (5, awaited)),
    "athletes": (lambda harvest, value: harvest.run(value), (5, "7", math.nan)),
    "an athlete": (lambda harvest, value: harvest.run([value]), IDS),
    "the athlete of a slice": (lambda harvest, value: harvest.slice(value), IDS),
    "seconds": (lambda harvest, value: harvest.slice(7, seconds=value), (*NUMBERS, 0, -1)),
    "max_requests of a slice": (lambda harvest, value: harvest.slice(7, max_requests=value), COUNTS),
    "reserve": (lambda harvest, value: harvest.estimate(reserve=value), (*NUMBERS, -0.1, 1.1)),
    "the athlete of a purge": (lambda harvest, value: harvest.purge(athlete_id=value), IDS),
    "older_than": (lambda harvest, value: harvest.purge(older_than=value), (*NUMBERS, timedelta(-1), None)),
}


@pytest.mark.parametrize("name", CALLS)
async def test_arguments_are_checked_before_anything_is_asked(tmp_path: Path, name: str) -> None:
    world = World(tmp_path / "h.sqlite", years=0.01)
    call, values = CALLS[name]
    async with world.strava() as strava:
        harvest = Harvest(strava, world.store, keep=None)
        for value in values:
            with pytest.raises(InputError):
                await call(harvest, value)
    assert world.asked() == []
    assert not world.path.exists()


@pytest.mark.parametrize("name", ["keep", "plan", "concurrency"])
async def test_arguments_of_a_harvest_are_checked(tmp_path: Path, name: str) -> None:
    world = World(tmp_path / "h.sqlite", years=0.01)
    async with world.strava() as strava:
        for value in (5, 10**400, "7d", [1]) if name != "concurrency" else (*COUNTS, None, 10**6):
            arguments: dict[str, Any] = {"keep": None, name: value}
            with pytest.raises(InputError):
                Harvest(strava, world.store, **arguments)


@pytest.mark.parametrize("value", IDS)
async def test_no_athlete_of_a_directory_is_a_path(tmp_path: Path, value: Any) -> None:
    (tmp_path / "7.sqlite").touch()
    store = SqliteHarvestStore(directory=tmp_path / "d")
    await store.add_athlete(7)
    with pytest.raises(InputError):
        await store.delete_athlete(value)
    assert (tmp_path / "7.sqlite").exists()
    assert await store.athlete_ids() == [7]
