"""The emulator's saved routes: lists, details, streams and files."""

from urllib.parse import unquote
from xml.etree import ElementTree

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits
from strava_async.testing.api.track_files import FileError, TrackReader
from strava_async.testing.world.routes.polyline import decode

pytestmark = pytest.mark.anyio

GPX = "{http://www.topografix.com/GPX/1/1}"
TCX = "{http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2}"
BELOW = ["", "/streams", "/export_gpx", "/export_tcx"]
ROOMY = MeterLimits(100_000, 100_000, 100_000, 100_000)


@pytest.fixture
def emulator():
    return Emulator(clock=FakeClock(), years=0.5, limits=ROOMY)


@pytest.fixture(scope="module")
def two():
    """An emulator with two athletes, for tests that change nothing in it."""
    return Emulator(clock=FakeClock(), years=0.2, athletes=2, limits=ROOMY)


def connect(emulator, *scope):
    token = (emulator.grant(scope=scope) if scope else emulator.grant())["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {token}"},
    )


def saved(emulator, *, private, athlete_id=None):
    """Return all routes of that kind, newest first."""
    return [route for route in emulator.world(athlete_id).routes.values() if route.private == private]


def missing(resource):
    return {"message": "Resource Not Found", "errors": [{"resource": resource, "field": "", "code": "not found"}]}


async def test_a_walk_brings_every_route_once_newest_first(emulator):
    world, found, page = emulator.world(), [], 1
    async with connect(emulator) as api:
        while items := (await api.get(f"/athletes/{world.athlete_id}/routes?page={page}&per_page=7")).json():
            found += items
            page += 1
    assert [route["id"] for route in found] == list(world.routes)
    assert [route["timestamp"] for route in found] == sorted((route["timestamp"] for route in found), reverse=True)
    assert page > 2


async def test_a_page_can_be_short_without_being_the_last(emulator):
    world = emulator.world()
    emulator.faults.add(Fault.short_pages(2))
    async with connect(emulator) as api:
        reply = await api.get(f"/athletes/{world.athlete_id}/routes?per_page=7")
    assert [route["id"] for route in reply.json()] == list(world.routes)[:5]


async def test_a_route_has_the_shape_that_strava_sends(emulator):
    world = emulator.world()
    route = saved(emulator, private=False)[0]
    async with connect(emulator) as api:
        alone = (await api.get(f"/routes/{route.route_id}")).json()
        listed = (await api.get(f"/athletes/{world.athlete_id}/routes")).json()
    summary = next(item for item in listed if item["id"] == route.route_id)
    assert alone["athlete"] == world.summary_profile
    assert all(number > 2**53 and number != int(float(number)) for number in world.routes)  # no float will do
    assert (alone["id_str"], alone["map"]["id"]) == (str(alone["id"]), f"r{alone['id']}")
    assert set(alone["map_urls"]) == {"url", "retina_url", "light_url", "dark_url"}
    assert isinstance(alone["estimated_moving_time"], int)
    assert (alone["resource_state"], alone["map"]["resource_state"]) == (3, 3)
    assert (summary["resource_state"], summary["map"]["resource_state"]) == (2, 2)
    assert set(alone) - set(summary) == {"segments"}
    assert set(alone["map"]) - set(summary["map"]) == {"polyline"}
    assert {key: alone[key] for key in ("name", "distance", "created_at")} == {
        key: summary[key] for key in ("name", "distance", "created_at")
    }


async def test_types_and_privacy_vary_and_waypoints_have_float_distances(emulator):
    world = emulator.world()
    async with connect(emulator) as api:
        routes = (await api.get(f"/athletes/{world.athlete_id}/routes?per_page=200")).json()
    assert {(route["type"], route["sub_type"]) for route in routes} == {(1, 1), (1, 2), (2, 1), (2, 4)}
    assert {route["private"] for route in routes} == {True, False}
    assert None in {route["description"] for route in routes}
    waypoints = [waypoint for route in routes for waypoint in route["waypoints"]]
    assert waypoints
    assert {type(waypoint["distance_into_route"]) for waypoint in waypoints} == {float}
    assert [] in [route["waypoints"] for route in routes]


async def test_the_segments_of_a_route_are_answered(emulator):
    async with connect(emulator) as api:
        segments = (await api.get(f"/routes/{saved(emulator, private=False)[0].route_id}")).json()["segments"]
        answers = [(await api.get(f"/segments/{segment['id']}")).json() for segment in segments]
    assert segments
    same = ("id", "name", "activity_type", "distance", "average_grade", "start_latlng", "end_latlng", "starred")
    assert [[answer[key] for key in same] for answer in answers] == [[s[key] for key in same] for s in segments]


