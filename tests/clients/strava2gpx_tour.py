"""strava2gpx: tokens, the list, and activities written as GPX."""

import asyncio
import os
import xml.etree.ElementTree as ElementTree
from typing import Any
from urllib.parse import urlencode

import led
from strava2gpx import strava2gpx

led.lead_aiohttp()
tour = led.Tour()
os.chdir(led.TOUR["folder"])


def connected() -> Any:
    """Return the client with a refresh token that was got by hand, as its page says."""
    asked = {"client_id": led.TOUR["client_id"], "redirect_uri": "http://localhost", "response_type": "code"}
    url = f"{led.STRAVA}/oauth/authorize?{urlencode({**asked, 'scope': 'activity:read_all'})}"
    form = [("client_id", str(led.TOUR["client_id"])), ("client_secret", led.TOUR["client_secret"])]
    code = led.code_of(led.approve(url))
    answer, _ = led.visit(f"{led.STRAVA}/oauth/token", [*form, ("code", code), ("grant_type", "authorization_code")])
    client = strava2gpx(led.TOUR["client_id"], led.TOUR["client_secret"], led.json.loads(answer)["refresh_token"])
    asyncio.run(client.connect())
    return client


def write_all(client: Any, listed: list[Any]) -> None:
    recorded = [row for row in listed if row[3] in ("Run", "Ride", "Hike", "Walk")][:25]
    led.expect(len(recorded) > 5, "activities with a track")
    for _, activity_id, *_ in recorded:
        asyncio.run(client.write_to_gpx(activity_id, str(activity_id)))
        root = ElementTree.parse(f"{activity_id}.gpx").getroot()  # it prints what fails, and leaves half a file
        led.expect(sum(1 for _ in root.iter("{http://www.topografix.com/GPX/1/1}trkpt")) > 10, "a track")


client = tour.step("connect", connected)
listed = tour.step("activities", lambda: asyncio.run(client.get_activities_list()))
tour.step("gpx", lambda: write_all(client, listed))
