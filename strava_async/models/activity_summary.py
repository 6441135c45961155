"""Activities as lists show them.

``activity`` has the rest: it imports laps and efforts, which import this.
"""

from __future__ import annotations

from strava_async.models._fields import Instant, LocalTime, Place
from strava_async.models._partial import PartialModel
from strava_async.models.athlete import MetaAthlete
from strava_async.models.map import PolylineMap
from strava_async.models.sports import OpenActivityType, OpenSportType, OpenVisibility


class MetaActivity(PartialModel):
    """A reference to an activity."""

    id: int | None = None
    """The activity's id."""
    visibility: OpenVisibility | None = None
    """Who may see it."""


class SummaryActivity(MetaActivity):
    """An activity, as lists show it."""

    athlete: MetaAthlete | None = None
    """The athlete whose it is."""
    name: str | None = None
    """Its title."""
    distance: float | None = None
    """The distance; m."""
    moving_time: int | None = None
    """The moving time, without stops; s."""
    elapsed_time: int | None = None
    """The elapsed time, stops included; s."""
    total_elevation_gain: float | None = None
    """The elevation gain; m."""
    type: OpenActivityType | None = None
    """The sport by its older, coarser name. Deprecated in favour of ``sport_type``."""
    sport_type: OpenSportType | None = None
    """The sport."""
    workout_type: int | None = None
    """Strava's number for the kind of workout, such as a race or a long run."""
    device_name: str | None = None
    """What recorded it. Strava requires Garmin's devices to be named wherever their activities are shown."""
    start_date: Instant | None = None
    """When it began. 00:00:01 means that the athlete hides the time."""
    start_date_local: LocalTime | None = None
    """When it began, in local time; without a time zone."""
    timezone: str | None = None
    """The time zone as Strava writes it, such as ``(GMT-05:00) America/New_York``; without daylight saving time."""
    utc_offset: float | None = None
    """The offset of local time from UTC at the start, daylight saving time included; s."""
    location_city: str | None = None
    """The town; no longer sent by Strava."""
    location_state: str | None = None
    """The state or region; no longer sent by Strava."""
    location_country: str | None = None
    """The country; no longer sent by Strava."""
    achievement_count: int | None = None
    """How many achievements the athlete got."""
    pr_count: int | None = None
    """How many of them are personal records on segments."""
    kudos_count: int | None = None
    """How many gave kudos."""
    comment_count: int | None = None
    """How many comments it has."""
    athlete_count: int | None = None
    """How many athletes took part, this one included."""
    photo_count: int | None = None
    """How many photos it has from Instagram."""
    total_photo_count: int | None = None
    """How many photos it has in all."""
    map: PolylineMap | None = None
    """Its line on the map."""
    trainer: bool | None = None
    """Whether it was indoors, on a trainer or a treadmill."""
    commute: bool | None = None
    """Whether it was a commute."""
    manual: bool | None = None
    """Whether it was entered by hand, without a recording."""
    private: bool | None = None
    """Whether only the athlete may see it."""
    flagged: bool | None = None
    """Whether it was flagged by someone."""
    hide_from_home: bool | None = None
    """Whether it is left out of the feeds of others."""
    gear_id: str | None = None
    """The id of the gear."""
    start_latlng: Place = None
    """Where it began; degrees."""
    end_latlng: Place = None
    """Where it ended; degrees."""
    average_speed: float | None = None
    """The average speed; m/s."""
    max_speed: float | None = None
    """The highest speed; m/s."""
    average_cadence: float | None = None
    """The average cadence; rpm (of runs, steps of one leg per minute)."""
    average_temp: float | None = None
    """The average temperature; degrees Celsius."""
    average_watts: float | None = None
    """The average power; W."""
    max_watts: int | None = None
    """The highest power; W; with a power meter only."""
    weighted_average_watts: int | None = None
    """The weighted average power; W; with a power meter only."""
    device_watts: bool | None = None
    """Whether a power meter measured the power; else it is an estimate."""
    kilojoules: float | None = None
    """The work; kJ; rides only."""
    has_heartrate: bool | None = None
    """Whether the heart rate was measured."""
    average_heartrate: float | None = None
    """The average heart rate; bpm."""
    max_heartrate: float | None = None
    """The highest heart rate; bpm."""
    heartrate_opt_out: bool | None = None
    """Whether the athlete hides the heart rate of this activity."""
    display_hide_heartrate_option: bool | None = None
    """Whether Strava offers to hide it."""
    suffer_score: float | None = None
    """Strava's number for how hard it was, from the heart rate (Relative Effort)."""
    elev_high: float | None = None
    """The highest point; m above sea level."""
    elev_low: float | None = None
    """The lowest point; m above sea level."""
    upload_id: int | None = None
    """The id of its upload; None if it was entered by hand."""
    upload_id_str: str | None = None
    """The same as text."""
    external_id: str | None = None
    """The name of the uploaded file."""
    from_accepted_tag: bool | None = None
    """Whether it is a copy of somebody else's recording that the athlete accepted."""
    has_kudoed: bool | None = None
    """Whether the caller gave kudos."""

    @property
    def timezone_name(self) -> str | None:
        """The name in ``timezone``, such as ``America/New_York``; None if there is none."""
        return self.timezone.rpartition(" ")[2] or None if isinstance(self.timezone, str) else None
