"""Athletes are invented once and given to every emulator that wants the same ones: none may notice another."""

import dataclasses
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest

from strava_async.testing import Emulator, FakeClock
from strava_async.testing.state.population import Population
from strava_async.testing.world import AthleteWorld, generate_athlete
from strava_async.testing.world.generate import KeptInventions, invent
from strava_async.testing.world.plan.gear import GearInventory
from strava_async.testing.world.record.stream_store import StreamStore
from strava_async.testing.world.routes.atlas import Atlas
from strava_async.testing.world.segments.index import SegmentIndex

NOW = 1_767_693_600.0
ATHLETE = 1001
MUTABLE = (dict, list, set, random.Random, Atlas, GearInventory, SegmentIndex, StreamStore, AthleteWorld)


def population() -> Population:
    return Population((ATHLETE,), seed=1, now=NOW, years=0.1)


def told(world: AthleteWorld) -> str:
    """Return all data of a world that exist without being generated on demand."""
    ids = [activity["id"] for activity in world.activities]
    parts: list[Any] = [world.profile, world.summary_profile, world.zones, world.gear, world.activities]
    parts += [[world.detail(i), world.streams(i), world.comments(i)] for i in ids[::9]]
    parts += [segment.summary for segment in world.segments.all().values()]
    return json.dumps(parts)


def mutables(root: object) -> Iterator[int]:
    """Yield the identity of everything that can be changed and that an object holds, through any number of hands."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        held = waiting.pop()
        if id(held) in seen or isinstance(held, str | int | float | bool | type(None)):
            continue
        seen[id(held)] = held
        if isinstance(held, dict):
            waiting += [*held.keys(), *held.values()]
        elif isinstance(held, list | tuple | set):
            waiting += held
        elif type(held).__module__.startswith("strava_async"):
            names = [field.name for field in dataclasses.fields(held)] if dataclasses.is_dataclass(held) else []
            waiting += [getattr(held, name) for name in names] + [*getattr(held, "__dict__", {}).values()]
    return (number for number, held in seen.items() if isinstance(held, MUTABLE))


def test_two_worlds_of_the_same_athlete_share_nothing_that_can_change() -> None:
    first, second = population().world(ATHLETE), population().world(ATHLETE)
    assert told(first) == told(second)
    shared = set(mutables(first)) & set(mutables(second))
    assert len(set(mutables(first))) > 100
    assert shared == set()


def test_what_one_emulator_changes_no_other_sees() -> None:
    pristine = told(generate_athlete(ATHLETE, seed=1, now=NOW, years=0.1))
    before, changed = population().world(ATHLETE), population().world(ATHLETE)
    some = changed.activities[0]
    changed.profile["weight"] = 1.0
    changed.zones["heart_rate"]["zones"].clear()
    changed.update(some["id"], {"name": "Mine", "private": True, "gear_id": "none"})
    changed.remove(changed.activities[-1]["id"])
    changed.add_recorded(activity_id=9, upload_id=10, name=None, sport_type="Run", private=False, now=NOW)
    for part in (some["map"], some["start_latlng"], *changed.gear.values()):
        part.clear()
    streams = changed.streams(changed.activities[1]["id"])
    assert streams is not None
    for stream in streams.values():
        stream["data"].clear()
    segment_id = next(iter(changed.segments.all()))
    changed.segments.all()[segment_id].summary.clear()
    assert told(before) == pristine
    assert told(population().world(ATHLETE)) == pristine


def test_the_same_things_done_to_two_worlds_have_the_same_outcome() -> None:
    first, second = population().world(ATHLETE), population().world(ATHLETE)
    for world in (first, second):
        for number in range(5):
            world.add_recorded(
                activity_id=100 + number, upload_id=number, name=None, sport_type="Run", private=False, now=NOW
            )
    assert told(first) == told(second)


def test_an_invention_is_the_seed_of_any_number_of_worlds() -> None:
    invention = invent(ATHLETE, seed=1, now=NOW, years=0.1)
    worlds = [invention.world() for _ in range(3)]
    worlds[1].activities.clear()
    worlds[1].profile.clear()
    assert told(worlds[0]) == told(worlds[2]) == told(generate_athlete(ATHLETE, seed=1, now=NOW, years=0.1))


def test_an_athlete_is_invented_once_while_there_is_room() -> None:
    kept = KeptInventions(limit=40)
    arguments: Any = {"seed": 1, "now": NOW, "years": 0.1, "longest_seconds": math.inf}
    first = kept.get(ATHLETE, **arguments)
    assert 20 < len(first.activities) < 40
    assert kept.get(ATHLETE, **arguments) is first
    kept.get(ATHLETE + 1, **arguments)
    assert kept.get(ATHLETE, **arguments) is not first


@pytest.mark.parametrize("other", [{"seed": 2}, {"years": 0.3}, {"athletes": 2}, {"longest_seconds": 600.0}])
def test_another_emulator_gets_what_its_own_arguments_say(other: dict[str, Any]) -> None:
    usual = {"seed": 1, "years": 0.2, "athletes": 1}
    emulators = [Emulator(clock=FakeClock(), **arguments) for arguments in (usual, usual | other, usual)]
    worlds = [emulator.world(emulator.athlete_ids[-1]) for emulator in emulators]
    assert worlds[0].activities == worlds[2].activities != worlds[1].activities


def test_a_seed_is_another_than_one_that_only_equals_it() -> None:
    """``True == 1``, and the seed goes into the random numbers as it is written."""
    one, true = (Population((ATHLETE,), seed=seed, now=NOW, years=0.02).world(ATHLETE) for seed in (1, True))
    alone = generate_athlete(ATHLETE, seed=True, now=NOW, years=0.02)
    assert true.profile == alone.profile != one.profile
