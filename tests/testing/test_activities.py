"""The emulator's athlete, activities and what hangs on them."""

import json

import anyio
import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, MeterLimits
from strava_async.testing.http.responses import EncodedBody
from strava_async.testing.state.catalogue import body_cache
from strava_async.testing.world import start_of
from tests.testing.event_loops import EACH_LOOP

pytestmark = pytest.mark.anyio

ROOMY = MeterLimits(100_000, 100_000, 100_000, 100_000)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def emulator(clock):
    return Emulator(clock=clock, years=0.5, limits=ROOMY)


def connect(emulator, *scope):
    token = (emulator.grant(scope=scope) if scope else emulator.grant())["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {token}"},
    )


def hide(emulator, position):
    activity = emulator.world().activities[position]
    activity["private"], activity["visibility"] = True, "only_me"
    emulator.refresh()
    return activity["id"]


async def walk(api, **params):
    found, page = [], 1
    while items := (await api.get("/athlete/activities", params={**params, "page": page})).json():
        found += items
        page += 1
    return found


def missing(scope):
    return {
        "message": "Authorization Error",
        "errors": [{"resource": "AccessToken", "field": f"{scope}_permission", "code": "missing"}],
    }


async def test_the_profile_is_detailed_only_with_its_scope(emulator):
    async with connect(emulator) as api:
        assert (await api.get("/athlete")).json() == emulator.world().profile
    async with connect(emulator, "read") as api:
        assert (await api.get("/athlete")).json() == emulator.world().summary_profile


@pytest.mark.parametrize("way", ["data", "params", "json"])
async def test_the_weight_can_be_set(emulator, way):
    async with connect(emulator) as api:
        reply = await api.put("/athlete", **{way: {"weight": 71.5}})
        assert reply.json()["weight"] == 71.5
        assert (await api.get("/athlete")).json()["weight"] == 71.5


@pytest.mark.parametrize("weight", ["", "x", "nan", "inf", "-1", "1e9"])
async def test_a_weight_that_is_none_is_a_400(emulator, weight):
    async with connect(emulator) as api:
        assert (await api.put("/athlete", data={"weight": weight})).status_code == 400


@pytest.mark.parametrize(
    ("scope", "method", "path", "needed"),
    [
        ("read", "GET", "/athlete/zones", "profile:read_all"),
        ("read", "PUT", "/athlete", "profile:write"),
        ("read", "GET", "/athlete/activities", "activity:read"),
        ("activity:write", "GET", "/activities/{}", "activity:read"),
        ("read", "GET", "/activities/{}/streams", "activity:read"),
        ("activity:read", "POST", "/activities", "activity:write"),
        ("activity:read", "PUT", "/activities/{}", "activity:write"),
        ("activity:read", "POST", "/uploads", "activity:write"),
        ("activity:read", "GET", "/uploads/1", "activity:write"),
        ("activity:read", "GET", "/athletes/{}/stats", "read"),
    ],
)
async def test_a_missing_scope_is_named(emulator, scope, method, path, needed):
    async with connect(emulator, scope) as api:
        reply = await api.request(method, path.format(emulator.world().activities[0]["id"]))
    assert (reply.status_code, reply.json()) == (401, missing(needed))


async def test_zones_stats_clubs_and_gear_are_those_of_the_world(emulator, clock):
    world = emulator.world()
    gear_id = next(iter(world.gear))
    async with connect(emulator) as api:
        assert (await api.get("/athlete/zones")).json() == world.zones
        assert (await api.get(f"/athletes/{world.athlete_id}/stats")).json() == world.stats(clock.time())
        assert (await api.get("/athlete/clubs")).json() == world.profile["clubs"]
        assert (await api.get("/athlete/clubs?page=2")).json() == []
        assert (await api.get(f"/gear/{gear_id}")).json() == world.gear[gear_id]


async def test_stats_of_others_are_forbidden(emulator):
    async with connect(emulator) as api:
        assert (await api.get("/athletes/1/stats")).status_code == 403
        assert (await api.get("/athletes/x/stats")).status_code == 404


async def test_a_walk_to_the_empty_page_brings_every_activity_once_newest_first(emulator):
    async with connect(emulator) as api:
        found = await walk(api, per_page=7)
    assert found == emulator.world().activities[::-1]


