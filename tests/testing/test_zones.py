"""The emulator's activity zones, and the streams that are not there."""

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, MeterLimits, Quirks

pytestmark = pytest.mark.anyio

EMULATOR = Emulator(clock=FakeClock(), years=1.5, limits=MeterLimits(10**6, 10**6, 10**6, 10**6))
WORLD = EMULATOR.world()
NOTHING = {"message": "Resource Not Found", "errors": []}


@pytest.fixture(autouse=True)
def quirks():
    """Set the emulator's quirks back to what they were."""
    EMULATOR.quirks.subscribed = EMULATOR.quirks.streams_need_distance = True
    return EMULATOR.quirks


def connect(*scope):
    token = (EMULATOR.grant(scope=scope) if scope else EMULATOR.grant())["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(EMULATOR.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {token}"},
    )


def first(**wanted):
    return next(a for a in WORLD.activities if not a["manual"] and all(a.get(k) == v for k, v in wanted.items()))


async def test_a_run_has_zones_of_heart_rate_and_pace():
    run = first(type="Run", has_heartrate=True)
    async with connect() as api:
        heart, pace = (await api.get(f"/activities/{run['id']}/zones")).json()
    assert (heart["type"], pace["type"]) == ("heartrate", "pace")
    assert {"points", "custom_zones"} <= set(heart)
    assert not {"points", "custom_zones"} & set(pace)
    bounds = [bucket["max"] for bucket in pace["distribution_buckets"]]
    assert bounds[-1] == -1
    assert {type(bound) for bound in bounds[:-1]} == {float}
    assert bounds[:-1] == sorted(bounds[:-1])
    assert [bucket["min"] for bucket in pace["distribution_buckets"]] == [0, *bounds[:-1]]
    assert sum(bucket["time"] for bucket in pace["distribution_buckets"]) == run["moving_time"]


async def test_a_ride_with_a_meter_has_zones_of_power():
    ride = first(type="VirtualRide", device_watts=True)
    async with connect() as api:
        zones = {zone["type"]: zone for zone in (await api.get(f"/activities/{ride['id']}/zones")).json()}
    power = zones["power"]["distribution_buckets"]
    assert "pace" not in zones
    assert [bucket["max"] for bucket in power] == [zone["max"] for zone in WORLD.zones["power"]["zones"]]
    assert power[-1]["max"] == -1


async def test_the_zones_are_those_that_the_detail_names():
    async with connect() as api:
        for activity in WORLD.activities[:16]:
            zones = (await api.get(f"/activities/{activity['id']}/zones")).json()
            detail = (await api.get(f"/activities/{activity['id']}")).json()
            assert [zone["type"] for zone in zones] == detail["available_zones"]


async def test_zones_need_a_subscription(quirks):
    run = first(type="Run")
    async with connect() as api:
        assert (await api.get(f"/activities/{run['id']}/zones")).status_code == 200
        quirks.subscribed = False
        reply = await api.get(f"/activities/{run['id']}/zones")
        assert (reply.status_code, reply.json()["message"]) == (402, "Payment Required")
        assert (await api.get(f"/activities/{run['id']}/laps")).status_code == 200
        assert (await api.get("/activities/1/zones")).status_code == 404  # what is missing is missing for all


def test_athletes_are_subscribers_by_default():
    assert Quirks().subscribed


async def test_a_manual_activity_has_no_streams():
    async with connect() as api:
        fields = {"name": "x", "sport_type": "Run", "start_date_local": "2026-01-01T10:00:00Z", "elapsed_time": 60}
        number = (await api.post("/activities", data=fields)).json()["id"]
        for query in ("keys=time", "keys=time&series_type=time"):
            reply = await api.get(f"/activities/{number}/streams?{query}")
            assert (reply.status_code, reply.json()) == (404, NOTHING)
        assert (await api.get(f"/activities/{number}/zones")).json() == []


@pytest.mark.parametrize("sport", ["WeightTraining", "Rowing"])
async def test_streams_without_distance_are_told_to_those_who_ask_by_time(sport, quirks):
    path = f"/activities/{first(sport_type=sport)['id']}/streams?keys=time&key_by_type=true"
    async with connect() as api:
        by_time = await api.get(f"{path}&series_type=time")
        refused = await api.get(path)
        quirks.streams_need_distance = False
        plain = await api.get(path)
    assert (refused.status_code, refused.json()) == (404, NOTHING)
    assert by_time.json()["time"]["series_type"] == "time"
    assert plain.json() == by_time.json()


async def test_a_missing_activity_has_another_404_than_missing_streams():
    async with connect() as api:
        reply = await api.get("/activities/1/streams?keys=time")
    assert reply.json() == NOTHING | {"errors": [{"resource": "Activity", "field": "", "code": "not found"}]}


async def test_streams_come_without_rate_limit_fields_though_they_count():
    path = f"/activities/{first(type='Run')['id']}"
    async with connect() as api:
        before = (await api.get(path)).headers["X-Ratelimit-Usage"]
        streams = await api.get(f"{path}/streams?keys=time")
        after = (await api.get(path)).headers["X-Ratelimit-Usage"]
    assert not [name for name in streams.headers if "ratelimit" in name]
    assert int(after.split(",")[0]) - int(before.split(",")[0]) == 2
