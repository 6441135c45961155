"""The emulator's tokens: exchange, refresh, revocation, and the bodies of their failures."""

import base64

import httpx
import pytest

from strava_async.testing import Emulator, FakeClock, Quirks

pytestmark = pytest.mark.anyio

HOUR = 3_600.0
CLIENT_ID_INVALID = {
    "message": "Bad Request",
    "errors": [{"resource": "Application", "field": "client_id", "code": "invalid"}],
}
WRONG_SECRET = {
    "message": "Authorization Error",
    "errors": [{"resource": "Application", "field": "", "code": "invalid"}],
}
BAD_REFRESH_TOKEN = {
    "message": "Bad Request",
    "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}],
}
BAD_CODE = {
    "message": "Bad Request",
    "errors": [{"resource": "AuthorizationCode", "field": "code", "code": "invalid"}],
}
BAD_ACCESS_TOKEN = {
    "message": "Authorization Error",
    "errors": [{"resource": "Athlete", "field": "access_token", "code": "invalid"}],
}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def emulator(clock):
    return Emulator(clock=clock, years=0.2)


def browse(emulator, **options):
    transport = httpx.ASGITransport(emulator.app)
    return httpx.AsyncClient(transport=transport, base_url="https://www.strava.com", **options)


def credentials(emulator, **more):
    return {"client_id": str(emulator.client_id), "client_secret": emulator.client_secret, **more}


async def token(emulator, path="/oauth/token", **form):
    async with browse(emulator) as http:
        return await http.post(path, data=credentials(emulator, **form))


async def refresh(emulator, refresh_token):
    return await token(emulator, grant_type="refresh_token", refresh_token=refresh_token)


async def code_for(emulator, scope="read,activity:read"):
    location = await emulator.approve(
        f"https://www.strava.com/oauth/authorize?client_id={emulator.client_id}&redirect_uri=http://localhost/cb"
        f"&response_type=code&scope={scope}"
    )
    return httpx.URL(location).params["code"]


async def profile_status(emulator, access_token):
    async with browse(emulator) as http:
        return (await http.get("/api/v3/athlete", headers={"Authorization": f"Bearer {access_token}"})).status_code


@pytest.mark.parametrize("path", ["/oauth/token", "/api/v3/oauth/token"])
async def test_a_code_buys_tokens_and_the_athlete(emulator, clock, path):
    code = await code_for(emulator)
    reply = await token(emulator, path, grant_type="authorization_code", code=code)
    body = reply.json()
    assert reply.status_code == 200
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 21_600
    assert body["expires_at"] == int(clock.time()) + 21_600
    assert body["scope"] == "read activity:read"
    assert body["athlete"] == emulator.world().summary_profile
    assert await profile_status(emulator, body["access_token"]) == 200


async def test_the_token_endpoint_costs_no_quota_and_sends_no_rate_headers(emulator):
    reply = await refresh(emulator, emulator.grant()["refresh_token"])
    assert not [name for name in reply.headers if "ratelimit" in name]
    assert emulator.meters_of().usage(emulator.clock.time())["overall_day"] == 0
    assert reply.headers["Date"] == "Tue, 06 Jan 2026 10:00:00 GMT"


async def test_a_code_works_once(emulator):
    code = await code_for(emulator)
    await token(emulator, grant_type="authorization_code", code=code)
    reply = await token(emulator, grant_type="authorization_code", code=code)
    assert (reply.status_code, reply.json()) == (400, BAD_CODE)


async def test_a_code_expires(emulator, clock):
    code = await code_for(emulator)
    clock.advance(601)
    reply = await token(emulator, grant_type="authorization_code", code=code)
    assert (reply.status_code, reply.json()) == (400, BAD_CODE)


async def test_a_code_of_another_application_does_not_work(emulator):
    other = emulator.register_application()
    code = await code_for(emulator)
    async with browse(emulator) as http:
        form = {
            "client_id": str(other.client_id),
            "client_secret": other.client_secret,
            "grant_type": "authorization_code",
            "code": code,
        }
        reply = await http.post("/oauth/token", data=form)
    assert (reply.status_code, reply.json()) == (400, BAD_CODE)


async def test_a_refresh_token_of_another_application_does_not_work(emulator):
    other = emulator.register_application()
    refresh_token = emulator.grant(client_id=other.client_id)["refresh_token"]
    reply = await refresh(emulator, refresh_token)
    assert (reply.status_code, reply.json()) == (400, BAD_REFRESH_TOKEN)


