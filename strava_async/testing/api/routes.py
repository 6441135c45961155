"""Saved routes: the athlete's own in a list, anybody's that is not private by id, as files and as streams.

Source:
    https://developers.strava.com/docs/reference/ (Routes, Streams).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from strava_async.testing.api.segments import may_see
from strava_async.testing.http.parameters import page_of
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import EncodedBody, HttpError, Response, json_response, not_found
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.population import WorldOf
from strava_async.testing.world import Json
from strava_async.testing.world.routes import exports, saved_views
from strava_async.testing.world.routes.saved import SavedRoute, owner_of

_ID = re.compile(r"[0-9]{1,19}", re.ASCII)  # a digit more than other ids have
_IN_QUOTES, _IN_EXTENDED_VALUE = " !#$+.^_`|~-", "!#$&+.^_`|~-"  # not escaped; RFC 8187 for the latter


class RoutesApi:
    """The endpoints below ``/routes``, and ``/athletes/{id}/routes``.

    Args:
        world_of: returns an athlete's data; ``KeyError`` for an unknown id.
        quirks: see there.
    """

    def __init__(self, world_of: WorldOf, quirks: Quirks) -> None:
        self._world_of = world_of
        self._quirks = quirks

    async def index(self, request: EmulatorRequest) -> Response:
        """GET /athletes/{id}/routes: one's own, newest first, paged; private ones with ``read_all``."""
        request.require("read", "read_all")
        if request.number_in_path(not_found("Athlete")) != request.athlete_id:
            raise HttpError(403, "Forbidden")
        page, per_page = page_of(request, clamp=self._quirks.clamp_per_page)
        count = max(1, per_page - request.short_by)
        world, private = self._world_of(request.athlete_id), request.may("read_all")
        routes = [route for route in world.routes.values() if private or not route.private]
        chosen = routes[(page - 1) * count : page * count]
        return json_response([saved_views.summary(route, world.summary_profile) for route in chosen])

    async def detail(self, request: EmulatorRequest) -> Response:
        """GET /routes/{id}: with the segments that the caller can request, so none of another athlete's world."""
        route, owner = self._seen(request)
        known = self._world_of(request.athlete_id).segments.all().values()
        along = [segment.summary for segment in known if segment.route is route.way and may_see(request, segment)]
        return json_response(saved_views.detail(route, owner, along))

    async def streams(self, request: EmulatorRequest) -> Response:
        """GET /routes/{id}/streams: an array, whatever the query says."""
        route, _ = self._seen(request)
        return json_response(saved_views.streams(route))

    async def export_gpx(self, request: EmulatorRequest) -> Response:
        """GET /routes/{id}/export_gpx."""
        route, owner = self._seen(request)
        return _file(f"strava_{route.name}.gpx", "application/gpx+xml", exports.gpx(route, owner))

    async def export_tcx(self, request: EmulatorRequest) -> Response:
        """GET /routes/{id}/export_tcx."""
        route, _ = self._seen(request)
        return _file(f"strava_{route.name}.tcx", "application/tcx+xml", exports.tcx(route))

    def _seen(self, request: EmulatorRequest) -> tuple[SavedRoute, Json]:
        """Return the route in the path and its owner, if the caller may see it."""
        request.require("read", "read_all")
        missing = not_found("Route")
        value = request.path_values[0]
        if not _ID.fullmatch(value):
            raise missing
        owner_id = owner_of(int(value))
        try:
            world = self._world_of(owner_id)
            route = world.routes[int(value)]
        except KeyError:
            raise missing from None
        if route.private and not (owner_id == request.athlete_id and request.may("read_all")):
            raise missing
        profile = world.summary_profile
        return route, profile if owner_id == request.athlete_id else saved_views.seen_by_others(profile)


def _file(name: str, content_type: str, content: bytes) -> Response:
    plain = quote(name.encode("ascii", "replace"), safe=_IN_QUOTES)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_IN_EXTENDED_VALUE)}"
    headers = {"Content-Disposition": disposition, "Content-Transfer-Encoding": "binary"}
    return Response(200, EncodedBody(content), content_type, headers)
