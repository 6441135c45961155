"""Dialogues as Strava was seen to hold them: header casing, odd fields, bodies. Written down here, played by respx."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import respx

from strava_async import ApiV3, InvalidGrantError, RateLimiter, RetryPolicy, UnauthorizedError
from strava_async.testing.clock import FakeClock
from tests.plain_http import NO_TRUST

pytestmark = pytest.mark.anyio

TUESDAY = "Tue, 06 Jan 2026 10:00:01 GMT"


def answer(body: Any, usage: str = "66,209", read_usage: str = "65,208", status_code: int = 200) -> httpx.Response:
    fields = {
        "Date": TUESDAY,
        "Content-Type": "application/json; charset=utf-8",
        "X-Ratelimit-Limit": "200,2000",
        "X-Ratelimit-Usage": usage,
        "X-Readratelimit-Limit": "100,1000",
        "X-Readratelimit-Usage": read_usage,
    }
    return httpx.Response(status_code, headers=fields, json=body)


@asynccontextmanager
async def api(**arguments: Any) -> AsyncGenerator[ApiV3, None]:
    # A client of httpx's own transport, which is what respx knows how to play; a client made by ApiV3 may have another.
    async with httpx.AsyncClient(verify=NO_TRUST) as http_client:
        yield ApiV3("token", http_client, RateLimiter(clock=FakeClock()), **arguments)


@respx.mock
async def test_a_walk_of_38_full_pages_a_short_one_and_an_empty_one() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["page"])
        size = 30 if number <= 37 else 22 if number == 38 else 0
        items = [{"id": 16_000_000_000 + 30 * number + index} for index in range(size)]
        return answer(items, f"{number},{number}", f"{number},{number}")

    route = respx.get("https://www.strava.com/api/v3/athlete/activities").mock(side_effect=page)
    async with api() as strava:
        seen = [activity["id"] async for activity in strava.paginate("/athlete/activities")]
    assert len(seen) == len(set(seen)) == 1132
    assert route.call_count == 39


@respx.mock
async def test_the_four_meters_are_read_from_one_answer() -> None:
    respx.get("https://www.strava.com/api/v3/athlete").mock(return_value=answer({"id": 1}))
    async with api() as strava:
        await strava.get("/athlete")
    quota = strava.quota
    assert (quota.overall_15min.limit, quota.overall_15min.usage) == (200, 66)
    assert (quota.overall_day.limit, quota.overall_day.usage) == (2000, 209)
    assert (quota.read_15min.limit, quota.read_15min.usage) == (100, 65)
    assert (quota.read_day.limit, quota.read_day.usage) == (1000, 208)


@respx.mock
async def test_an_empty_read_usage_on_a_created_activity_changes_nothing_of_the_read_meters() -> None:
    respx.get("https://www.strava.com/api/v3/athlete").mock(return_value=answer({"id": 1}))
    respx.post("https://www.strava.com/api/v3/activities").mock(
        return_value=answer({"id": 2}, "67,210", ",", status_code=201)
    )
    async with api() as strava:
        await strava.get("/athlete")
        created = await strava.post(
            "/activities", name="Run", sport_type="Run", start_date_local="2026-01-06T09:00:00Z", elapsed_time=60
        )
    assert created == {"id": 2}
    assert (strava.quota.overall_15min.usage, strava.quota.read_15min.usage) == (67, 65)


@respx.mock
async def test_streams_without_rate_limit_fields_are_counted_all_the_same() -> None:
    respx.get("https://www.strava.com/api/v3/athlete").mock(return_value=answer({"id": 1}))
    streams = httpx.Response(200, headers={"Date": TUESDAY}, json={"time": {"data": [0, 1]}})
    respx.get("https://www.strava.com/api/v3/activities/5/streams").mock(return_value=streams)
    async with api() as strava:
        await strava.get("/athlete")
        await strava.get("/activities/{id}/streams", id=5, keys=["time", "latlng"], key_by_type=True)
    assert strava.quota.read_15min.usage == 66
    assert str(respx.calls.last.request.url).endswith("/streams?keys=time,latlng&key_by_type=true")


@respx.mock
async def test_a_refresh_sends_its_secrets_in_the_form_and_rotates() -> None:
    token = respx.post("https://www.strava.com/oauth/token").mock(
        return_value=httpx.Response(
            200,
            json={
                "token_type": "Bearer",
                "access_token": "new-access-token",
                "expires_at": 1_767_715_200,
                "expires_in": 21_600,
                "refresh_token": "new-refresh-token",
            },
        )
    )
    athlete = respx.get("https://www.strava.com/api/v3/athlete").mock(return_value=answer({"id": 1}))
    async with api(refresh_token="old", token_expires=1, client_id=24523, client_secret="s3cret") as strava:
        await strava.get("/athlete")
    sent = token.calls.last.request
    assert sent.content == b"client_id=24523&client_secret=s3cret&grant_type=refresh_token&refresh_token=old"
    assert "Authorization" not in sent.headers
    assert athlete.calls.last.request.headers["Authorization"] == "Bearer new-access-token"
    assert (strava.refresh_token, strava.token_expires) == ("new-refresh-token", 1_767_715_200)


@respx.mock
async def test_a_rotated_refresh_token_means_connect_again() -> None:
    errors = [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}]
    respx.post("https://www.strava.com/oauth/token").mock(
        return_value=httpx.Response(400, json={"message": "Bad Request", "errors": errors})
    )
    async with api(refresh_token="old", token_expires=1, client_id=1, client_secret="s") as strava:
        with pytest.raises(InvalidGrantError):
            await strava.get("/athlete")


@respx.mock
async def test_the_one_hour_rule_does_not_loop() -> None:
    """Strava refuses a token, and issues the same one: it has more than an hour left."""
    refused = [{"resource": "Athlete", "field": "access_token", "code": "invalid"}]
    athlete = respx.get("https://www.strava.com/api/v3/athlete").mock(
        return_value=answer({"message": "Authorization Error", "errors": refused}, status_code=401)
    )
    token = respx.post("https://www.strava.com/oauth/token").mock(
        return_value=httpx.Response(
            200,
            json={
                "access_token": "token",
                "expires_at": 1_767_707_882,
                "expires_in": 14_282,
                "refresh_token": "r",
            },
        )
    )
    async with api(refresh_token="r", client_id=1, client_secret="s") as strava:
        with pytest.raises(UnauthorizedError):
            await strava.get("/athlete")
    assert (athlete.call_count, token.call_count) == (1, 1)


@respx.mock
async def test_a_new_host_without_a_prefix() -> None:
    route = respx.get("https://api-v3.strava.com/athlete").mock(return_value=answer({"id": 1}))
    async with api(api_url="https://api-v3.strava.com", retry=RetryPolicy(max_attempts=1)) as strava:
        assert await strava.get("/athlete") == {"id": 1}
        assert (await strava.authorization_url(1, "http://localhost/")).startswith("https://www.strava.com/oauth/")
    assert route.called
