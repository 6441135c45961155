"""The emulator's segments and efforts: they name each other and the activities, and agree."""

from collections import Counter
from datetime import datetime, timedelta

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from strava_async.testing import Emulator, FakeClock, MeterLimits, Quirks
from strava_async.testing.state.catalogue import Catalogue, body_cache
from strava_async.testing.world.additions import NewUpload
from strava_async.testing.world.routes.polyline import decode
from strava_async.testing.world.segments import detail as segment_detail
from tests.testing.event_loops import EACH_LOOP

pytestmark = pytest.mark.anyio

ROOMY = MeterLimits(100_000, 100_000, 100_000, 100_000)
ANYWHERE = "-90,-180,90,180"
NOT_THERE = ["0", "1", "-1", "x", "1.5", "9" * 18, "9" * 40, "%20", "1e3"]


@pytest.fixture(scope="module")
def emulator():
    """Tests change nothing in this one; those that do take a fresh one."""
    return Emulator(clock=FakeClock(), years=0.3, limits=ROOMY)


@pytest.fixture
def fresh():
    return Emulator(clock=FakeClock(), years=0.15, limits=ROOMY)


@pytest.fixture(scope="module")
def passed(emulator):
    """The efforts that the activities' details show, by segment."""
    world, found = emulator.world(), {}
    for activity in world.activities:
        for effort in world.segment_efforts(activity["id"]):
            found.setdefault(effort["segment"]["id"], []).append(effort)
    return found


@pytest.fixture(scope="module")
def busy(emulator):
    return busiest(emulator)


def connect(emulator, *scope):
    token = (emulator.grant(scope=scope) if scope else emulator.grant())["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {token}"},
    )


def hide(emulator, activity_id):
    activity = next(a for a in emulator.world().activities if a["id"] == activity_id)
    activity["private"], activity["visibility"] = True, "only_me"
    emulator.refresh()


def busiest(emulator):
    """Return a public segment with several efforts, and these as activities' details show them, the fastest first."""
    world = emulator.world()
    public = [segment for segment in world.segments.all().values() if not segment.summary["private"]]
    segment = max(public, key=lambda segment: len(world.segments.passes(segment)))
    efforts = [
        effort
        for one in world.segments.passes(segment)
        for effort in world.detail(one.activity["id"])["segment_efforts"]
        if effort["segment"]["id"] == segment.summary["id"]
    ]
    assert len(efforts) >= 3
    return segment.summary["id"], efforts


def of_kind(emulator, **facts):
    return next(
        segment.summary
        for segment in emulator.world().segments.all().values()
        if all(segment.summary[name] == value for name, value in facts.items())
    )


def listed(effort):
    return {key: value for key, value in effort.items() if key != "hidden"}


def missing(scope):
    return {
        "message": "Authorization Error",
        "errors": [{"resource": "AccessToken", "field": f"{scope}_permission", "code": "missing"}],
    }


async def test_what_an_effort_says_of_its_segment_the_segment_says_too(emulator, busy):
    _, (fastest, *_) = busy
    async with connect(emulator) as api:
        efforts = (await api.get(f"/activities/{fastest['activity']['id']}")).json()["segment_efforts"]
        assert len(efforts) > 2
        for effort in efforts:
            segment = (await api.get(f"/segments/{effort['segment']['id']}")).json()
            own = {"resource_state", "elevation_profile", "elevation_profiles"}
            assert {key: segment[key] for key in effort["segment"] if key not in own} == {
                key: value for key, value in effort["segment"].items() if key not in own
            }


async def test_every_segment_that_activities_and_routes_name_is_there(emulator, passed):
    world = emulator.world()
    async with connect(emulator) as api:
        routes = [(await api.get(f"/routes/{number}")).json() for number in world.routes]
        along_routes = {segment["id"] for route in routes for segment in route["segments"]}
        named = along_routes | set(passed)
        assert [len(route["segments"]) for route in routes] == [len(one.way.spans) for one in world.routes.values()]
        assert len(set(passed) - along_routes) > 5
        assert {(await api.get(f"/segments/{number}")).status_code for number in named} == {200}


