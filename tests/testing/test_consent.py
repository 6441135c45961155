"""The page on which an athlete gives consent."""

import html
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from strava_async.testing import ALL_SCOPES, Emulator, FakeClock, PageError

pytestmark = pytest.mark.anyio


@pytest.fixture
def emulator():
    return Emulator(clock=FakeClock(), years=0.2)


def url(emulator, **changes):
    query = {
        "client_id": str(emulator.client_id),
        "redirect_uri": "http://localhost:8000/callback",
        "response_type": "code",
        "scope": "read,activity:read_all",
        "state": 's p&c="é<',
    }
    query.update(changes)
    return "/oauth/authorize?" + urlencode({name: value for name, value in query.items() if value is not None})


def browse(emulator):
    return httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), base_url="https://www.strava.com")


def answer_of(location):
    parts = urlsplit(location)
    return {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}


async def exchange(emulator, code):
    form = {
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "grant_type": "authorization_code",
        "code": code,
    }
    async with browse(emulator) as http:
        return (await http.post("/oauth/token", data=form)).json()


@pytest.mark.parametrize("path", ["/oauth/authorize", "/oauth/mobile/authorize"])
async def test_consent_sends_the_browser_back_with_code_scope_and_state(emulator, path):
    location = await emulator.approve(url(emulator).replace("/oauth/authorize", path))
    assert location.startswith("http://localhost:8000/callback?")
    answer = answer_of(location)
    assert answer["state"] == 's p&c="é<'
    assert answer["scope"] == "read,activity:read_all"
    assert "scope=read,activity:read_all" in location
    assert (await exchange(emulator, answer["code"]))["scope"] == "read activity:read_all"


async def test_unticked_scopes_are_not_granted(emulator):
    answer = answer_of(await emulator.approve(url(emulator), scope=["read"]))
    assert answer["scope"] == "read"
    assert (await exchange(emulator, answer["code"]))["scope"] == "read"


async def test_cancel_brings_access_denied_and_the_state(emulator):
    answer = answer_of(await emulator.approve(url(emulator), deny=True))
    assert answer == {"error": "access_denied", "state": 's p&c="é<'}


async def test_without_a_state_none_comes_back(emulator):
    assert set(answer_of(await emulator.approve(url(emulator, state=None)))) == {"code", "scope"}


async def test_a_query_in_the_redirect_stays(emulator):
    location = await emulator.approve(url(emulator, redirect_uri="http://127.0.0.1/a%20b?next=%2Fhome"))
    assert location.startswith("http://127.0.0.1/a%20b?next=%2Fhome&state=")


async def test_scopes_may_be_separated_by_spaces(emulator):
    answer = answer_of(await emulator.approve(url(emulator, scope=" ".join(ALL_SCOPES))))
    assert answer["scope"] == ",".join(ALL_SCOPES)


@pytest.mark.parametrize(
    ("change", "resource", "field"),
    [
        ({"client_id": "1"}, "Application", "client_id"),
        ({"client_id": "1 OR 1=1"}, "Application", "client_id"),
        ({"client_id": None}, "Application", "client_id"),
        ({"redirect_uri": "https://evil.example@localhost/"}, "Application", "redirect_uri"),
        ({"redirect_uri": "https://evil.example/"}, "Application", "redirect_uri"),
        ({"redirect_uri": "https://localhost.evil.example/"}, "Application", "redirect_uri"),
        ({"redirect_uri": "https://localhost@evil.example/"}, "Application", "redirect_uri"),
        ({"redirect_uri": "https://evil.example\\@localhost/"}, "Application", "redirect_uri"),
        ({"redirect_uri": "javascript://localhost/%0aalert(1)"}, "Application", "redirect_uri"),
        ({"redirect_uri": "http://localhost/\r\nX: y"}, "Application", "redirect_uri"),
        ({"redirect_uri": "http://localhost:port/"}, "Application", "redirect_uri"),
        ({"redirect_uri": "http://[localhost/"}, "Application", "redirect_uri"),
        ({"redirect_uri": "//localhost/"}, "Application", "redirect_uri"),
        ({"redirect_uri": None}, "Application", "redirect_uri"),
        ({"response_type": "token"}, "Authorize", "response_type"),
        ({"scope": "read,everything"}, "Authorize", "scope"),
        ({"scope": ""}, "Authorize", "scope"),
        ({"approval_prompt": "maybe"}, "Authorize", "approval_prompt"),
    ],
)
async def test_a_bad_request_is_a_fault_instead_of_a_page(emulator, change, resource, field):
    async with browse(emulator) as http:
        reply = await http.get(url(emulator, **change))
    assert reply.status_code == 400
    error = reply.json()["errors"][0]
    assert (error["resource"], error["field"]) == (resource, field)


@pytest.mark.parametrize(
    "redirect_uri", ["https://example.org/cb", "https://app.example.org:8443/", "myapp://example.org"]
)
async def test_the_callback_domain_and_its_subdomains_are_allowed(emulator, redirect_uri):
    emulator.application().callback_domain = "example.org"
    location = await emulator.approve(url(emulator, redirect_uri=redirect_uri))
    assert location.startswith(redirect_uri)


