"""The training plan: a week's habits, the seasons, a holiday and a marathon each year."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from strava_async.testing.world.plan.places import HOLIDAYS, Place
from strava_async.testing.world.plan.sports import SPORTS, Sport
from strava_async.testing.world.plan.timezones import DAY

_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True)
class PlannedActivity:
    """An activity before it is recorded.

    Attributes:
        wall: seconds since 1970-01-01 on the local wall clock.
        metres: roughly how far; 0 for sports without distance.
        seconds: roughly how long, for sports without distance.
        occasion: what makes it special.
    """

    sport: Sport
    place: Place
    wall: float
    metres: float = 0.0
    seconds: float = 0.0
    occasion: str = ""  # "", "race", "long", "workout", "commute", "hidden"


@dataclass(frozen=True, slots=True)
class Slot:
    """A habit: on this weekday, with this chance, at about this hour."""

    weekday: int
    sport_type: str
    chance: float
    hour: float
    occasion: str = ""


WEEK = (
    Slot(0, "WeightTraining", 0.30, 18.5),
    Slot(0, "Yoga", 0.20, 20.0),
    Slot(1, "Run", 0.66, 6.6),
    Slot(2, "Swim", 0.20, 7.0),
    Slot(2, "Ride", 0.50, 17.6),
    Slot(3, "Run", 0.62, 17.9, "workout"),
    Slot(3, "Walk", 0.07, 20.5),
    Slot(4, "Swim", 0.30, 12.2),
    Slot(4, "Ride", 0.12, 8.1, "commute"),
    Slot(5, "TrailRun", 0.10, 8.7),
    Slot(5, "Ride", 0.42, 9.0, "long"),
    Slot(5, "MountainBikeRide", 0.16, 13.5),
    Slot(5, "Hike", 0.12, 9.5),
    Slot(6, "Run", 0.78, 8.4, "long"),
    Slot(6, "Walk", 0.16, 15.8),
)
ON_HOLIDAY = (("Hike", 0.30), ("TrailRun", 0.22), ("Ride", 0.18), ("Walk", 0.16), ("Run", 0.10), ("Swim", 0.04))

# Metres: the least and the most of an ordinary one.
_METRES: dict[str, tuple[float, float]] = {
    "Run": (4_800, 12_500),
    "TrailRun": (7_500, 17_000),
    "Ride": (19_000, 44_000),
    "VirtualRide": (16_000, 34_000),
    "MountainBikeRide": (12_500, 29_000),
    "Swim": (1_000, 2_800),
    "Walk": (2_200, 6_500),
    "Hike": (6_500, 19_000),
    "Snowkiting": (8_000, 18_000),
}
_INSTEAD = {"Ride": "Run", "VirtualRide": "Run", "MountainBikeRide": "TrailRun"}
_LONG: dict[str, tuple[float, float]] = {"Run": (13_000, 29_500), "Ride": (48_000, 101_000)}


def plan(rng: random.Random, *, home: Place, since: float, now: float) -> Iterator[PlannedActivity]:
    """Yield what the athlete does from ``since`` to about ``now`` (Unix seconds), in the order of days.

    The last days may hold activities that end after ``now``: the caller leaves them out.
    """
    first_day, last_day = int(since // DAY), int(now // DAY) + 1
    away = dict(_trips(rng, home, first_day, last_day))
    ill = set(_illnesses(rng, first_day, last_day))
    races = set(_race_days(rng, first_day, last_day))
    for day in range(first_day, last_day + 1):
        if day in away:
            yield from _holiday(rng, away[day], day)
        elif day in races:
            yield _planned(rng, Slot(6, "Run", 1.0, 9.0, "race"), home, day)
        elif day not in ill:
            yield from _ordinary(rng, home, day)


def on_foot(rng: random.Random, planned_activities: Iterable[PlannedActivity]) -> Iterator[PlannedActivity]:
    """Replace rides by runs, and long rides by hikes, for an athlete without a bike."""
    for planned in planned_activities:
        if planned.sport.on_bike:
            instead = "Hike" if planned.occasion == "long" else _INSTEAD[planned.sport.sport_type]
            occasion = planned.occasion if planned.occasion == "commute" else ""
            metres = _metres(rng, instead, occasion)
            planned = PlannedActivity(SPORTS[instead], planned.place, planned.wall, metres=metres, occasion=occasion)
        yield planned


def shortened(planned_activities: Iterable[PlannedActivity], seconds: float) -> Iterator[PlannedActivity]:
    """Replace what takes longer by what takes about so long."""
    for planned in planned_activities:
        metres = min(planned.metres, planned.sport.speed * seconds)
        yield replace(planned, metres=metres, seconds=min(planned.seconds, seconds))


def _trips(rng: random.Random, home: Place, first: int, last: int) -> Iterator[tuple[int, Place]]:
    year = float(first)
    while year < last:
        begins = int(year + rng.uniform(0.1, 0.9) * _YEAR_DAYS)
        place = rng.choice([place for place in HOLIDAYS if place.zone != home.zone])
        for day in range(begins, begins + rng.randint(9, 15)):
            yield day, place
        year += _YEAR_DAYS


def _illnesses(rng: random.Random, first: int, last: int) -> Iterator[int]:
    day = first
    while (day := day + rng.randint(80, 220)) < last:
        yield from range(day, day + rng.randint(4, 13))


def _race_days(rng: random.Random, first: int, last: int) -> Iterator[int]:
    """One Sunday in spring or autumn of each year."""
    year = float(first)
    while year < last:
        season = rng.choice((105, 290))  # days into a year from January: April, October
        january = round(round(year / _YEAR_DAYS) * _YEAR_DAYS)
        day = january + season + rng.randint(-12, 12)
        yield day + (3 - day) % 7  # 1970-01-01, day 0, was a Thursday
        year += _YEAR_DAYS


def _weekday(day: int) -> int:
    return (day + 3) % 7


def _winter(day: int) -> bool:
    season = (day % _YEAR_DAYS) / _YEAR_DAYS
    return season < 0.17 or season > 0.86


def _ordinary(rng: random.Random, home: Place, day: int) -> Iterator[PlannedActivity]:
    weekday, winter = _weekday(day), _winter(day)
    if winter and weekday == 5 and rng.random() < 0.09:
        yield _planned(rng, Slot(5, "Snowkiting", 1.0, 11.0), home, day)
        return
    for slot in WEEK:
        if slot.weekday != weekday or rng.random() > slot.chance:
            continue
        if winter:
            slot = _indoors(rng, slot)
        yield _planned(rng, slot, home, day)
        if slot.occasion == "commute":
            yield _planned(rng, Slot(weekday, slot.sport_type, 1.0, 17.2, "commute"), home, day)
        if weekday == 5:
            return  # one of the weekend's big things is enough


def _indoors(rng: random.Random, slot: Slot) -> Slot:
    if slot.sport_type == "Ride" and slot.occasion != "commute" and rng.random() < 0.75:
        return Slot(slot.weekday, "VirtualRide", slot.chance, slot.hour)
    if slot.sport_type == "WeightTraining" and rng.random() < 0.35:
        return Slot(slot.weekday, "Rowing", slot.chance, slot.hour)
    return slot


def _holiday(rng: random.Random, place: Place, day: int) -> Iterator[PlannedActivity]:
    if rng.random() < 0.76:
        sport_type = rng.choices([name for name, _ in ON_HOLIDAY], [weight for _, weight in ON_HOLIDAY])[0]
        yield _planned(rng, Slot(_weekday(day), sport_type, 1.0, 9.3), place, day)


def _planned(rng: random.Random, slot: Slot, place: Place, day: int) -> PlannedActivity:
    wall = day * DAY + (slot.hour + rng.gauss(0.0, 0.35)) * 3600
    sport, occasion = SPORTS[slot.sport_type], slot.occasion
    if occasion == "workout" and rng.random() < 0.5:
        occasion = ""
    if not occasion and slot.sport_type == "Run" and rng.random() < 0.02:
        occasion = "hidden"
    if not sport.metres:
        return PlannedActivity(sport, place, int(wall), seconds=rng.uniform(1_500, 4_000), occasion=occasion)
    return PlannedActivity(sport, place, int(wall), metres=_metres(rng, sport.sport_type, occasion), occasion=occasion)


def _metres(rng: random.Random, sport_type: str, occasion: str) -> float:
    if occasion == "race":
        return 42_480.0
    if occasion == "commute":
        return rng.uniform(8_300, 9_400)
    least, most = _LONG.get(sport_type, _METRES[sport_type]) if occasion == "long" else _METRES[sport_type]
    return rng.triangular(least, most, least + 0.35 * (most - least))
