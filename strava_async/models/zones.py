"""Zones of heart rate, power and pace."""

from __future__ import annotations

from strava_async.models._fields import UpperBound
from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel
from strava_async.models.sports import OpenZoneType


class ZoneRange(StravaModel):
    """A zone. Its unit is that of what it is a zone of: bpm, W or m/s."""

    min: float | None = None
    """Where it begins."""
    max: UpperBound = None
    """Where it ends; None of the highest zone."""

    def contains(self, value: float) -> bool:
        """Say whether a value lies in the zone.

        Both bounds do: the zones of an athlete's heart rate share theirs, so that a value may lie in two. A bound that
        is None bounds nothing.

        Args:
            value: in the unit of the zone.
        """
        low, high = self.min, self.max
        above = not isinstance(low, int | float) or value >= low
        below = not isinstance(high, int | float) or value <= high
        return above and below


class HeartRateZones(StravaModel):
    """An athlete's zones of heart rate."""

    custom_zones: bool | None = None
    """Whether the athlete has set them; else they follow from the highest heart rate."""
    zones: list[ZoneRange] | None = None
    """The zones from the lowest on; bpm."""


class PowerZones(StravaModel):
    """An athlete's zones of power."""

    zones: list[ZoneRange] | None = None
    """The zones from the lowest on; W."""


class Zones(StravaModel):
    """An athlete's zones."""

    heart_rate: HeartRateZones | None = None
    """Those of heart rate."""
    power: PowerZones | None = None
    """Those of power; None of athletes who have no power data."""


class TimedZoneRange(ZoneRange):
    """A zone, and the time that was spent in it."""

    time: float | None = None
    """How long; s."""


class ActivityZone(PartialModel):
    """How the time of an activity spreads over the zones of one measurement."""

    type: OpenZoneType | None = None
    """What was measured."""
    score: float | None = None
    """Strava's number for how hard it was."""
    distribution_buckets: list[TimedZoneRange] | None = None
    """The zones from the lowest on: bpm, W or m/s by ``type``."""
    sensor_based: bool | None = None
    """Whether a sensor measured it."""
    points: int | None = None
    """Strava's older number for how hard it was; heart rate only."""
    custom_zones: bool | None = None
    """Whether the athlete has set the zones."""
    max: float | None = None
    """The upper end of the scale, where Strava tells it; the unit is that of ``type``."""
