"""``Client`` and its tags against the emulator: every endpoint, typed."""

import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from strava_async import (
    ApiV3,
    Client,
    DecodeError,
    FaultError,
    InputError,
    NotFoundError,
    PaymentRequiredError,
    QuotaClass,
    RateLimiter,
    Strava,
)
from strava_async.request.endpoints import ENDPOINTS, Endpoint
from strava_async.testing import Emulator, FakeClock, MeterLimits

pytestmark = pytest.mark.anyio

GPX = b"""<?xml version="1.0"?><gpx version="1.1" creator="t"><trk><trkseg>
<trkpt lat="47.0" lon="8.0"><ele>400</ele><time>2026-01-01T08:00:00Z</time></trkpt>
<trkpt lat="47.001" lon="8.001"><ele>401</ele><time>2026-01-01T08:01:00Z</time></trkpt>
</trkseg></trk></gpx>"""


class World:
    """An emulator, and a client of its first athlete."""

    def __init__(self, emulator: Emulator, strava: Strava, client: Client) -> None:
        self.emulator = emulator
        self.strava = strava
        self.client = client
        self.data = emulator.world()

    def recorded(self) -> int:
        """Return the id of an activity with a track and efforts."""
        for activity in reversed(self.data.activities):
            if activity["distance"] and not activity["manual"] and self.data.detail(activity["id"])["segment_efforts"]:
                return int(activity["id"])
        raise LookupError

    def effort(self) -> dict[str, Any]:
        """Return an effort of that activity."""
        effort: dict[str, Any] = self.data.detail(self.recorded())["segment_efforts"][0]
        return effort


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    clock = FakeClock()
    emulator = Emulator(clock=clock, years=0.4, limits=MeterLimits(10_000, 100_000, 10_000, 100_000), **options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client, clock.autojump():
        base = {"api_url": "https://strava.test/api/v3", "oauth_url": "https://strava.test/oauth"}
        granted = emulator.grant()
        api = ApiV3(
            granted["access_token"],
            http_client,
            RateLimiter(clock=clock),
            refresh_token=granted["refresh_token"],
            client_id=emulator.client_id,
            client_secret=emulator.client_secret,
            **base,
        )
        limiter = RateLimiter(clock=clock)
        strava = Strava(
            emulator.client_id, emulator.client_secret, http_client=http_client, rate_limiter=limiter, **base
        )
        yield World(emulator, strava, Client(api, on_invalid="raise"))


Use = Callable[[World], Awaitable[Any]]
USES: dict[str, Use] = {}


def use(name: str) -> Callable[[Use], Use]:
    def keep(function: Use) -> Use:
        USES[name] = function
        return function

    return keep


@use("client.athlete.get")
async def athlete_get(here: World) -> Any:
    athlete = await here.client.athlete.get()
    assert (athlete.id, athlete.weight) == (here.data.profile["id"], here.data.profile["weight"])


@use("client.athlete.update")
async def athlete_update(here: World) -> Any:
    assert (await here.client.athlete.update(weight=71.5)).weight == 71.5
    assert here.data.profile["weight"] == 71.5


@use("client.athlete.zones")
async def athlete_zones(here: World) -> Any:
    zones = await here.client.athlete.zones()
    assert zones.raw == here.data.zones
    assert zones.heart_rate
    assert zones.heart_rate.zones
    assert zones.heart_rate.zones[-1].max is None


@use("client.athlete.stats")
async def athlete_stats(here: World) -> Any:
    assert (await here.client.athlete.stats()).all_run_totals
    assert here.client.athlete_id == here.data.athlete_id


@use("client.activities.list")
async def activities_list(here: World) -> Any:
    found = await here.client.activities.list(per_page=30, prefetch=2).collect()
    assert [activity.id for activity in found] == [activity["id"] for activity in reversed(here.data.activities)]
    assert found[0].raw == here.data.activities[-1]


@use("client.activities.create")
async def activities_create(here: World) -> Any:
    at = datetime.fromisoformat("2013-05-06T07:08:09")
    activity = await here.client.activities.create(
        name="By hand", sport_type="Run", start_date_local=at, elapsed_time=timedelta(minutes=30), distance=5_000
    )
    assert (activity.name, activity.start_date_local, activity.elapsed_time) == ("By hand", at, 1_800)


@use("client.activities.get")
async def activities_get(here: World) -> Any:
    activity = await here.client.activities.get(here.recorded(), include_all_efforts=True)
    assert activity.raw == here.data.detail(here.recorded())
    assert activity.start_date == datetime.fromisoformat(activity.raw["start_date"])
    assert activity.start_date_local == datetime.fromisoformat(activity.raw["start_date_local"]).replace(tzinfo=None)


@use("client.activities.update")
async def activities_update(here: World) -> Any:
    changed = await here.client.activities.update(here.recorded(), name="Renamed", commute=True, gear_id=None)
    assert (changed.name, changed.commute, changed.gear_id) == ("Renamed", True, None)


@use("client.activities.laps")
async def activities_laps(here: World) -> Any:
    laps = await here.client.activities.laps(here.recorded())
    assert [lap.raw for lap in laps] == here.data.laps(here.recorded())


@use("client.activities.zones")
async def activities_zones(here: World) -> Any:
    zones = await here.client.activities.zones(here.recorded())
    assert [zone.raw for zone in zones] == here.data.activity_zones(here.recorded())


@use("client.activities.comments")
async def activities_comments(here: World) -> Any:
    said = max(here.data.activities, key=lambda activity: activity["comment_count"])
    comments = await here.client.activities.comments(said["id"], page_size=1).collect()
    assert [comment.text for comment in comments] == [entry["text"] for entry in here.data.comments(said["id"])]
    assert len(comments) == said["comment_count"] > 1


@use("client.activities.kudos")
async def activities_kudos(here: World) -> Any:
    liked = max(here.data.activities, key=lambda activity: activity["kudos_count"])
    athletes = await here.client.activities.kudos(liked["id"], per_page=2).collect()
    assert len(athletes) == liked["kudos_count"] > 2
    assert {athlete.id for athlete in athletes} == {None}


@use("client.activities.photos")
async def activities_photos(here: World) -> Any:
    shown = max(here.data.activities, key=lambda activity: activity["total_photo_count"])
    photos = await here.client.activities.photos(shown["id"], size=600)
    assert len(photos) == shown["total_photo_count"] > 0
    assert {photo.activity_id for photo in photos} == {shown["id"]}


@use("client.streams.activity")
async def streams_activity(here: World) -> Any:
    streams = await here.client.streams.activity(here.recorded(), keys=["time", "distance"])
    assert streams.time
    assert list(streams.time) == (here.data.streams(here.recorded()) or {})["time"]["data"]


@use("client.streams.segment_effort")
async def streams_effort(here: World) -> Any:
    streams = await here.client.streams.segment_effort(here.effort()["id"])
    assert streams.distance
    assert len(streams) == here.effort()["end_index"] - here.effort()["start_index"] + 1


@use("client.streams.segment")
async def streams_segment(here: World) -> Any:
    streams = await here.client.streams.segment(here.effort()["segment"]["id"])
    assert streams.latlng
    assert streams.altitude
    assert len(streams.latlng) == len(streams.altitude) > 1


@use("client.streams.route")
async def streams_route(here: World) -> Any:
    route = (await here.client.routes.list().collect())[0]
    streams = await here.client.streams.route(route.id or 0)
    assert streams.latlng
    assert streams.distance


@use("client.segments.get")
async def segments_get(here: World) -> Any:
    segment = await here.client.segments.get(here.effort()["segment"]["id"])
    assert segment.name == here.effort()["segment"]["name"]
    assert segment.athlete_segment_stats
    assert segment.map
    assert segment.map.coordinates()


@use("client.segments.starred")
async def segments_starred(here: World) -> Any:
    await here.client.segments.star(here.effort()["segment"]["id"])
    starred = await here.client.segments.starred().collect()
    assert here.effort()["segment"]["id"] in {segment.id for segment in starred}


@use("client.segments.star")
async def segments_star(here: World) -> Any:
    segment_id = here.effort()["segment"]["id"]
    assert (await here.client.segments.star(segment_id)).starred is True
    assert (await here.client.segments.star(segment_id, False)).starred is False


@use("client.segments.explore")
async def segments_explore(here: World) -> Any:
    lat, lng = here.effort()["segment"]["start_latlng"]
    kind = "running" if here.effort()["segment"]["activity_type"] == "Run" else "riding"
    corners = ((lat - 0.2, lng - 0.2), (lat + 0.2, lng + 0.2))
    found = await here.client.segments.explore(*corners, activity_type=kind)
    assert 0 < len(found) <= 10
    assert all(segment.start_latlng for segment in found)


@use("client.segments.all_efforts")
async def segments_all_efforts(here: World) -> Any:
    efforts = await here.client.segments.all_efforts(here.effort()["segment"]["id"]).collect()
    assert here.effort()["id"] in {effort.id for effort in efforts}


@use("client.segment_efforts.list")
async def efforts_list(here: World) -> Any:
    whole_life = {"start_date_local": "2000-01-01", "end_date_local": "2090-01-01"}
    efforts = await here.client.segment_efforts.list(here.effort()["segment"]["id"], **whole_life)
    assert here.effort()["id"] in {effort.id for effort in efforts}


@use("client.segment_efforts.get")
async def efforts_get(here: World) -> Any:
    effort = await here.client.segment_efforts.get(here.effort()["id"])
    assert effort.elapsed_time == here.effort()["elapsed_time"]


@use("client.clubs.list")
async def clubs_list(here: World) -> Any:
    clubs = await here.client.clubs.list().collect()
    assert {club.id for club in clubs} == {club["id"] for club in here.data.profile["clubs"]}


@use("client.clubs.get")
async def clubs_get(here: World) -> Any:
    mine = here.data.profile["clubs"][0]
    assert (await here.client.clubs.get(mine["id"])).name == mine["name"]


@use("client.clubs.group_events")
async def clubs_group_events(here: World) -> Any:
    events = [await here.client.clubs.group_events(club["id"]) for club in here.data.profile["clubs"]]
    assert any(events)


@use("client.gear.get")
async def gear_get(here: World) -> Any:
    gear_id = next(iter(here.data.gear))
    assert (await here.client.gear.get(gear_id)).raw == here.data.gear[gear_id]


@use("client.routes.list")
async def routes_list(here: World) -> Any:
    routes = await here.client.routes.list(per_page=2).collect()
    assert all(route.id and route.id > 2**53 for route in routes)
    assert len(routes) > 2


@use("client.routes.get")
async def routes_get(here: World) -> Any:
    first = (await here.client.routes.list(limit=1).collect())[0]
    assert (await here.client.routes.get(first.id or 0)).name == first.name


@use("client.routes.export_gpx")
async def routes_gpx(here: World) -> Any:
    first = (await here.client.routes.list(limit=1).collect())[0]
    assert "<gpx" in await here.client.routes.export_gpx(first.id or 0)


@use("client.routes.export_tcx")
async def routes_tcx(here: World) -> Any:
    first = (await here.client.routes.list(limit=1).collect())[0]
    assert "TrainingCenterDatabase" in await here.client.routes.export_tcx(first.id or 0)


@use("client.uploads.create")
async def uploads_create(here: World) -> Any:
    upload = await here.client.uploads.create(GPX, data_type="gpx", sport_type="Run", name="From a file")
    assert upload.state == "processing"
    done = await here.client.uploads.wait(upload)
    assert (await here.client.activities.get(done.activity_id or 0)).name == "From a file"


@use("client.uploads.get")
async def uploads_get(here: World) -> Any:
    upload = await here.client.uploads.create(GPX, data_type="gpx")
    assert (await here.client.uploads.get(upload.id or 0)).id == upload.id


@use("strava.webhooks.view")
async def webhooks_view(here: World) -> Any:
    assert await here.strava.webhooks.view() == []


@use("strava.webhooks.subscribe")
async def webhooks_subscribe(here: World) -> Any:
    with pytest.raises(FaultError):  # nobody answers there; tests/webhooks/test_subscription.py has those who do
        await here.strava.webhooks.subscribe("http://127.0.0.1:9/webhook", "verify me")


@use("strava.webhooks.unsubscribe")
async def webhooks_unsubscribe(here: World) -> Any:
    with pytest.raises(NotFoundError):
        await here.strava.webhooks.unsubscribe(17)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.client_method)
