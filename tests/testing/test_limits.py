"""The emulator's meters as a client sees them, and the state of the application."""

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, MeterLimits, Quirks
from tests.testing.event_loops import each_loop

pytestmark = pytest.mark.anyio
anyio_backend = each_loop

MANUAL = {"name": "x", "sport_type": "Run", "start_date_local": "2026-01-05T08:00:00Z", "elapsed_time": "60"}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def emulator(clock):
    return Emulator(
        clock=clock, years=0.2, limits=MeterLimits(overall_15min=6, overall_day=12, read_15min=3, read_day=5)
    )


def connect(emulator, **grant):
    token = emulator.grant(**grant)["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app),
        base_url="https://www.strava.com/api/v3",
        headers={"Authorization": f"Bearer {token}"},
    )


def usage(reply):
    return reply.headers.get("X-Ratelimit-Usage"), reply.headers.get("X-Readratelimit-Usage")


async def test_a_read_answer_carries_the_four_fields_as_they_are_written_on_the_wire(emulator):
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    fields = {name: value for name, value in reply.headers.raw if b"imit" in name}
    assert fields == {
        b"X-Ratelimit-Limit": b"6,12",
        b"X-Ratelimit-Usage": b"1,1",
        b"X-Readratelimit-Limit": b"3,5",
        b"X-Readratelimit-Usage": b"1,1",
    }


async def test_every_answer_has_the_date_of_the_emulators_clock(emulator, clock):
    async with connect(emulator) as api:
        assert (await api.get("/athlete")).headers["Date"] == "Tue, 06 Jan 2026 10:00:00 GMT"
        clock.advance(61.5)
        assert (await api.get("/nothing")).headers["Date"] == "Tue, 06 Jan 2026 10:01:01 GMT"


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/athlete"), ("GET", "/uploads/1"), ("PUT", "/activities/1"), ("DELETE", "/activities/1"), ("POST", "/x")],
)
async def test_everything_but_two_posts_is_a_read(emulator, method, path):
    async with connect(emulator) as api:
        assert usage(await api.request(method, path)) == ("1,1", "1,1")


async def test_creating_an_activity_spends_overall_quota_and_tells_an_empty_pair_of_the_reads(emulator, clock):
    async with connect(emulator) as api:
        reply = await api.post("/activities", data=MANUAL)
    assert reply.status_code == 201
    assert usage(reply) == ("1,1", ",")
    assert reply.headers["X-Readratelimit-Limit"] == "3,5"
    assert emulator.meters_of().usage(clock.time())["read_day"] == 0


async def test_an_upload_spends_overall_quota_only(emulator, clock):
    async with connect(emulator) as api:
        await api.post("/uploads", data={"data_type": "gpx"}, files={"file": ("a.gpx", b"<gpx/>")})
    assert emulator.meters_of().usage(clock.time()) == {
        "read_15min": 0,
        "read_day": 0,
        "overall_15min": 1,
        "overall_day": 1,
    }


@pytest.mark.parametrize("path", ["/nothing", "/activities/1", "/athletes/1/stats", "/gear/b0"])
async def test_errors_are_counted(emulator, path):
    async with connect(emulator) as api:
        reply = await api.get(path)
    assert reply.status_code in (403, 404)
    assert usage(reply) == ("1,1", "1,1")


async def test_a_missing_scope_is_counted(emulator):
    async with connect(emulator, scope=["read"]) as api:
        reply = await api.get("/athlete/activities")
    assert reply.status_code == 401
    assert usage(reply) == ("1,1", "1,1")


async def test_streams_are_counted_but_do_not_tell(emulator, clock):
    activity = emulator.world().activities[-1]
    async with connect(emulator) as api:
        reply = await api.get(f"/activities/{activity['id']}/streams?keys=time&key_by_type=true&series_type=time")
        assert usage(reply) == (None, None)
        assert emulator.meters_of().usage(clock.time())["read_day"] == 1
        emulator.quirks.streams_send_rate_headers = True
        reply = await api.get(f"/activities/{activity['id']}/streams?keys=time&key_by_type=true&series_type=time")
        assert usage(reply) == ("2,2", "2,2")


async def test_over_the_read_limit_reads_get_429_and_uploads_go_on(emulator):
    async with connect(emulator) as api:
        statuses = [(await api.get("/athlete")).status_code for _ in range(4)]
        reply = await api.get("/athlete")
        assert statuses == [200, 200, 200, 429]
        assert reply.json() == {
            "message": "Rate Limit Exceeded",
            "errors": [{"resource": "Application", "field": "read rate limit", "code": "exceeded"}],
        }
        assert usage(reply) == ("5,5", "5,5")
        assert "Retry-After" not in reply.headers
        assert (await api.post("/activities", data=MANUAL)).status_code == 201


