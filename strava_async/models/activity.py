"""Activities."""

from __future__ import annotations

from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel
from strava_async.models.activity_summary import MetaActivity, SummaryActivity
from strava_async.models.gear import SummaryGear
from strava_async.models.lap import Lap
from strava_async.models.photo import PhotosSummary
from strava_async.models.segment_effort import DetailedSegmentEffort
from strava_async.models.split import Split
from strava_async.models.sports import OpenVisibility, OpenZoneType

__all__ = [
    "DetailedActivity",
    "MetaActivity",
    "SimilarActivities",
    "SpeedTrend",
    "StatVisibility",
    "SummaryActivity",
]


class StatVisibility(StravaModel):
    """Who may see one of an activity's values."""

    type: str | None = None
    """Which: ``heart_rate``, ``pace``, ``power``, ``speed`` or ``calories``."""
    visibility: OpenVisibility | None = None
    """Who may see it."""


class SpeedTrend(StravaModel):
    """The speeds of similar activities, one after the other."""

    speeds: list[float] | None = None
    """The speeds, that of the oldest activity first; m/s."""
    current_activity_index: int | None = None
    """The index of this activity's speed, from 0."""
    min_speed: float | None = None
    """The lowest; m/s."""
    mid_speed: float | None = None
    """The middle one; m/s."""
    max_speed: float | None = None
    """The highest; m/s."""
    direction: int | None = None
    """1 if the athlete gets faster, -1 if slower, else 0."""


class SimilarActivities(PartialModel):
    """How an activity compares with the athlete's others on the same course."""

    effort_count: int | None = None
    """How many there are, this one included."""
    average_speed: float | None = None
    """The average of their speeds; m/s."""
    min_average_speed: float | None = None
    """The slowest one's; m/s."""
    mid_average_speed: float | None = None
    """The middle one's; m/s."""
    max_average_speed: float | None = None
    """The fastest one's; m/s."""
    pr_rank: int | None = None
    """The rank of this one among them, from 1."""
    frequency_milestone: int | None = None
    """The round number of times that this one completes."""
    trend: SpeedTrend | None = None
    """Their speeds, one after the other."""


class DetailedActivity(SummaryActivity):
    """An activity, in full."""

    description: str | None = None
    """The athlete's description of it."""
    private_note: str | None = None
    """A note that only the athlete may read."""
    calories: float | None = None
    """The energy used; kcal."""
    perceived_exertion: float | None = None
    """How hard the athlete found it, 1 to 10."""
    prefer_perceived_exertion: bool | None = None
    """Whether it is used instead of the heart rate."""
    segment_efforts: list[DetailedSegmentEffort] | None = None
    """The efforts on the segments passed."""
    best_efforts: list[DetailedSegmentEffort] | None = None
    """The fastest times over some distances, such as 10 km; runs only."""
    splits_metric: list[Split] | None = None
    """The kilometres."""
    splits_standard: list[Split] | None = None
    """The miles."""
    laps: list[Lap] | None = None
    """The laps."""
    gear: SummaryGear | None = None
    """The gear."""
    photos: PhotosSummary | None = None
    """The photos: how many, and the first."""
    stats_visibility: list[StatVisibility] | None = None
    """Who may see which values."""
    embed_token: str | None = None
    """What a page that embeds the activity needs."""
    similar_activities: SimilarActivities | None = None
    """How it compares with others on the same course."""
    available_zones: list[OpenZoneType] | None = None
    """The measurements that have zones."""
    segment_leaderboard_opt_out: bool | None = None
    """Whether its efforts are excluded from the segments' leaderboards."""
    leaderboard_opt_out: bool | None = None
    """Whether it is excluded from the clubs' leaderboards and the challenges."""
