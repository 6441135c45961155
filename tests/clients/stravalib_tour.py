"""stravalib: all of ``Client``."""

import os
from typing import Any

import led

led.lead_requests()
os.environ["STRAVA_CLIENT_ID"] = str(led.TOUR["client_id"])
os.environ["STRAVA_CLIENT_SECRET"] = led.TOUR["client_secret"]

from stravalib import Client  # noqa: E402

CLIENT_ID, SECRET = led.TOUR["client_id"], led.TOUR["client_secret"]
tour = led.Tour()
client = Client(rate_limit_requests=False)


def connect() -> None:
    url = client.authorization_url(CLIENT_ID, "http://localhost:3000/callback", scope=led.SCOPE.split(","))
    code = led.code_of(led.approve(url))
    info, athlete = client.exchange_code_for_token(CLIENT_ID, SECRET, code, return_athlete=True)
    client.access_token, client.refresh_token = info["access_token"], info["refresh_token"]
    led.expect(athlete.id == led.TOUR["athlete_id"], "the athlete beside the tokens")


def renew() -> None:
    client.token_expires = 1
    client.get_athlete()
    led.expect(client.token_expires > 1, "a renewal of its own")


def dumped(found: Any) -> Any:
    """Read a model, or each of many, to its last field."""
    for one in found if isinstance(found, list) else [found]:
        one.model_dump()
        repr(one)
    return found


def listed(name: str, walk: Any) -> list[Any]:
    return tour.step(name, lambda: dumped(list(walk()))) or []


def each(name: str, ids: list[Any], get: Any) -> list[Any]:
    return tour.step(name, lambda: [dumped(get(one)) for one in ids]) or []


def subscriptions() -> None:
    made = client.create_subscription(CLIENT_ID, SECRET, led.TOUR["callback"], verify_token="v")
    [seen] = client.list_subscriptions(CLIENT_ID, SECRET)
    led.expect(seen.id == made.id, "the subscription that was made")
    client.delete_subscription(made.id, CLIENT_ID, SECRET)
    led.expect(not list(client.list_subscriptions(CLIENT_ID, SECRET)), "no subscription")


def upload() -> int:
    return client.upload_activity(led.GPX.format(1), "gpx", name="Uploaded", activity_type="ride").wait(30).id


def stream(get: Any) -> Any:
    return lambda one: list(get(one, types=["time", "distance", "latlng", "altitude"]).values())


tour.step("connect", connect)
tour.step("renew", renew)
athlete = tour.step("athlete", lambda: dumped(client.get_athlete()))
tour.step("update athlete", lambda: client.update_athlete(weight=71.5))
tour.step("zones", lambda: dumped(client.get_athlete_zones()))
tour.step("stats", lambda: dumped(client.get_athlete_stats(athlete.id)))
tour.step("koms", lambda: list(client.get_athlete_koms(athlete.id)))
each("gear", [gear.id for gear in (*athlete.bikes, *athlete.shoes)], client.get_gear)

activities = listed("activities", client.get_activities)
led.expect(activities, "activities")
ids = [activity.id for activity in activities]
details = each("activity", ids, lambda one: client.get_activity(one, include_all_efforts=True))
tracks = [activity.id for activity in activities if activity.map and activity.map.summary_polyline][:20]
each("laps", tracks, lambda one: list(client.get_activity_laps(one)))
each("activity zones", tracks, lambda one: list(client.get_activity_zones(one)))
each("comments", tracks, lambda one: list(client.get_activity_comments(one)))
each("kudos", tracks, lambda one: list(client.get_activity_kudos(one)))
each("photos", tracks, lambda one: list(client.get_activity_photos(one)))
each("streams", tracks, stream(client.get_activity_streams))

efforts = [effort for detail in details for effort in detail.segment_efforts or []]
led.expect(efforts, "efforts")
segments = list(dict.fromkeys(effort.segment.id for effort in efforts))[:10]
each("segment", segments, client.get_segment)
each("effort", [effort.id for effort in efforts[:10]], client.get_segment_effort)
each("effort streams", [effort.id for effort in efforts[:5]], stream(client.get_effort_streams))
each("segment streams", segments, stream(client.get_segment_streams))
each("efforts of a segment", segments, lambda one: list(client.get_segment_efforts(one)))
listed("starred", client.get_starred_segments)
tour.step("starred of an athlete", lambda: list(client.get_athlete_starred_segments(athlete.id)))
tour.step("explore", lambda: dumped(list(client.explore_segments([46.0, 7.0, 48.0, 9.0]))))

routes = listed("routes", lambda: client.get_routes(athlete.id))
each("route", [route.id_str for route in routes], client.get_route)
each("route streams", [route.id_str for route in routes], lambda one: list(client.get_route_streams(one).values()))
clubs = listed("clubs", client.get_athlete_clubs)
club_ids = [club.id for club in clubs]
led.expect(club_ids, "clubs")
each("club", club_ids, client.get_club)
each("club members", club_ids, lambda one: list(client.get_club_members(one)))
each("club admins", club_ids, lambda one: list(client.get_club_admins(one)))
each("club activities", club_ids, lambda one: list(client.get_club_activities(one)))
tour.step("join club", lambda: client.join_club(club_ids[0]))
tour.step("leave club", lambda: client.leave_club(club_ids[0]))

made = tour.step(
    "create activity",
    lambda: dumped(client.create_activity("By hand", "2026-01-05T12:00:00Z", 600, sport_type="Run", distance=2_000)),
)
tour.step(
    "create activity by type",
    lambda: client.create_activity("Of old", "2026-01-06T12:00:00Z", 600, activity_type="Run"),
)
tour.step("update activity", lambda: dumped(client.update_activity(made.id, name="Renamed", commute=True)))
tour.step("update activity by type", lambda: client.update_activity(made.id, activity_type="Walk"))
uploaded = tour.step("upload", upload)
tour.step("uploaded activity", lambda: dumped(client.get_activity(uploaded)))
tour.step("subscriptions", subscriptions)
tour.step("deauthorize", client.deauthorize)
