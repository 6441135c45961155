"""``strava`` of PyPI: all of ``Strava``, and ``AsyncStrava`` in short."""

import asyncio
import io
import time
from typing import Any

import led
import strava
import strava._auth as auth

for name in ("TOKEN_URL", "AUTHORIZE_URL", "DEAUTHORIZE_URL", "REVOKE_URL"):
    setattr(auth, name, led.led(getattr(auth, name)))
CLIENT_ID, SECRET = str(led.TOUR["client_id"]), led.TOUR["client_secret"]
API = f"{led.TOUR['url']}/api/v3"
tour = led.Tour()


def connect() -> Any:
    url = auth.build_authorization_url(CLIENT_ID, "http://localhost:3000/callback", scopes=led.SCOPE.split(","))
    tokens = auth.exchange_token(CLIENT_ID, SECRET, led.code_of(led.approve(url)))
    led.expect(tokens.athlete.id == led.TOUR["athlete_id"], "the athlete beside the tokens")
    return tokens


def open_client(tokens: Any, expires_at: int | None = None) -> strava.Strava:
    return strava.Strava(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        client_id=CLIENT_ID,
        client_secret=SECRET,
        expires_at=expires_at or tokens.expires_at,
        base_url=API,
    )


def each(name: str, ids: list[Any], get: Any) -> list[Any]:
    return tour.step(name, lambda: [get(one) for one in ids]) or []


def subscriptions() -> None:
    keys = {"client_id": CLIENT_ID, "client_secret": SECRET}
    made = client.webhooks.create(**keys, callback_url=led.TOUR["callback"], verify_token="v")
    [seen] = client.webhooks.list(**keys)
    led.expect(seen.id == made.id, "the subscription that was made")
    client.webhooks.delete(made.id, **keys)
    led.expect(client.webhooks.list(**keys) == [], "no subscription")


def upload(file: Any, **options: Any) -> Any:
    upload = client.uploads.create(file=file, data_type="gpx", **options)
    give_up_at = time.monotonic() + 30
    while upload.activity_id is None and time.monotonic() < give_up_at:
        led.expect(upload.error is None, f"no error, but there is {upload.error}")
        time.sleep(0.2)
        upload = client.uploads.retrieve(upload.id)
    return client.activities.retrieve(upload.activity_id)


async def in_short(tokens: Any) -> None:
    async with strava.AsyncStrava(access_token=tokens.access_token, base_url=API) as other:
        mine = await other.athletes.retrieve_authenticated()
        led.expect(mine.id == athlete.id, "the athlete")
        found = [activity.id async for activity in other.activities.list(per_page=50)]
        led.expect(set(found) >= set(ids), "the same activities, and more by now")


tokens = tour.step("connect", connect)
tour.step("renew by hand", lambda: auth.refresh_access_token(CLIENT_ID, SECRET, tokens.refresh_token))
tokens = tour.step("connect again", connect)
client = open_client(tokens, expires_at=1)
athlete = tour.step("athlete, after a renewal of its own", client.athletes.retrieve_authenticated)
tour.step("update athlete", lambda: client.athletes.update_authenticated(weight=71.5))
tour.step("zones", client.athletes.retrieve_zones)
tour.step("stats", lambda: client.athletes.retrieve_stats(athlete.id))
each("gear", [gear.id for gear in (*athlete.bikes, *athlete.shoes)], client.gear.retrieve)

activities = tour.step("activities", lambda: list(client.activities.list(per_page=50))) or []
led.expect(activities, "activities")
ids = [activity.id for activity in activities]
details = each("activity", ids, lambda one: client.activities.retrieve(one, include_all_efforts=True))
tracks = [activity.id for activity in activities if activity.map and activity.map.summary_polyline][:20]
each("laps", tracks, client.activities.list_laps)
each("activity zones", tracks, client.activities.list_zones)
each("comments", tracks, lambda one: list(client.activities.list_comments(one)))
each("kudos", tracks, lambda one: list(client.activities.list_kudoers(one)))
keys = ["time", "distance", "latlng", "altitude", "heartrate", "moving"]
each("streams", tracks, lambda one: client.streams.get_activity_streams(one, keys=keys))

efforts = [effort for detail in details for effort in detail.segment_efforts or []]
led.expect(efforts, "efforts")
segments = list(dict.fromkeys(effort.segment.id for effort in efforts))[:10]
each("segment", segments, client.segments.retrieve)
each("star", segments[:2], lambda one: client.segments.star(one, starred=True))
tour.step("starred", lambda: list(client.segments.list_starred()))
tour.step("explore", lambda: client.segments.explore(bounds=[46.0, 7.0, 48.0, 9.0]))
each("effort", [effort.id for effort in efforts[:10]], client.segment_efforts.retrieve)
each("efforts of a segment", segments, lambda one: client.segment_efforts.list(segment_id=one))
each(
    "effort streams", [e.id for e in efforts[:5]], lambda one: client.streams.get_segment_effort_streams(one, keys=keys)
)
each("segment streams", segments, lambda one: client.streams.get_segment_streams(one, keys=["distance", "altitude"]))

routes = tour.step("routes", lambda: list(client.routes.list_by_athlete(athlete.id))) or []
led.expect(routes, "routes")
route_ids = [route.id for route in routes]
each("route", route_ids, client.routes.retrieve)
each("route gpx", route_ids, client.routes.export_gpx)
each("route tcx", route_ids, client.routes.export_tcx)
each("route streams", route_ids, client.streams.get_route_streams)
clubs = tour.step("clubs", lambda: list(client.clubs.list_authenticated())) or []
each("club", [club.id for club in clubs], client.clubs.retrieve)

made = tour.step(
    "create activity",
    lambda: client.activities.create(
        name="By hand", sport_type="Run", start_date_local="2026-01-05T12:00:00Z", elapsed_time=600, distance=2_000
    ),
)
tour.step("update activity", lambda: client.activities.update(made.id, name="Renamed", commute=True))
tour.step("upload", lambda: upload(led.GPX.format(2).encode()))
tour.step("upload of a file", lambda: upload(io.BytesIO(led.GPX.format(3).encode()), name="Uploaded"))
tour.step("in short on asyncio", lambda: asyncio.run(in_short(client._auth)))
tour.step("subscriptions", subscriptions)
tour.step("revoke", lambda: auth.revoke_token(CLIENT_ID, SECRET, client._auth.refresh_token))
