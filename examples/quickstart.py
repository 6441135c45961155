"""An athlete's latest activities, and the remaining quota. Offline: Strava is the emulator.

pip install ".[testing]"
python examples/quickstart.py
"""

import asyncio

import httpx

from strava_async import ApiV3
from strava_async.testing import Emulator


async def main() -> None:
    """Connect to the emulator as to Strava, and print some data."""
    strava = Emulator()
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(strava.app)) as http_client,
        ApiV3(strava.grant()["access_token"], http_client) as api,
    ):
        athlete = await api.get("/athlete")
        print(f"{athlete['firstname']} {athlete['lastname']}, {athlete['city']}")

        async for activity in api.paginate("/athlete/activities", limit=5):
            kilometres = activity["distance"] / 1000
            print(f"{activity['start_date_local'][:10]}  {activity['sport_type']:<12} {kilometres:6.1f} km")

        for name in ("read_15min", "read_day", "overall_15min", "overall_day"):
            meter = getattr(api.quota, name)
            print(f"{name:<14} {meter.usage} of {meter.limit} requests used")


asyncio.run(main())
