"""The names that Strava has for sports and a few other things. It adds new ones without notice.

Each ``Open...`` is the type of a field: a member of the enumeration where the name is known, else the text as it came.

Source:
    https://developers.strava.com/docs/reference/ (SportType, ActivityType) of May 2026, and what was observed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from strava_async.models._fields import LeftToRight


class SportType(StrEnum):
    """The sport of an activity."""

    ALPINE_SKI = "AlpineSki"
    BACKCOUNTRY_SKI = "BackcountrySki"
    BADMINTON = "Badminton"
    BASKETBALL = "Basketball"
    CANOEING = "Canoeing"
    CRICKET = "Cricket"
    CROSSFIT = "Crossfit"
    DANCE = "Dance"
    ELLIPTICAL = "Elliptical"
    E_BIKE_RIDE = "EBikeRide"
    E_MOUNTAIN_BIKE_RIDE = "EMountainBikeRide"
    GOLF = "Golf"
    GRAVEL_RIDE = "GravelRide"
    HANDCYCLE = "Handcycle"
    HIGH_INTENSITY_INTERVAL_TRAINING = "HighIntensityIntervalTraining"
    HIKE = "Hike"
    ICE_SKATE = "IceSkate"
    INLINE_SKATE = "InlineSkate"
    KAYAKING = "Kayaking"
    KITESURF = "Kitesurf"
    MOUNTAIN_BIKE_RIDE = "MountainBikeRide"
    NORDIC_SKI = "NordicSki"
    PADEL = "Padel"
    PHYSICAL_THERAPY = "PhysicalTherapy"
    PICKLEBALL = "Pickleball"
    PILATES = "Pilates"
    RACQUETBALL = "Racquetball"
    RIDE = "Ride"
    ROCK_CLIMBING = "RockClimbing"
    ROLLER_SKI = "RollerSki"
    ROWING = "Rowing"
    RUN = "Run"
    SAIL = "Sail"
    SKATEBOARD = "Skateboard"
    SNOWBOARD = "Snowboard"
    SNOWSHOE = "Snowshoe"
    SOCCER = "Soccer"
    SQUASH = "Squash"
    STAIR_STEPPER = "StairStepper"
    STAND_UP_PADDLING = "StandUpPaddling"
    SURFING = "Surfing"
    SWIM = "Swim"
    TABLE_TENNIS = "TableTennis"
    TENNIS = "Tennis"
    TRAIL_RUN = "TrailRun"
    VELOMOBILE = "Velomobile"
    VIRTUAL_RIDE = "VirtualRide"
    VIRTUAL_ROW = "VirtualRow"
    VIRTUAL_RUN = "VirtualRun"
    VOLLEYBALL = "Volleyball"
    WALK = "Walk"
    WEIGHT_TRAINING = "WeightTraining"
    WHEELCHAIR = "Wheelchair"
    WINDSURF = "Windsurf"
    WORKOUT = "Workout"
    YOGA = "Yoga"


class ActivityType(StrEnum):
    """The older, coarser name of a sport; Strava prefers ``SportType``."""

    ALPINE_SKI = "AlpineSki"
    BACKCOUNTRY_SKI = "BackcountrySki"
    CANOEING = "Canoeing"
    CROSSFIT = "Crossfit"
    ELLIPTICAL = "Elliptical"
    E_BIKE_RIDE = "EBikeRide"
    GOLF = "Golf"
    HANDCYCLE = "Handcycle"
    HIKE = "Hike"
    ICE_SKATE = "IceSkate"
    INLINE_SKATE = "InlineSkate"
    KAYAKING = "Kayaking"
    KITESURF = "Kitesurf"
    NORDIC_SKI = "NordicSki"
    RIDE = "Ride"
    ROCK_CLIMBING = "RockClimbing"
    ROLLER_SKI = "RollerSki"
    ROWING = "Rowing"
    RUN = "Run"
    SAIL = "Sail"
    SKATEBOARD = "Skateboard"
    SNOWBOARD = "Snowboard"
    SNOWSHOE = "Snowshoe"
    SOCCER = "Soccer"
    STAIR_STEPPER = "StairStepper"
    STAND_UP_PADDLING = "StandUpPaddling"
    SURFING = "Surfing"
    SWIM = "Swim"
    VELOMOBILE = "Velomobile"
    VIRTUAL_RIDE = "VirtualRide"
    VIRTUAL_RUN = "VirtualRun"
    WALK = "Walk"
    WEIGHT_TRAINING = "WeightTraining"
    WHEELCHAIR = "Wheelchair"
    WINDSURF = "Windsurf"
    WORKOUT = "Workout"
    YOGA = "Yoga"


class Visibility(StrEnum):
    """Who may see something."""

    EVERYONE = "everyone"
    FOLLOWERS_ONLY = "followers_only"
    ONLY_ME = "only_me"


class ZoneType(StrEnum):
    """What a distribution over zones measures."""

    HEARTRATE = "heartrate"
    POWER = "power"
    PACE = "pace"


class MeasurementPreference(StrEnum):
    """The units that an athlete prefers."""

    FEET = "feet"
    METERS = "meters"


class ClubMembership(StrEnum):
    """The state of an athlete's membership in a club."""

    MEMBER = "member"
    PENDING = "pending"


OpenSportType = Annotated[SportType | str, LeftToRight]
OpenActivityType = Annotated[ActivityType | str, LeftToRight]
OpenVisibility = Annotated[Visibility | str, LeftToRight]
OpenZoneType = Annotated[ZoneType | str, LeftToRight]
OpenMeasurementPreference = Annotated[MeasurementPreference | str, LeftToRight]
OpenClubMembership = Annotated[ClubMembership | str, LeftToRight]
