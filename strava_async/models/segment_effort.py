"""Efforts: one athlete on one segment, once."""

from __future__ import annotations

from strava_async.models._fields import Instant, LocalTime
from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel
from strava_async.models.activity_summary import SummaryActivity
from strava_async.models.athlete import SummaryAthlete
from strava_async.models.segment import AthleteSegmentStats, SummarySegment
from strava_async.models.sports import OpenVisibility


class Achievement(StravaModel):
    """An achievement of an effort."""

    type_id: int | None = None
    """Strava's number for the kind of achievement."""
    type: str | None = None
    """The kind of achievement, such as ``pr`` for one of the athlete's best times."""
    rank: int | None = None
    """The rank among them, from 1."""
    effort_count: int | None = None
    """The number of efforts that were ranked, where Strava sends it."""


class SummarySegmentEffort(PartialModel):
    """An effort, as lists show it."""

    id: int | None = None
    """The effort's id."""
    activity_id: int | None = None
    """The id of the activity."""
    elapsed_time: int | None = None
    """The elapsed time, stops included; s."""
    start_date: Instant | None = None
    """When it began."""
    start_date_local: LocalTime | None = None
    """When it began, in local time; without a time zone."""
    distance: float | None = None
    """The distance; m."""
    is_kom: bool | None = None
    """Whether it is the fastest of all athletes."""


class DetailedSegmentEffort(SummarySegmentEffort):
    """An effort, in full. Best efforts of runs (such as the fastest 10 km) have the same form, but no segment."""

    name: str | None = None
    """The name of the segment, or of the distance."""
    activity: SummaryActivity | None = None
    """The activity: its summary where a single effort was requested, else little more than its id."""
    athlete: SummaryAthlete | None = None
    """The athlete: a summary where a single effort was requested, else little more than the id."""
    moving_time: int | None = None
    """The moving time, without stops; s."""
    start_index: int | None = None
    """The index in the activity's streams where it begins."""
    end_index: int | None = None
    """The index in the activity's streams where it ends."""
    average_cadence: float | None = None
    """The average cadence; rpm (of runs, steps of one leg per minute)."""
    average_watts: float | None = None
    """The average power; W."""
    device_watts: bool | None = None
    """Whether a power meter measured the power; else it is an estimate."""
    average_heartrate: float | None = None
    """The average heart rate; bpm."""
    max_heartrate: float | None = None
    """The highest heart rate; bpm."""
    segment: SummarySegment | None = None
    """The segment."""
    kom_rank: int | None = None
    """The rank among the efforts of all athletes, 1 to 10, when it was uploaded; None below that."""
    pr_rank: int | None = None
    """The rank among the athlete's own efforts, 1 to 3, when it was uploaded; None below that."""
    hidden: bool | None = None
    """Whether the activity's page hides it at first."""
    achievements: list[Achievement] | None = None
    """The achievements."""
    visibility: OpenVisibility | None = None
    """Who may see it."""
    athlete_segment_stats: AthleteSegmentStats | None = None
    """The athlete's efforts on the segment in figures, where a single effort was requested."""