async def test_a_segment_has_what_a_segment_has(emulator, busy):
    segment_id, efforts = busy
    async with connect(emulator) as api:
        segment = (await api.get(f"/segments/{segment_id}")).json()
    assert segment["resource_state"] == 3
    assert segment["created_at"] < segment["updated_at"]
    assert segment["map"]["id"] == f"s{segment_id}"
    assert decode(segment["map"]["polyline"])[0] == pytest.approx(segment["start_latlng"], abs=1e-4)
    assert decode(segment["map"]["polyline"])[-1] == pytest.approx(segment["end_latlng"], abs=1e-4)
    assert segment["total_elevation_gain"] >= 0
    assert segment["effort_count"] > segment["athlete_count"] > len(efforts)
    assert segment["elevation_profiles"]["light_url"] == segment["elevation_profile"]
    minutes, seconds = segment["xoms"]["kom"].split(":")
    assert int(minutes) * 60 + int(seconds) < efforts[0]["elapsed_time"]
    legend = segment["local_legend"]
    assert legend["effort_description"] == f"{int(legend['effort_count'])} efforts in the last 90 days"


async def test_the_statistics_agree_with_the_efforts(emulator, busy):
    segment_id, efforts = busy
    best = efforts[0]
    async with connect(emulator) as api:
        stats = (await api.get(f"/segments/{segment_id}")).json()["athlete_segment_stats"]
    assert best["elapsed_time"] == min(effort["elapsed_time"] for effort in efforts)
    assert stats == {
        "pr_elapsed_time": best["elapsed_time"],
        "pr_date": best["start_date_local"][:10],
        "pr_visibility": best["visibility"],
        "pr_activity_id": best["activity"]["id"],
        "pr_activity_visibility": best["activity"]["visibility"],
        "effort_count": len(efforts),
    }


async def test_a_segment_without_efforts_has_no_record(emulator, passed):
    fresh = next(number for number in emulator.world().segments.all() if number not in passed)
    async with connect(emulator) as api:
        segment = (await api.get(f"/segments/{fresh}")).json()
    assert segment["athlete_segment_stats"] == {"pr_elapsed_time": None, "pr_date": None, "effort_count": 0}


def test_efforts_are_timed_without_streams_as_with_them(emulator, passed):
    world = emulator.world()
    checked = 0
    for segment_id, efforts in passed.items():
        quick = {effort.id: effort for effort in world.segments.passes(world.segments.all()[segment_id])}
        assert quick.keys() == {effort["id"] for effort in efforts}
        for effort in efforts:
            names = ("start_index", "end_index", "elapsed_time", "distance", "start_date", "start_date_local")
            assert [getattr(quick[effort["id"]], name) for name in names] == [effort[name] for name in names]
            checked += 1
    assert checked > 50


async def test_without_read_all_nothing_is_said_of_the_athlete(fresh):
    segment_id, _ = busiest(fresh)
    fresh.world().segments.star(segment_id, starred=True, now=fresh.clock.time())
    async with connect(fresh, "read") as api:
        assert "athlete_segment_stats" not in (await api.get(f"/segments/{segment_id}")).json()
        starred = (await api.get("/segments/starred")).json()
    assert segment_id in [segment["id"] for segment in starred]
    assert not any("pr_time" in segment or "athlete_pr_effort" in segment for segment in starred)


@pytest.mark.parametrize("path", ["", "/streams", "/all_efforts"])
async def test_a_private_segment_is_missing_without_read_all(emulator, path):
    segment_id = of_kind(emulator, private=True)["id"]
    async with connect(emulator, "read", "activity:read_all") as api:
        reply = await api.get(f"/segments/{segment_id}{path}")
    assert (reply.status_code, reply.json()["errors"][0]["resource"]) == (404, "Segment")
    async with connect(emulator) as api:
        assert (await api.get(f"/segments/{segment_id}{path}")).status_code == 200