async def test_the_second_time_no_page_is_shown(emulator):
    answer = answer_of(await emulator.approve(url(emulator)))
    await exchange(emulator, answer["code"])
    async with browse(emulator) as http:
        reply = await http.get(url(emulator, scope="read"))
        assert reply.status_code == 302
        assert answer_of(reply.headers["Location"])["scope"] == "read,activity:read_all"
        assert (await http.get(url(emulator, scope="activity:write"))).status_code == 200
        assert (await http.get(url(emulator, approval_prompt="force"))).status_code == 200


async def test_the_page_has_a_box_for_each_scope_and_escapes_what_it_shows(emulator):
    emulator.world().summary_profile["firstname"] = "<script>alert(1)</script>"
    async with browse(emulator) as http:
        reply = await http.get(url(emulator, state="<script>"))
    page = reply.text
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert re.findall(r'name="scope" value="([^"]+)" checked', page) == ["read", "activity:read_all"]
    assert "<script" not in page
    assert html.escape("<script>alert(1)</script>") in page
    assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["Cache-Control"] == "no-store"


async def request_id_of(http, emulator):
    return re.search(r'name="request_id" value="([^"]+)"', (await http.get(url(emulator))).text).group(1)


def consent(emulator, request_id):
    return {
        "request_id": request_id,
        "athlete_id": str(emulator.athlete_ids[0]),
        "scope": "read",
        "action": "authorize",
    }


async def test_a_post_without_a_page_before_it_is_refused(emulator):
    async with browse(emulator) as http:
        assert (await http.post(url(emulator), data=consent(emulator, "forged"))).status_code == 400
        assert (await http.post(url(emulator))).status_code == 400


async def test_a_post_with_too_many_fields_is_refused(emulator):
    async with browse(emulator) as http:
        assert (await http.post(url(emulator), content=b"a=1&" * 100)).status_code == 400


async def test_a_page_can_be_answered_once(emulator):
    async with browse(emulator) as http:
        form = consent(emulator, await request_id_of(http, emulator))
        assert (await http.post(url(emulator), data=form)).status_code == 302
        assert (await http.post(url(emulator), data=form)).status_code == 400


async def test_a_page_that_was_left_open_too_long_is_void(emulator):
    async with browse(emulator) as http:
        form = consent(emulator, await request_id_of(http, emulator))
        emulator.clock.advance(1_800)
        assert (await http.post(url(emulator), data=form)).status_code == 400


async def test_what_was_not_asked_cannot_be_granted(emulator):
    async with browse(emulator) as http:
        form = consent(emulator, await request_id_of(http, emulator)) | {"scope": ["read", "activity:write", "x"]}
        reply = await http.post(url(emulator), data=form)
    assert answer_of(reply.headers["Location"])["scope"] == "read"


@pytest.mark.parametrize("athlete_id", ["", "1", "x"])
async def test_an_athlete_who_does_not_exist_cannot_consent(emulator, athlete_id):
    async with browse(emulator) as http:
        form = consent(emulator, await request_id_of(http, emulator)) | {"athlete_id": athlete_id}
        assert (await http.post(url(emulator), data=form)).status_code == 400


async def test_of_several_athletes_one_is_chosen():
    emulator = Emulator(clock=FakeClock(), years=0.2, athletes=3)
    wanted = emulator.athlete_ids[2]
    answer = answer_of(await emulator.approve(url(emulator), athlete_id=wanted))
    assert (await exchange(emulator, answer["code"]))["athlete"]["id"] == wanted


async def test_the_browser_remembers_who_is_signed_in():
    emulator = Emulator(clock=FakeClock(), years=0.2, athletes=2)
    emulator.grant(emulator.athlete_ids[1])
    async with browse(emulator) as http:
        page = (await http.get(url(emulator))).text
        request_id = re.search(r'name="request_id" value="([^"]+)"', page).group(1)
        form = consent(emulator, request_id) | {"athlete_id": str(emulator.athlete_ids[1])}
        await http.post(url(emulator), data=form)
        assert (await http.get(url(emulator))).status_code == 302
    async with browse(emulator) as other_browser:
        assert (await other_browser.get(url(emulator))).status_code == 200


async def test_a_full_application_shows_the_capacity_page_instead(emulator):
    emulator.application().athlete_capacity = 0
    with pytest.raises(PageError, match="403") as caught:
        await emulator.approve(url(emulator))
    assert "Limit of connected athletes exceeded" in caught.value.text


async def test_capacity_is_counted_in_athletes():
    emulator = Emulator(clock=FakeClock(), years=0.2, athletes=2)
    emulator.application().athlete_capacity = 1
    emulator.grant(emulator.athlete_ids[0])
    with pytest.raises(PageError, match="403"):
        await emulator.approve(url(emulator), athlete_id=emulator.athlete_ids[1])
    assert "code=" in await emulator.approve(url(emulator), athlete_id=emulator.athlete_ids[0])


async def test_approve_refuses_what_the_page_does_not_offer(emulator):
    with pytest.raises(ValueError, match="offers"):
        await emulator.approve(url(emulator), scope=["activity:write"])
    with pytest.raises(ValueError, match="does not offer athlete"):
        await emulator.approve(url(emulator), athlete_id=1)


async def test_approve_tells_what_the_page_said(emulator):
    with pytest.raises(PageError, match="client_id") as caught:
        await emulator.approve(url(emulator, client_id="1"))
    assert caught.value.status_code == 400
