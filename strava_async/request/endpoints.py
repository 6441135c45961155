"""What Strava documents about its endpoints: scope, rate class and paging of each, and where this library has it.

Rules:

- Where several scopes are named, one of them is enough: the wider ones include what the narrower ones open.
- Only what Strava states as a requirement is a scope here. Endpoints that show more with a wider scope, or need one for
  private items alone, need none; their ``note`` says so.
- Everything but uploads spends the read budget and the overall one; uploads spend the overall one alone.

Source:
    https://developers.strava.com/docs/reference/ and https://developers.strava.com/docs/rate-limits/; the endpoints
    that are not in the reference were seen to answer in October 2025.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from strava_async.oauth.scopes import Scope
from strava_async.quota.values import QuotaClass

Paging = Literal["", "page", "cursor"]


class Endpoint(NamedTuple):
    """One endpoint.

    Attributes:
        method: the HTTP method.
        path: below the API.
        operation: Strava's name for it; empty where the reference does not have it.
        method_of_ours: where it is in this library, from ``client`` or ``strava`` on.
        scope: of these the call needs one; none if empty.
        quota_class: what it spends.
        paging: how its list goes on: by numbered pages, by a cursor, or not at all.
        note: what else decides about the answer.
    """

    method: str
    path: str
    operation: str
    method_of_ours: str
    scope: tuple[Scope, ...] = ()
    quota_class: QuotaClass = QuotaClass.READ
    paging: Paging = ""
    note: str = ""


_READ = (Scope.ACTIVITY_READ, Scope.ACTIVITY_READ_ALL)
_WRITE = (Scope.ACTIVITY_WRITE,)
_UPLOAD = QuotaClass.UPLOAD
_ONLY_YOU = "`activity:read_all` for activities that only the athlete may see"
_PRIVATE = "`read_all` for private ones"
_SUBSCRIPTION = "the athlete needs a subscription"
_UNDOCUMENTED = "not in Strava's reference"
_APPLICATION = "with the application's credentials, for no athlete"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        *("GET", "/athlete", "getLoggedInAthlete", "client.athlete.get"),
        note="`profile:read_all` for the detailed profile",
    ),
    Endpoint("PUT", "/athlete", "updateLoggedInAthlete", "client.athlete.update", (Scope.PROFILE_WRITE,)),
    Endpoint("GET", "/athlete/zones", "getLoggedInAthleteZones", "client.athlete.zones", (Scope.PROFILE_READ_ALL,)),
    Endpoint("GET", "/athletes/{id}/stats", "getStats", "client.athlete.stats", note="the token's own athlete only"),
    Endpoint(
        *("GET", "/athlete/activities", "getLoggedInAthleteActivities", "client.activities.list", _READ),
        paging="page",
        note=_ONLY_YOU,
    ),
    Endpoint("POST", "/activities", "createActivity", "client.activities.create", _WRITE, _UPLOAD),
    Endpoint("GET", "/activities/{id}", "getActivityById", "client.activities.get", _READ, note=_ONLY_YOU),
    Endpoint(
        *("PUT", "/activities/{id}", "updateActivityById", "client.activities.update", _WRITE),
        note=_ONLY_YOU,
    ),
    Endpoint("GET", "/activities/{id}/laps", "getLapsByActivityId", "client.activities.laps", _READ, note=_ONLY_YOU),
    Endpoint(
        *("GET", "/activities/{id}/zones", "getZonesByActivityId", "client.activities.zones", _READ),
        note=_SUBSCRIPTION,
    ),
    Endpoint(
        *("GET", "/activities/{id}/comments", "getCommentsByActivityId", "client.activities.comments", _READ),
        paging="cursor",
        note=_ONLY_YOU,
    ),
    Endpoint(
        *("GET", "/activities/{id}/kudos", "getKudoersByActivityId", "client.activities.kudos", _READ),
        paging="page",
        note=_ONLY_YOU,
    ),
    Endpoint(
        "GET",
        "/activities/{id}/photos",
        "",
        "client.activities.photos",
        note=f"{_UNDOCUMENTED}; presumably `activity:read`",
    ),
    Endpoint(
        *("GET", "/activities/{id}/streams", "getActivityStreams", "client.streams.activity", _READ),
        note=_ONLY_YOU,
    ),
    Endpoint(
        *("GET", "/segment_efforts/{id}/streams", "getSegmentEffortStreams", "client.streams.segment_effort"),
        scope=(Scope.READ_ALL,),
    ),
    Endpoint("GET", "/segments/{id}/streams", "getSegmentStreams", "client.streams.segment", note=_PRIVATE),
    Endpoint("GET", "/routes/{id}/streams", "getRouteStreams", "client.streams.route", note=_PRIVATE),
    Endpoint("GET", "/segments/{id}", "getSegmentById", "client.segments.get", note=_PRIVATE),
    Endpoint(
        *("GET", "/segments/starred", "getLoggedInAthleteStarredSegments", "client.segments.starred"),
        paging="page",
        note=_PRIVATE,
    ),
    Endpoint("PUT", "/segments/{id}/starred", "starSegment", "client.segments.star", (Scope.PROFILE_WRITE,)),
    Endpoint(
        *("GET", "/segments/explore", "exploreSegments", "client.segments.explore"),
        note="applications with Extended Access only, since 2026-09-01",
    ),
    Endpoint(
        *("GET", "/segments/{id}/all_efforts", "", "client.segments.all_efforts"),
        paging="page",
        note=_UNDOCUMENTED,
    ),
    Endpoint(
        *("GET", "/segment_efforts", "getEffortsBySegmentId", "client.segment_efforts.list"),
        note=f"{_SUBSCRIPTION}; up to 200, and no second page",
    ),
    Endpoint(
        *("GET", "/segment_efforts/{id}", "getSegmentEffortById", "client.segment_efforts.get"),
        note=_SUBSCRIPTION,
    ),
    Endpoint("GET", "/athlete/clubs", "getLoggedInAthleteClubs", "client.clubs.list", paging="page"),
    Endpoint("GET", "/clubs/{id}", "getClubById", "client.clubs.get"),
    Endpoint("GET", "/clubs/{id}/group_events", "", "client.clubs.group_events", note=_UNDOCUMENTED),
    Endpoint("GET", "/gear/{id}", "getGearById", "client.gear.get"),
    Endpoint("GET", "/routes/{id}", "getRouteById", "client.routes.get", note=_PRIVATE),
    Endpoint(
        *("GET", "/athletes/{id}/routes", "getRoutesByAthleteId", "client.routes.list"),
        paging="page",
        note=_PRIVATE,
    ),
    Endpoint("GET", "/routes/{id}/export_gpx", "getRouteAsGPX", "client.routes.export_gpx", note=_PRIVATE),
    Endpoint("GET", "/routes/{id}/export_tcx", "getRouteAsTCX", "client.routes.export_tcx", note=_PRIVATE),
    Endpoint("POST", "/uploads", "createUpload", "client.uploads.create", _WRITE, _UPLOAD),
    Endpoint("GET", "/uploads/{id}", "getUploadById", "client.uploads.get", _WRITE),
    Endpoint("POST", "/push_subscriptions", "", "strava.webhooks.subscribe", note=_APPLICATION),
    Endpoint("GET", "/push_subscriptions", "", "strava.webhooks.view", note=_APPLICATION),
    Endpoint("DELETE", "/push_subscriptions/{id}", "", "strava.webhooks.unsubscribe", note=_APPLICATION),
)

_BY_ADDRESS = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}


def endpoint_of(method: str, path: str) -> Endpoint | None:
    """Return what is known about the endpoint that a call goes to; None if it is none of ours.

    Args:
        method: the HTTP method.
        path: below the API, such as ``/activities/123/laps``.
    """
    known = _BY_ADDRESS.get((method, path))
    if known is not None:
        return known
    segments = path.split("/")
    if len(segments) < 3 or not (segments[2].isdecimal() or segments[1] == "gear"):
        return None
    segments[2] = "{id}"
    return _BY_ADDRESS.get((method, "/".join(segments)))


def scope_of(method: str, path: str) -> tuple[Scope, ...]:
    """Return the scopes of which a call needs one; empty if none is documented. Arguments as for ``endpoint_of``."""
    endpoint = endpoint_of(method, path)
    return () if endpoint is None else endpoint.scope


def quota_class_of(method: str, path: str) -> QuotaClass:
    """Return what a call spends. What Strava leaves out of the read limits is a short list; all else is a read.

    Arguments as for ``endpoint_of``.
    """
    if method == "POST" and path.endswith("/upload_media"):  # partners only
        return QuotaClass.UPLOAD
    endpoint = endpoint_of(method, path)
    return QuotaClass.READ if endpoint is None else endpoint.quota_class
