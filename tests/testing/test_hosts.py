"""Whom an emulator on a socket answers: which names it goes by, and what pages of other sites may send."""

import contextlib
import socket

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, Fault, serve
from strava_async.testing.http.hosts import AllowedHosts, host_of, is_loopback, restrict_hosts
from tests.plain_http import NO_TRUST

REBOUND = ["evil.test", "evil.test:8000", "127.0.0.1.evil.test", "localhost.evil.test", "127.1", "2130706433", "0x7f.1"]
NO_HOST = ["", ":8000", "a b", "a/b", "user@localhost", "[::1", "::1", "a..b", "localhost:8000:1", "x" * 70, "[g::1]"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.:80",
        "127.0.0.1",
        "127.8.9.1:1",
        "[::1]",
        "[0:0::1]:8000",
        "[::ffff:127.0.0.1]",
    ],
)
def test_loopback_is_allowed_in_any_spelling(host):
    assert AllowedHosts("192.168.1.5").has(host_of(host), None)


@pytest.mark.parametrize("host", REBOUND)
def test_another_name_or_spelling_is_not(host):
    assert not AllowedHosts("127.0.0.1").has(host_of(host), "127.0.0.1")


@pytest.mark.parametrize("authority", NO_HOST)
def test_what_is_no_host_is_none(authority):
    assert host_of(authority) is None


@pytest.mark.parametrize(
    ("bound", "local", "host"),
    [
        ("192.168.1.5", "192.168.1.5", "192.168.1.5:8000"),
        ("0.0.0.0", "192.168.1.5", "192.168.1.5:8000"),  # the address that is asked
        ("0.0.0.0", "127.0.0.1", "0.0.0.0:8000"),
        ("::", "::ffff:192.168.1.5", "192.168.1.5"),
        ("::", "fe80::1%eth0", "[fe80::1]"),
        ("", "10.0.0.1", "10.0.0.1"),
        ("Strava.Lan", "10.0.0.1", "strava.lan:8000"),
    ],
)
def test_what_is_listened_on_is_allowed(bound, local, host):
    assert AllowedHosts(bound).has(host_of(host), local)


@pytest.mark.parametrize("bound", ["192.168.1.5", "0.0.0.0", "::", "", "strava.lan"])
def test_another_address_is_not(bound):
    assert not AllowedHosts(bound).has(host_of("10.9.9.9"), "192.168.1.5")
    assert not AllowedHosts(bound).has(host_of("10.9.9.9"), None)


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("strava", "strava:8000"),
        ("strava:8000", "STRAVA"),
        ("strava_emulator.", "strava_emulator:80"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("10.0.0.7", "10.0.0.7:1"),
        ("fd00::7", "[fd00::7]:8000"),
        ("[fd00::7]", "[fd00:0::7]"),
    ],
)
def test_further_names_can_be_allowed(given, host):
    assert AllowedHosts("127.0.0.1", [given]).has(host_of(host), None)
    assert not AllowedHosts("127.0.0.1", [given]).has(host_of("evil.test"), None)


def test_a_star_allows_any():
    assert AllowedHosts("127.0.0.1", ["*"]).has(host_of("evil.test"), None)


