"""``client.gear``: bikes and shoes."""

from __future__ import annotations

from strava_async.models.gear import DetailedGear
from strava_async.request.endpoints import Endpoints
from strava_async.resources._resource import Resource


class GearResource(Resource):
    """Bikes and shoes. ``client.athlete.get()`` lists the athlete's.

    Source:
        https://developers.strava.com/docs/reference/#api-Gears
    """

    async def get(self, gear_id: str) -> DetailedGear:
        """Return a bike or a pair of shoes (``getGearById``).

        Args:
            gear_id: ``b`` and a number for a bike, ``g`` and a number for shoes.

        Raises:
            NotFoundError: the athlete has no gear with that id.
        """
        return await self._get(DetailedGear, Endpoints.GEAR_GET, id=gear_id)