async def test_efforts_of_private_activities_need_their_scope(fresh):
    segment_id, efforts = busiest(fresh)
    best = efforts[0]
    shown = [effort for effort in efforts[1:] if effort["visibility"] != "only_me"]
    hide(fresh, best["activity"]["id"])
    async with connect(fresh, "read_all", "activity:read") as api:
        stats = (await api.get(f"/segments/{segment_id}")).json()["athlete_segment_stats"]
        assert (stats["effort_count"], stats["pr_activity_id"]) == (len(shown), shown[0]["activity"]["id"])
        visible = (await api.get(f"/segments/{segment_id}/all_efforts?per_page=200")).json()
        assert [effort["id"] for effort in visible] == [effort["id"] for effort in shown]
        for path in ("", "/streams"):
            assert (await api.get(f"/segment_efforts/{best['id']}{path}")).status_code == 404
            assert (await api.get(f"/segment_efforts/{shown[0]['id']}{path}")).status_code == 200
    async with connect(fresh) as api:
        stats = (await api.get(f"/segments/{segment_id}")).json()["athlete_segment_stats"]
        assert (stats["effort_count"], stats["pr_activity_visibility"]) == (len(efforts), "only_me")


async def test_starred_segments_come_in_pages_the_last_starred_first(emulator):
    world, found, page = emulator.world(), [], 1
    async with connect(emulator) as api:
        while items := (await api.get("/segments/starred", params={"page": page, "per_page": 3})).json():
            found += items
            page += 1
    assert {segment["id"] for segment in found} == {
        number for number, segment in world.segments.all().items() if segment.summary["starred"]
    }
    assert len(found) > 3
    dates = [segment["starred_date"] for segment in found]
    assert dates == sorted(dates, reverse=True)


async def test_a_starred_segment_shows_the_best_effort(fresh):
    segment_id, efforts = busiest(fresh)
    best = efforts[0]
    fresh.world().segments.star(segment_id, starred=False, now=fresh.clock.time())
    async with connect(fresh) as api:
        put = (await api.put(f"/segments/{segment_id}/starred", data={"starred": "true"})).json()
        first = (await api.get("/segments/starred?per_page=1")).json()[0]
    assert first["id"] == segment_id
    assert first["pr_time"] == best["elapsed_time"]
    assert first["athlete_pr_effort"] == put["athlete_pr_effort"]
    assert first["athlete_pr_effort"] == {
        "id": best["id"],
        "activity_id": best["activity"]["id"],
        **{name: best[name] for name in ("elapsed_time", "distance", "start_date", "start_date_local")},
        "is_kom": False,
    }


async def test_a_star_shows_everywhere_and_goes_everywhere(fresh):
    segment_id, efforts = busiest(fresh)
    fresh.world().segments.star(segment_id, starred=False, now=fresh.clock.time())
    activity_id, effort_id = efforts[0]["activity"]["id"], efforts[0]["id"]

    async def stars(api):
        detail = (await api.get(f"/activities/{activity_id}")).json()["segment_efforts"]
        return {
            (await api.get(f"/segments/{segment_id}")).json()["starred"],
            segment_id in [one["id"] for one in (await api.get("/segments/starred?per_page=200")).json()],
            next(one["segment"]["starred"] for one in detail if one["id"] == effort_id),
            (await api.get(f"/segment_efforts/{effort_id}")).json()["segment"]["starred"],
            (await api.get(f"/segments/{segment_id}/all_efforts")).json()[0]["segment"]["starred"],
        }

    async with connect(fresh) as api:
        assert await stars(api) == {False}
        before = (await api.get(f"/segments/{segment_id}")).json()
        starred = await api.put(f"/segments/{segment_id}/starred", data={"starred": "true"})
        assert (starred.status_code, starred.json()["starred"]) == (200, True)
        assert starred.json()["star_count"] == before["star_count"] + 1
        assert await stars(api) == {True}
        bare = (await api.put(f"/segments/{segment_id}/starred", data={"starred": "false"})).json()
        assert bare == before
        assert await stars(api) == {False}


async def test_starring_again_keeps_the_date(fresh):
    segment_id, _ = busiest(fresh)
    fresh.world().segments.star(segment_id, starred=False, now=fresh.clock.time())
    async with connect(fresh) as api:
        first = (await api.put(f"/segments/{segment_id}/starred", data={"starred": "true"})).json()["starred_date"]
        fresh.clock.advance(60)
        again = (await api.put(f"/segments/{segment_id}/starred", data={"starred": "true"})).json()["starred_date"]
    assert first == again


@pytest.mark.parametrize("form", [{}, {"starred": ""}, {"starred": "maybe"}, {"starred": "2"}])
async def test_a_star_that_is_none_is_a_400(emulator, form):
    async with connect(emulator) as api:
        reply = await api.put(f"/segments/{of_kind(emulator)['id']}/starred", data=form)
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, "starred")