async def test_over_the_overall_limit_everything_gets_429(emulator):
    async with connect(emulator) as api:
        for _ in range(6):
            await api.post("/activities", data=MANUAL)
        for reply in (await api.post("/activities", data=MANUAL), await api.get("/athlete")):
            assert reply.status_code == 429
            assert reply.json()["errors"][0]["field"] == "overall rate limit"


async def test_the_next_quarter_hour_opens_again(emulator, clock):
    async with connect(emulator) as api:
        for _ in range(4):
            await api.get("/athlete")
        clock.advance(900)
        reply = await api.get("/athlete")
    assert reply.status_code == 200
    assert usage(reply) == ("1,5", "1,5")


async def test_what_others_spend_shows_in_the_headers(emulator):
    emulator.spend(2)
    emulator.spend(1, "upload")
    async with connect(emulator) as api:
        assert usage(await api.get("/athlete")) == ("4,4", "3,3")


async def test_each_application_has_its_own_meters(emulator, clock):
    other = emulator.register_application(limits=MeterLimits(read_15min=50))
    async with connect(emulator) as first, connect(emulator, client_id=other.client_id) as second:
        await first.get("/athlete")
        reply = await second.get("/athlete")
    assert usage(reply) == ("1,1", "1,1")
    assert reply.headers["X-Readratelimit-Limit"] == "50,1000"
    assert emulator.meters_of(other.client_id).usage(clock.time())["read_day"] == 1
    assert [served.client_id for served in emulator.requests] == [emulator.client_id, other.client_id]


async def test_a_request_with_an_unknown_token_belongs_to_nobody(emulator, clock):
    async with connect(emulator) as api:
        reply = await api.get("/athlete", headers={"Authorization": "Bearer bogus"})
    assert usage(reply) == (None, None)
    assert emulator.requests[0].client_id is None
    assert emulator.meters_of().usage(clock.time())["overall_day"] == 0


async def test_an_inactive_application_gets_403_for_everything(emulator):
    emulator.application().active = False
    async with connect(emulator) as api:
        for path in ("/athlete", "/nothing"):
            reply = await api.get(path)
            assert reply.status_code == 403
            assert reply.json() == {
                "message": "Forbidden",
                "errors": [{"resource": "Application", "field": "Status", "code": "Inactive"}],
            }


async def test_the_record_tells_who_asked_for_what(emulator, clock):
    async with connect(emulator) as api:
        await api.get("/athlete/activities", params={"page": 2, "per_page": 3})
        await api.put("/athlete")
    served = emulator.requests[0]
    assert (served.method, served.path, served.status_code) == ("GET", "/api/v3/athlete/activities", 200)
    assert (served.athlete_id, served.client_id) == (emulator.athlete_ids[0], emulator.client_id)
    assert served.query == {"page": "2", "per_page": "3"}
    assert served.at == clock.time()
    assert emulator.count() == 2
    assert emulator.count("put") == 1
    assert emulator.count("GET", "/athlete/activities") == emulator.count(path="/api/v3/athlete/*") == 1
    assert emulator.count("POST", "/oauth/token") == 0


async def test_the_api_may_begin_at_the_root():
    emulator = Emulator(clock=FakeClock(), years=0.2, api_prefix="")
    token = emulator.grant()["access_token"]
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://api.example") as http:
        reply = await http.get("/athlete", headers={"Authorization": f"Bearer {token}"})
        assert usage(reply) == ("1,1", "1,1")
        assert (await http.post("/oauth/token")).status_code == 400


async def test_the_application_may_be_mounted_below_another(emulator):
    token = emulator.grant()["access_token"]
    transport = httpx.ASGITransport(emulator.app, root_path="/strava")
    async with httpx.AsyncClient(transport=transport, base_url="https://example") as http:
        reply = await http.get("/strava/api/v3/athlete", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code == 200
    assert emulator.requests[0].path == "/api/v3/athlete"


async def test_latency_is_spent_half_before_and_half_after_the_request_is_counted(clock):
    emulator = Emulator(clock=clock, years=0.2, latency_seconds=10)
    async with connect(emulator) as api, clock.autojump():
        started = clock.monotonic()
        await api.get("/athlete")
    assert clock.monotonic() - started == 10
    assert emulator.requests[0].at == clock.time() - 5


def test_quirks_and_limits_may_be_changed_later(emulator):
    emulator.quirks.clamp_per_page = True
    emulator.meters_of().limits = MeterLimits()
    assert emulator.quirks == Quirks(clamp_per_page=True)
    assert emulator.application().meters.limits.read_day == 1_000