async def test_thirty_a_page_is_the_default(emulator):
    async with connect(emulator) as api:
        assert len((await api.get("/athlete/activities")).json()) == 30


async def test_after_alone_is_oldest_first_and_both_bounds_are_newest_first(emulator):
    activities = emulator.world().activities
    starts = [int(start_of(activity)) for activity in activities]
    async with connect(emulator) as api:
        after = await walk(api, after=starts[4])
        between = await walk(api, after=starts[4], before=starts[10])
        before = await walk(api, before=starts[10])
    assert after == activities[5:]
    assert between == activities[5:10][::-1]
    assert before == activities[:10][::-1]


async def test_after_in_the_future_is_a_400_that_says_so(emulator, clock):
    async with connect(emulator) as api:
        reply = await api.get("/athlete/activities", params={"after": int(clock.time()) * 1_000})
    assert (reply.status_code, reply.json()) == (
        400,
        {"message": "Bad Request", "errors": [{"resource": "Application", "field": "after", "code": "future"}]},
    )


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=",
        "per_page=0",
        "per_page=201",
        "per_page=1.5",
        "after=x",
        "before=1e9",
        "page=٣",
    ],
)
async def test_bad_numbers_are_a_400(emulator, query):
    async with connect(emulator) as api:
        assert (await api.get(f"/athlete/activities?{query}")).status_code == 400


async def test_more_than_200_a_page_can_be_taken_as_200(emulator):
    emulator.quirks.clamp_per_page = True
    async with connect(emulator) as api:
        assert (await api.get("/athlete/activities?per_page=201")).status_code == 200


async def test_pages_beyond_the_end_are_empty(emulator):
    async with connect(emulator) as api:
        for page in (1_000, 10**17):
            for query in ("", "&after=0"):
                assert (await api.get(f"/athlete/activities?page={page}{query}")).json() == []


async def test_private_activities_need_their_scope(emulator):
    hidden = hide(emulator, 3)
    async with connect(emulator, "activity:read") as api:
        assert hidden not in [activity["id"] for activity in await walk(api)]
        assert (await api.get(f"/activities/{hidden}")).status_code == 404
        assert (await api.get(f"/activities/{hidden}/laps")).status_code == 404
    async with connect(emulator, "activity:read_all") as api:
        assert hidden in [activity["id"] for activity in await walk(api)]
        assert (await api.get(f"/activities/{hidden}")).status_code == 200


@pytest.mark.parametrize("number", ["1", "0", "x", "-5", "9" * 30, "%00", "..%2f..%2fathlete", "1.0", "٣"])
@pytest.mark.parametrize("below", ["", "/laps", "/zones", "/comments", "/kudos", "/streams"])
async def test_an_activity_that_does_not_exist_is_a_404(emulator, number, below):
    async with connect(emulator) as api:
        reply = await api.get(f"/activities/{number}{below}")
    assert reply.status_code == 404
    assert reply.json()["message"] in ("Resource Not Found", "Record Not Found")


async def test_activities_of_others_are_not_seen():
    emulator = Emulator(clock=FakeClock(), years=0.2, athletes=2)
    other = emulator.world(emulator.athlete_ids[1]).activities[0]["id"]
    async with connect(emulator) as api:
        assert (await api.get(f"/activities/{other}")).status_code == 404


async def test_detail_laps_zones_and_kudos_are_those_of_the_world(emulator):
    world = emulator.world()
    activity_id = world.activities[-1]["id"]
    async with connect(emulator) as api:
        assert (await api.get(f"/activities/{activity_id}")).json() == world.detail(activity_id)
        assert (await api.get(f"/activities/{activity_id}/laps?page=9")).json() == world.laps(activity_id)
        assert (await api.get(f"/activities/{activity_id}/zones")).json() == world.activity_zones(activity_id)
        kudos = (await api.get(f"/activities/{activity_id}/kudos?per_page=200")).json()
        assert kudos == world.kudos(activity_id)
        halves = [(await api.get(f"/activities/{activity_id}/kudos?per_page=2&page={n}")).json() for n in (1, 2)]
        assert halves == [kudos[:2], kudos[2:4]]


async def test_zones_need_a_subscriber(emulator):
    world = emulator.world()
    world.profile["summit"] = False
    async with connect(emulator) as api:
        reply = await api.get(f"/activities/{world.activities[-1]['id']}/zones")
    assert (reply.status_code, reply.json()["message"]) == (402, "Payment Required")


