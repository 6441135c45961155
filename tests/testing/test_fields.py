"""The header fields of the emulator's answers, as recordings have them, and the token that stands in the query."""

import hashlib
import re
from uuid import UUID

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits, Quirks, serve
from tests.plain_http import NO_TRUST

pytestmark = pytest.mark.anyio

BASE = "https://www.strava.com/api/v3"
APPLICATION = {"Etag", "X-Request-Id", "Status", "Cache-Control"}
LAST_DAY, HEADER_ONLY = 1_811_807_999.0, 1_811_808_000.0  # 2027-05-31 23:59:59 and a second later
ROOMY = MeterLimits(100_000, 100_000, 100_000, 100_000)


@pytest.fixture
def emulator():
    return Emulator(clock=FakeClock(), years=0.3, limits=ROOMY)


def connect(emulator, **options):
    token = emulator.grant()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app), base_url=BASE, **{"headers": headers, **options}
    )


def tracked(emulator):
    return next(a["id"] for a in reversed(emulator.world().activities) if a["start_latlng"])


def has(reply):
    return {name for name in APPLICATION if name in reply.headers}


@pytest.mark.parametrize(
    "path", ["/athlete", "/athlete/activities", "/athlete/zones", "/athlete/clubs", "/gear/{gear}"]
)
async def test_an_answer_has_the_fields_of_stravas_application(emulator, path):
    async with connect(emulator) as api:
        reply = await api.get(path.format(gear=next(iter(emulator.world().gear))))
    assert has(reply) == APPLICATION
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', reply.headers["Etag"])
    assert reply.headers["Etag"][3:-1] == hashlib.sha256(reply.content).hexdigest()[:32]
    assert UUID(reply.headers["X-Request-Id"]).version == 4
    assert (reply.headers["Status"], reply.headers["Vary"]) == ("200 OK", "Accept, Origin")
    assert reply.headers["Cache-Control"] == "max-age=0, private, must-revalidate"
    assert "Content-Length" not in reply.headers


async def test_a_tag_changes_with_the_body_and_a_request_has_an_id_of_its_own(emulator):
    async with connect(emulator) as api:
        replies = [await api.get("/athlete") for _ in range(2)]
        await api.put("/athlete", data={"weight": "71"})
        replies.append(await api.get("/athlete"))
    tags = [reply.headers["Etag"] for reply in replies]
    assert tags[0] == tags[1] != tags[2]
    assert len({reply.headers["X-Request-Id"] for reply in replies}) == 3


async def test_a_tag_is_the_same_packed_and_not(emulator):
    async with connect(emulator) as api:
        packed = await api.get("/athlete/activities")
        plain = await api.get("/athlete/activities", headers={"Accept-Encoding": "identity"})
    assert (packed.headers.get("Content-Encoding"), plain.headers.get("Content-Encoding")) == ("gzip", None)
    assert packed.headers["Etag"] == plain.headers["Etag"]


async def test_a_tag_that_is_sent_back_changes_nothing(emulator):
    async with connect(emulator) as api:
        first = await api.get("/athlete")
        second = await api.get("/athlete", headers={"If-None-Match": first.headers["Etag"]})
    assert (second.status_code, second.content) == (200, first.content)


async def test_what_is_created_says_so(emulator):
    form = {"name": "x", "sport_type": "Run", "start_date_local": "2026-01-05T10:00:00Z", "elapsed_time": "60"}
    async with connect(emulator) as api:
        reply = await api.post("/activities", data=form)
    assert (has(reply), reply.headers["Status"]) == (APPLICATION, "201 Created")
    assert reply.headers["X-Readratelimit-Usage"] == ","


async def test_a_failure_has_no_tag_and_is_not_to_be_kept(emulator):
    async with connect(emulator, headers={"Authorization": "Bearer bogus"}) as api:
        reply = await api.get("/athlete")
    assert has(reply) == APPLICATION - {"Etag"}
    assert (reply.headers["Status"], reply.headers["Cache-Control"]) == ("401 Unauthorized", "no-cache")


