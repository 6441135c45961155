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
    """Its name."""
    activity: MetaActivity | None = None
    """The activity that it is part of."""
    athlete: MetaAthlete | None = None
    """The athlete whose it is."""
    elapsed_time: int | None = None
    """The elapsed time, stops included; s."""
    moving_time: int | None = None
    """The moving time, without stops; s."""
    start_date: Instant | None = None
    """When it began."""
    start_date_local: LocalTime | None = None
    """When it began, in local time; without a time zone."""
    distance: float | None = None
    """The distance; m."""
    average_speed: float | None = None
    """The average speed; m/s."""
    max_speed: float | None = None
    """The highest speed; m/s."""
    lap_index: int | None = None
    """Its number, from 1."""
    split: int | None = None
    """Its number, from 1."""
    start_index: int | None = None
    """The index in the activity's streams where it begins."""
    end_index: int | None = None
    """The index in the activity's streams where it ends."""
    total_elevation_gain: float | None = None
    """The elevation gain; m."""
    average_cadence: float | None = None
    """The average cadence; rpm (of runs, steps of one leg per minute)."""
    device_watts: bool | None = None
    """Whether a power meter measured the power; else it is an estimate."""
    average_watts: float | None = None
    """The average power; W."""
    average_heartrate: float | None = None
    """The average heart rate; bpm."""
    max_heartrate: float | None = None
    """The highest heart rate; bpm."""
    pace_zone: int | None = None
    """The athlete's zone of pace, from 1; 0 where there are none; runs only."""
