"""An athlete's totals."""

from __future__ import annotations

from strava_async.models._model import StravaModel


class ActivityTotal(StravaModel):
    """What some activities add up to."""

    count: int | None = None
    """How many they are."""
    distance: float | None = None
    """How far; m."""
    moving_time: float | None = None
    """How long without stops; s."""
    elapsed_time: float | None = None
    """How long with stops; s."""
    elevation_gain: float | None = None
    """How much uphill; m."""
    achievement_count: int | None = None
    """How many achievements; in the recent totals only."""


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
