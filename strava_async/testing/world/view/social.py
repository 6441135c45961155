"""Kudos and comments: of people without ids, as the API sends them."""

from __future__ import annotations

import random

from strava_async.testing.world.plan.names import COMMENTS
from strava_async.testing.world.plan.people import Person
from strava_async.testing.world.plan.timezones import iso, start_of
from strava_async.testing.world.record.samples import Json


def kudos(rng: random.Random, someone: Person, activity: Json) -> list[Json]:
    """Return who gave kudos, as many as the summary counts."""
    return [_stranger(name) for name in _choose(rng, someone, activity["kudos_count"])]


def comments(rng: random.Random, someone: Person, activity: Json, *, now: float) -> list[Json]:
    """Return the comments, oldest first, as many as the summary counts; without the cursor, which is the pages' own.

    None is written after ``now`` (Unix seconds).
    """
    ended = start_of(activity) + activity["elapsed_time"]
    count = activity["comment_count"]
    delays = sorted(rng.expovariate(1 / 14_000) for _ in range(count))
    return [
        {
            "id": activity["id"] * 3 + number,
            "activity_id": activity["id"],
            "post_id": None,
            "resource_state": 2,
            "text": rng.choice(COMMENTS),
            "mentions_metadata": None,
            "created_at": iso(min(ended + delay, now)),
            "athlete": _stranger(name),
            "reaction_count": rng.choice((0, 0, 0, 1, 2)),
            "has_reacted": False,
        }
        for number, (delay, name) in enumerate(zip(delays, _choose(rng, someone, count), strict=True))
    ]


def _choose(rng: random.Random, someone: Person, count: int) -> list[tuple[str, str]]:
    return rng.sample(someone.circle, count)


def _stranger(name: tuple[str, str]) -> Json:
    return {"resource_state": 2, "firstname": name[0], "lastname": f"{name[1][0]}."}