@pytest.mark.parametrize("name", ["http://strava", "", "a b", "strava/", "*.strava", "user@strava"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="is not a host name or address"):
        AllowedHosts("127.0.0.1", [name])


def test_loopback_is_what_only_this_machine_reaches():
    assert all(map(is_loopback, ["127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost", "LocalHost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "[::]", "", "192.168.1.5", "strava", "localhost.evil.test"]))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("version", "headers", "status_code"),
    [
        ("1.0", [], 200),  # as simple programs send; no browser
        ("1.1", [], 400),
        ("1.1", [(b"host", b"localhost"), (b"host", b"localhost")], 400),
        ("1.1", [(b"host", b"local host")], 400),
        ("1.0", [(b"host", b"evil.test")], 403),
        ("1.1", [(b"host", b"localhost")], 200),
    ],
)
async def test_a_request_has_one_host(version, headers, status_code):
    answered = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        answered.append(message.get("status"))

    scope = {"type": "http", "http_version": version, "method": "GET", "path": "/", "headers": headers}
    await restrict_hosts(AllowedHosts("127.0.0.1"), app)(scope, None, send)
    assert answered[0] == status_code


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def credentials(emulator):
    return {"client_id": str(emulator.client_id), "client_secret": emulator.client_secret}


@contextlib.asynccontextmanager
async def served(**options):
    emulator = Emulator(clock=FakeClock(), years=0.1)
    async with (
        serve(emulator, **options) as url,
        httpx.AsyncClient(verify=NO_TRUST, base_url=url, trust_env=False) as http,
    ):
        yield emulator, http


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["evil.test", "evil.test:80"])
async def test_a_rebound_host_reaches_nothing(host):
    asked = []

    async def callback(method, url, content):
        asked.append(url)

    emulator = Emulator(clock=FakeClock(), years=0.1, callbacks=callback)
    emulator.faults.add(Fault.server_error(503), times=1)
    form = {**credentials(emulator), "callback_url": "http://127.0.0.1/admin", "verify_token": "t"}
    page = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    async with serve(emulator) as url, httpx.AsyncClient(verify=NO_TRUST, base_url=url, trust_env=False) as http:
        reply = await http.post("/api/v3/push_subscriptions", data=form, headers=page)
        assert reply.status_code == 403
        assert reply.json()["message"].startswith("This emulator does not answer for the host evil.test.")
        assert (await http.get("/", headers={"Host": host})).status_code == 403
        assert (await http.request("HEAD", "/", headers={"Host": host})).text == ""
        assert (asked, list(emulator.requests)) == ([], [])
        assert (await http.get("/")).status_code == 503  # no fault was spent on them


@pytest.mark.asyncio
async def test_an_allowed_host_is_served_and_the_application_itself_takes_any():
    async with served(allowed_hosts=["strava"]) as (emulator, http):
        assert (await http.get("/", headers={"Host": "strava:8000"})).status_code == 200
        assert (await http.get("/", headers={"Host": "strava.evil.test"})).status_code == 403
        transport = httpx.ASGITransport(emulator.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://www.strava.com") as inside:
            assert (await inside.get("/")).status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("host", "base"), [("0.0.0.0", "http://127.0.0.1:"), ("", "http://127.0.0.1:"), ("localhost", "http://localhost:")]
)
async def test_the_url_is_one_that_this_machine_reaches(host, base):
    async with served(host=host) as (_, http):
        assert str(http.base_url).startswith(base)
        assert (await http.get("/")).status_code == 200


@pytest.mark.asyncio
@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
async def test_an_address_of_ipv6_is_listened_on(host):
    async with served(host=host) as (_, http):
        assert str(http.base_url).startswith("http://[::1]:")
        assert (await http.get("/")).status_code == 200


SENT_BY = [
    ({}, True),  # curl, and every library
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://strava.test"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": "http://strava.test:3000"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://strava.test"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    # Plain http that is not loopback: no Sec-Fetch-Site.
    ({"Origin": "http://strava.test"}, True),
    ({"Origin": "HTTP://Strava.Test"}, True),
    ({"Origin": "http://strava.test:3000"}, False),
    ({"Origin": "https://evil.test"}, False),
    ({"Origin": "http://strava.test.evil.test"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "http://[evil"}, False),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("headers", "taken"), SENT_BY)
async def test_a_form_of_another_page_is_refused(headers, taken):
    emulator = Emulator(clock=FakeClock(), years=0.1)
    emulator.grant()
    emulator.faults.add(Fault.server_error(503), method="PUT")
    before = len(emulator.world().activities)
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://strava.test", headers=headers) as http:
        recorded = await http.post("/emulator/record", data={"athlete_id": emulator.athlete_ids[0]})
        put = await http.put("/api/v3/athlete")
        shown = await http.get("/")
    assert (recorded.status_code, put.status_code, shown.status_code) == ((303, 503, 200) if taken else (403, 403, 200))
    assert len(emulator.world().activities) - before == taken
    assert [request.status_code for request in emulator.requests] == [
        recorded.status_code,
        put.status_code,
        shown.status_code,
    ]


@pytest.mark.anyio
async def test_a_refused_page_costs_no_quota_and_may_not_ask_first():
    emulator = Emulator(clock=FakeClock(), years=0.1)
    bearer = {"Authorization": f"Bearer {emulator.grant()['access_token']}"}
    page = {"Origin": "https://evil.test", "Access-Control-Request-Method": "PUT"}
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=page) as http:
        assert (await http.delete("/api/v3/activities/1", headers=bearer)).status_code == 403
        preflight = await http.options("/api/v3/athlete")
    assert preflight.status_code >= 400
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert emulator.meters_of().usage(emulator.clock.time())["overall_day"] == 0
