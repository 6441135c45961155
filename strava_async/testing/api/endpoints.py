"""The endpoints of the API: which path leads to which handler. ``{}`` in a path stands for one segment."""

from __future__ import annotations

from strava_async.testing.api.activities import ActivitiesApi
from strava_async.testing.api.athlete import AthleteApi
from strava_async.testing.api.clubs import ClubsApi
from strava_async.testing.api.efforts import EffortsApi
from strava_async.testing.api.routes import RoutesApi
from strava_async.testing.api.segments import SegmentsApi
from strava_async.testing.api.uploads import UploadsApi
from strava_async.testing.http.routing import RouteTable


def add_api(routes: RouteTable, athlete: AthleteApi, activities: ActivitiesApi, uploads: UploadsApi) -> None:
    """The athlete, activities and uploads."""
    for method, path, handler in (
        ("GET", "/athlete", athlete.profile),
        ("PUT", "/athlete", athlete.update),
        ("GET", "/athlete/zones", athlete.zones),
        ("GET", "/athletes/{}/stats", athlete.stats),
        ("GET", "/gear/{}", athlete.gear),
        ("GET", "/athlete/activities", activities.index),
        ("POST", "/activities", activities.create),
        ("GET", "/activities/{}", activities.detail),
        ("PUT", "/activities/{}", activities.update),
        ("DELETE", "/activities/{}", activities.delete),
        ("GET", "/activities/{}/laps", activities.laps),
        ("GET", "/activities/{}/zones", activities.zones),
        ("GET", "/activities/{}/photos", activities.photos),
        ("GET", "/activities/{}/streams", activities.streams),
        ("GET", "/activities/{}/comments", activities.comments),
        ("GET", "/activities/{}/kudos", activities.kudos),
        ("POST", "/uploads", uploads.create),
        ("GET", "/uploads/{}", uploads.status),
    ):
        routes.add(method, path, handler)


def add_routes(routes: RouteTable, planned: RoutesApi) -> None:
    """Planned routes."""
    for path, handler in (
        ("/athletes/{}/routes", planned.index),
        ("/routes/{}", planned.detail),
        ("/routes/{}/streams", planned.streams),
        ("/routes/{}/export_gpx", planned.export_gpx),
        ("/routes/{}/export_tcx", planned.export_tcx),
    ):
        routes.add("GET", path, handler)


def add_clubs(routes: RouteTable, clubs: ClubsApi) -> None:
    """Clubs."""
    for path, handler in (
        ("/athlete/clubs", clubs.index),
        ("/clubs/{}", clubs.detail),
        ("/clubs/{}/group_events", clubs.group_events),
        ("/clubs/{}/members", clubs.people),
        ("/clubs/{}/admins", clubs.people),
    ):
        routes.add("GET", path, handler)


def add_segments(routes: RouteTable, segments: SegmentsApi, efforts: EffortsApi) -> None:
    """Segments and efforts."""
    for method, path, handler in (
        ("GET", "/segments/starred", segments.starred),
        ("GET", "/segments/explore", segments.explore),
        ("GET", "/segments/{}", segments.detail),
        ("PUT", "/segments/{}/starred", segments.star),
        ("GET", "/segments/{}/streams", segments.streams),
        ("GET", "/segments/{}/all_efforts", efforts.of_segment),
        ("GET", "/segment_efforts", efforts.index),
        ("GET", "/segment_efforts/{}", efforts.detail),
        ("GET", "/segment_efforts/{}/streams", efforts.streams),
    ):
        routes.add(method, path, handler)