def most_commented(world):
    return max(world.activities, key=lambda activity: activity["comment_count"])["id"]


async def test_comments_are_walked_by_cursor(emulator):
    world = emulator.world()
    activity_id = most_commented(world)
    expected = world.comments(activity_id)
    assert len(expected) > 2
    found, cursor = [], None
    async with connect(emulator) as api:
        while True:
            params = {"page_size": 2} | ({"after_cursor": cursor} if cursor else {})
            items = (await api.get(f"/activities/{activity_id}/comments", params=params)).json()
            if not items:
                break
            found += items
            cursor = items[-1]["cursor"]
            assert cursor.endswith("%3D%3D")
    assert [comment["id"] for comment in found] == [comment["id"] for comment in expected]


async def test_a_cursor_may_be_sent_as_it_came_or_decoded(emulator):
    activity_id = most_commented(emulator.world())
    async with connect(emulator) as api:
        first = (await api.get(f"/activities/{activity_id}/comments?page_size=1")).json()[0]
        for written in (first["cursor"], first["cursor"].replace("%", "%25")):
            second = (await api.get(f"/activities/{activity_id}/comments?page_size=1&after_cursor={written}")).json()[0]
            assert second["id"] != first["id"]


async def test_comments_have_cursors_only_when_paging_was_asked_for(emulator):
    activity_id = most_commented(emulator.world())
    async with connect(emulator) as api:
        plain = (await api.get(f"/activities/{activity_id}/comments")).json()
        paged = (await api.get(f"/activities/{activity_id}/comments?page=1&per_page=2")).json()
    assert {comment["cursor"] for comment in plain} == {None}
    assert len(paged) == 2
    assert all(comment["cursor"] for comment in paged)


@pytest.mark.parametrize(
    "query",
    ["after_cursor=x", "after_cursor=W10%3D", "after_cursor=%ff", "page_size=0", "page_size=201", "page_size=x"],
)
async def test_a_bad_cursor_or_size_is_a_400(emulator, query):
    async with connect(emulator) as api:
        reply = await api.get(f"/activities/{most_commented(emulator.world())}/comments?{query}")
    assert reply.status_code == 400


def with_streams(emulator, *, distance):
    world = emulator.world()
    for activity in reversed(world.activities):
        streams = world.streams(activity["id"])
        if streams is not None and ("distance" in streams) == distance:
            return activity["id"], streams
    raise LookupError


async def test_streams_come_keyed_by_type_without_the_absent_ones(emulator):
    activity_id, streams = with_streams(emulator, distance=True)
    async with connect(emulator) as api:
        reply = await api.get(
            f"/activities/{activity_id}/streams", params={"keys": "time,distance,nonsense", "key_by_type": "true"}
        )
    assert reply.json() == {"time": streams["time"], "distance": streams["distance"]}


async def test_streams_come_as_a_list_without_key_by_type(emulator):
    activity_id, streams = with_streams(emulator, distance=True)
    async with connect(emulator) as api:
        reply = await api.get(f"/activities/{activity_id}/streams?keys=time")
    assert reply.json() == [{"type": "time", **streams["time"]}]


async def test_without_keys_the_distance_comes_alone(emulator):
    activity_id, streams = with_streams(emulator, distance=True)
    async with connect(emulator) as api:
        reply = await api.get(f"/activities/{activity_id}/streams?key_by_type=true")
    assert reply.json() == {"distance": streams["distance"]}


async def test_without_a_distance_stream_only_series_type_time_helps():
    emulator = Emulator(clock=FakeClock(), years=2, limits=ROOMY)
    activity_id, streams = with_streams(emulator, distance=False)
    async with connect(emulator) as api:
        path = f"/activities/{activity_id}/streams?keys=time&key_by_type=true"
        refused = await api.get(path)
        assert (refused.status_code, refused.json()) == (404, {"message": "Resource Not Found", "errors": []})
        assert (await api.get(f"{path}&series_type=time")).json() == {"time": streams["time"]}


