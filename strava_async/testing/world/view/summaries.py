"""The SummaryActivity: its keys, their order, which of them are left out, and which types they really have."""

from __future__ import annotations

from dataclasses import dataclass

from strava_async.testing.world.plan.sports import Sport
from strava_async.testing.world.plan.timezones import Zone, iso
from strava_async.testing.world.record.samples import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Watts of a ride: the average, and what only a power meter knows (None: the watts are estimated)."""

    average: float
    highest: int | None = None
    weighted: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a summary says. None means that the key is missing, except where ``summarize`` says otherwise.

    Attributes:
        start_at: Unix seconds.
        metres, moving_seconds, elapsed_seconds, ascent, top_speed: as the names say; metres, seconds, m/s.
        start, end: latitude and longitude; None without GPS.
        heartrate: average and maximum.
        elevation: highest and lowest.
        visibility: ``everyone``, ``followers_only`` or ``only_me``.
    """

    athlete_id: int
    activity_id: int
    name: str
    sport: Sport
    start_at: float
    zone: Zone
    metres: float
    moving_seconds: int
    elapsed_seconds: int
    ascent: float = 0
    top_speed: float = 0
    workout_type: int | None = None
    polyline: str = ""
    start: tuple[float, float] | None = None
    end: tuple[float, float] | None = None
    trainer: bool = False
    commute: bool = False
    manual: bool = False
    visibility: str = "everyone"
    gear_id: str | None = None
    cadence: float | None = None
    temp: int | None = None
    power: Power | None = None
    heartrate: tuple[float, float] | None = None
    elevation: tuple[float, float] | None = None
    upload_id: int | None = None
    external_id: str | None = None
    suffer_score: float | None = None
    achievements: int = 0
    prs: int = 0
    kudos: int = 0
    comments: int = 0
    athletes: int = 1
    photos: int = 0
    accepted_tag: bool = False


def summarize(facts: Facts) -> Json:
    """Return the SummaryActivity.

    Without GPS the coordinates are ``[]`` and the polyline is ``""``. ``max_speed`` and ``total_elevation_gain`` are a
    whole ``0`` where nothing was measured. A manual activity has ``upload_id: null`` and no ``upload_id_str``.
    """
    sport = facts.sport
    summary: Json = {
        "resource_state": 2,
        "athlete": {"id": facts.athlete_id, "resource_state": 1},
        "name": facts.name,
        "distance": facts.metres,
        "moving_time": facts.moving_seconds,
        "elapsed_time": facts.elapsed_seconds,
        "total_elevation_gain": facts.ascent,
        "type": sport.type,
        "sport_type": sport.sport_type,
    }
    if sport.workout_type is not None:
        summary["workout_type"] = facts.workout_type
    summary |= _place_and_time(facts)
    summary |= _sensors(facts)
    summary["upload_id"] = facts.upload_id
    if facts.upload_id is not None:
        summary["upload_id_str"] = str(facts.upload_id)
    summary |= {
        "external_id": facts.external_id,
        "from_accepted_tag": facts.accepted_tag,
        "pr_count": facts.prs,
        "total_photo_count": facts.photos,
        "has_kudoed": False,
    }
    if facts.suffer_score is not None:
        summary["suffer_score"] = facts.suffer_score
    return summary


def _place_and_time(facts: Facts) -> Json:
    offset = facts.zone.offset_at(facts.start_at)
    return {
        "id": facts.activity_id,
        "start_date": iso(facts.start_at),
        "start_date_local": iso(facts.start_at + offset),
        "timezone": facts.zone.label,
        "utc_offset": float(offset),
        "location_city": None,
        "location_state": None,
        "location_country": None,
        "achievement_count": facts.achievements,
        "kudos_count": facts.kudos,
        "comment_count": facts.comments,
        "athlete_count": facts.athletes,
        "photo_count": 0,
        "map": {"id": f"a{facts.activity_id}", "summary_polyline": facts.polyline, "resource_state": 2},
        "trainer": facts.trainer,
        "commute": facts.commute,
        "manual": facts.manual,
        "private": facts.visibility == "only_me",
        "visibility": facts.visibility,
        "flagged": False,
        "gear_id": facts.gear_id,
        "start_latlng": list(facts.start or ()),
        "end_latlng": list(facts.end or ()),
        "average_speed": round(facts.metres / facts.moving_seconds, 3) if facts.moving_seconds else 0.0,
        "max_speed": facts.top_speed,
    }


def _sensors(facts: Facts) -> Json:
    part: Json = {}
    if facts.cadence is not None:
        part["average_cadence"] = facts.cadence
    if facts.temp is not None:
        part["average_temp"] = facts.temp
    if facts.power is not None:
        part |= _watts(facts.power, facts.moving_seconds)
    part["has_heartrate"] = facts.heartrate is not None
    if facts.heartrate is not None:
        part["average_heartrate"], part["max_heartrate"] = facts.heartrate
    part["heartrate_opt_out"] = False
    part["display_hide_heartrate_option"] = facts.heartrate is not None
    if facts.elevation is not None:
        part["elev_high"], part["elev_low"] = facts.elevation
    return part


def _watts(power: Power, moving_seconds: int) -> Json:
    kilojoules = round(power.average * moving_seconds / 1000, 1)
    if power.highest is None:
        return {"average_watts": power.average, "device_watts": False, "kilojoules": kilojoules}
    return {
        "average_watts": power.average,
        "max_watts": power.highest,
        "weighted_average_watts": power.weighted,
        "device_watts": True,
        "kilojoules": kilojoules,
    }
