"""What goes wrong on demand."""

import json

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, Fault
from tests.testing.event_loops import each_loop

pytestmark = pytest.mark.anyio
anyio_backend = each_loop

API = "https://www.strava.com/api/v3"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def emulator(clock):
    return Emulator(clock=clock, years=0.2)


def connect(emulator):
    token = emulator.grant()["access_token"]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app), base_url=API, headers={"Authorization": f"Bearer {token}"}
    )


def counted(emulator):
    return emulator.meters_of().usage(emulator.clock.time())["overall_day"]


async def statuses(api, *paths):
    return [(await api.get(path)).status_code for path in paths]


async def test_a_fault_happens_once_and_then_no_more(emulator):
    emulator.faults.add(Fault.status(418))
    async with connect(emulator) as api:
        assert await statuses(api, "/athlete", "/athlete") == [418, 200]
    assert emulator.faults.pending == 0


async def test_a_fault_may_happen_often_or_for_ever_until_it_is_cleared(emulator):
    emulator.faults.add(Fault.status(418), times=2)
    async with connect(emulator) as api:
        assert await statuses(api, *["/athlete"] * 3) == [418, 418, 200]
        emulator.faults.add(Fault.status(418), times=None)
        assert await statuses(api, *["/athlete"] * 3) == [418] * 3
        emulator.faults.clear()
        assert await statuses(api, "/athlete") == [200]


async def test_a_fault_may_spare_the_first_requests(emulator):
    emulator.faults.add(Fault.status(418), after=2)
    async with connect(emulator) as api:
        assert await statuses(api, *["/athlete"] * 4) == [200, 200, 418, 200]


@pytest.mark.parametrize("path", ["/athlete/zones", "/api/v3/athlete/zones", "/*/zones"])
async def test_a_fault_waits_for_its_method_and_path(emulator, path):
    emulator.faults.add(Fault.status(418), method="get", path=path)
    async with connect(emulator) as api:
        assert (await api.post("/athlete/zones")).status_code == 404
        assert await statuses(api, "/athlete", "/athlete/zones", "/athlete/zones") == [200, 418, 200]


async def test_faults_can_be_combined(emulator, clock):
    emulator.faults.add(Fault.latency(7))
    emulator.faults.add(Fault.rate_limited())
    emulator.faults.add(Fault.without_rate_headers())
    async with connect(emulator) as api, clock.autojump():
        reply = await api.get("/athlete")
    assert reply.status_code == 429
    assert "X-Ratelimit-Usage" not in reply.headers
    assert emulator.requests[0].at == clock.time() == FakeClock().time() + 7


async def test_faults_that_bring_an_answer_happen_one_after_the_other(emulator):
    for status_code in (500, 501, 502):
        emulator.faults.add(Fault.status(status_code))
    async with connect(emulator) as api:
        assert await statuses(api, *["/athlete"] * 4) == [500, 501, 502, 200]


async def test_a_status_may_have_any_body_and_fields(emulator):
    emulator.faults.add(Fault.status(402, {"message": "Payment Required"}, headers={"X-Reason": "y"}))
    emulator.faults.add(Fault.status(200, b"<gpx/>", content_type="application/gpx+xml"))
    emulator.faults.add(Fault.status(204))
    emulator.faults.add(Fault.status(302, headers={"Location": "https://evil.example/"}))
    async with connect(emulator) as api:
        first, second, third, fourth = [await api.get("/athlete") for _ in range(4)]
    assert (first.status_code, first.json(), first.headers["X-Reason"]) == (402, {"message": "Payment Required"}, "y")
    assert (second.content, second.headers["Content-Type"]) == (b"<gpx/>", "application/gpx+xml")
    assert (third.status_code, third.content) == (204, b"")
    assert "Content-Type" not in third.headers
    assert (fourth.status_code, fourth.headers["Location"]) == (302, "https://evil.example/")


@pytest.mark.parametrize("budget", ["overall", "read"])
async def test_a_429_on_demand_looks_like_a_real_one(emulator, budget):
    emulator.faults.add(Fault.rate_limited(budget))
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    assert reply.status_code == 429
    assert reply.json()["errors"] == [
        {"resource": "Application", "field": f"{budget} rate limit", "code": "exceeded"},
    ]
    assert reply.headers["X-Ratelimit-Usage"] == "1,1"
    assert "Retry-After" not in reply.headers