async def test_tokens_and_files_have_them_too(emulator):
    form = {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
    form |= {"grant_type": "refresh_token", "refresh_token": emulator.grant()["refresh_token"]}
    async with connect(emulator) as api:
        token = await api.post("/oauth/token", data=form)
        route = next(number for number, route in emulator.world().routes.items() if not route.private)
        track = await api.get(f"/routes/{route}/export_gpx")
    assert has(token) == has(track) == APPLICATION


async def test_the_streams_of_an_activity_come_from_elsewhere(emulator):
    """Without any of them, with a length: so in the recording. Those of segments and efforts have them."""
    async with connect(emulator) as api:
        streams = await api.get(f"/activities/{tracked(emulator)}/streams?key_by_type=true")
        segment = next(iter(emulator.world().segments.all()))
        of_segment = await api.get(f"/segments/{segment}/streams?key_by_type=true")
    assert (has(streams), streams.headers["Vary"]) == (set(), "Origin")
    assert int(streams.headers["Content-Length"]) > 0
    assert has(of_segment) == APPLICATION


@pytest.mark.parametrize("fault", [Fault.server_error(), Fault.server_error(html=False), Fault.html()])
async def test_what_an_edge_answers_has_none(emulator, fault):
    emulator.faults.add(fault)
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    assert has(reply) == set()
    assert int(reply.headers["Content-Length"]) == len(reply.content)


@pytest.mark.parametrize("name", ["ETag", "etag", "Cache-Control", "cache-control", "x-request-id"])
async def test_what_a_fault_says_of_a_field_stands_alone(emulator, name):
    emulator.faults.add(Fault.status(200, {}, headers={name: "mine"}))
    async with connect(emulator) as api:
        reply = await api.get("/athlete")
    assert reply.headers.get_list(name) == ["mine"]


async def test_pages_for_people_have_none(emulator):
    query = f"client_id={emulator.client_id}&redirect_uri=http://localhost/cb&response_type=code&scope=read"
    async with connect(emulator) as api:
        page = await api.get(f"https://www.strava.com/oauth/authorize?{query}")
    assert has(page) == {"Cache-Control"}
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_bodies_come_in_chunks_over_a_socket():
    emulator = Emulator(years=0.3, limits=ROOMY)
    headers = {"Authorization": f"Bearer {emulator.grant()['access_token']}", "Accept-Encoding": "identity"}
    async with (
        serve(emulator) as url,
        httpx.AsyncClient(verify=NO_TRUST, base_url=f"{url}/api/v3", headers=headers) as api,
    ):
        async with api.stream("GET", "/athlete/activities?per_page=200") as reply:
            pieces = [piece async for piece in reply.aiter_raw()]
        activity = tracked(emulator)
        streams = await api.get(f"/activities/{activity}/streams")
    assert (reply.headers["Transfer-Encoding"], "Content-Length" in reply.headers) == ("chunked", False)
    assert sum(map(len, pieces)) > 3 * max(map(len, pieces))
    assert ("Transfer-Encoding" in streams.headers, int(streams.headers["Content-Length"])) == (
        False,
        len(streams.content),
    )


# --- a token in the query


@pytest.mark.parametrize(
    ("token_in_query", "now", "status_code"),
    [(False, LAST_DAY, 401), (True, LAST_DAY, 200), (True, HEADER_ONLY, 401)],
)
async def test_a_token_in_the_query_is_taken_by_order_and_until_the_day(token_in_query, now, status_code):
    emulator = Emulator(clock=FakeClock(now), years=0.05, quirks=Quirks(token_in_query=token_in_query))
    token = emulator.grant()["access_token"]
    async with connect(emulator, headers={}) as api:
        reply = await api.get("/athlete", params={"access_token": token})
    assert reply.status_code == status_code
    assert ("X-Ratelimit-Usage" in reply.headers) == (status_code == 200)
    assert token not in repr(emulator.requests)


async def test_a_token_in_the_field_goes_before_one_in_the_query():
    emulator = Emulator(clock=FakeClock(), years=0.05, quirks=Quirks(token_in_query=True))
    async with connect(emulator) as api:
        assert (await api.get("/athlete?access_token=bogus")).status_code == 200
    async with connect(emulator, headers={"Authorization": "Bearer bogus"}) as api:
        token = emulator.grant()["access_token"]
        assert (await api.get("/athlete", params={"access_token": token})).status_code == 401
    async with connect(emulator, headers={}) as api:
        assert (await api.get("/athlete?access_token=%ff&access_token=bogus")).status_code == 401