async def test_a_private_segment_is_starred_with_read_all_only(fresh):
    path = f"/segments/{of_kind(fresh, private=True)['id']}/starred"
    async with connect(fresh, "profile:write") as api:
        assert (await api.put(path, data={"starred": "true"})).status_code == 404
    async with connect(fresh, "profile:write", "read_all") as api:
        assert (await api.put(path, data={"starred": "true"})).status_code == 200


@pytest.mark.parametrize(("asked", "types"), [("running", {"Run"}), ("riding", {"Ride"}), (None, {"Ride"})])
async def test_exploring_finds_ten_public_segments_of_that_kind(emulator, asked, types):
    known = emulator.world().segments.all()
    params = {"bounds": ANYWHERE} | ({"activity_type": asked} if asked else {})
    async with connect(emulator) as api:
        found = (await api.get("/segments/explore", params=params)).json()["segments"]
    assert len(found) == 10
    assert {known[one["id"]].summary["activity_type"] for one in found} == types
    assert not any(known[one["id"]].summary["private"] for one in found)
    for one in found:
        summary = known[one["id"]].summary
        assert one["avg_grade"] == summary["average_grade"]
        assert one["climb_category_desc"] == segment_detail.CLIMBS[one["climb_category"]]
        assert decode(one["points"])[0] == pytest.approx(one["start_latlng"], abs=1e-4)


async def test_exploring_keeps_within_the_rectangle(emulator):
    lat, lng = of_kind(emulator, activity_type="Ride", private=False)["start_latlng"]
    bounds = f"{lat - 0.001},{lng - 0.001},{lat + 0.001},{lng + 0.001}"
    async with connect(emulator) as api:
        found = (await api.get("/segments/explore", params={"bounds": bounds})).json()["segments"]
        nowhere = (await api.get("/segments/explore", params={"bounds": "-89,0,-88,1"})).json()
    assert found
    assert all(one["start_latlng"] == pytest.approx([lat, lng], abs=0.001) for one in found)
    assert nowhere == {"segments": []}


async def test_exploring_by_category(emulator):
    async with connect(emulator) as api:
        for low, high in ((0, 0), (1, 5)):
            params = {"bounds": ANYWHERE, "activity_type": "running", "min_cat": low, "max_cat": high}
            found = (await api.get("/segments/explore", params=params)).json()["segments"]
            known = [one.summary for one in emulator.world().segments.all().values()]
            fitting = [
                one
                for one in known
                if one["activity_type"] == "Run" and not one["private"] and low <= one["climb_category"] <= high
            ]
            assert len(found) == min(10, len(fitting))
            assert all(low <= one["climb_category"] <= high for one in found)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"bounds": ""},
        {"bounds": "1,2,3"},
        {"bounds": "1,2,3,x"},
        {"bounds": "1,2,3,nan"},
        {"bounds": "2,0,1,1"},
        {"bounds": "0,0,inf,1"},
        {"bounds": "0,0,91,1"},
        {"bounds": ANYWHERE, "activity_type": "Swim"},
        {"bounds": ANYWHERE, "min_cat": "6"},
        {"bounds": ANYWHERE, "max_cat": "-1"},
        {"bounds": ANYWHERE, "max_cat": "x"},
    ],
)
async def test_exploring_without_sense_is_a_400(emulator, query):
    async with connect(emulator) as api:
        reply = await api.get("/segments/explore", params=query)
    assert (reply.status_code, reply.json()["message"]) == (400, "Bad Request")


async def test_exploring_can_be_closed():
    emulator = Emulator(clock=FakeClock(), years=0.1, quirks=Quirks(explore_open=False))
    async with connect(emulator) as api:
        reply = await api.get("/segments/explore", params={"bounds": ANYWHERE})
    assert reply.status_code == 401
    assert reply.json()["errors"] == [{"resource": "Application", "field": "internal", "code": "invalid"}]


async def test_all_efforts_come_in_pages_the_fastest_first(emulator, busy):
    segment_id, efforts = busy
    found, page = [], 1
    async with connect(emulator) as api:
        while items := (
            await api.get(f"/segments/{segment_id}/all_efforts", params={"page": page, "per_page": 2})
        ).json():
            found += items
            page += 1
    assert found == [listed(effort) for effort in efforts]
    times = [(effort["elapsed_time"], effort["start_date"]) for effort in found]
    assert times == sorted(times)


