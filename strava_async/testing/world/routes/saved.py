"""The routes that an athlete has drawn and saved: ways of the atlas, given a name."""

from __future__ import annotations

import random
from dataclasses import dataclass

from strava_async.testing.world.plan.people import Person
from strava_async.testing.world.plan.places import Place
from strava_async.testing.world.plan.sports import SPORTS
from strava_async.testing.world.plan.timezones import DAY
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.atlas import FINE, Atlas, Route
from strava_async.testing.world.routes.polyline import Point

# What may become a route: the atlas's family, the sport, Strava's numbers for type (1 ride, 2 run) and sub type.
_KINDS = (
    ("run", "Run", 2, 1),
    ("trail", "TrailRun", 2, 4),
    ("ride", "Ride", 1, 1),
    ("dirt", "MountainBikeRide", 1, 2),
)
_NAMES = (
    "{town} {km} km",
    "The usual {km} & a bit",
    "Around {town} <clockwise>",
    "Ronda de {town} – {km} km",
    "Before breakfast ☕",
    'The "flat" one',
    "{town} to the river",
)
_DESCRIPTIONS = (
    None,
    "",
    "Quiet roads & one café.",
    "Turn left at the <second> bridge.\r\nWater at the church.",
    "Zu jeder Jahreszeit schön 🍂",
)
_STOPS = (("Water", ["water"]), ("Café", ["food", "coffee"]), ("View", ["viewpoint"]))

# Beyond 2**53, as Strava's are; the owner's id is in the middle, so that a route's owner can be found from its id.
_FIRST_ID, _IDS_PER_ATHLETE = 3_000_000_000_000_000_000, 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRoute:
    """A route as its owner saved it.

    Attributes:
        way: where it goes.
        points: degrees, as precise as a polyline is.
        activity_type: ``Run`` or ``Ride``: what its segments are for.
        type, sub_type: Strava's numbers.
        created_at, updated_at: Unix seconds.
        moving_seconds: how long its owner will take.
        waypoints: as the API shows them.
    """

    route_id: int
    way: Route
    points: list[Point]
    name: str
    description: str | None
    private: bool
    starred: bool
    activity_type: str
    type: int
    sub_type: int
    created_at: int
    updated_at: int
    moving_seconds: int
    waypoints: list[Json]


def owner_of(route_id: int) -> int:
    """Return the id of the athlete whose route it would be."""
    return (route_id - _FIRST_ID) // _IDS_PER_ATHLETE


def saved_routes(key: str, someone: Person, atlas: Atlas, *, now: float) -> dict[int, SavedRoute]:
    """Return the athlete's routes around home by id, newest first. Every fourth is private.

    Args:
        key: the seed of what the atlas leaves open.
        someone: the owner.
        atlas: the owner's ways.
        now: none is younger; Unix seconds.
    """
    rng = random.Random(f"{key}:planned")
    found = [
        _plan(rng, someone, way, sport_type, (kind, sub_type), now)
        for family, sport_type, kind, sub_type in _KINDS
        for way in atlas.routes(someone.home, family)
    ]
    found.sort(key=lambda route: route["created_at"], reverse=True)
    routes = [SavedRoute(**fields, private=number % 4 == 0) for number, fields in enumerate(found)]
    return {route.route_id: route for route in routes}


def _plan(
    rng: random.Random, someone: Person, way: Route, sport_type: str, numbers: tuple[int, int], now: float
) -> Json:
    metres = way.along[-1]
    created = int(rng.uniform(min(someone.joined_at, now - DAY), now - DAY))
    return {
        "route_id": _FIRST_ID + someone.athlete_id * _IDS_PER_ATHLETE + (rng.randrange(_IDS_PER_ATHLETE) | 1),
        "way": way,
        "points": [(round(lat * 1e5) / 1e5, round(lng * 1e5) / 1e5) for lat, lng in zip(way.lat, way.lng, strict=True)],
        "name": _name(rng, way.place, metres),
        "description": rng.choice(_DESCRIPTIONS),
        "starred": rng.random() < 0.3,
        "activity_type": SPORTS[sport_type].type,
        "type": numbers[0],
        "sub_type": numbers[1],
        "created_at": created,
        "updated_at": created + rng.randint(0, int(DAY)),
        "moving_seconds": int(metres / (SPORTS[sport_type].speed * someone.ability)),
        "waypoints": _waypoints(rng, way) if rng.random() < 0.3 else [],
    }


def _name(rng: random.Random, place: Place, metres: float) -> str:
    return rng.choice(_NAMES).format(town=place.town, km=round(metres / 1000))


def _waypoints(rng: random.Random, way: Route) -> list[Json]:
    """Return places to stop at, in the order of passing."""
    nodes = sorted(rng.sample(range(FINE, len(way.lat) - 1, FINE), 2))
    return [
        {
            "latlng": [round(way.lat[i], 5), round(way.lng[i], 5)],
            "target_latlng": None,
            "categories": list(categories),
            "title": title,
            "description": "",
            "distance_into_route": way.along[i],
        }
        for i, (title, categories) in zip(nodes, rng.sample(_STOPS, len(nodes)), strict=True)
    ]
