"""An athlete's totals."""

from __future__ import annotations

from strava_async.models._model import StravaModel


class ActivityTotal(StravaModel):
    """The totals of some activities."""

    count: int | None = None
    """The number of activities."""
    distance: float | None = None
    """The distance; m."""
    moving_time: float | None = None
    """The moving time, without stops; s."""
    elapsed_time: float | None = None
    """The elapsed time, stops included; s."""
    elevation_gain: float | None = None
    """The elevation gain; m."""
    achievement_count: int | None = None
    """The number of achievements; in the recent totals only."""


class ActivityStats(StravaModel):
    """An athlete's totals, of the activities that everyone may see."""

    biggest_ride_distance: float | None = None
    """The longest ride; m."""
    biggest_climb_elevation_gain: float | None = None
    """The highest climb on a ride; m."""
    recent_ride_totals: ActivityTotal | None = None
    """The rides of the last four weeks."""
    recent_run_totals: ActivityTotal | None = None
    """The runs of the last four weeks."""
    recent_swim_totals: ActivityTotal | None = None
    """The swims of the last four weeks."""
    ytd_ride_totals: ActivityTotal | None = None
    """The rides of this year."""
    ytd_run_totals: ActivityTotal | None = None
    """The runs of this year."""
    ytd_swim_totals: ActivityTotal | None = None
    """The swims of this year."""
    all_ride_totals: ActivityTotal | None = None
    """All rides."""
    all_run_totals: ActivityTotal | None = None
    """All runs."""
    all_swim_totals: ActivityTotal | None = None
    """All swims."""
