"""Segments."""

from __future__ import annotations

from typing import Annotated

from strava_async.models._fields import Day, EncodedPolyline, Instant, LeftToRight, LocalTime, Place
from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel
from strava_async.models.map import PolylineMap
from strava_async.models.sports import OpenActivityType, OpenVisibility

# Strava's reference has an instant; what was seen to come is a day.
_DayOrInstant = Annotated[Day | Instant, LeftToRight]


class AthleteSegmentStats(StravaModel):
    """An athlete's efforts on a segment in figures."""

    effort_count: int | None = None
    """The number of efforts."""
    pr_elapsed_time: int | None = None
    """The fastest time; s."""
    pr_date: _DayOrInstant | None = None
    """The day of the fastest time."""
    pr_visibility: OpenVisibility | None = None
    """Who may see that effort."""
    pr_activity_id: int | None = None
    """The id of that activity."""
    pr_activity_id_str: str | None = None
    """The same as text."""
    pr_activity_visibility: OpenVisibility | None = None
    """Who may see that activity."""


class PrEffort(StravaModel):
    """An athlete's fastest effort on a segment."""

    id: int | None = None
    """The effort's id."""
    activity_id: int | None = None
    """The id of the activity."""
    activity_id_str: str | None = None
    """The same as text."""
    elapsed_time: int | None = None
    """The elapsed time, stops included; s."""
    distance: float | None = None
    """The distance; m."""
    start_date: Instant | None = None
    """When it began."""
    start_date_local: LocalTime | None = None
    """When it began, in local time; without a time zone."""
    is_kom: bool | None = None
    """Whether it is the fastest of all athletes."""
    effort_count: int | None = None
    """How many efforts the athlete has. This field and those below are as in Strava's reference."""
    pr_activity_id: int | None = None
    """The id of the activity."""
    pr_date: _DayOrInstant | None = None
    """The day."""
    pr_elapsed_time: int | None = None
    """The elapsed time, stops included; s."""


class Xoms(StravaModel):
    """The fastest times on a segment, as texts such as ``1:09`` (minutes and seconds)."""

    kom: str | None = None
    """The fastest man's."""
    qom: str | None = None
    """The fastest woman's."""
    overall: str | None = None
    """The fastest of all."""


class LocalLegend(StravaModel):
    """The athlete with the most efforts on a segment in 90 days. The numbers are texts."""

    athlete_id: int | None = None
    """The athlete's id."""
    athlete_id_str: str | None = None
    """The same as text."""
    title: str | None = None
    """The athlete's name."""
    profile: str | None = None
    """URL of the athlete's picture."""
    effort_description: str | None = None
    """The number of efforts, as a sentence."""
    effort_count: str | None = None
    """The number of efforts."""
    effort_counts: dict[str, str] | None = None
    """The number of efforts, overall and among women, as texts."""
    destination: str | None = None
    """The target of a link into Strava's app."""


class SummarySegment(PartialModel):
    """A segment, as lists and efforts show it."""

    id: int | None = None
    """The segment's id."""
    name: str | None = None
    """Its name."""
    activity_type: OpenActivityType | None = None
    """The sport."""
    distance: float | None = None
    """How long it is; m."""
    average_grade: float | None = None
    """The average grade; percent."""
    maximum_grade: float | None = None
    """The maximum grade; percent."""
    elevation_high: float | None = None
    """The highest point; m above sea level."""
    elevation_low: float | None = None
    """The lowest point; m above sea level."""
    start_latlng: Place = None
    """Where it begins; degrees."""
    end_latlng: Place = None
    """Where it ends; degrees."""
    elevation_profile: str | None = None
    """URL of a picture of its elevation profile."""
    elevation_profiles: dict[str, str] | None = None
    """URLs of the same picture, ``light_url`` and ``dark_url``."""
    climb_category: int | None = None
    """The climb category: 0 for none, 1 (category 4) to 5 (HC)."""
    city: str | None = None
    """The town."""
    state: str | None = None
    """The state or region."""
    country: str | None = None
    """The country."""
    private: bool | None = None
    """Whether only its creator may see it."""
    hazardous: bool | None = None
    """Whether it is marked as hazardous."""
    starred: bool | None = None
    """Whether the athlete starred it."""
    starred_date: Instant | None = None
    """When the athlete starred it; among the starred segments only."""
    pr_time: int | None = None
    """The athlete's fastest time; s; among the starred segments only."""
    athlete_pr_effort: PrEffort | None = None
    """The athlete's fastest effort; among the starred segments only."""
    athlete_segment_stats: AthleteSegmentStats | None = None
    """The athlete's efforts on it in figures."""


class DetailedSegment(SummarySegment):
    """A segment, in full."""

    created_at: Instant | None = None
    """When it was made."""
    updated_at: Instant | None = None
    """When it last changed."""
    total_elevation_gain: float | None = None
    """The elevation gain; m."""
    map: PolylineMap | None = None
    """Its line on the map."""
    effort_count: int | None = None
    """How many efforts there are, of all athletes."""
    athlete_count: int | None = None
    """How many athletes have an effort on it."""
    star_count: int | None = None
    """How many starred it."""
    xoms: Xoms | None = None
    """The fastest times."""
    local_legend: LocalLegend | None = None
    """The local legend."""


class ExplorerSegment(PartialModel):
    """A segment, as the explorer lists it."""

    id: int | None = None
    """The segment's id."""
    name: str | None = None
    """Its name."""
    climb_category: int | None = None
    """The climb category: 0 for none to 5 (HC)."""
    climb_category_desc: str | None = None
    """The climb category in words: ``NC``, ``4`` to ``1``, ``HC``."""
    avg_grade: float | None = None
    """The average grade; percent."""
    start_latlng: Place = None
    """Where it begins; degrees."""
    end_latlng: Place = None
    """Where it ends; degrees."""
    elev_difference: float | None = None
    """The elevation difference; m."""
    distance: float | None = None
    """How long it is; m."""
    points: EncodedPolyline | None = None
    """Its line on the map, encoded (precision 5)."""
    starred: bool | None = None
    """Whether the athlete starred it."""
    elevation_profile: str | None = None
    """URL of a picture of its elevation profile."""
    local_legend_enabled: bool | None = None
    """Whether it may have a local legend."""


class ExplorerSegments(StravaModel):
    """The answer of the explorer: up to ten popular segments of an area."""

    segments: list[ExplorerSegment] | None = None
    """The segments."""