async def test_the_list_of_efforts_has_one_page(emulator, busy):
    segment_id, efforts = busy
    async with connect(emulator) as api:
        for page in (1, 2):
            params = {"segment_id": segment_id, "per_page": 2, "page": page}
            found = (await api.get("/segment_efforts", params=params)).json()
            assert found == [listed(effort) for effort in efforts[:2]]


@pytest.mark.parametrize("path", ["/segment_efforts?segment_id={}", "/segments/{}/all_efforts"])
async def test_efforts_can_be_chosen_by_the_clock_on_the_wall(emulator, busy, path):
    segment_id, efforts = busy
    wall = sorted(effort["start_date_local"] for effort in efforts)[1]
    later = (datetime.fromisoformat(wall) + timedelta(seconds=1)).isoformat()
    chosen = [listed(effort) for effort in efforts if effort["start_date_local"] == wall]
    async with connect(emulator) as api:
        both = {"start_date_local": wall, "end_date_local": wall}
        url = httpx.URL(path.format(segment_id))
        assert (await api.get(url.copy_merge_params(both))).json() == chosen
        assert (await api.get(url.copy_merge_params({"start_date_local": later, "end_date_local": wall}))).json() == []
        reply = await api.get(url.copy_merge_params(both | {"end_date_local": "tomorrow"}))
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, "end_date_local")


async def test_an_effort_carries_its_activity_its_athlete_and_the_statistics(emulator, busy):
    world = emulator.world()
    segment_id, efforts = busy
    effort = listed(efforts[-1])
    async with connect(emulator) as api:
        found = (await api.get(f"/segment_efforts/{effort['id']}")).json()
        segment = (await api.get(f"/segments/{segment_id}")).json()
    assert found == effort | {
        "resource_state": 3,
        "activity": next(a for a in world.activities if a["id"] == effort["activity"]["id"]),
        "athlete": world.summary_profile,
        "athlete_segment_stats": segment["athlete_segment_stats"],
    }


async def test_statistics_need_read_all_wherever_they_are_shown(emulator, busy):
    segment_id, efforts = busy
    effort = next(effort for effort in efforts if effort["visibility"] != "only_me")
    async with connect(emulator, "read", "activity:read") as api:
        assert "athlete_segment_stats" not in (await api.get(f"/segment_efforts/{effort['id']}")).json()
        assert "athlete_segment_stats" not in (await api.get(f"/segments/{segment_id}")).json()


def test_timing_a_segments_efforts_goes_step_by_step(fresh):
    segments = fresh.world().segments
    segment = max(segments.all().values(), key=lambda segment: len(segments.passed_by(segment)))
    count = len(segments.passed_by(segment))
    assert sum(1 for _ in segments.timing(segment)) == count > 2
    assert list(segments.timing(segment)) == []
    assert segments.passes(segment) is segments.passes(segment)
    assert [one.activity["id"] for one in sorted(segments.passes(segment), key=lambda one: one.start_at)] == (
        segments.passed_by(segment)
    )


@pytest.mark.parametrize("path", ["/segments/starred", "/segments/{}", "/segment_efforts?segment_id={}"])
@EACH_LOOP
async def test_others_get_a_turn_after_each_activity_that_is_timed(fresh, path):
    segments = fresh.world().segments
    busy = max(segments.all().values(), key=lambda segment: len(segments.passed_by(segment)))
    segments.star(busy.summary["id"], starred=True, now=fresh.clock.time())

    async def turns_of_others():
        turns, replies = 0, []

        async def ask():
            replies.append(await api.get(path.format(busy.summary["id"])))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while not replies:
                await checkpoint()
                turns += 1
        assert replies[0].status_code == 200
        return turns

    async with connect(fresh) as api:
        first, again = await turns_of_others(), await turns_of_others()
    assert first - again >= len(segments.passed_by(busy)) - 1


