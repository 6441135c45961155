"""Clubs: the athlete's own in a list, any that is not private by id, and their events.

Source:
    https://developers.strava.com/docs/reference/ (Clubs).
"""

from __future__ import annotations

from strava_async.testing.http.parameters import page_of
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import Response, closed, json_response, not_found
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.population import WorldOf
from strava_async.testing.world import AthleteWorld, Json
from strava_async.testing.world.view import club_events, clubs


class ClubsApi:
    """The endpoints below ``/clubs``, and ``/athlete/clubs``. ``/clubs/{id}/activities`` no longer exists."""

    def __init__(self, world_of: WorldOf, quirks: Quirks) -> None:
        self._world_of = world_of
        self._quirks = quirks

    async def index(self, request: EmulatorRequest) -> Response:
        """GET /athlete/clubs: paged."""
        request.require("read", "read_all")
        page, per_page = page_of(request, clamp=self._quirks.clamp_per_page)
        count = max(1, per_page - request.short_by)
        mine: list[Json] = self._world_of(request.athlete_id).profile["clubs"]
        return json_response(mine[(page - 1) * count : page * count])

    async def detail(self, request: EmulatorRequest) -> Response:
        """GET /clubs/{id}: a private club is a 404 to those who are not members."""
        _, club = self._seen(request)
        return json_response(club)

    async def group_events(self, request: EmulatorRequest) -> Response:
        """GET /clubs/{id}/group_events: not paged and not documented."""
        world, club = self._seen(request)
        routes = [route for route in world.routes.values() if not route.private]
        return json_response(club_events.events(club, world.summary_profile, routes, now=request.now))

    async def people(self, request: EmulatorRequest) -> Response:
        """GET /clubs/{id}/members and /clubs/{id}/admins: closed since 2026-09-01."""
        raise closed()

    def _seen(self, request: EmulatorRequest) -> tuple[AthleteWorld, Json]:
        request.require("read", "read_all")
        number = request.number_in_path(not_found("Club"))
        world = self._world_of(request.athlete_id)
        club = clubs.detail(number, world.profile["clubs"])
        if club is None:
            raise not_found("Club")
        return world, club
