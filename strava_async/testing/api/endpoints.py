"""Which path the emulator answers with which handler. ``{}`` in a path stands for one segment."""

from __future__ import annotations

from strava_async.testing.api.activities import ActivitiesApi
from strava_async.testing.api.athlete import AthleteApi
from strava_async.testing.api.clubs import ClubsApi
from strava_async.testing.api.efforts import EffortsApi
from strava_async.testing.api.routes import RoutesApi
from strava_async.testing.api.segments import SegmentsApi
from strava_async.testing.api.tokens import TokensApi
from strava_async.testing.api.uploads import UploadsApi
from strava_async.testing.http.app import Routes
from strava_async.testing.pages.consent import Consent
from strava_async.testing.pages.home import HomePage
from strava_async.testing.webhooks.subscriptions import SubscriptionsApi


def add_pages(routes: Routes, prefix: str, consent: Consent, tokens: TokensApi) -> None:
    """OAuth: the pages for the athlete, the endpoints for the application."""
    # The guide names the paths without the prefix, and the token's with it too; the swagger has the page's with it.
    # Clients that know one base URL ask for all of them there.
    bases = tuple(dict.fromkeys(("/oauth", f"{prefix}/oauth")))
    for path in ("/oauth/mobile/authorize", *(f"{base}/authorize" for base in bases)):
        routes.add("GET", path, consent.show)
        routes.add("POST", path, consent.decide)
    for base in bases:
        routes.add("POST", f"{base}/token", tokens.token)
        routes.add("POST", f"{base}/revoke", tokens.revoke)
        routes.add("POST", f"{base}/deauthorize", tokens.deauthorize)


def add_subscriptions(routes: Routes, prefix: str, subscriptions: SubscriptionsApi) -> None:
    """The webhook subscription of an application."""
    # Among the pages, which the access does not guard: there is no bearer, and no quota is spent.
    routes.add("POST", f"{prefix}/push_subscriptions", subscriptions.create)
    routes.add("GET", f"{prefix}/push_subscriptions", subscriptions.index)
    routes.add("DELETE", f"{prefix}/push_subscriptions/{{}}", subscriptions.delete)


def add_home(routes: Routes, polled: Routes, page: HomePage) -> None:
    """The front page, for people, what it looks at by itself, and the way to the consent page."""
    polled.add("GET", "/emulator/live", page.live)
    polled.add("GET", "/emulator/site.js", page.script)
    polled.add("GET", "/emulator/connect", page.connect)
    routes.add("GET", "/", page.show)
    routes.add("POST", "/emulator/record", page.record)
    routes.add("POST", "/emulator/disconnect", page.disconnect)


def add_api(routes: Routes, athlete: AthleteApi, activities: ActivitiesApi, uploads: UploadsApi) -> None:
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


def add_routes(routes: Routes, planned: RoutesApi) -> None:
    """Planned routes."""
    for path, handler in (
        ("/athletes/{}/routes", planned.index),
        ("/routes/{}", planned.detail),
        ("/routes/{}/streams", planned.streams),
        ("/routes/{}/export_gpx", planned.export_gpx),
        ("/routes/{}/export_tcx", planned.export_tcx),
    ):
        routes.add("GET", path, handler)


def add_clubs(routes: Routes, clubs: ClubsApi) -> None:
    """Clubs."""
    for path, handler in (
        ("/athlete/clubs", clubs.index),
        ("/clubs/{}", clubs.detail),
        ("/clubs/{}/group_events", clubs.group_events),
        ("/clubs/{}/members", clubs.people),
        ("/clubs/{}/admins", clubs.people),
    ):
        routes.add("GET", path, handler)


def add_segments(routes: Routes, segments: SegmentsApi, efforts: EffortsApi) -> None:
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