@pytest.mark.parametrize("query", ["resolution=all", "series_type=x"])
async def test_bad_stream_parameters_are_a_400(emulator, query):
    async with connect(emulator) as api:
        reply = await api.get(f"/activities/{emulator.world().activities[-1]['id']}/streams?{query}")
    assert reply.status_code == 400


MANUAL = {
    "name": "Föhn & 日本",
    "sport_type": "TrailRun",
    "start_date_local": "2026-01-05T08:00:00Z",
    "elapsed_time": "3600",
    "distance": "10000",
    "description": "by hand",
    "trainer": "0",
    "commute": "1",
}


async def test_a_manual_activity_appears_in_the_list_and_has_no_streams(emulator):
    async with connect(emulator) as api:
        reply = await api.post("/activities", data=MANUAL)
        made = reply.json()
        assert reply.status_code == 201
        assert (made["name"], made["sport_type"], made["description"]) == ("Föhn & 日本", "TrailRun", "by hand")
        assert (made["elapsed_time"], made["distance"], made["commute"], made["manual"]) == (3600, 10_000.0, True, True)
        assert made["start_date_local"] == "2026-01-05T08:00:00Z"
        listed = (await api.get("/athlete/activities?per_page=20")).json()
        assert made["id"] in [activity["id"] for activity in listed]
        streams = await api.get(f"/activities/{made['id']}/streams?keys=time&key_by_type=true&series_type=time")
        assert (streams.status_code, streams.json()) == (404, {"message": "Resource Not Found", "errors": []})


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"sport_type": ""},
        {"sport_type": "run"},
        {"start_date_local": "yesterday"},
        {"start_date_local": "9999-12-31T23:59:59-23:59"},
        {"start_date_local": "2027-01-01T00:00:00Z"},
        {"elapsed_time": ""},
        {"elapsed_time": "0"},
        {"elapsed_time": "1e3"},
        {"elapsed_time": "9" * 40},
        {"distance": "nan"},
        {"distance": "-1"},
        {"description": "x" * 20_001},
    ],
)
async def test_a_manual_activity_with_a_bad_field_is_a_400(emulator, change):
    async with connect(emulator) as api:
        before = len(emulator.world().activities)
        assert (await api.post("/activities", data=MANUAL | change)).status_code == 400
    assert len(emulator.world().activities) == before


async def test_an_update_shows_in_detail_and_list(emulator):
    activity_id = emulator.world().activities[-1]["id"]
    gear_id = next(iter(emulator.world().gear))
    changes = {"name": "New", "description": "new", "sport_type": "Hike", "commute": True, "gear_id": gear_id}
    async with connect(emulator) as api:
        await api.get(f"/activities/{activity_id}")
        await api.get("/athlete/activities")
        made = (await api.put(f"/activities/{activity_id}", json=changes)).json()
        assert made == (await api.get(f"/activities/{activity_id}")).json()
        assert (made["name"], made["description"], made["sport_type"]) == ("New", "new", "Hike")
        assert (made["commute"], made["gear_id"]) == (True, gear_id)
        assert (await api.get("/athlete/activities")).json()[0]["name"] == "New"
        cleared = (await api.put(f"/activities/{activity_id}", json={"gear_id": "none"})).json()
        assert cleared["gear_id"] is None


async def test_flags_in_the_query_change_nothing(emulator):
    activity_id = emulator.world().activities[-1]["id"]
    async with connect(emulator) as api:
        made = (await api.put(f"/activities/{activity_id}?commute=1&trainer=true")).json()
    assert (made["commute"], made["trainer"]) == (False, False)


@pytest.mark.parametrize("multipart", [False, True])
async def test_an_update_may_be_a_form(emulator, multipart):
    activity_id = emulator.world().activities[-1]["id"]
    form = {"name": "Café & <3", "description": "a=b&c", "type": "hike", "commute": "true", "hide_from_home": "1"}
    sent = {"files": {name: (None, value) for name, value in form.items()}} if multipart else {"data": form}
    async with connect(emulator) as api:
        reply = await api.put(f"/activities/{activity_id}?name=ignored", **sent)
        assert reply.status_code == 200
        made = reply.json()
        assert made == (await api.get(f"/activities/{activity_id}")).json()
        assert (made["name"], made["description"], made["sport_type"]) == ("Café & <3", "a=b&c", "Hike")
        assert (made["commute"], made["hide_from_home"]) == (True, True)
        cleared = (
            await api.put(f"/activities/{activity_id}", data={"commute": "0", "trainer": "", "gear_id": "none"})
        ).json()
    assert (cleared["commute"], cleared["trainer"], cleared["gear_id"]) == (False, made["trainer"], None)
    assert cleared["name"] == "Café & <3"