async def test_who_takes_a_saved_route_has_efforts_on_its_segments(emulator):
    world = emulator.world()
    along = {}
    async with connect(emulator) as api:
        for number in world.routes:
            for segment in (await api.get(f"/routes/{number}")).json()["segments"]:
                along[segment["id"]] = segment
        details = (world.detail(activity["id"]) for activity in world.activities)
        efforts = next(detail["segment_efforts"] for detail in details if detail["segment_efforts"])
    met = [effort["segment"] for effort in efforts if effort["segment"]["id"] in along]
    assert met
    assert met == [along[segment["id"]] for segment in met]


async def test_streams_are_an_array_of_the_points(emulator):
    route = saved(emulator, private=False)[0]
    async with connect(emulator) as api:
        detail = (await api.get(f"/routes/{route.route_id}")).json()
        streams = (await api.get(f"/routes/{route.route_id}/streams?key_by_type=true&keys=altitude")).json()
    by_type = {stream["type"]: stream["data"] for stream in streams}
    assert [stream["type"] for stream in streams] == ["latlng", "distance", "altitude"]
    assert {(stream["series_type"], stream["resolution"]) for stream in streams} == {("distance", "high")}
    assert {len(stream["data"]) for stream in streams} == {stream["original_size"] for stream in streams}
    assert [tuple(point) for point in by_type["latlng"]] == decode(detail["map"]["polyline"])
    assert by_type["distance"][0] == 0.0
    assert by_type["distance"][-1] == pytest.approx(detail["distance"], abs=0.1)


async def test_a_star_that_is_set_shows_in_the_route(emulator):
    async with connect(emulator) as api:
        route = (await api.get(f"/routes/{saved(emulator, private=False)[0].route_id}")).json()
        segment = route["segments"][0]
        await api.put(f"/segments/{segment['id']}/starred", data={"starred": str(not segment["starred"]).lower()})
        after = (await api.get(f"/routes/{route['id']}")).json()
    assert after["segments"] == [segment | {"starred": not segment["starred"]}, *route["segments"][1:]]


async def test_the_private_segments_of_a_route_need_read_all(emulator):
    for known in emulator.world().segments.all().values():
        known.summary["private"] = True
    path = f"/routes/{saved(emulator, private=False)[0].route_id}"
    async with connect(emulator, "read") as api:
        assert (await api.get(path)).json()["segments"] == []
    async with connect(emulator, "read_all") as api:
        assert (await api.get(path)).json()["segments"]


@pytest.mark.parametrize("below", BELOW)
async def test_a_private_route_is_missing_without_read_all(emulator, below):
    path = f"/routes/{saved(emulator, private=True)[0].route_id}{below}"
    async with connect(emulator, "read") as api:
        reply = await api.get(path)
        assert (reply.status_code, reply.json()) == (404, missing("Route"))
    async with connect(emulator, "read_all") as api:
        assert (await api.get(path)).status_code == 200


async def test_private_routes_are_not_listed_without_read_all(emulator):
    async with connect(emulator, "read") as api:
        routes = (await api.get(f"/athletes/{emulator.world().athlete_id}/routes")).json()
    assert [route["id"] for route in routes] == [route.route_id for route in saved(emulator, private=False)]


@pytest.mark.parametrize("path", ["/athletes/{athlete}/routes", *(f"/routes/{{route}}{below}" for below in BELOW)])
async def test_routes_need_a_scope_that_reads(emulator, path):
    world = emulator.world()
    async with connect(emulator, "activity:read_all") as api:
        reply = await api.get(path.format(athlete=world.athlete_id, route=next(iter(world.routes))))
    assert reply.status_code == 401
    assert reply.json()["errors"] == [{"resource": "AccessToken", "field": "read_permission", "code": "missing"}]


async def test_a_list_of_anothers_routes_is_forbidden(two):
    async with connect(two) as api:
        assert (await api.get(f"/athletes/{two.athlete_ids[1]}/routes")).status_code == 403
        assert (await api.get("/athletes/x/routes")).status_code == 404


async def test_anothers_route_is_seen_by_id_unless_it_is_private(two):
    other = two.athlete_ids[1]
    public, private = (saved(two, private=kind, athlete_id=other)[0].route_id for kind in (False, True))
    async with connect(two) as api:
        owner = (await api.get(f"/routes/{public}")).json()["athlete"]
        assert (await api.get(f"/routes/{private}")).status_code == 404
        assert owner["id"] == other
        assert "weight" not in owner
        assert (await api.get(f"/routes/{public}")).json()["segments"] == []  # they are of another's world


async def test_the_gpx_has_the_points_and_the_odd_names(emulator):
    world = emulator.world()
    async with connect(emulator) as api:
        for route in world.routes.values():
            reply = await api.get(f"/routes/{route.route_id}/export_gpx")
            root = ElementTree.fromstring(reply.content)
            points = root.findall(f"{GPX}trk/{GPX}trkseg/{GPX}trkpt")
            assert reply.headers["Content-Type"] == "application/gpx+xml"
            assert [(float(point.attrib["lat"]), float(point.attrib["lon"])) for point in points] == route.points
            assert all(point.find(f"{GPX}ele") is not None for point in points)
            assert root.findtext(f"{GPX}trk/{GPX}name") == route.name
            assert root.findtext(f"{GPX}trk/{GPX}type") == {1: "cycling", 2: "running"}[route.type]