def test_a_change_that_some_activities_show_is_made_again_for_these_alone(fresh):
    catalogue, made = Catalogue(fresh.world(), body_cache()), []
    first, second = (activity["id"] for activity in fresh.world().activities[:2])

    def ask():
        made.clear()
        for number in (first, second):
            catalogue.body(number, ("detail",), lambda number=number: made.append(number))
        return list(made)

    assert (ask(), ask()) == ([first, second], [])
    catalogue.touch([second])
    assert [catalogue.has_body(number, ("detail",)) for number in (first, second)] == [True, False]
    assert (ask(), ask()) == ([second], [])


async def test_efforts_are_for_subscribers(fresh):
    segment_id, efforts = busiest(fresh)
    paths = (
        f"/segment_efforts?segment_id={segment_id}",
        f"/segment_efforts/{efforts[0]['id']}",
        f"/segments/{segment_id}/all_efforts",
    )
    async with connect(fresh) as api:
        fresh.quirks.subscribed = False
        assert [(await api.get(path)).status_code for path in paths] == [402] * 3
        assert (await api.get(f"/segments/{segment_id}")).status_code == 200
        fresh.quirks.subscribed = True
        assert [(await api.get(path)).status_code for path in paths] == [200] * 3


async def test_a_segments_streams_are_its_points(emulator, busy):
    segment_id, _ = busy
    async with connect(emulator, "read") as api:
        segment = (await api.get(f"/segments/{segment_id}")).json()
        path = f"/segments/{segment_id}/streams"
        streams = (await api.get(path, params={"key_by_type": "true"})).json()
        rows = (await api.get(path, params={"keys": "altitude,heartrate,distance"})).json()
    assert streams.keys() == {"distance", "altitude", "latlng"}
    points = len(decode(segment["map"]["polyline"]))
    assert {stream["original_size"] for stream in streams.values()} == {points}
    assert {len(stream["data"]) for stream in streams.values()} == {points}
    assert streams["distance"]["data"][0] == 0.0
    assert streams["distance"]["data"][-1] == segment["distance"]
    assert [streams["latlng"]["data"][0], streams["latlng"]["data"][-1]] == [
        segment["start_latlng"],
        segment["end_latlng"],
    ]
    assert rows == [{"type": key, **streams[key]} for key in ("distance", "altitude")]


async def test_an_efforts_streams_are_a_piece_of_its_activitys(emulator, busy):
    _, efforts = busy
    effort = efforts[0]
    whole = emulator.world().streams(effort["activity"]["id"])
    keys = ",".join(whole)
    async with connect(emulator) as api:
        path = f"/segment_efforts/{effort['id']}/streams"
        bare = (await api.get(path, params={"key_by_type": "true"})).json()
        streams = (await api.get(path, params={"key_by_type": "true", "keys": keys})).json()
        rows = (await api.get(path, params={"keys": "time"})).json()
    assert bare == {"distance": streams["distance"]}
    assert streams.keys() == whole.keys()
    for key, stream in streams.items():
        data = whole[key]["data"][effort["start_index"] : effort["end_index"] + 1]
        assert stream == whole[key] | {"data": data, "original_size": len(data)}
    time = streams["time"]["data"]
    assert time[-1] - time[0] == effort["elapsed_time"]
    assert rows == [{"type": "time", **streams["time"]}]


async def test_streams_carry_the_rate_fields(emulator, busy):
    segment_id, efforts = busy
    async with connect(emulator) as api:
        for path in (f"/segments/{segment_id}/streams", f"/segment_efforts/{efforts[0]['id']}/streams"):
            reply = await api.get(path)
            assert reply.headers["X-Ratelimit-Usage"].count(",") == 1


@pytest.mark.parametrize(
    ("scope", "method", "path", "needed"),
    [
        ("activity:read", "GET", "/segments/{}", "read"),
        ("activity:read", "GET", "/segments/starred", "read"),
        ("activity:read", "GET", "/segments/explore?bounds=0,0,1,1", "read"),
        ("activity:read", "GET", "/segments/{}/streams", "read"),
        ("read", "PUT", "/segments/{}/starred", "profile:write"),
        ("read", "GET", "/segments/{}/all_efforts", "activity:read"),
        ("read", "GET", "/segment_efforts?segment_id={}", "activity:read"),
        ("read", "GET", "/segment_efforts/1", "activity:read"),
        ("activity:read_all", "GET", "/segment_efforts/1/streams", "read_all"),
    ],
)
async def test_a_missing_scope_is_named(emulator, scope, method, path, needed):
    async with connect(emulator, scope) as api:
        reply = await api.request(method, path.format(of_kind(emulator)["id"]))
    assert (reply.status_code, reply.json()) == (401, missing(needed))


