"""A segment as its own page shows it, as a list of starred ones does, and as an explorer does."""

from __future__ import annotations

from collections.abc import Sequence

from strava_async.testing.world.plan.people import PICTURES, Person
from strava_async.testing.world.plan.timezones import DAY, iso
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.polyline import encode
from strava_async.testing.world.segments.effort_times import TimedEffort
from strava_async.testing.world.segments.index import Segment

CLIMBS = ("NC", "4", "3", "2", "1", "HC")
_LEGEND_DAYS = 90
_ON_FOOT, _ON_BIKE = 3.5, 8.0  # metres per second, for the records of a segment that the athlete doesn't know


def popularity(segment: Segment) -> int:
    """Return how many others have passed it."""
    return segment.rng("popularity").randint(12, 4_000)


def detailed(segment: Segment, efforts: Sequence[TimedEffort], someone: Person, *, now: float) -> Json:
    """Return the DetailedSegment but for what it says of the athlete.

    Args:
        segment: which.
        efforts: the athlete's own, the fastest first; the records of others are better.
        someone: the athlete, whose friends hold the title of the local legend.
        now: Unix seconds.
    """
    rng, summary, route = segment.rng("detail"), segment.summary, segment.route
    start, end = segment.span
    athletes = popularity(segment)
    others = athletes * rng.randint(2, 9)
    created = 1_250_000_000 + rng.randrange(150_000_000)
    picture = _picture(segment, "light")
    return summary | {
        "resource_state": 3,
        "elevation_profile": picture,
        "elevation_profiles": {"light_url": picture, "dark_url": _picture(segment, "dark")},
        "created_at": iso(created),
        "updated_at": iso(created + rng.randrange(100_000_000)),
        "total_elevation_gain": round(route.up[end] - route.up[start], 1),
        "map": {"id": f"s{summary['id']}", "polyline": _line(segment), "resource_state": 3},
        "effort_count": others + len(efforts),
        "athlete_count": athletes + bool(efforts),
        "star_count": athletes // 25 + summary["starred"],
        "xoms": _records(segment, efforts),
        "local_legend": _legend(segment, efforts, someone, now=now),
    }


def athlete_stats(efforts: Sequence[TimedEffort]) -> Json:
    """Return ``athlete_segment_stats``.

    Args:
        efforts: those that count, the fastest first.
    """
    if not efforts:
        return {"pr_elapsed_time": None, "pr_date": None, "effort_count": 0}
    best = efforts[0]
    visibility = best.activity["visibility"]
    return {
        "pr_elapsed_time": best.elapsed_time,
        "pr_date": best.start_date_local[:10],
        "pr_visibility": visibility,
        "pr_activity_id": best.activity["id"],
        "pr_activity_visibility": visibility,
        "effort_count": len(efforts),
    }


def starred_part(segment: Segment, efforts: Sequence[TimedEffort]) -> Json:
    """Return what a starred segment says more: the athlete's record, if there is one, and since when it is starred.

    Args:
        segment: one that is starred; another has nothing more to say.
        efforts: those that count, the fastest first.
    """
    if segment.starred_at is None:
        return {}
    part: Json = {}
    if efforts:
        best = efforts[0]
        part["pr_time"] = best.elapsed_time
        part["athlete_pr_effort"] = {
            "id": best.id,
            "activity_id": best.activity["id"],
            "elapsed_time": best.elapsed_time,
            "distance": best.distance,
            "start_date": best.start_date,
            "start_date_local": best.start_date_local,
            "is_kom": False,
        }
    return part | {"starred_date": iso(segment.starred_at)}


def explored(segment: Segment) -> Json:
    """Return the ExplorerSegment."""
    summary = segment.summary
    return {
        "id": summary["id"],
        "resource_state": 2,
        "name": summary["name"],
        "climb_category": summary["climb_category"],
        "climb_category_desc": CLIMBS[summary["climb_category"]],
        "avg_grade": summary["average_grade"],
        "start_latlng": list(summary["start_latlng"]),
        "end_latlng": list(summary["end_latlng"]),
        "elev_difference": round(summary["elevation_high"] - summary["elevation_low"], 1),
        "distance": summary["distance"],
        "points": _line(segment),
        "starred": summary["starred"],
        "elevation_profile": _picture(segment, "light"),
        "local_legend_enabled": True,
    }


def _picture(segment: Segment, colours: str) -> str:
    return f"{PICTURES}/segments/{segment.summary['id']}-{colours}.png"


def _line(segment: Segment) -> str:
    start, end = segment.span
    points = zip(segment.route.lat[start : end + 1], segment.route.lng[start : end + 1], strict=True)
    return encode(points)


def _records(segment: Segment, efforts: Sequence[TimedEffort]) -> Json:
    rng = segment.rng("records")
    speed = _ON_BIKE if "Ride" in segment.summary["activity_type"] else _ON_FOOT
    own = efforts[0].elapsed_time if efforts else segment.summary["distance"] / speed
    kom = max(1, int(own * rng.uniform(0.62, 0.78)))
    qom = int(kom * rng.uniform(1.05, 1.18))
    return {
        "kom": _minutes(kom),
        "qom": _minutes(qom),
        "overall": _minutes(kom),
        "destination": {
            "href": f"strava://segments/{segment.summary['id']}/leaderboard",
            "type": "overall",
            "name": "All-Time",
        },
    }


def _minutes(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _legend(segment: Segment, efforts: Sequence[TimedEffort], someone: Person, *, now: float) -> Json:
    """Return the local legend: another athlete, with more recent efforts."""
    rng = segment.rng("legend")
    own = sum(effort.start_at > now - _LEGEND_DAYS * DAY for effort in efforts)
    count = own + rng.randint(2, 20)
    athlete_id = rng.randint(1_000_000, 9_999_999)  # the emulator's athletes have longer ones
    return {
        "athlete_id": athlete_id,
        "title": " ".join(rng.choice(someone.circle)),
        "profile": f"{PICTURES}/athletes/{athlete_id}/large.jpg",
        "effort_description": f"{count} efforts in the last {_LEGEND_DAYS} days",
        "effort_count": str(count),
        "effort_counts": {"overall": f"{count} efforts", "female": f"{rng.randint(2, count)} efforts"},
        "destination": f"strava://segments/{segment.summary['id']}/local_legend?categories%5B%5D=overall",
    }
