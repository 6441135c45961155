"""Laps."""

from __future__ import annotations

from strava_async.models._fields import Instant, LocalTime
from strava_async.models._partial import PartialModel
from strava_async.models.activity_summary import MetaActivity
from strava_async.models.athlete import MetaAthlete


class Lap(PartialModel):
    """A part of an activity, from one press of the lap button to the next."""

    id: int | None = None
    """The lap's id."""
    name: str | None = None
    """What it is called."""
    activity: MetaActivity | None = None
    """The activity that it is part of."""
    athlete: MetaAthlete | None = None
    """Whose it is."""
    elapsed_time: int | None = None
    """How long with stops; s."""
    moving_time: int | None = None
    """How long without stops; s."""
    start_date: Instant | None = None
    """When it began."""
    start_date_local: LocalTime | None = None
    """When it began, by the clock on the wall; without a time zone."""
    distance: float | None = None
    """How far; m."""
    average_speed: float | None = None
    """The speed; m/s."""
    max_speed: float | None = None
    """The highest speed; m/s."""
    lap_index: int | None = None
    """Which one it is, from 1 on."""
    split: int | None = None
    """Which one it is, from 1 on."""
    start_index: int | None = None
    """The index in the activity's streams where it begins."""
    end_index: int | None = None
    """The index in the activity's streams where it ends."""
    total_elevation_gain: float | None = None
    """How much uphill; m."""
    average_cadence: float | None = None
    """The cadence; rpm (of runs, steps of one leg per minute)."""
    device_watts: bool | None = None
    """Whether a power meter measured the power; else it is an estimate."""
    average_watts: float | None = None
    """The power; W."""
    average_heartrate: float | None = None
    """The heart rate; bpm."""
    max_heartrate: float | None = None
    """The highest heart rate; bpm."""
    pace_zone: int | None = None
    """The athlete's zone of pace, from 1 on; 0 where there are none; runs only."""