@pytest.mark.parametrize("odd", NOT_THERE)
async def test_what_is_no_id_of_anything_is_a_404(emulator, odd):
    async with connect(emulator) as api:
        for path in ("/segments/{}", "/segments/{}/streams", "/segments/{}/all_efforts", "/segment_efforts/{}"):
            reply = await api.get(path.format(odd))
            assert (reply.status_code, reply.json()["message"]) == (404, "Resource Not Found")
        assert (await api.get(f"/segment_efforts/{odd}/streams")).status_code == 404
        assert (await api.put(f"/segments/{odd}/starred", data={"starred": "true"})).status_code == 404
        assert (await api.get("/segment_efforts", params={"segment_id": odd})).status_code in (400, 404)


async def test_efforts_of_others_are_missing():
    emulator = Emulator(clock=FakeClock(), years=0.1, athletes=2, limits=ROOMY)
    other = emulator.world(emulator.athlete_ids[1])
    effort = next(
        one for a in other.activities if a["visibility"] == "everyone" for one in other.segment_efforts(a["id"])
    )
    async with connect(emulator) as api:
        assert (await api.get(f"/segment_efforts/{effort['id']}")).status_code == 404
        assert (await api.get(f"/segment_efforts/{effort['id']}/streams")).status_code == 404


async def test_an_effort_beyond_an_activitys_last_is_a_404(emulator, busy):
    _, (effort, *_) = busy
    last = emulator.world().segment_efforts(effort["activity"]["id"])[-1]["id"]
    async with connect(emulator) as api:
        assert (await api.get(f"/segment_efforts/{last}")).status_code == 200
        assert (await api.get(f"/segment_efforts/{last + 1}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/segment_efforts", {}),
        ("/segment_efforts", {"segment_id": ""}),
        ("/segments/starred", {"page": "0"}),
        ("/segments/starred", {"per_page": "201"}),
        ("/segments/{}/all_efforts", {"page": "x"}),
        ("/segments/{}/all_efforts", {"start_date_local": "0000-99-99"}),
        ("/segments/{}/streams", {"resolution": "all"}),
        ("/segments/{}/streams", {"series_type": "latlng"}),
    ],
)
async def test_an_odd_query_is_a_400(emulator, path, query):
    async with connect(emulator) as api:
        reply = await api.get(path.format(of_kind(emulator)["id"]), params=query)
    assert (reply.status_code, reply.json()["message"]) == (400, "Bad Request")


async def test_an_upload_passes_segments_too(fresh):
    world = fresh.world()
    fresh.clock.advance(86_400)
    now, known = fresh.clock.time(), list(world.segments.all().items())
    before = {number: len(world.segments.passes(segment)) for number, segment in known}
    everybodys = {number: world.segment(segment, now=now)["effort_count"] for number, segment in known}
    for number in range(90_000_000_500, 90_000_000_508):
        upload = NewUpload(activity_id=number, upload_id=5, sport_type="Ride", start_at=now - 9_000)
        world.add_uploaded(upload, now=now)
    fresh.refresh()
    efforts = [effort for number in range(90_000_000_500, 90_000_000_508) for effort in world.segment_efforts(number)]
    assert efforts
    async with connect(fresh) as api:
        for segment_id, count in Counter(effort["segment"]["id"] for effort in efforts).items():
            segment = (await api.get(f"/segments/{segment_id}")).json()
            assert segment["athlete_segment_stats"]["effort_count"] == before.get(segment_id, 0) + count
            assert segment["effort_count"] == everybodys.get(segment_id, segment["effort_count"] - count) + count
        assert (await api.get(f"/segment_efforts/{efforts[0]['id']}")).json()["activity"]["id"] >= 90_000_000_500


async def test_a_seed_makes_the_same_segments():
    answers = []
    for _ in range(2):
        emulator = Emulator(clock=FakeClock(), years=0.1)
        async with connect(emulator) as api:
            answers.append([(await api.get("/segments/starred")).json()])
            answers[-1].append((await api.get(f"/segments/{answers[-1][0][0]['id']}")).json())
    assert answers[0] == answers[1]