async def test_a_refresh_with_more_than_an_hour_left_brings_the_same_tokens(emulator, clock):
    granted = emulator.grant()
    clock.advance(2 * HOUR)
    body = (await refresh(emulator, granted["refresh_token"])).json()
    assert body["access_token"] == granted["access_token"]
    assert body["refresh_token"] == granted["refresh_token"]
    assert body["expires_in"] == 4 * HOUR
    assert "athlete" not in body


async def test_a_refresh_with_an_hour_left_rotates_both_tokens_and_ends_the_old_ones(emulator, clock):
    granted = emulator.grant()
    clock.advance(5 * HOUR)
    body = (await refresh(emulator, granted["refresh_token"])).json()
    assert body["access_token"] != granted["access_token"]
    assert body["refresh_token"] != granted["refresh_token"]
    assert body["expires_in"] == 6 * HOUR
    assert await profile_status(emulator, granted["access_token"]) == 401
    assert await profile_status(emulator, body["access_token"]) == 200
    again = await refresh(emulator, granted["refresh_token"])
    assert (again.status_code, again.json()) == (400, BAD_REFRESH_TOKEN)


async def test_rotation_and_the_end_of_old_tokens_can_be_switched_off(clock):
    quirks = Quirks(rotate_refresh_tokens=False, end_old_access_tokens=False, scope_in_token_answer=False)
    emulator = Emulator(clock=clock, years=0.2, quirks=quirks)
    granted = emulator.grant()
    clock.advance(5 * HOUR + 1)
    body = (await refresh(emulator, granted["refresh_token"])).json()
    assert body["refresh_token"] == granted["refresh_token"]
    assert "scope" not in body
    assert await profile_status(emulator, granted["access_token"]) == 200


@pytest.mark.parametrize(
    ("change", "status_code", "body"),
    [
        ({"client_id": "1"}, 400, CLIENT_ID_INVALID),
        ({"client_id": ""}, 400, CLIENT_ID_INVALID),
        ({"client_id": "٣"}, 400, CLIENT_ID_INVALID),
        ({"client_secret": ""}, 400, CLIENT_ID_INVALID),
        ({"client_id": "1", "grant_type": "nonsense"}, 400, CLIENT_ID_INVALID),
        ({"client_secret": "wrong"}, 401, WRONG_SECRET),
        ({"client_secret": "schlüssel"}, 401, WRONG_SECRET),
        ({"refresh_token": "bogus"}, 400, BAD_REFRESH_TOKEN),
        ({"refresh_token": ""}, 400, BAD_REFRESH_TOKEN),
        ({"grant_type": "authorization_code", "code": "bogus"}, 400, BAD_CODE),
        ({"grant_type": "authorization_code"}, 400, BAD_CODE),
    ],
)
@pytest.mark.parametrize("path", ["/oauth/token", "/api/v3/oauth/token"])
async def test_each_failure_has_the_body_that_was_recorded(emulator, path, change, status_code, body):
    form = credentials(emulator, grant_type="refresh_token", refresh_token=emulator.grant()["refresh_token"]) | change
    async with browse(emulator) as http:
        reply = await http.post(path, data=form)
    assert (reply.status_code, reply.json()) == (status_code, body)


async def test_an_empty_body_is_an_unknown_client(emulator):
    async with browse(emulator) as http:
        reply = await http.post("/oauth/token")
    assert (reply.status_code, reply.json()) == (400, CLIENT_ID_INVALID)


@pytest.mark.parametrize("way", ["data", "json", "params"])
async def test_the_parameters_may_come_as_form_json_or_query(emulator, way):
    values = credentials(emulator, grant_type="refresh_token", refresh_token=emulator.grant()["refresh_token"])
    async with browse(emulator) as http:
        assert (await http.post("/oauth/token", **{way: values})).status_code == 200


async def test_secrets_in_a_query_are_masked_in_the_record(emulator):
    values = credentials(emulator, grant_type="refresh_token", refresh_token=emulator.grant()["refresh_token"])
    async with browse(emulator) as http:
        await http.post("/oauth/token", params=values)
    text = repr(emulator.requests)
    assert values["client_secret"] not in text
    assert values["refresh_token"] not in text