@pytest.mark.parametrize("form", [{"gear_id": "b0"}, {"sport_type": "x"}, {"sport_type": "run"}, {"type": "jog"}])
async def test_a_form_with_a_value_that_strava_does_not_know_is_a_400(emulator, form):
    activity_id = emulator.world().activities[-1]["id"]
    async with connect(emulator) as api:
        assert (await api.put(f"/activities/{activity_id}", data=form)).status_code == 400


@pytest.mark.parametrize(
    ("sent", "sport_type"),
    [
        ({"type": "run"}, "Run"),
        ({"type": "VIRTUALRIDE"}, "VirtualRide"),
        ({"type": "ride", "sport_type": "GravelRide"}, "GravelRide"),
        ({"type": "swimming"}, None),
        ({"sport_type": "run"}, None),
    ],
)
async def test_the_older_type_may_be_written_in_any_case_and_the_sport_type_not(emulator, sent, sport_type):
    form = {"name": "x", "start_date_local": "2026-01-05T10:00:00Z", "elapsed_time": "60", **sent}
    async with connect(emulator) as api:
        reply = await api.post("/activities", data=form)
        assert (reply.status_code, reply.json().get("sport_type")) == ((201, sport_type) if sport_type else (400, None))
        changed = await api.put(f"/activities/{emulator.world().activities[0]['id']}", json=sent)
    assert (changed.status_code, changed.json().get("sport_type")) == ((200, sport_type) if sport_type else (400, None))


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b'{"gear_id": "b0"}', b'{"sport_type": "x"}', b"[" * 100_000])
async def test_an_update_that_cannot_be_read_is_a_400(emulator, body):
    activity_id = emulator.world().activities[-1]["id"]
    async with connect(emulator) as api:
        assert (await api.put(f"/activities/{activity_id}", content=body)).status_code == 400


async def test_a_private_activity_cannot_be_changed_without_seeing_it(emulator):
    hidden = hide(emulator, -1)
    async with connect(emulator, "activity:write", "activity:read") as api:
        assert (await api.put(f"/activities/{hidden}", json={"name": "x"})).status_code == 404


async def test_deleting_is_closed(emulator):
    async with connect(emulator) as api:
        reply = await api.delete(f"/activities/{emulator.world().activities[-1]['id']}")
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (401, "internal")


@pytest.mark.parametrize("path", ["/clubs/1/activities", "/", "", "/athlete/", "/activities/1/nothing", "/oauth"])
async def test_an_unknown_path_is_a_404_of_its_own_kind(emulator, path):
    async with connect(emulator) as api:
        reply = await api.get(path)
    assert reply.status_code == 404
    assert reply.json()["errors"] == [{"resource": "resource", "field": "path", "code": "invalid"}]


async def test_larger_answers_are_compressed_if_the_client_can(emulator):
    async with connect(emulator) as api:
        packed = await api.get("/athlete/activities")
        plain = await api.get("/athlete/activities", headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content
    assert packed.num_bytes_downloaded < len(plain.content)


@EACH_LOOP
async def test_others_are_served_while_many_details_are_made(emulator):
    numbers = [activity["id"] for activity in emulator.world().activities[:8]]
    answered = []

    async def ask(path):
        await api.get(path)
        answered.append(path)

    async with connect(emulator) as api, anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(ask, f"/activities/{number}")
        tasks.start_soon(ask, "/athlete/zones")
    assert answered.index("/athlete/zones") < len(numbers) // 2


def test_bodies_are_kept_up_to_a_number_of_bytes():
    bodies = body_cache(limit_bytes=10)
    for name in ("aa", "bb", "aa", "cc"):
        bodies.get(name, lambda: EncodedBody(b"1234"))
    assert [name in bodies for name in ("aa", "bb", "cc")] == [True, False, True]


async def test_answers_are_json_in_utf_8(emulator):
    async with connect(emulator) as api:
        reply = await api.get("/athlete/activities")
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(reply.content.decode()) == emulator.world().activities[-30:][::-1]
