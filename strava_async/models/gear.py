"""Bikes and shoes."""

from __future__ import annotations

from strava_async.models._partial import PartialModel


class SummaryGear(PartialModel):
    """A bike or a pair of shoes, as athletes and activities have it."""

    id: str | None = None
    """The gear's id: ``b`` and a number for a bike, ``g`` and a number for shoes."""
    primary: bool | None = None
    """Whether it is the default for new activities."""
    name: str | None = None
    """The name under which it is shown."""
    nickname: str | None = None
    """The athlete's name for it."""
    retired: bool | None = None
    """Whether it is retired."""
    distance: float | None = None
    """The distance covered; m."""
    converted_distance: float | None = None
    """The distance covered; km or miles, as the athlete prefers."""


class DetailedGear(SummaryGear):
    """A bike or a pair of shoes, in full."""

    brand_name: str | None = None
    """The brand."""
    model_name: str | None = None
    """The model."""
    description: str | None = None
    """The athlete's description of it."""
    frame_type: int | None = None
    """Strava's number for the kind of frame; bikes only."""
    weight: float | None = None
    """Its weight; kg; bikes only."""
    notification_distance: float | None = None
    """The distance at which Strava reminds of wear; shoes only; Strava documents no unit."""
