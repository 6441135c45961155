"""Whatever is sent, the emulator answers like Strava: never with a 500, never with an exception."""

import json
import string

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strava_async.testing import Emulator, FakeClock, MeterLimits
from strava_async.testing.browser import approve
from tests.testing.event_loops import EACH_LOOP

pytestmark = pytest.mark.anyio

ROOMY = MeterLimits(10**9, 10**9, 10**9, 10**9)
EMULATOR = Emulator(clock=FakeClock(), years=0.1, limits=ROOMY)
ACTIVITY = EMULATOR.world().activities[-1]["id"]

WORDS = """
    athlete athletes activities streams zones laps comments kudos photos gear uploads stats oauth token authorize revoke
    segments segment_efforts starred explore all_efforts routes export_gpx export_tcx clubs group_events members
    push_subscriptions
"""
ODD_WORDS = "deauthorize api v3 .. %2e%2e %2F %00 %ff %C3%A9 {id.__class__} -1 1 b1 *"
SEGMENTS = st.sampled_from(
    [
        *WORDS.split(),
        *ODD_WORDS.split(),
        str(ACTIVITY),
        "9" * 40,
        "",
    ]
)
PARAMETERS = """
    page per_page page_size after_cursor after before keys key_by_type resolution series_type client_id client_secret
    grant_type code refresh_token redirect_uri scope state token response_type name sport_type start_date_local
    elapsed_time distance weight data_type size starred bounds min_cat max_cat activity_type segment_id end_date_local
    callback_url verify_token
"""
NAMES = st.sampled_from(PARAMETERS.split())
ODD_VALUES = "0 1 -1 1e309 nan true code read Run http://localhost/ 2026-01-05T00:00:00Z gpx % %ff \x00"
VALUES = st.one_of(
    st.sampled_from(ODD_VALUES.split(" ")),
    st.sampled_from(["9" * 30, str(EMULATOR.client_id), EMULATOR.client_secret]),
    st.text(max_size=20),
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"[" * 60_000, b"{", b'{"name": "\\ud800"}', b'{"client_id": {}}', b"\xff\xfe", b"a=%ff&=&&=b"]
    ),
    st.sampled_from([b'{"name": 1e999}', b'{"client_id": ' + b"9" * 5_000 + b"}", b"a&" * 2_000, b"--b\r\n\r\n"]),
)
TYPES = st.sampled_from(
    [
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "text/plain; charset=\xff",
        ";;;",
        "application/json; boundary=" + "x" * 300,
    ]
)
XML = "<gpx>|</gpx>|<trkpt lat='1' lon='x'>|<trkpt>|</trkpt>|<time>|</time>|2026-01-05T10:00:00Z|<hr>1</hr>|&amp;|&x;"
PIECES = st.sampled_from([*XML.split("|"), "2026-01-05T10:00:01+05:00", "<!DOCTYPE x>", "]]>", "\x00"])
FILES = st.binary(max_size=200) | st.lists(PIECES).map(lambda parts: "".join(parts).encode())


def token():
    """Return a token that is good now: what is tried here may revoke any."""
    return EMULATOR.grant()["access_token"]


def browse():
    transport = httpx.ASGITransport(EMULATOR.app)
    return httpx.AsyncClient(transport=transport, base_url="https://x")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"]),
    prefix=st.sampled_from(["/api/v3", "/oauth", ""]),
    path=st.lists(SEGMENTS, max_size=4),
    query=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    body=BODIES,
    content_type=TYPES,
    authorization=st.sampled_from(["Bearer {}", "", "Bearer", "Bearer \xe9", "Basic ====", "bearer  {}"]),
)
async def test_no_request_is_a_500(method, prefix, path, query, body, content_type, authorization):
    query = [(name, value.encode("utf-8", "replace").decode()) for name, value in query]
    authorization = authorization.format(token())
    headers = {"Content-Type": content_type.encode("latin-1"), "Authorization": authorization.encode("latin-1")}
    url = "https://x" + ("/".join([prefix, *path]) or "/")
    async with browse() as http:
        reply = await http.request(method, url, params=query, content=body, headers=headers)
    assert reply.status_code < 500
    if reply.status_code >= 400 and method != "HEAD" and "html" not in reply.headers["Content-Type"]:
        assert set(reply.json()) >= {"message", "errors"} or reply.json()["status"]


@settings(max_examples=200, deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["name", "description", "sport_type", "type", "gear_id", "trainer", "commute", "hide_from_home", "x"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("Run"),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=4,
        ),
    )
)
async def test_no_update_breaks_an_activity(fields):
    body = json.dumps(fields).encode("utf-8", "surrogatepass")
    async with browse() as http:
        headers = {"Authorization": f"Bearer {token()}"}
        reply = await http.put(f"/api/v3/activities/{ACTIVITY}", content=body, headers=headers)
        assert reply.status_code in (200, 400)
        assert (await http.get("/api/v3/athlete/activities", headers=headers)).status_code == 200
        assert (await http.get(f"/api/v3/activities/{ACTIVITY}", headers=headers)).status_code == 200


@settings(max_examples=150, deadline=None)
@given(
    content=FILES,
    data_type=st.sampled_from(["gpx", "tcx", "gpx.gz", "fit", "fit.gz", "json"]),
    file_name=st.text(string.printable, max_size=10),
)
async def test_no_file_is_a_500(content, data_type, file_name):
    async with browse() as http:
        headers = {"Authorization": f"Bearer {token()}"}
        reply = await http.post(
            "/api/v3/uploads", data={"data_type": data_type}, files={"file": (file_name, content)}, headers=headers
        )
        assert reply.status_code in (201, 400)
        EMULATOR.clock.advance(2)
        if reply.status_code == 201:
            done = (await http.get(f"/api/v3/uploads/{reply.json()['id']}", headers=headers)).json()
            assert (done["error"] is None) != (done["activity_id"] is None)


@pytest.mark.parametrize(
    ("query", "status_code"),
    [
        ("a=" + "x" * 20_000, 414),
        ("&".join(f"a{n}=1" for n in range(600)), 400),
        ("page=%ff", 200),
        ("page=%00", 200),
        ("=", 200),
        ("&&&", 200),
    ],
)
async def test_odd_queries_are_answered(query, status_code):
    async with browse() as http:
        headers = {"Authorization": f"Bearer {token()}"}
        reply = await http.get(f"/api/v3/athlete?{query}", headers=headers)
        assert reply.status_code == status_code
        assert (await http.get(f"/oauth/authorize?{query}")).status_code in (400, 414)


async def test_a_form_that_is_too_large_is_a_413():
    async with browse() as http:
        assert (await http.post("/oauth/token", content=b"a" * (1 << 20) + b"a")).status_code == 413


@EACH_LOOP
async def test_a_caller_who_hangs_up_in_the_middle_of_a_body_breaks_nothing():
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/oauth/token", "query_string": b"", "headers": []}
    await EMULATOR.app(scope, receive, send)


async def test_a_page_with_hostile_parameters_is_escaped():
    with pytest.raises(Exception, match="400"):
        await approve(EMULATOR.app, "/oauth/authorize?client_id=<script>", scope=None, deny=False, athlete_id=None)