async def test_the_whole_dialogue_may_be_held_below_the_prefix_of_the_api(emulator):
    """Clients that know one base URL ask for all of it there; the swagger names the page so."""
    location = await emulator.approve(
        f"https://www.strava.com/api/v3/oauth/authorize?client_id={emulator.client_id}"
        "&redirect_uri=http://localhost/cb&response_type=code&scope=read"
    )
    code = httpx.URL(location).params["code"]
    granted = (await token(emulator, "/api/v3/oauth/token", code=code, grant_type="authorization_code")).json()
    bearer = {"Authorization": f"Bearer {granted['access_token']}"}
    async with browse(emulator) as http:
        ended = await http.post("/api/v3/oauth/deauthorize", headers=bearer)
        assert (ended.status_code, ended.json()) == (200, {"access_token": granted["access_token"]})
        assert ended.headers["X-Ratelimit-Usage"] == "1,1"
        again, auth = emulator.grant(), (str(emulator.client_id), emulator.client_secret)
        revoked = await http.post("/api/v3/oauth/revoke", data={"token": again["refresh_token"]}, auth=auth)
    assert (revoked.status_code, revoked.content) == (200, b"")
    assert await profile_status(emulator, again["access_token"]) == 401


async def test_a_browser_that_chose_an_athlete_is_known_at_both_pages():
    emulator = Emulator(clock=FakeClock(), years=0.1, athletes=2)
    query = f"client_id={emulator.client_id}&redirect_uri=http://localhost/cb&response_type=code&scope=read"
    emulator.grant(emulator.athlete_ids[1], scope=["read"])
    async with browse(emulator) as http:
        page = (await http.get(f"/oauth/authorize?{query}")).text
        request_id = page.partition('name="request_id" value="')[2].partition('"')[0]
        chosen = {
            "request_id": request_id,
            "athlete_id": emulator.athlete_ids[1],
            "scope": "read",
            "action": "authorize",
        }
        assert (await http.post("/oauth/authorize", data=chosen)).status_code == 302
        assert (await http.get(f"/api/v3/oauth/authorize?{query}")).status_code == 302


async def revoke(emulator, *, user=None, password=None, **form):
    auth = (user or str(emulator.client_id), password or emulator.client_secret)
    async with browse(emulator) as http:
        return await http.post("/oauth/revoke", data=form, auth=auth)


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_both(emulator, kind):
    granted = emulator.grant()
    reply = await revoke(emulator, token=granted[kind])
    assert (reply.status_code, reply.content) == (200, b"")
    assert await profile_status(emulator, granted["access_token"]) == 401
    assert (await refresh(emulator, granted["refresh_token"])).json() == BAD_REFRESH_TOKEN


async def test_revoking_an_expired_grant_by_its_refresh_token_works(emulator):
    granted = emulator.grant()
    emulator.expire_access_tokens()
    assert (await revoke(emulator, token=granted["refresh_token"])).status_code == 200
    assert (await refresh(emulator, granted["refresh_token"])).status_code == 400


async def test_revoking_an_unknown_token_succeeds(emulator):
    reply = await revoke(emulator, token="bogus")
    assert (reply.status_code, reply.content) == (200, b"")


async def test_revoking_nothing_is_a_400(emulator):
    assert (await revoke(emulator)).status_code == 400


@pytest.mark.parametrize("change", [{"user": "1"}, {"password": "wrong"}])
async def test_revoking_with_bad_credentials_is_a_401_without_errors(emulator, change):
    granted = emulator.grant()
    reply = await revoke(emulator, token=granted["refresh_token"], **change)
    assert (reply.status_code, reply.json()) == (401, {"message": "Authorization Error", "errors": []})
    assert await profile_status(emulator, granted["access_token"]) == 200


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic ?", "Basic =", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Bearer x"]
)
async def test_revoking_with_a_broken_header_is_a_401(emulator, header):
    async with browse(emulator) as http:
        reply = await http.post("/oauth/revoke", data={"token": "x"}, headers={"Authorization": header})
    assert reply.status_code == 401


async def test_revoking_a_token_of_another_application_changes_nothing(emulator):
    other = emulator.register_application()
    granted = emulator.grant()
    reply = await revoke(
        emulator, user=str(other.client_id), password=other.client_secret, token=granted["access_token"]
    )
    assert reply.status_code == 200
    assert await profile_status(emulator, granted["access_token"]) == 200


