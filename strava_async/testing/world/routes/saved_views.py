"""What the API shows of a saved route: in a list, alone, and as streams."""

from __future__ import annotations

from typing import Any

from strava_async.testing.world.plan.people import PICTURES
from strava_async.testing.world.plan.timezones import iso
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.polyline import encode, thin
from strava_async.testing.world.routes.saved import SavedRoute

_SUMMARY_POINTS = 110
_LOOKS = (("url", "light"), ("retina_url", "light@2x"), ("light_url", "light@2x"), ("dark_url", "dark@2x"))


def seen_by_others(athlete: Json) -> Json:
    """Return a SummaryAthlete as others see it: without the weight."""
    seen = {key: value for key, value in athlete.items() if key != "weight"}
    return seen | {"blocked": False, "can_follow": True}


def summary(route: SavedRoute, owner: Json) -> Json:
    """Return the Route as lists show it: without segments, and with the short polyline alone.

    Args:
        route: which.
        owner: the SummaryAthlete.
    """
    number = route.route_id
    return {
        "athlete": owner,
        "description": route.description,
        "distance": route.way.along[-1],
        "elevation_gain": route.way.up[-1],
        "id": number,
        "id_str": str(number),
        "map": {
            "id": f"r{number}",
            "summary_polyline": encode(thin(route.points, _SUMMARY_POINTS)),
            "resource_state": 2,
        },
        "map_urls": {name: f"{PICTURES}/routes/{number}/{look}.png" for name, look in _LOOKS},
        "name": route.name,
        "private": route.private,
        "resource_state": 2,
        "starred": route.starred,
        "sub_type": route.sub_type,
        "created_at": iso(route.created_at),
        "updated_at": iso(route.updated_at),
        "timestamp": route.created_at,
        "type": route.type,
        "estimated_moving_time": route.moving_seconds,
        "waypoints": route.waypoints,
    }


def detail(route: SavedRoute, owner: Json, segments: list[Json]) -> Json:
    """Return the Route as it is shown alone: with all its points, and the SummarySegments along it."""
    shown = summary(route, owner)
    return shown | {
        "map": shown["map"] | {"resource_state": 3, "polyline": encode(route.points)},
        "resource_state": 3,
        "segments": segments,
    }


def streams(route: SavedRoute) -> list[Json]:
    """Return the streams: a list, where those of activities are keyed by type."""
    data: dict[str, list[Any]] = {
        "latlng": [[lat, lng] for lat, lng in route.points],
        "distance": [round(metres, 1) for metres in route.way.along],
        "altitude": [round(metres, 2) for metres in route.way.altitude],
    }
    return [
        {"type": name, "data": values, "series_type": "distance", "original_size": len(values), "resolution": "high"}
        for name, values in data.items()
    ]
