"""The athlete, and the people who give kudos."""

from __future__ import annotations

import random
from dataclasses import dataclass

from strava_async.testing.world.plan.names import person
from strava_async.testing.world.plan.places import HOMES, Place
from strava_async.testing.world.plan.timezones import iso
from strava_async.testing.world.record.samples import Json

PICTURES = "https://pictures.strava-emulator.invalid"
CIRCLE = 90  # people who may applaud
_ON_FOOT, _SILENT = 0.2, 0.2  # shares of athletes: the one who was recorded is both


@dataclass(frozen=True, slots=True)
class Person:
    """An athlete's body and circumstances.

    Attributes:
        ability: factor on every sport's typical speed.
        rest_heartrate, max_heartrate: beats per minute.
        weight: kilograms.
        ftp: watts for an hour.
        circle: first and last names of the people around.
        cycles: False for one who has no bike, no threshold power and no ride.
        tells_country: whether the profile names it.
    """

    athlete_id: int
    firstname: str
    lastname: str
    sex: str
    home: Place
    imperial: bool
    ability: float
    rest_heartrate: int
    max_heartrate: int
    weight: float
    ftp: int
    joined_at: float
    circle: tuple[tuple[str, str], ...]
    cycles: bool
    tells_country: bool

    @property
    def metres_per_unit(self) -> float:
        """Metres in the athlete's unit of distance."""
        return 1609.344 if self.imperial else 1000.0

    def heartrate_at(self, effort: float) -> float:
        """Return the heart rate at a share of the reserve, in beats per minute."""
        return self.rest_heartrate + effort * (self.max_heartrate - self.rest_heartrate)


def make_person(rng: random.Random, athlete_id: int, *, since: float, key: str) -> Person:
    """Invent an athlete who joined some weeks before ``since``; ``key`` is the seed of optional values."""
    own = random.Random(f"{key}:circumstances")
    firstname, lastname = person(rng)
    home = rng.choice(HOMES)
    return Person(
        athlete_id=athlete_id,
        firstname=firstname,
        lastname=lastname,
        sex=rng.choice(("F", "M")),
        home=home,
        imperial=home.country in ("United States", "United Kingdom"),
        ability=rng.uniform(0.88, 1.14),
        rest_heartrate=rng.randint(44, 58),
        max_heartrate=rng.randint(181, 198),
        weight=round(rng.uniform(54.0, 84.0), 3),
        ftp=rng.randint(185, 305),
        joined_at=since - rng.uniform(10, 90) * 86_400,
        circle=tuple(person(rng) for _ in range(CIRCLE)),
        cycles=own.random() >= _ON_FOOT,
        tells_country=own.random() >= _SILENT,
    )


def summary_profile(someone: Person, *, now: float) -> Json:
    """Return the SummaryAthlete that comes with a token."""
    home = someone.home
    return {
        "id": someone.athlete_id,
        "username": f"{someone.firstname}.{someone.athlete_id}".lower(),
        "resource_state": 2,
        "firstname": someone.firstname,
        "lastname": someone.lastname,
        "bio": "Runs, rides & swims – mostly uphill.",
        "city": home.town,
        "state": home.state,
        "country": home.country if someone.tells_country else "",
        "sex": someone.sex,
        "premium": True,
        "summit": True,
        "created_at": iso(someone.joined_at),
        "updated_at": iso(now - 3 * 86_400),
        "badge_type_id": 1,
        "weight": someone.weight,
        "profile_medium": f"{PICTURES}/athletes/{someone.athlete_id}/medium.jpg",
        "profile": f"{PICTURES}/athletes/{someone.athlete_id}/large.jpg",
        "friend": None,
        "follower": None,
    }


def profile(rng: random.Random, someone: Person, *, now: float) -> Json:
    """Return the DetailedAthlete; the caller adds clubs, bikes and shoes."""
    detail = summary_profile(someone, now=now) | {"resource_state": 3}
    return detail | {
        "blocked": False,
        "can_follow": True,
        "follower_count": CIRCLE,
        "friend_count": CIRCLE + rng.randint(-30, 60),
        "mutual_friend_count": 0,
        "athlete_type": 1,
        "date_preference": "%m/%d/%Y" if someone.imperial else "%d/%m/%Y",
        "measurement_preference": "feet" if someone.imperial else "meters",
        "clubs": [],
        "postable_clubs_count": 0,
        "ftp": someone.ftp if someone.cycles else None,
        "bikes": [],
        "shoes": [],
    }


def zones(someone: Person) -> Json:
    """Return the athlete's zones; the top of the last is -1. There are none of power without threshold power."""
    tops = [round(someone.max_heartrate * share) for share in (0.60, 0.75, 0.82, 0.90)]
    watts = [round(someone.ftp * share) for share in (0.55, 0.75, 0.90, 1.05, 1.20, 1.50)]
    bounds = list(zip([0, *(top + 1 for top in watts)], [*watts, -1], strict=True))
    found: Json = {
        "heart_rate": {
            "custom_zones": False,
            "zones": [{"min": low, "max": high} for low, high in zip([0, *tops], [*tops, -1], strict=True)],
        }
    }
    if someone.cycles:
        found["power"] = {"zones": [{"min": low, "max": high} for low, high in bounds]}
    return found
