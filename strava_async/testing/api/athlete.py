"""The athlete's own data: profile, zones, stats, gear.

Source:
    https://developers.strava.com/docs/reference/ (Athletes, Gears).
"""

from __future__ import annotations

from strava_async.testing.http.parameters import decimal
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import HttpError, Response, bad_request, json_response, not_found
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.population import WorldOf
from strava_async.testing.world import AthleteWorld


class AthleteApi:
    """The endpoints of tags Athletes and Gears; the athlete's routes and clubs are with theirs."""

    def __init__(self, world_of: WorldOf, quirks: Quirks) -> None:
        self._world_of = world_of
        self._quirks = quirks

    def _world(self, request: EmulatorRequest) -> AthleteWorld:
        return self._world_of(request.athlete_id)

    async def profile(self, request: EmulatorRequest) -> Response:
        """GET /athlete: any scope; without ``profile:read_all`` it is the summary."""
        world = self._world(request)
        return json_response(world.profile if request.may("profile:read_all") else world.summary_profile)

    async def update(self, request: EmulatorRequest) -> Response:
        """PUT /athlete: the weight, in kilograms."""
        request.require("profile:write")
        weight = decimal(await request.parameters(), "weight", "Athlete", low=0.0, high=1_000.0)
        if weight is None:
            raise bad_request("Athlete", "weight")
        world = self._world(request)
        world.profile["weight"] = weight
        if "weight" in world.summary_profile:
            world.summary_profile["weight"] = weight
        return json_response(world.profile)

    async def zones(self, request: EmulatorRequest) -> Response:
        """GET /athlete/zones."""
        request.require("profile:read_all")
        return json_response(self._world(request).zones)

    async def stats(self, request: EmulatorRequest) -> Response:
        """GET /athletes/{id}/stats: only of the token's athlete."""
        request.require("read", "read_all", "profile:read_all")
        if request.number_in_path(not_found("Athlete")) != request.athlete_id:
            raise HttpError(403, "Forbidden")
        return json_response(self._world(request).stats(request.now))

    async def gear(self, request: EmulatorRequest) -> Response:
        """GET /gear/{id}."""
        gear = self._world(request).gear.get(request.path_values[0])
        if gear is None:
            raise not_found("Gear")
        return json_response(gear)