async def test_every_endpoint_is_called_and_spends_what_the_table_says(endpoint: Endpoint) -> None:
    async with world() as here:
        await USES[endpoint.client_method](here)
        assert here.emulator.count(endpoint.method, endpoint.path.replace("{id}", "*")) > 0
        usage = here.emulator.meters_of().usage(here.emulator.clock.time())
        uploads = here.emulator.count("POST", "/activities") + here.emulator.count("POST", "/uploads")
        assert usage["overall_day"] - usage["read_day"] == uploads
        assert uploads > 0 or endpoint.quota_class is QuotaClass.READ


async def test_the_list_of_activities_has_a_bound_that_stays() -> None:
    async with world() as here:
        listing = here.client.activities.list(per_page=20)
        await listing.collect()
        began = here.emulator.clock.time()
        assert {int(served.query["before"]) for served in here.emulator.requests} == {math.ceil(began) + 120}
        await here.emulator.clock.sleep(86_400)
        await listing.collect()
        assert int(here.emulator.requests[-1].query["before"]) == math.ceil(began) + 86_400 + 120


async def test_after_and_before_bound_the_list() -> None:
    async with world() as here:
        starts = [activity["start_date"] for activity in here.data.activities]
        after, before = (datetime.fromisoformat(starts[index]) for index in (10, 20))
        found = await here.client.activities.list(after=after, before=before.timestamp()).collect()
        assert sorted(activity.raw["start_date"] for activity in found) == sorted(starts[11:20])


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (date(2026, 1, 1), 1_767_225_600),
        ("2026-01-01", 1_767_225_600),
        ("2026-01-01T06:00:00Z", 1_767_247_200),
        ("2026-01-01T06:00:00+02:00", 1_767_240_000),
        (datetime(2026, 1, 1, 6, tzinfo=timezone(timedelta(hours=2))), 1_767_240_000),
        (1_767_225_600.9, 1_767_225_600),
        (0, 0),
    ],
)
async def test_a_bound_is_a_datetime_a_date_a_text_or_epoch_seconds(moment: Any, seconds: int) -> None:
    async with world() as here:
        await here.client.activities.list(after=moment, before=2_000_000_000, limit=1).collect()
        await here.client.activities.list(before=moment, limit=1).collect()
        after, before = (served.query for served in here.emulator.requests)
        assert (after["after"], before["before"]) == (str(seconds), str(seconds))


