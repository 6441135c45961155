"""Make an athlete's world from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from strava_async.testing.world.athlete import AthleteWorld
from strava_async.testing.world.bounded_cache import BoundedCache
from strava_async.testing.world.plan import people
from strava_async.testing.world.plan.activities import ActivityFactory, start_at
from strava_async.testing.world.plan.gear import GearInventory
from strava_async.testing.world.plan.habits import on_foot, plan, shortened
from strava_async.testing.world.plan.people import Person
from strava_async.testing.world.plan.timezones import DAY, start_of
from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.record.stream_store import StreamStore
from strava_async.testing.world.routes.atlas import Atlas

_YEAR = 365.25 * DAY
_CONTAINERS = (dict, list)
_KEPT_ACTIVITIES = 5_000  # of inventions; those of five years of one athlete are 1,150, and take 14 MB


@dataclass(frozen=True, eq=False, kw_only=True)
class Invention:
    """What was invented of an athlete: the seed of any number of worlds, none of which changes it or another.

    Whatever can change is copied for each world; what all share are routes and recipes, which nothing can change.
    """

    someone: Person
    key: str
    profile: Json
    activities: tuple[Json, ...]
    recordings: Mapping[int, Recording]
    atlas: Atlas
    inventory: GearInventory
    span: tuple[float, float]

    def world(self) -> AthleteWorld:
        """Return a new world."""
        someone, inventory = self.someone, self.inventory.copy()
        return AthleteWorld(
            athlete_id=someone.athlete_id,
            profile=_copied(self.profile),
            summary_profile=people.summary_profile(someone, now=self.span[1]),
            zones=people.zones(someone),
            gear=inventory.gear,
            activities=[_copied(activity) for activity in self.activities],
            _key=self.key,
            _someone=someone,
            _atlas=self.atlas.copy(),
            _inventory=inventory,
            _stream_store=StreamStore(self.recordings),
            _span=self.span,
        )


def invent(
    athlete_id: int, *, seed: int, now: float, years: float = 5.0, longest_seconds: float = math.inf
) -> Invention:
    """Invent an athlete; for the arguments see ``generate_athlete``. Five years take some 150 ms."""
    key, since = f"{seed}:{athlete_id}", now - years * _YEAR
    rng, someone = _born(key, athlete_id, since)
    atlas, inventory = Atlas(key), GearInventory(rng, someone)
    factory = ActivityFactory(rng, key, someone, atlas, inventory, since=since, now=now)
    activities: list[Json] = []
    recordings: dict[int, Recording] = {}
    planned_activities = plan(rng, home=someone.home, since=since, now=now)
    if not someone.cycles:
        planned_activities = on_foot(random.Random(f"{key}:on foot"), planned_activities)
    if longest_seconds < math.inf:
        planned_activities = shortened(planned_activities, longest_seconds)
    for planned in sorted(planned_activities, key=start_at):
        summary, recording = factory.make(planned)
        if start_of(summary) + summary["elapsed_time"] > now:
            continue
        activities.append(summary)
        if recording is not None:
            recordings[summary["id"]] = recording
    return Invention(
        someone=someone,
        key=key,
        profile=people.profile(rng, someone, now=now),
        activities=tuple(activities),
        recordings=recordings,
        atlas=atlas,
        inventory=inventory,
        span=(since, now),
    )


class KeptInventions:
    """Inventions by their arguments: those used last, up to a number of activities in all."""

    def __init__(self, limit: int = _KEPT_ACTIVITIES) -> None:
        self._cache: BoundedCache[Invention] = BoundedCache(limit, lambda invention: 1 + len(invention.activities))

    def get(self, athlete_id: int, *, seed: int, now: float, years: float, longest_seconds: float) -> Invention:
        """Return what ``invent`` returns."""
        key = repr((athlete_id, seed, now, years, longest_seconds))  # True equals 1, and is another seed
        return self._cache.get(
            key, lambda: invent(athlete_id, seed=seed, now=now, years=years, longest_seconds=longest_seconds)
        )


def generate_athlete(athlete_id: int, *, seed: int, now: float, years: float = 5.0) -> AthleteWorld:
    """Invent an athlete: the same arguments give the same one.

    Args:
        athlete_id: Strava's id of the athlete; different ones under one seed are different people.
        seed: of all that is random.
        now: Unix seconds; nothing ends after it.
        years: how far back the activities go, about 230 a year.
    """
    return invent(athlete_id, seed=seed, now=now, years=years).world()


def generate_summary_profile(athlete_id: int, *, seed: int, now: float, years: float = 5.0) -> Json:
    """Return what ``generate_athlete(...).summary_profile`` is, in no time: a token answer needs no activities."""
    _, someone = _born(f"{seed}:{athlete_id}", athlete_id, now - years * _YEAR)
    return people.summary_profile(someone, now=now)


def _copied(value: Json) -> Json:
    """Return a copy that shares no dictionary and no list with the original."""
    twin = dict(value)
    for key, part in value.items():
        if type(part) in _CONTAINERS:
            twin[key] = _part_copied(part)
    return twin


def _part_copied(part: object) -> object:
    if isinstance(part, list):
        return [_part_copied(item) for item in cast("list[object]", part)]
    return _copied(cast("Json", part)) if isinstance(part, dict) else part


def _born(key: str, athlete_id: int, since: float) -> tuple[random.Random, Person]:
    rng = random.Random(key)
    return rng, people.make_person(rng, athlete_id, since=since, key=key)
