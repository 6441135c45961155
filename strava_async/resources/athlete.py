"""``client.athlete``: the athlete, with zones and totals."""

from __future__ import annotations

from strava_async.errors import InputError
from strava_async.models.athlete import DetailedAthlete
from strava_async.models.stats import ActivityStats
from strava_async.models.zones import Zones
from strava_async.request.endpoints import Endpoints
from strava_async.resources._resource import Resource


class AthleteResource(Resource):
    """The athlete of the token.

    Source:
        https://developers.strava.com/docs/reference/#api-Athletes
    """

    async def get(self) -> DetailedAthlete:
        """Return the athlete (``getLoggedInAthlete``).

        Without ``profile:read_all`` Strava sends the summary: the other fields are None.
        """
        athlete = await self._get(DetailedAthlete, Endpoints.ATHLETE_GET)
        if self._view.known_athlete_id is None and isinstance(athlete.id, int):
            self._view.known_athlete_id = athlete.id
        return athlete

    async def update(self, *, weight: float) -> DetailedAthlete:
        """Change the athlete's weight (``updateLoggedInAthlete``). Needs ``profile:write``.

        Args:
            weight: kilograms.

        Raises:
            InputError: the weight is not a positive number.
            MissingScopeError: the athlete did not grant ``profile:write``.
        """
        _check_weight(weight)
        return await self._change(DetailedAthlete, Endpoints.ATHLETE_UPDATE, {}, form={"weight": weight})

    async def zones(self) -> Zones:
        """Return the athlete's heart rate and power zones (``getLoggedInAthleteZones``). Needs ``profile:read_all``.

        Raises:
            MissingScopeError: the athlete did not grant ``profile:read_all``.
        """
        return await self._get(Zones, Endpoints.ATHLETE_ZONES)

    async def stats(self, athlete_id: int | None = None) -> ActivityStats:
        """Return the athlete's totals (``getStats``): of the activities that everyone may see.

        Args:
            athlete_id: None means the token's athlete, the only one for whom Strava answers. Where the id is not known,
                the first call costs one more request.

        Raises:
            ForbiddenError, UnauthorizedError: it is another athlete.
        """
        whose = await self._own_id() if athlete_id is None else athlete_id
        return await self._get(ActivityStats, Endpoints.ATHLETE_STATS, id=whose)


def _check_weight(weight: object) -> None:
    if isinstance(weight, bool) or not isinstance(weight, float | int) or not weight > 0:
        raise InputError("weight must be a positive number of kilograms")