async def test_a_bound_by_the_clock_on_the_wall_may_be_a_date() -> None:
    async with world() as here:
        segment_id = here.effort()["segment"]["id"]
        await here.client.segments.all_efforts(segment_id, start_date_local=date(2026, 1, 31), limit=1).collect()
        assert here.emulator.requests[-1].query["start_date_local"] == "2026-01-31T00:00:00Z"


async def test_lists_and_tags_say_what_they_are() -> None:
    client = Client(ApiV3("token"), athlete_id=7)
    assert repr(client.activities) == "<ActivitiesResource of athlete 7>"
    assert repr(Client(ApiV3("token")).gear) == "<GearResource of an athlete>"
    listing = client.activities.list(after=date(2026, 1, 1), limit=20)
    assert repr(listing) == "<Listing of SummaryActivity from /athlete/activities (after=1767225600, limit=20)>"
    assert repr(client.activities.kudos(5)) == "<Listing of SummaryAthlete from /activities/{id}/kudos (id=5)>"
    assert repr(client.routes.list()) == "<Listing of Route from /athletes/{id}/routes>"


@pytest.mark.parametrize(
    "bounds",
    [
        {"after": datetime.fromisoformat("2026-01-01")},
        {"before": 1_790_000_000_000},
        {"after": "2026-01-01T06:00:00"},
        {"after": "1767225600"},
        {"after": "yesterday"},
        {"after": ""},
        {"before": date(9999, 1, 1)},
        {"before": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))},
        {"before": date(1969, 12, 31)},
        {"after": b"2026-01-01"},
        {"after": 10**28},
        {"after": -1},
        {"after": True},
        {"per_page": 1.5},
        {"after": float("nan")},
        {"per_page": 0},
        {"limit": -1},
        {"prefetch": -1},
    ],
)
async def test_invalid_bounds_are_reported_at_once(bounds: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Client(ApiV3("token")).activities.list(**bounds)


ACTIVITY = {"name": "Run", "sport_type": "Run", "start_date_local": "2026-01-01T10:00", "elapsed_time": 60}


@pytest.mark.parametrize(
    "odd",
    [
        {"name": None},
        {"sport_type": ""},
        {"start_date_local": None},
        {"start_date_local": 5},
        {"start_date_local": date(2026, 1, 1)},
        {"start_date_local": "noon"},
        {"elapsed_time": 0.4},
        {"elapsed_time": float("nan")},
        {"elapsed_time": float("inf")},
        {"elapsed_time": timedelta(days=-1)},
        {"elapsed_time": True},
        {"description": "\ud800"},
    ],
)
async def test_what_cannot_be_an_activity_is_reported_before_anything_is_sent(odd: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        await Client(ApiV3("token")).activities.create(**{**ACTIVITY, **odd})


@pytest.mark.parametrize("weight", [None, True, 0, -3, "70", float("nan")])
async def test_what_cannot_be_a_weight_is_reported_before_anything_is_sent(weight: Any) -> None:
    with pytest.raises(InputError):
        await Client(ApiV3("token")).athlete.update(weight=weight)


def told(answer: httpx.Response) -> tuple[list[httpx.Request], Client]:
    """Return a list of what is sent, and a client that always gets that answer."""
    sent: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return answer

    return sent, Client(ApiV3("token", httpx.AsyncClient(transport=httpx.MockTransport(handler))), 7)


async def test_flags_of_a_new_activity_are_one_and_zero() -> None:
    sent, client = told(httpx.Response(201, json={"id": 1}))
    await client.activities.create(**ACTIVITY, trainer=True, commute=False)
    assert dict(parse_qsl(sent[0].content.decode())) == {
        "name": "Run",
        "sport_type": "Run",
        "start_date_local": "2026-01-01T10:00:00Z",
        "elapsed_time": "60",
        "trainer": "1",
        "commute": "0",
    }


async def test_a_change_sends_json_and_clears_the_gear() -> None:
    sent, client = told(httpx.Response(200, json={"id": 1}))
    await client.activities.update(1, gear_id=None, trainer=False)
    assert json.loads(sent[0].content) == {"gear_id": "none", "trainer": False}


async def test_a_star_and_a_weight_go_as_forms() -> None:
    sent, client = told(httpx.Response(200, json={"id": 1}))
    await client.segments.star(5, False)
    await client.athlete.update(weight=70.5)
    assert [request.content for request in sent] == [b"starred=false", b"weight=70.5"]
    assert {request.url.query for request in sent} == {b""}


@pytest.mark.parametrize("answer", [httpx.Response(204), httpx.Response(200)])
async def test_a_change_that_is_answered_without_a_body_has_happened(answer: httpx.Response) -> None:
    _, client = told(answer)
    assert (await client.segments.star(5)).id is None


@pytest.mark.parametrize("athlete_id", [0, 12])
async def test_another_athlete_can_be_asked_for(athlete_id: int) -> None:
    sent, client = told(httpx.Response(200, json=[]))
    await client.routes.list(athlete_id).collect()
    client.on_invalid = "keep"
    await client.athlete.stats(athlete_id)
    assert [request.url.path.split("/")[4] for request in sent] == [str(athlete_id)] * 2


@pytest.mark.parametrize(
    "body", [b"", b"<!DOCTYPE html><html>", b"<?xml version='1.0'?><HTML>", b"\xff\xfe\x00", b"{}"]
)
async def test_an_export_that_is_no_document_is_an_error(body: bytes) -> None:
    _, client = told(httpx.Response(200, content=body, headers={"content-type": "application/gpx+xml"}))
    with pytest.raises(DecodeError):
        await client.routes.export_gpx(5)


async def test_an_export_is_a_text_whatever_it_is_called() -> None:
    _, client = told(httpx.Response(200, content=b"<gpx/>", headers={"content-type": "application/octet-stream"}))
    assert await client.routes.export_gpx(5) == "<gpx/>"


@pytest.mark.parametrize("number", [0, -1, 1.5, True])
async def test_invalid_numbers_of_items_are_refused(number: Any) -> None:
    client = Client(ApiV3("token"))
    with pytest.raises(InputError):
        await client.segment_efforts.list(5, per_page=number)
    with pytest.raises(InputError):
        client.activities.comments(5, page_size=number)


async def test_an_update_of_nothing_is_refused() -> None:
    with pytest.raises(InputError):
        await Client(ApiV3("token")).activities.update(5)


async def test_one_bad_activity_does_not_lose_its_page() -> None:
    async with world() as here:
        here.data.activities[3]["distance"] = {"odd": 1}
        here.data.activities[4]["map"] = 7
        here.data.activities[5]["sport_type"] = "Quidditch"
        here.emulator.refresh()
        here.client.on_invalid = "keep"
        found = (await here.client.activities.list().collect())[::-1]
        assert [activity.id for activity in found] == [activity["id"] for activity in here.data.activities]
        assert found[3].distance == {"odd": 1}
        assert found[4].map is not None
        assert found[4].map.raw == 7
        assert found[5].sport_type == "Quidditch"


async def test_what_does_not_fit_is_an_error_for_those_who_ask() -> None:
    async with world() as here:
        here.data.activities[3]["distance"] = {"odd": 1}
        here.emulator.refresh()
        with pytest.raises(DecodeError, match=r"GET /athlete/activities: .*SummaryActivity\.distance") as caught:
            await here.client.activities.list().collect()
        assert caught.value.path == "/athlete/activities"


async def test_a_missing_subscription_is_an_error_of_its_own() -> None:
    async with world() as here:
        here.emulator.quirks.subscribed = False
        with pytest.raises(PaymentRequiredError):
            await here.client.segment_efforts.get(here.effort()["id"])


@pytest.mark.parametrize("dates", [{"start_date_local": "2026-01-01"}, {"end_date_local": "yesterday"}])
async def test_efforts_want_both_dates(dates: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        await Client(ApiV3("token")).segment_efforts.list(5, **dates)


@pytest.mark.parametrize(
    "corners", [((91, 0), (92, 1)), ((50, 8), (40, 9)), ((0, 181), (1, 182)), ((1, 2, 3), (1, 1)), (None, (1, 1))]
)
async def test_corners_off_the_map_are_refused(corners: Any) -> None:
    with pytest.raises(InputError):
        await Client(ApiV3("token")).segments.explore(*corners)


async def test_a_client_of_an_application_knows_its_athlete() -> None:
    async with world() as here:
        assert here.strava.client(17).athlete_id == 17
        assert repr(here.strava.client(17)) == "<Client of athlete 17>"


async def test_a_client_of_a_token_learns_whose_it_is() -> None:
    async with world() as here:
        with pytest.raises(InputError, match=r"client\.athlete\.get"):
            _ = here.client.athlete_id
        await here.client.athlete.get()
        assert here.client.athlete_id == here.data.athlete_id
        await here.client.athlete.stats()
        assert here.emulator.count("GET", "/athlete") == 1


async def test_on_invalid_is_one_of_two() -> None:
    with pytest.raises(InputError):
        Client(ApiV3("token"), on_invalid="shrug")
    client = Client(ApiV3("token"))
    with pytest.raises(InputError):
        client.on_invalid = "bogus"
    assert client.on_invalid == "keep"


def test_importing_the_client_loads_pydantic_and_not_its_first_use_on_an_event_loop() -> None:
    script = """
import sys
from strava_async import ApiV3, Strava
assert "pydantic" not in sys.modules
from strava_async import Client
assert "pydantic" in sys.modules
before = set(sys.modules)
client = Client(ApiV3("token"))
client.activities, client.athlete, client.clubs, client.gear, client.routes
client.segment_efforts, client.segments, client.streams, client.uploads
assert set(sys.modules) == before
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_pydantic_the_raw_way_stays_and_the_typed_one_says_what_to_install() -> None:
    script = """
import sys
sys.modules["pydantic"] = None
from strava_async import ApiV3, Client, InputError
client = Client(ApiV3("token"))
client.api
try:
    client.activities
except InputError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "strava-async[models]" in run.stdout
