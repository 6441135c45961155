"""What is typical of each sport: speed, effort, gear, sensors. Invented averages of an ambitious amateur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Sport:
    """A sport as the generator sees it.

    Attributes:
        sport_type: Strava's name for it.
        type: the older, coarser name.
        family: the family of routes (``routes.LENGTHS``); None indoors.
        metres: whether a distance is recorded.
        speed: metres per second on the flat; 0 without distance.
        effort: share of the heart-rate reserve, on average.
        gear: what it wears out.
        cadence: typical, per minute; 0 if not measured.
        hill: how much a slope slows: speed falls by ``exp(-hill * grade)``.
        top: maximum speed over average speed.
        idle: typical share of the elapsed time spent standing.
        temp: whether the device's temperature is believable.
        workout_type: Strava's number for an ordinary one of these; None if the key isn't sent.
    """

    sport_type: str
    type: str
    family: str | None
    metres: bool = True
    speed: float = 0.0
    effort: float = 0.6
    gear: Literal["shoe", "bike", "none"] = "none"
    cadence: float = 0.0
    hill: float = 3.0
    top: float = 1.5
    idle: float = 0.05
    temp: bool = True
    workout_type: int | None = None

    @property
    def on_foot(self) -> bool:
        """Whether it is done on foot, with distance."""
        return self.gear == "shoe"

    @property
    def on_bike(self) -> bool:
        """Whether it is done on a bicycle, real or virtual."""
        return self.gear == "bike"


SPORTS: dict[str, Sport] = {
    sport.sport_type: sport
    for sport in (
        Sport("Run", "Run", "run", speed=2.95, effort=0.70, gear="shoe", cadence=80, top=1.55, workout_type=0),
        Sport(
            "TrailRun",
            "Run",
            "trail",
            speed=2.35,
            effort=0.71,
            gear="shoe",
            cadence=76,
            top=1.9,
            idle=0.07,
            workout_type=0,
        ),
        Sport(
            "Ride", "Ride", "ride", speed=7.4, effort=0.58, gear="bike", cadence=82, hill=8.0, top=1.8, workout_type=10
        ),
        Sport(
            "VirtualRide",
            "VirtualRide",
            None,
            speed=8.8,
            effort=0.64,
            gear="bike",
            cadence=86,
            hill=8.0,
            top=1.35,
            idle=0.0,
            temp=False,
            workout_type=10,
        ),
        Sport(
            "MountainBikeRide",
            "Ride",
            "dirt",
            speed=4.3,
            effort=0.66,
            gear="bike",
            cadence=70,
            hill=6.0,
            top=2.5,
            idle=0.14,
            workout_type=10,
        ),
        Sport("Swim", "Swim", None, speed=0.74, effort=0.48, top=1.25, idle=0.16),
        Sport("Walk", "Walk", "walk", speed=1.38, effort=0.26, gear="shoe", cadence=55, hill=2.0, top=1.4, idle=0.09),
        Sport("Hike", "Hike", "hike", speed=1.05, effort=0.40, gear="shoe", cadence=50, hill=2.5, top=1.7, idle=0.22),
        Sport("WeightTraining", "WeightTraining", None, metres=False, effort=0.36, idle=0.0),
        Sport("Yoga", "Yoga", None, metres=False, effort=0.18, idle=0.0, temp=False),
        Sport("Rowing", "Rowing", None, metres=False, effort=0.66, cadence=23, idle=0.02, temp=False),
        # Newer than every list of sport types: clients must accept it.
        Sport("Snowkiting", "Workout", "field", speed=5.2, effort=0.50, hill=1.0, top=2.8, idle=0.20),
    )
}


def sport_named(sport_type: str) -> Sport:
    """Return the data of a sport type; the older ``type`` of an unknown one is ``Workout``."""
    return SPORTS.get(sport_type) or Sport(sport_type, sport_type if sport_type in _SAME_TYPE else "Workout", None)


# Sport types, beyond those above, that the older `type` knows by the same name.
_SAME_TYPE = frozenset(
    [
        "AlpineSki",
        "BackcountrySki",
        "Canoeing",
        "Crossfit",
        "EBikeRide",
        "Elliptical",
        "Golf",
        "Handcycle",
        "IceSkate",
        "InlineSkate",
        "Kayaking",
        "Kitesurf",
        "NordicSki",
        "RockClimbing",
        "RollerSki",
        "Sail",
        "Skateboard",
        "Snowboard",
        "Snowshoe",
        "Soccer",
        "StairStepper",
        "StandUpPaddling",
        "Surfing",
        "Velomobile",
        "VirtualRun",
        "Wheelchair",
        "Windsurf",
        "Workout",
    ]
)
