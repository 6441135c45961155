"""Splits: an activity cut at each kilometre or mile."""

from __future__ import annotations

from strava_async.models._model import StravaModel


class Split(StravaModel):
    """A kilometre or a mile of an activity; the last one is shorter."""

    split: int | None = None
    """Its number, from 1."""
    distance: float | None = None
    """The distance; m."""
    elapsed_time: int | None = None
    """The elapsed time, stops included; s."""
    moving_time: int | None = None
    """The moving time, without stops; s."""
    elevation_difference: float | None = None
    """The elevation of its end minus that of its start; m."""
    average_speed: float | None = None
    """The average speed; m/s."""
    average_grade_adjusted_speed: float | None = None
    """The speed that the same effort would have given on the flat; m/s."""
    average_heartrate: float | None = None
    """The average heart rate; bpm."""
    pace_zone: int | None = None
    """The athlete's zone of pace, from 1; 0 where there are none."""
