"""Make an athlete's world from a seed."""

from __future__ import annotations

import random

from strava_async.testing.world import people
from strava_async.testing.world.athlete import AthleteWorld
from strava_async.testing.world.diary import Diary, start_at
from strava_async.testing.world.gear import Locker
from strava_async.testing.world.habits import plan
from strava_async.testing.world.people import Person
from strava_async.testing.world.recording import Recording
from strava_async.testing.world.routes import Atlas
from strava_async.testing.world.samples import Json
from strava_async.testing.world.shelf import Shelf
from strava_async.testing.world.timezones import DAY, start_of

_YEAR = 365.25 * DAY


def generate_athlete(athlete_id: int, *, seed: int, now: float, years: float = 5.0) -> AthleteWorld:
    """Invent an athlete: the same arguments give the same one.

    Args:
        athlete_id: Strava's id of the athlete; different ones under one seed are different people.
        seed: of all that is random.
        now: Unix seconds; nothing ends after it.
        years: how far back the activities go, about 230 a year.
    """
    key, since = f"{seed}:{athlete_id}", now - years * _YEAR
    rng, someone = _born(key, athlete_id, since)
    atlas, locker = Atlas(key), Locker(rng, someone)
    diary = Diary(rng, key, someone, atlas, locker, since=since, now=now)
    activities: list[Json] = []
    recordings: dict[int, Recording] = {}
    for outing in sorted(plan(rng, home=someone.home, since=since, now=now), key=start_at):
        summary, recording = diary.write(outing)
        if start_of(summary) + summary["elapsed_time"] > now:
            continue
        activities.append(summary)
        if recording is not None:
            recordings[summary["id"]] = recording
    return AthleteWorld(
        athlete_id=athlete_id,
        profile=people.profile(rng, someone, now=now),
        summary_profile=people.summary_profile(someone, now=now),
        zones=people.zones(someone),
        gear=locker.gear,
        activities=activities,
        _key=key,
        _someone=someone,
        _atlas=atlas,
        _locker=locker,
        _shelf=Shelf(recordings),
        _span=(since, now),
    )


def generate_summary_profile(athlete_id: int, *, seed: int, now: float, years: float = 5.0) -> Json:
    """Return what ``generate_athlete(...).summary_profile`` is, in no time: a token answer needs no activities."""
    _, someone = _born(f"{seed}:{athlete_id}", athlete_id, now - years * _YEAR)
    return people.summary_profile(someone, now=now)


def _born(key: str, athlete_id: int, since: float) -> tuple[random.Random, Person]:
    rng = random.Random(key)
    return rng, people.make_person(rng, athlete_id, since=since)