@pytest.mark.parametrize("way", ["data", "header"])
async def test_deauthorize_answers_with_the_token_ends_the_grant_and_costs_quota(emulator, way):
    granted = emulator.grant()
    access_token = granted["access_token"]
    async with browse(emulator) as http:
        if way == "data":
            reply = await http.post("/oauth/deauthorize", data={"access_token": access_token})
        else:
            reply = await http.post("/oauth/deauthorize", headers={"Authorization": f"Bearer {access_token}"})
    assert (reply.status_code, reply.json()) == (200, {"access_token": access_token})
    assert reply.headers["X-Ratelimit-Usage"] == reply.headers["X-Readratelimit-Usage"] == "1,1"
    assert (await refresh(emulator, granted["refresh_token"])).status_code == 400


async def test_deauthorize_with_an_invalid_token_is_a_401(emulator):
    access_token = emulator.grant()["access_token"]
    emulator.expire_access_tokens()
    async with browse(emulator) as http:
        reply = await http.post("/oauth/deauthorize", data={"access_token": access_token})
    assert (reply.status_code, reply.json()) == (401, BAD_ACCESS_TOKEN)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer bogus"}, {"Authorization": "Basic bogus"}])
async def test_a_call_without_a_good_token_is_a_401(emulator, header):
    async with browse(emulator, headers=header) as http:
        reply = await http.get("/api/v3/athlete")
    assert (reply.status_code, reply.json()) == (401, BAD_ACCESS_TOKEN)


async def test_an_access_token_expires_after_six_hours_and_its_401_is_counted(emulator, clock):
    access_token = emulator.grant()["access_token"]
    clock.advance(6 * HOUR)
    async with browse(emulator, headers={"Authorization": f"Bearer {access_token}"}) as http:
        reply = await http.get("/api/v3/athlete")
    assert reply.json() == BAD_ACCESS_TOKEN
    assert reply.headers["X-Ratelimit-Usage"] == "1,1"


async def test_a_token_in_the_query_opens_nothing(emulator):
    async with browse(emulator) as http:
        reply = await http.get("/api/v3/athlete", params={"access_token": emulator.grant()["access_token"]})
    assert reply.status_code == 401


async def test_expiring_access_tokens_leaves_the_grant(emulator):
    granted = emulator.grant()
    emulator.expire_access_tokens(emulator.athlete_ids[0])
    assert await profile_status(emulator, granted["access_token"]) == 401
    body = (await refresh(emulator, granted["refresh_token"])).json()
    assert await profile_status(emulator, body["access_token"]) == 200


async def test_a_disconnected_athlete_has_no_tokens_left(emulator):
    granted = emulator.grant()
    emulator.disconnect()
    assert await profile_status(emulator, granted["access_token"]) == 401
    assert (await refresh(emulator, granted["refresh_token"])).json() == BAD_REFRESH_TOKEN


async def test_a_full_application_refuses_the_exchange(emulator):
    code = await code_for(emulator)
    emulator.application().athlete_capacity = 0
    reply = await token(emulator, grant_type="authorization_code", code=code)
    assert reply.status_code == 403
    assert reply.json()["message"] == "Limit of connected athletes exceeded"


async def test_connecting_twice_with_the_same_scope_keeps_the_tokens(emulator):
    first = (await token(emulator, grant_type="authorization_code", code=await code_for(emulator))).json()
    second = (await token(emulator, grant_type="authorization_code", code=await code_for(emulator))).json()
    assert second["access_token"] == first["access_token"]


async def test_connecting_with_another_scope_changes_what_is_granted(emulator):
    first = (await token(emulator, grant_type="authorization_code", code=await code_for(emulator, "read"))).json()
    code = await code_for(emulator, "read,activity:write")
    second = (await token(emulator, grant_type="authorization_code", code=code)).json()
    assert second["scope"] == "read activity:write"
    assert second["access_token"] != first["access_token"]


def test_no_secret_shows_in_a_repr(emulator):
    granted = emulator.grant()
    shown = repr([emulator.application(), emulator.requests, emulator.world(), emulator.meters_of()])
    assert emulator.client_secret not in shown
    assert granted["access_token"] not in shown


def test_the_same_seed_makes_the_same_application_and_athletes():
    first, second = Emulator(seed=7, athletes=3), Emulator(seed=7, athletes=3)
    assert (first.client_id, first.client_secret) == (second.client_id, second.client_secret)
    assert first.athlete_ids == second.athlete_ids
    assert Emulator(seed=7).client_id == first.client_id
    assert Emulator(seed=8).athlete_ids != Emulator(seed=7).athlete_ids


def test_the_athlete_of_a_token_answer_is_the_same_before_and_after_the_world_is_made(emulator):
    early = emulator.grant()["athlete"]
    assert emulator.world().summary_profile == early
