"""What Strava documents about its endpoints: scope, rate class and paging of each, and where this library has it.

Every call carries the ``Endpoint`` that it goes to. What depends on it (the scopes, the quota, the names in hooks and
telemetry, the paths of the typed client) is read from there and written nowhere else.

Rules:

- Where several scopes are named, one of them is enough: the wider ones include what the narrower ones open.
- Only what Strava states as a requirement is a scope here. Endpoints that show more with a wider scope, or need one for
  private items alone, need none; their ``note`` says so.
- Everything but uploads spends the read budget and the overall one; uploads spend the overall one alone.

Source:
    https://developers.strava.com/docs/reference/ and https://developers.strava.com/docs/rate-limits/; the endpoints
    that are not in the reference were observed to respond in October 2025.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, NamedTuple

from strava_async.oauth.scopes import Scope
from strava_async.quota.values import QuotaClass

Method = Literal["GET", "POST", "PUT", "DELETE"]
Paging = Literal["", "page", "cursor"]


class Endpoint(NamedTuple):
    """One endpoint.

    Attributes:
        method: the HTTP method.
        path: below the API, with ``{id}`` for each id.
        operation: Strava's name for it; empty where the reference does not have it.
        client_method: where it is in this library, from ``client`` or ``strava`` on; empty for an address that is not
            in ``ENDPOINTS``.
        scope: a call needs one of these; none if empty.
        quota_class: what a call spends; None for the OAuth endpoints, which spend nothing.
        paging: how its list continues: by numbered pages, by a cursor, or not at all.
        note: what else the response depends on.
    """

    method: Method
    path: str
    operation: str = ""
    client_method: str = ""
    scope: tuple[Scope, ...] = ()
    quota_class: QuotaClass | None = QuotaClass.READ
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


class Endpoints:
    """Strava's endpoints, each written once, in the order of ``docs/endpoints.md``.

    A name is that of the method of this library: ``ACTIVITIES_LAPS`` for ``client.activities.laps``.
    """

    ATHLETE_GET = Endpoint(
        "GET",
        "/athlete",
        "getLoggedInAthlete",
        "client.athlete.get",
        note="`profile:read_all` for the detailed profile",
    )
    ATHLETE_UPDATE = Endpoint(
        "PUT", "/athlete", "updateLoggedInAthlete", "client.athlete.update", (Scope.PROFILE_WRITE,)
    )
    ATHLETE_ZONES = Endpoint(
        "GET", "/athlete/zones", "getLoggedInAthleteZones", "client.athlete.zones", (Scope.PROFILE_READ_ALL,)
    )
    ATHLETE_STATS = Endpoint(
        "GET", "/athletes/{id}/stats", "getStats", "client.athlete.stats", note="the token's own athlete only"
    )
    ACTIVITIES_LIST = Endpoint(
        "GET",
        "/athlete/activities",
        "getLoggedInAthleteActivities",
        "client.activities.list",
        _READ,
        paging="page",
        note=_ONLY_YOU,
    )
    ACTIVITIES_CREATE = Endpoint("POST", "/activities", "createActivity", "client.activities.create", _WRITE, _UPLOAD)
    ACTIVITIES_GET = Endpoint(
        "GET", "/activities/{id}", "getActivityById", "client.activities.get", _READ, note=_ONLY_YOU
    )
    ACTIVITIES_UPDATE = Endpoint(
        "PUT", "/activities/{id}", "updateActivityById", "client.activities.update", _WRITE, note=_ONLY_YOU
    )
    ACTIVITIES_LAPS = Endpoint(
        "GET", "/activities/{id}/laps", "getLapsByActivityId", "client.activities.laps", _READ, note=_ONLY_YOU
    )
    ACTIVITIES_ZONES = Endpoint(
        "GET", "/activities/{id}/zones", "getZonesByActivityId", "client.activities.zones", _READ, note=_SUBSCRIPTION
    )
    ACTIVITIES_COMMENTS = Endpoint(
        "GET",
        "/activities/{id}/comments",
        "getCommentsByActivityId",
        "client.activities.comments",
        _READ,
        paging="cursor",
        note=_ONLY_YOU,
    )
    ACTIVITIES_KUDOS = Endpoint(
        "GET",
        "/activities/{id}/kudos",
        "getKudoersByActivityId",
        "client.activities.kudos",
        _READ,
        paging="page",
        note=_ONLY_YOU,
    )
    ACTIVITIES_PHOTOS = Endpoint(
        "GET",
        "/activities/{id}/photos",
        "",
        "client.activities.photos",
        note=f"{_UNDOCUMENTED}; presumably `activity:read`",
    )
    STREAMS_ACTIVITY = Endpoint(
        "GET", "/activities/{id}/streams", "getActivityStreams", "client.streams.activity", _READ, note=_ONLY_YOU
    )
    STREAMS_SEGMENT_EFFORT = Endpoint(
        "GET",
        "/segment_efforts/{id}/streams",
        "getSegmentEffortStreams",
        "client.streams.segment_effort",
        scope=(Scope.READ_ALL,),
    )
    STREAMS_SEGMENT = Endpoint(
        "GET", "/segments/{id}/streams", "getSegmentStreams", "client.streams.segment", note=_PRIVATE
    )
    STREAMS_ROUTE = Endpoint("GET", "/routes/{id}/streams", "getRouteStreams", "client.streams.route", note=_PRIVATE)
    SEGMENTS_GET = Endpoint("GET", "/segments/{id}", "getSegmentById", "client.segments.get", note=_PRIVATE)
    SEGMENTS_STARRED = Endpoint(
        "GET",
        "/segments/starred",
        "getLoggedInAthleteStarredSegments",
        "client.segments.starred",
        paging="page",
        note=_PRIVATE,
    )
    SEGMENTS_STAR = Endpoint(
        "PUT", "/segments/{id}/starred", "starSegment", "client.segments.star", (Scope.PROFILE_WRITE,)
    )
    SEGMENTS_EXPLORE = Endpoint(
        "GET",
        "/segments/explore",
        "exploreSegments",
        "client.segments.explore",
        note="applications with Extended Access only, since 2026-09-01",
    )
    SEGMENTS_ALL_EFFORTS = Endpoint(
        "GET", "/segments/{id}/all_efforts", "", "client.segments.all_efforts", paging="page", note=_UNDOCUMENTED
    )
    SEGMENT_EFFORTS_LIST = Endpoint(
        "GET",
        "/segment_efforts",
        "getEffortsBySegmentId",
        "client.segment_efforts.list",
        note=f"{_SUBSCRIPTION}; up to 200, and no second page",
    )
    SEGMENT_EFFORTS_GET = Endpoint(
        "GET", "/segment_efforts/{id}", "getSegmentEffortById", "client.segment_efforts.get", note=_SUBSCRIPTION
    )
    CLUBS_LIST = Endpoint("GET", "/athlete/clubs", "getLoggedInAthleteClubs", "client.clubs.list", paging="page")
    CLUBS_GET = Endpoint("GET", "/clubs/{id}", "getClubById", "client.clubs.get")
    CLUBS_GROUP_EVENTS = Endpoint(
        "GET", "/clubs/{id}/group_events", "", "client.clubs.group_events", note=_UNDOCUMENTED
    )
    GEAR_GET = Endpoint("GET", "/gear/{id}", "getGearById", "client.gear.get")
    ROUTES_GET = Endpoint("GET", "/routes/{id}", "getRouteById", "client.routes.get", note=_PRIVATE)
    ROUTES_LIST = Endpoint(
        "GET", "/athletes/{id}/routes", "getRoutesByAthleteId", "client.routes.list", paging="page", note=_PRIVATE
    )
    ROUTES_EXPORT_GPX = Endpoint(
        "GET", "/routes/{id}/export_gpx", "getRouteAsGPX", "client.routes.export_gpx", note=_PRIVATE
    )
    ROUTES_EXPORT_TCX = Endpoint(
        "GET", "/routes/{id}/export_tcx", "getRouteAsTCX", "client.routes.export_tcx", note=_PRIVATE
    )
    UPLOADS_CREATE = Endpoint("POST", "/uploads", "createUpload", "client.uploads.create", _WRITE, _UPLOAD)
    UPLOADS_GET = Endpoint("GET", "/uploads/{id}", "getUploadById", "client.uploads.get", _WRITE)
    WEBHOOKS_SUBSCRIBE = Endpoint("POST", "/push_subscriptions", "", "strava.webhooks.subscribe", note=_APPLICATION)
    WEBHOOKS_VIEW = Endpoint("GET", "/push_subscriptions", "", "strava.webhooks.view", note=_APPLICATION)
    WEBHOOKS_UNSUBSCRIBE = Endpoint(
        "DELETE", "/push_subscriptions/{id}", "", "strava.webhooks.unsubscribe", note=_APPLICATION
    )


ENDPOINTS: tuple[Endpoint, ...] = tuple(value for value in vars(Endpoints).values() if isinstance(value, Endpoint))

_BY_ADDRESS = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
# Below these an id is a word: that of a bike begins with "b", and a club may have a name.
_WORDS_FOR_IDS = frozenset({"gear", "clubs"})


def endpoint_of(method: Method, path: str) -> Endpoint | None:
    """Return the endpoint of ``ENDPOINTS`` that a call goes to; None if it is none of them.

    Args:
        method: the HTTP method.
        path: below the API; a template such as ``/activities/{activity_id}/laps``, or filled in.
    """
    listed = _BY_ADDRESS.get((method, path))
    if listed is not None:
        return listed
    segments = ["{id}" if _is_id(parent, segment) else segment for parent, segment in pairwise(path.split("/"))]
    return _BY_ADDRESS.get((method, "/".join(["", *segments])))


def _is_id(parent: str, segment: str) -> bool:
    return segment.isdecimal() or _is_name(segment) or (parent in _WORDS_FOR_IDS and segment != "")


def _is_name(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")


def unlisted_endpoint(method: Method, path: str) -> Endpoint:
    """Return an endpoint for an address that is not in ``ENDPOINTS``.

    Its path has ``{id}`` for each segment that holds a digit or a name to be filled, so that many addresses make few
    endpoints. What Strava leaves out of the read limits is a short list; all else is a read.

    Args:
        method: the HTTP method.
        path: see ``endpoint_of``.
    """
    is_upload = method == "POST" and path.endswith("/upload_media")  # for partners only
    template = "/".join("{id}" if re.search("[0-9{]", segment) else segment for segment in path.split("/"))
    return Endpoint(method, template, quota_class=QuotaClass.UPLOAD if is_upload else QuotaClass.READ)


def oauth_endpoint(path: str) -> Endpoint:
    """Return the endpoint of a POST to the OAuth server: it spends no quota and needs no scope."""
    return unlisted_endpoint("POST", path)._replace(quota_class=None)
