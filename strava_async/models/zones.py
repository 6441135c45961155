"""Zones of heart rate, power and pace."""

from __future__ import annotations

from strava_async.models._fields import UpperBound
from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel
from strava_async.models.sports import OpenZoneType


class ZoneRange(StravaModel):
    """A zone. Its unit is bpm, W or m/s, by what it is a zone of."""

    min: float | None = None
    """The lower bound."""
    max: UpperBound = None
    """The upper bound; None for the highest zone."""

    def contains(self, value: float) -> bool:
        """Say whether a value lies in the zone.

        Both bounds are inclusive: the zones of an athlete's heart rate share theirs, so that a value may lie in two.
        None means unbounded.

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
    """Whether the athlete has set them; else they follow from the maximum heart rate."""
    zones: list[ZoneRange] | None = None
    """The zones, the lowest first; bpm."""


class PowerZones(StravaModel):
    """An athlete's zones of power."""

    zones: list[ZoneRange] | None = None
    """The zones, the lowest first; W."""


class Zones(StravaModel):
    """An athlete's zones."""

    heart_rate: HeartRateZones | None = None
    """Those of heart rate."""
    power: PowerZones | None = None
    """Those of power; None for athletes without power data."""


class TimedZoneRange(ZoneRange):
    """A zone, and the time spent in it."""

    time: float | None = None
    """The time; s."""


class ActivityZone(PartialModel):
    """The distribution of an activity's time over the zones of one measurement."""

    type: OpenZoneType | None = None
    """What was measured."""
    score: float | None = None
    """Strava's score of the intensity."""
    distribution_buckets: list[TimedZoneRange] | None = None
    """The zones, the lowest first: bpm, W or m/s by ``type``."""
    sensor_based: bool | None = None
    """Whether a sensor measured it."""
    points: int | None = None
    """Strava's older score of the intensity; heart rate only."""
    custom_zones: bool | None = None
    """Whether the athlete has set the zones."""
    max: float | None = None
    """The upper end of the scale, where Strava sends it; the unit is that of ``type``."""
