"""Routes: plans, not recordings."""

from __future__ import annotations

from strava_async.models._fields import Instant, Place
from strava_async.models._model import StravaModel
from strava_async.models._partial import PartialModel
from strava_async.models.athlete import SummaryAthlete
from strava_async.models.map import PolylineMap
from strava_async.models.segment import SummarySegment


class Waypoint(StravaModel):
    """A waypoint."""

    latlng: Place = None
    """The nearest place on the route; degrees."""
    target_latlng: Place = None
    """The place itself, if it is off the route; degrees."""
    categories: list[str] | None = None
    """The kind of place."""
    title: str | None = None
    """Its name."""
    description: str | None = None
    """The athlete's description of it."""
    distance_into_route: float | None = None
    """Its distance from the start of the route; m."""


class Route(PartialModel):
    """A route."""

    id: int | None = None
    """The route's id; larger than what a float holds exactly."""
    id_str: str | None = None
    """The id as text."""
    athlete: SummaryAthlete | None = None
    """The athlete who planned it."""
    name: str | None = None
    """Its name."""
    description: str | None = None
    """The athlete's description of it."""
    distance: float | None = None
    """How long it is; m."""
    elevation_gain: float | None = None
    """The elevation gain; m."""
    map: PolylineMap | None = None
    """Its line on the map."""
    map_urls: dict[str, str] | None = None
    """URLs of pictures of the map, such as ``url``, ``retina_url``, ``light_url`` and ``dark_url``."""
    private: bool | None = None
    """Whether only the athlete may see it."""
    starred: bool | None = None
    """Whether the caller starred it."""
    type: int | None = None
    """1 for a ride, 2 for a run."""
    sub_type: int | None = None
    """1 for road, 2 mountain bike, 3 cyclo-cross, 4 trail, 5 mixed."""
    created_at: Instant | None = None
    """When it was made."""
    updated_at: Instant | None = None
    """When it last changed."""
    timestamp: int | None = None
    """When it was made; Unix seconds."""
    estimated_moving_time: int | None = None
    """How long the caller would take, as Strava estimates; s."""
    waypoints: list[Waypoint] | None = None
    """Waypoints, in the order of the route."""
    segments: list[SummarySegment] | None = None
    """The segments along it; only where a single route was requested."""
