"""Splits: an activity cut at each kilometre or mile."""

from __future__ import annotations

from strava_async.models._model import StravaModel


class Split(StravaModel):
    """A kilometre or a mile of an activity; the last one is shorter."""

    split: int | None = None
    """Which one it is, from 1 on."""
    distance: float | None = None
    """How long it is; m."""
    elapsed_time: int | None = None
    """How long it took, with stops; s."""
    moving_time: int | None = None
    """How long it took, without stops; s."""
    elevation_difference: float | None = None
    """How much higher it ends than it begins; m."""
    average_speed: float | None = None
    """The speed; m/s."""
    average_grade_adjusted_speed: float | None = None
    """The speed that the same effort would have given on the flat; m/s."""
    average_heartrate: float | None = None
    """The heart rate; bpm."""
    pace_zone: int | None = None
    """The athlete's zone of pace, from 1 on; 0 where there are none."""
