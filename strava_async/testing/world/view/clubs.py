"""The clubs of the towns: the same for all athletes who live there, and public except one.

An athlete is a member of the first few of the home town.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from strava_async.testing.world.plan.people import PICTURES
from strava_async.testing.world.plan.places import HOMES, Place
from strava_async.testing.world.record.samples import Json

_DIMENSIONS = ("distance", "num_activities", "best_activities_distance", "moving_time", "velocity", "elev_gain")
_NAMED_CITIES = 9  # one of as many clubs in a recording names no city


@dataclass(frozen=True, slots=True)
class _Kind:
    """What sort of club. Its ``activity_types`` are of the older enumeration: no sport type that is newer than it."""

    name: str
    sport_type: str
    localized: str
    activity_types: tuple[str, ...]
    icon: str
    club_type: Literal["casual_club", "racing_team", "company", "shop", "other"]
    description: str
    private: bool = False


_KINDS = (
    _Kind(
        "{town} Road Runners",
        "running",
        "Running",
        ("Run", "VirtualRun", "Wheelchair"),
        "sports_run_normal",
        "casual_club",
        "Everybody who runs in {town}.\r\n\r\nTuesdays on the track, Sundays long & slow.",
    ),
    _Kind(
        "Early Birds {town} 🐦",
        "triathlon",
        "Triathlon",
        ("Run", "Ride", "Swim"),
        "sports_triathlon_normal",
        "racing_team",
        "Up before the sun.",
    ),
    _Kind(
        "Hill & Dale Cycling",
        "cycling",
        "Cycling",
        ("Ride", "VirtualRide", "EBikeRide", "Handcycle", "Velomobile"),
        "sports_bike_normal",
        "shop",
        "Rides from the shop's door, every week <3",
    ),
    _Kind(
        "The Office 'Athletes'", "other", "Other", (), "sports_multi_normal", "company", "Lunch breaks.", private=True
    ),
)


def joined(home: Place, count: int) -> list[Json]:
    """Return the first clubs of a town as SummaryClub, as a member sees them within an athlete."""
    clubs = [_club(home, index) for index in range(count)]
    # Within an athlete Strava sends no number of members.
    return [club | {"member_count": 0, "membership": "member", "admin": club["private"]} for club in clubs]


def detail(club_id: int, memberships: Iterable[Json]) -> Json | None:
    """Return the DetailedClub; None if there is none, or if it is private to others.

    Args:
        club_id: which.
        memberships: the clubs of the athlete who asks, as SummaryClub.
    """
    found = _places().get(club_id)
    if found is None:
        return None
    home, index = found
    club = _club(home, index)
    mine = next((mine for mine in memberships if mine["id"] == club_id), None)
    if mine is None and club["private"]:
        return None
    kind, rng = _KINDS[index], random.Random(f"club {club_id} detail")
    extra: Json = {
        "resource_state": 3,
        "member_count": club["member_count"],
        "description": kind.description.format(town=home.town),
        "club_type": kind.club_type,
        "following_count": rng.randint(1, 40),
    }
    if mine is None:
        extra["following_count"] = 0
    if rng.random() < 0.5:
        extra["website"] = f"https://club-{club_id}.invalid"
    return (mine or club) | extra


def place_of(club_id: int) -> Place:
    """Return the town of a club; ``KeyError`` if there is no such club."""
    return _places()[club_id][0]


@functools.cache
def _places() -> dict[int, tuple[Place, int]]:
    return {_club_id(home, index): (home, index) for home in HOMES for index in range(len(_KINDS))}


def _club_id(home: Place, index: int) -> int:
    return 100_000 + index * 7_919 + sum(map(ord, home.town))


def _club(home: Place, index: int) -> Json:
    """Return the SummaryClub as non-members see it."""
    kind, club_id = _KINDS[index], _club_id(home, index)
    rng = random.Random(f"club {club_id}")
    pictures = f"{PICTURES}/clubs/{club_id}"
    covered = rng.random() < 0.5
    return {
        "id": club_id,
        "resource_state": 2,
        "name": kind.name.format(town=home.town),
        "profile_medium": f"{pictures}/medium.jpg",
        "profile": f"{pictures}/large.jpg",
        "cover_photo": f"{pictures}/cover/large.jpg" if covered else None,
        "cover_photo_small": f"{pictures}/cover/small.jpg" if covered else None,
        "activity_types": list(kind.activity_types),
        "activity_types_icon": kind.icon,
        "dimensions": list(_DIMENSIONS),
        "sport_type": kind.sport_type,
        "localized_sport_type": kind.localized,
        "city": "" if club_id % _NAMED_CITIES == 0 else home.town,
        "state": home.state,
        "country": home.country,
        "private": kind.private,
        "member_count": rng.randint(12, 4_000),
        "featured": False,
        "verified": rng.random() < 0.3,
        "url": f"club-{club_id}",
        "membership": None,
        "admin": False,
        "owner": False,
    }