async def test_the_tcx_is_a_course_of_the_points(emulator):
    world = emulator.world()
    async with connect(emulator) as api:
        for route in world.routes.values():
            reply = await api.get(f"/routes/{route.route_id}/export_tcx")
            course = ElementTree.fromstring(reply.content).find(f"{TCX}Courses/{TCX}Course")
            assert reply.headers["Content-Type"] == "application/tcx+xml"
            assert route.name.startswith(course.findtext(f"{TCX}Name"))
            assert 0 < len(course.findtext(f"{TCX}Name")) <= 15
            reader = TrackReader()
            reader.read(reply.content)
            assert [sample.latlng for sample in reader.samples] == route.points
            assert [sample.at for sample in reader.samples] == sorted(sample.at for sample in reader.samples)
            assert reader.samples[0].at == route.created_at
            assert reader.samples[-1].at == route.created_at + route.moving_seconds
            assert reader.samples[-1].distance == pytest.approx(route.way.along[-1], abs=0.01)


async def test_the_file_names_come_in_both_spellings(emulator):
    routes = emulator.world().routes.values()
    assert any('"' in route.name for route in routes)
    assert not all(route.name.isascii() for route in routes)
    async with connect(emulator) as api:
        for route in routes:
            disposition = (await api.get(f"/routes/{route.route_id}/export_gpx")).headers["Content-Disposition"]
            kind, plain, extended = disposition.split("; ")
            assert (kind, plain.isascii(), plain.count('"')) == ("attachment", True, 2)
            assert plain.startswith('filename="strava_')
            encoding, _, name = extended.removeprefix("filename*=").partition("''")
            assert (encoding, unquote(name)) == ("UTF-8", f"strava_{route.name}.gpx")


async def test_a_gpx_sent_back_as_an_upload_lacks_times(emulator):
    route = saved(emulator, private=False)[0]
    async with connect(emulator) as api:
        document = (await api.get(f"/routes/{route.route_id}/export_gpx")).content
        with pytest.raises(FileError, match="Time information is missing"):
            TrackReader().read(document)
        upload = await api.post("/uploads", data={"data_type": "gpx"}, files={"file": ("route.gpx", document)})
        emulator.clock.advance(60)
        done = (await api.get(f"/uploads/{upload.json()['id']}")).json()
    assert done["activity_id"] is None
    assert "Time information is missing" in done["error"]


async def test_a_tcx_sent_back_as_an_upload_becomes_an_activity_of_that_length(emulator):
    route = saved(emulator, private=False)[0]
    async with connect(emulator) as api:
        document = (await api.get(f"/routes/{route.route_id}/export_tcx")).content
        upload = await api.post("/uploads", data={"data_type": "tcx"}, files={"file": ("route.tcx", document)})
        emulator.clock.advance(60)
        done = (await api.get(f"/uploads/{upload.json()['id']}")).json()
        activity = (await api.get(f"/activities/{done['activity_id']}")).json()
    assert activity["distance"] == pytest.approx(route.way.along[-1], abs=0.1)
    assert activity["elapsed_time"] == route.moving_seconds


async def test_exports_count_in_both_budgets(emulator):
    route = saved(emulator, private=False)[0]
    async with connect(emulator) as api:
        first = (await api.get(f"/routes/{route.route_id}/export_gpx")).headers
        second = (await api.get(f"/routes/{route.route_id}/export_tcx")).headers
    assert (first["X-Ratelimit-Usage"], second["X-Ratelimit-Usage"]) == ("1,1", "2,2")
    assert (first["X-Readratelimit-Usage"], second["X-Readratelimit-Usage"]) == ("1,1", "2,2")


@pytest.mark.parametrize(
    "number", ["0", "1", "-1", "x", "1.0", "9" * 19, "9" * 20, "9" * 40, "%00", "٣", "3000000000000000001", "{}"]
)
@pytest.mark.parametrize("below", BELOW)
async def test_a_route_that_does_not_exist_is_a_404(two, number, below):
    async with connect(two) as api:
        reply = await api.get(f"/routes/{number}{below}")
    assert (reply.status_code, reply.json()) == (404, missing("Route"))


@pytest.mark.parametrize("query", ["page=0", "page=x", "per_page=0", "per_page=201", "per_page=-1", "page=%ff"])
async def test_odd_pages_are_a_400(two, query):
    async with connect(two) as api:
        assert (await api.get(f"/athletes/{two.athlete_ids[0]}/routes?{query}")).status_code == 400


async def test_the_same_seed_gives_the_same_routes():
    first, second = (Emulator(seed=5, clock=FakeClock(), years=0.1).world() for _ in range(2))
    first.detail(first.activities[0]["id"])  # what was asked before makes no difference
    assert list(first.routes) == list(second.routes)
    assert [route.points for route in first.routes.values()] == [route.points for route in second.routes.values()]
