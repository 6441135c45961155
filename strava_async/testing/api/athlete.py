"""The athlete's own data: profile, zones, stats, gear.

Source:
    https://developers.strava.com/docs/reference/ (Athletes, Gears).
"""

from __future__ import annotations

from strava_async.testing.http.parameters import decimal
from strava_async.testing.http.request import Visit
from strava_async.testing.http.responses import Answer, RefusalError, bad_request, json_answer, not_found
from strava_async.testing.quirks import Quirks
from strava_async.testing.state.population import WorldOf
from strava_async.testing.world import AthleteWorld


class AthleteApi:
    """The endpoints of tags Athletes and Gears; the athlete's routes and clubs are with theirs."""

    def __init__(self, world_of: WorldOf, quirks: Quirks) -> None:
        self._world_of = world_of
        self._quirks = quirks

    def _world(self, visit: Visit) -> AthleteWorld:
        return self._world_of(visit.athlete_id)

    async def profile(self, visit: Visit) -> Answer:
        """GET /athlete: any scope; without ``profile:read_all`` it is the summary."""
        world = self._world(visit)
        return json_answer(world.profile if visit.may("profile:read_all") else world.summary_profile)

    async def update(self, visit: Visit) -> Answer:
        """PUT /athlete: the weight, in kilograms."""
        visit.require("profile:write")
        weight = decimal(await visit.parameters(), "weight", "Athlete", low=0.0, high=1_000.0)
        if weight is None:
            raise bad_request("Athlete", "weight")
        world = self._world(visit)
        world.profile["weight"] = weight
        if "weight" in world.summary_profile:
            world.summary_profile["weight"] = weight
        return json_answer(world.profile)

    async def zones(self, visit: Visit) -> Answer:
        """GET /athlete/zones."""
        visit.require("profile:read_all")
        return json_answer(self._world(visit).zones)

    async def stats(self, visit: Visit) -> Answer:
        """GET /athletes/{id}/stats: only of the token's athlete."""
        visit.require("read", "read_all", "profile:read_all")
        if visit.number_in_path(not_found("Athlete")) != visit.athlete_id:
            raise RefusalError(403, "Forbidden")
        return json_answer(self._world(visit).stats(visit.now))

    async def gear(self, visit: Visit) -> Answer:
        """GET /gear/{id}."""
        gear = self._world(visit).gear.get(visit.path_values[0])
        if gear is None:
            raise not_found("Gear")
        return json_answer(gear)
