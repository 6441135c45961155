"""``client.athlete``: who the athlete is."""

from __future__ import annotations

from strava_async.models.athlete import DetailedAthlete
from strava_async.models.stats import ActivityStats
from strava_async.models.zones import Zones
from strava_async.resources._resource import Resource


class AthleteResource(Resource):
    """The athlete of the token.

    Source:
        https://developers.strava.com/docs/reference/#api-Athletes
    """

    async def get(self) -> DetailedAthlete:
        """Return the athlete (``getLoggedInAthlete``).

        Without ``profile:read_all`` Strava sends the summary: the fields of the detail stay None.
        """
        athlete = await self._get(DetailedAthlete, "/athlete")
        if self._view.known_athlete_id is None and isinstance(athlete.id, int):
            self._view.known_athlete_id = athlete.id
        return athlete

    async def update(self, *, weight: float) -> DetailedAthlete:
        """Change the athlete's weight (``updateLoggedInAthlete``). Needs ``profile:write``.

        Args:
            weight: kilograms.

        Raises:
            MissingScopeError: the athlete did not grant ``profile:write``.
        """
        return await self._put(DetailedAthlete, "/athlete", weight=weight)

    async def zones(self) -> Zones:
        """Return the athlete's heart rate and power zones (``getLoggedInAthleteZones``). Needs ``profile:read_all``.

        Raises:
            MissingScopeError: the athlete did not grant ``profile:read_all``.
        """
        return await self._get(Zones, "/athlete/zones")

    async def stats(self, athlete_id: int | None = None) -> ActivityStats:
        """Return the athlete's totals (``getStats``): of activities that everyone may see, and no others.

        Args:
            athlete_id: None means the token's athlete, whom Strava alone answers for. Where the id is not known, it is
                asked for first: one more request, once.

        Raises:
            ForbiddenError: of another athlete.
        """
        return await self._get(ActivityStats, "/athletes/{id}/stats", id=athlete_id or await self._own_id())
