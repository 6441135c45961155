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
    """What an effort brought."""

    type_id: int | None = None
    """Strava's number of the kind of achievement."""
    type: str | None = None
    """The kind of achievement, such as ``pr`` for one of the athlete's best times."""
    rank: int | None = None
    """The place among them, from 1 on."""
    effort_count: int | None = None
    """Of how many efforts, where Strava tells it."""


class SummarySegmentEffort(PartialModel):
    """An effort in short."""

    id: int | None = None
    """The effort's id."""
    activity_id: int | None = None
    """The id of the activity."""
    elapsed_time: int | None = None
    """How long with stops; s."""
    start_date: Instant | None = None
    """When it began."""
    start_date_local: LocalTime | None = None
    """When it began, by the clock on the wall; without a time zone."""
    distance: float | None = None
    """How far; m."""
    is_kom: bool | None = None
    """Whether it is the fastest of all."""


class DetailedSegmentEffort(SummarySegmentEffort):
    """An effort, all of it. Best efforts of runs (such as the fastest 10 km) are like it, but have no segment."""

    name: str | None = None
    """The name of the segment, or of the distance."""
    activity: SummaryActivity | None = None
    """The activity: its summary where an effort is shown alone, else hardly more than its id."""
    athlete: SummaryAthlete | None = None
    """Whose it is: a summary where an effort is shown alone, else hardly more than the id."""
    moving_time: int | None = None
    """How long without stops; s."""
    start_index: int | None = None
    """The index in the activity's streams where it begins."""
    end_index: int | None = None
    """The index in the activity's streams where it ends."""
    average_cadence: float | None = None
    """The cadence; rpm (of runs, steps of one leg per minute)."""
    average_watts: float | None = None
    """The power; W."""
    device_watts: bool | None = None
    """Whether a power meter measured the power; else it is an estimate."""
    average_heartrate: float | None = None
    """The heart rate; bpm."""
    max_heartrate: float | None = None
    """The highest heart rate; bpm."""
    segment: SummarySegment | None = None
    """The segment."""
    kom_rank: int | None = None
    """The place among all efforts of everybody, 1 to 10, when it was uploaded; None below."""
    pr_rank: int | None = None
    """The place among the athlete's own efforts, 1 to 3, when it was uploaded; None below."""
    hidden: bool | None = None
    """Whether an activity's page leaves it out at first."""
    achievements: list[Achievement] | None = None
    """What it brought."""
    visibility: OpenVisibility | None = None
    """Who may see it."""
    athlete_segment_stats: AthleteSegmentStats | None = None
    """What the athlete has done on the segment, where an effort is shown alone."""