async def test_a_server_error_is_html_or_empty_and_not_counted(emulator):
    emulator.faults.add(Fault.server_error())
    emulator.faults.add(Fault.server_error(597, html=False))
    async with connect(emulator) as api:
        first, second = await api.get("/athlete"), await api.get("/athlete")
    assert (first.status_code, first.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert (second.status_code, second.content) == (597, b"")
    assert counted(emulator) == 0


async def test_html_may_come_as_a_success(emulator):
    emulator.faults.add(Fault.html())
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    assert (reply.status_code, reply.text[:6]) == (200, "<html>")


async def test_the_application_may_be_inactive_for_a_moment(emulator):
    emulator.faults.add(Fault.inactive())
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (403, "Inactive")


async def test_the_token_endpoint_has_faults_too(emulator):
    emulator.faults.add(Fault.capacity(), path="/oauth/token")
    async with connect(emulator) as api:
        assert await statuses(api, "/athlete") == [200]
        reply = await api.post("https://www.strava.com/oauth/token")
    assert (reply.status_code, reply.json()["message"]) == (403, "Limit of connected athletes exceeded")


async def test_a_truncated_body_is_correct_http_but_no_json(emulator):
    emulator.faults.add(Fault.truncated())
    async with connect(emulator) as api:
        reply = await api.get("/athlete/activities")
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


async def test_an_empty_body_comes_after_the_request_was_processed(emulator):
    emulator.faults.add(Fault.empty_body())
    async with connect(emulator) as api:
        reply = await api.put("/athlete", data={"weight": "70"})
    assert (reply.status_code, reply.content) == (200, b"")
    assert emulator.world().profile["weight"] == 70


async def test_rate_fields_may_be_missing_but_the_request_is_counted(emulator):
    emulator.faults.add(Fault.without_rate_headers())
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    assert not [name for name in reply.headers if "ratelimit" in name]
    assert counted(emulator) == 1


async def test_rate_fields_may_be_malformed(emulator):
    emulator.faults.add(Fault.rate_headers({"x-ratelimit-usage": "abc", "X-Readratelimit-Limit": None}))
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    assert reply.headers["X-Ratelimit-Usage"] == "abc"
    assert "X-Readratelimit-Limit" not in reply.headers
    assert reply.headers["X-Readratelimit-Usage"] == "1,1"


async def test_short_pages_are_not_the_last_and_lose_nothing(emulator):
    emulator.faults.add(Fault.short_pages(3), path="/athlete/activities", times=None)
    found, lengths = [], []
    async with connect(emulator) as api:
        while items := (await api.get(f"/athlete/activities?per_page=10&page={len(lengths) + 1}")).json():
            found += items
            lengths.append(len(items))
    assert set(lengths[:-1]) == {7}
    assert found == emulator.world().activities[::-1]


async def test_a_short_page_holds_something(emulator):
    emulator.faults.add(Fault.short_pages(30))
    async with connect(emulator) as api:
        assert len((await api.get("/athlete/activities?per_page=2")).json()) == 1


async def test_a_lost_answer_was_processed_counted_and_recorded(emulator):
    emulator.faults.add(Fault.lost())
    async with connect(emulator) as api:
        with pytest.raises(ConnectionResetError):
            await api.put("/athlete", data={"weight": "70"})
    assert emulator.world().profile["weight"] == 70
    assert counted(emulator) == 1
    assert emulator.requests[0].status_code == 200


async def test_a_refused_request_leaves_no_trace(emulator):
    emulator.faults.add(Fault.refused())
    async with connect(emulator) as api:
        with pytest.raises(ConnectionRefusedError):
            await api.get("/athlete")
        assert (counted(emulator), len(emulator.requests)) == (0, 0)
        assert await statuses(api, "/athlete") == [200]


async def test_the_error_of_a_lost_answer_may_be_the_callers(emulator):
    emulator.faults.add(Fault.lost(lambda: httpx.ReadError("gone")))
    async with connect(emulator) as api:
        with pytest.raises(httpx.ReadError):
            await api.get("/athlete")


async def test_latency_is_spent_before_the_request_is_looked_at(emulator, clock):
    emulator.faults.add(Fault.latency(5))
    emulator.faults.add(Fault.latency(6))
    async with connect(emulator) as api, clock.autojump():
        await api.get("/athlete")
    assert emulator.requests[0].at == FakeClock().time() + 11
