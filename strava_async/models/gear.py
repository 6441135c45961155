"""Bikes and shoes."""

from __future__ import annotations

from strava_async.models._partial import PartialModel


class SummaryGear(PartialModel):
    """A bike or a pair of shoes, as an athlete's or an activity's page shows it."""

    id: str | None = None
    """The gear's id: ``b`` and a number for a bike, ``g`` and a number for shoes."""
    primary: bool | None = None
    """Whether new activities get this gear."""
    name: str | None = None
    """The name that it is shown by."""
    nickname: str | None = None
    """What the athlete calls it."""
    retired: bool | None = None
    """Whether it is out of use."""
    distance: float | None = None
    """How far it has gone; m."""
    converted_distance: float | None = None
    """How far it has gone; km or miles, as the athlete prefers."""


class DetailedGear(SummaryGear):
    """A bike or a pair of shoes, all of it."""

    brand_name: str | None = None
    """Who makes it."""
    model_name: str | None = None
    """What its maker calls it."""
    description: str | None = None
    """What the athlete says about it."""
    frame_type: int | None = None
    """Strava's number of the kind of frame; bikes only."""
    weight: float | None = None
    """Its weight; kg; bikes only."""
    notification_distance: float | None = None
    """After how far Strava reminds of wear; shoes only; as Strava sends it, without a stated unit."""
