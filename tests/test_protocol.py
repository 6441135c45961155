"""ApiV3 against the emulator: the contract, end to end."""

import gzip
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from io import BytesIO
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.lowlevel
import httpx
import pytest

from strava_async import (
    ApiV3,
    AsyncOnlyError,
    BadRequestError,
    DecodeError,
    FaultError,
    InputError,
    InsufficientScopeError,
    InvalidClientError,
    InvalidGrantError,
    NotFoundError,
    Priority,
    QuotaClass,
    QuotaExceededError,
    RateLimitedError,
    RateLimiter,
    RetryPolicy,
    ServerError,
    TokenSet,
    TokenSource,
    TransportError,
    UnauthorizedError,
    Unlimited,
    oauth,
)
from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits

pytestmark = pytest.mark.anyio

BASE = "https://strava.test"
BACK = "http://localhost/back"
ROOMY = MeterLimits(10_000, 100_000, 10_000, 100_000)


class Service:
    """An emulator and what a program needs to talk to it."""

    def __init__(self, limits: MeterLimits = ROOMY, **settings: Any) -> None:
        self.clock = FakeClock()
        self.emulator = Emulator(clock=self.clock, limits=limits, years=0.3, **settings)
        self.http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        self.limiter = RateLimiter(clock=self.clock, random=lambda: 0.5)

    def api(self, *, expires_in: float = 21_600, **arguments: Any) -> ApiV3:
        granted = self.emulator.grant(expires_in=expires_in)
        arguments = {
            "access_token": granted["access_token"],
            "refresh_token": granted["refresh_token"],
            "token_expires": granted["expires_at"],
            "client_id": self.emulator.client_id,
            "client_secret": self.emulator.client_secret,
            **arguments,
        }
        return self.bare_api(**arguments)

    def bare_api(self, **arguments: Any) -> ApiV3:
        arguments.setdefault("rate_limiter", self.limiter)
        return ApiV3(http_client=self.http_client, api_url=f"{BASE}/api/v3", oauth_url=f"{BASE}/oauth", **arguments)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with made.http_client:
        yield made


def test_the_twins_signature_holds() -> None:
    api = ApiV3("token", None, Unlimited())
    assert (api.access_token, api.refresh_token, api.token_expires) == ("token", None, None)
    assert (ApiV3.server, ApiV3.api_base) == ("www.strava.com", "/api/v3")


async def test_the_code_flow_from_the_page_to_a_renewed_token(service: Service) -> None:
    emulator, api = service.emulator, service.bare_api()
    url = await api.authorization_url(emulator.client_id, BACK, scope="read,activity:read", state="s1")
    redirect = oauth.parse_redirect(await emulator.approve(url))
    assert redirect.state == "s1"
    info = await api.exchange_code_for_token(emulator.client_id, emulator.client_secret, redirect.code)
    assert info["athlete"]["id"] == emulator.athlete_ids[0]
    assert api.access_token == info["access_token"]
    assert (await api.get("/athlete"))["id"] == emulator.athlete_ids[0]
    service.clock.advance(6 * 3600)
    assert (await api.get("/athlete"))["id"] == emulator.athlete_ids[0]
    assert api.access_token != info["access_token"]
    assert emulator.count("POST", "/oauth/token") == 2


async def test_a_used_code_is_an_invalid_grant(service: Service) -> None:
    emulator, api = service.emulator, service.bare_api()
    code = oauth.parse_redirect(await emulator.approve(await api.authorization_url(emulator.client_id, BACK))).code
    await api.exchange_code_for_token(emulator.client_id, emulator.client_secret, code)
    with pytest.raises(InvalidGrantError):
        await api.exchange_code_for_token(emulator.client_id, emulator.client_secret, code)


async def test_a_code_is_never_sent_twice(service: Service) -> None:
    emulator, api = service.emulator, service.bare_api()
    code = oauth.parse_redirect(await emulator.approve(await api.authorization_url(emulator.client_id, BACK))).code
    emulator.faults.add(Fault.lost(), path="/oauth/token")
    with pytest.raises(TransportError) as caught:
        await api.exchange_code_for_token(emulator.client_id, emulator.client_secret, code)
    assert caught.value.sent == "maybe"
    assert emulator.count("POST", "/oauth/token") == 1


async def test_a_wrong_secret_leaves_the_grant_alone(service: Service) -> None:
    api = service.api(client_secret="wr0ng", expires_in=10)
    for _ in range(2):
        with pytest.raises(InvalidClientError):
            await api.get("/athlete")
    assert service.emulator.count("POST", "/oauth/token") == 2
    assert service.emulator.count("GET", "/athlete") == 0


async def test_a_refresh_is_repeated_when_strava_is_down(service: Service) -> None:
    service.emulator.faults.add(Fault.server_error(), path="/oauth/token", times=2)
    async with service.clock.autojump():
        assert await service.api(expires_in=10).get("/athlete")
    assert service.emulator.count("POST", "/oauth/token") == 3


async def test_refreshing_by_hand_updates_the_object_and_tells_the_callback(service: Service) -> None:
    told: list[TokenSet] = []
    api = service.api(expires_in=1800, on_token_refresh=told.append)
    before = api.refresh_token
    assert before is not None
    info = await api.refresh_access_token(service.emulator.client_id, service.emulator.client_secret, before)
    assert (api.access_token, api.refresh_token) == (info["access_token"], info["refresh_token"])
    assert api.refresh_token != before
    assert [tokens.refresh_token for tokens in told] == [api.refresh_token]


async def test_oauth_calls_spend_no_quota_and_show_no_secret_in_urls(service: Service) -> None:
    await service.api(expires_in=10).get("/athlete")
    token_requests = [served for served in service.emulator.requests if served.path == "/oauth/token"]
    assert [dict(served.query) for served in token_requests] == [{}]
    assert service.emulator.meters_of().usage(service.clock.time())["overall_day"] == 1


async def test_revoking_kills_the_grant_and_forgets_the_tokens(service: Service) -> None:
    api = service.api()
    access_token, refresh_token = api.access_token, api.refresh_token
    await api.revoke()
    assert (api.access_token, api.refresh_token) == (None, None)
    with pytest.raises(UnauthorizedError):
        await service.bare_api(access_token=access_token).get("/athlete")
    with pytest.raises(InvalidGrantError):
        await api.refresh_access_token(service.emulator.client_id, service.emulator.client_secret, refresh_token or "")


async def test_revoking_with_wrong_credentials_is_the_clients_fault(service: Service) -> None:
    with pytest.raises(InvalidClientError):
        await service.api().revoke(service.emulator.client_id, "wr0ng")


@pytest.mark.parametrize("arguments", [{"client_id": None}, {"access_token": None, "refresh_token": None}])
async def test_revoking_needs_credentials_and_a_token(service: Service, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        await service.api(**arguments).revoke()


async def test_a_hundred_callers_with_an_expired_rotating_token_cause_one_refresh(service: Service) -> None:
    api = service.api(expires_in=-5)
    answers: list[Any] = []

    async def call() -> None:
        answers.append(await api.get("/athlete"))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(call)
    assert len(answers) == 100
    assert service.emulator.count("POST", "/oauth/token") == 1


async def test_a_hundred_callers_whose_token_strava_has_dropped_cause_one_refresh(service: Service) -> None:
    api = service.api()
    api.token_expires = None
    service.emulator.expire_access_tokens()
    answers: list[Any] = []

    async def call() -> None:
        answers.append(await api.get("/athlete"))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(call)
    assert len(answers) == 100
    assert service.emulator.count("POST", "/oauth/token") == 1


async def test_200_callers_against_a_100_read_window_get_200_answers_and_no_429() -> None:
    service = Service(MeterLimits())
    api = service.api()
    ended_at: list[float] = []

    async def call() -> None:
        await api.get("/athlete")
        ended_at.append(service.clock.monotonic())

    started = service.clock.monotonic()
    async with service.http_client, service.clock.autojump(), anyio.create_task_group() as calls:
        for _ in range(200):
            calls.start_soon(call)
    assert len(ended_at) == 200
    assert service.emulator.count("GET", "/athlete") == 200
    assert not [served for served in service.emulator.requests if served.status_code == 429]
    assert sum(at < started + 900 for at in ended_at) == 100
    assert sum(started + 900 <= at < started + 902 for at in ended_at) == 100


async def test_without_a_token_nothing_goes_into_the_authorization_field(service: Service) -> None:
    with pytest.raises(UnauthorizedError):
        await service.bare_api().get("/athlete")


async def test_paths_and_parameters(service: Service) -> None:
    api = service.api()
    activities = await api.get("/athlete/activities", per_page=3, before=None)
    assert len(activities) == 3
    detail = await api.get("/activities/{id}", id=activities[0]["id"], include_all_efforts=True)
    assert detail["id"] == activities[0]["id"]
    assert (await api.get(f"{BASE}/api/v3/athlete"))["id"] == service.emulator.athlete_ids[0]


@pytest.mark.parametrize("url", ["https://evil.example/api/v3/athlete", "http://strava.test/api/v3/athlete"])
async def test_a_bearer_goes_to_no_other_origin(service: Service, url: str) -> None:
    with pytest.raises(InputError):
        await service.api().get(url)
    assert len(service.emulator.requests) == 0


async def test_a_bearer_does_not_follow_a_redirect(service: Service) -> None:
    fault = Fault.status(302, headers={"Location": "https://evil.example/"})
    service.emulator.faults.add(fault, path="/athlete")
    with pytest.raises(FaultError) as caught:
        await service.api().get("/athlete")
    assert caught.value.status_code == 302
    assert len(service.emulator.requests) == 1


async def test_a_decoder_gets_the_body_as_it_was_sent_beside_the_plain_one(service: Service) -> None:
    def decode(plain: bytes, sent: bytes, coding: str) -> tuple[Any, bytes, str]:
        assert plain == (gzip.decompress(sent) if coding else sent)
        return json.loads(plain), sent, coding

    api = service.api()
    small = await api.request("GET", "/athlete/activities", {"per_page": 1, "before": 1}, decode_sent=decode)
    assert small == ([], b"[]", "")
    page, sent, coding = await api.request("GET", "/athlete/activities", decode_sent=decode)
    assert page == await api.get("/athlete/activities")
    assert (coding, sent[:2]) == ("gzip", b"\x1f\x8b")
    with pytest.raises(DecodeError):
        await api.request("GET", "/athlete", decode_sent=lambda plain, sent, coding: json.loads(sent))
    with pytest.raises(InputError, match="either"):
        await api.request("GET", "/athlete", decode=json.loads, decode_sent=decode)


async def test_put_sends_json_and_post_a_form(service: Service) -> None:
    api = service.api()
    made = await api.post(
        "/activities", name="Lunch", sport_type="Run", start_date_local="2026-01-05T12:00:00Z", elapsed_time=1800
    )
    assert made["name"] == "Lunch"
    changed = await api.put("/activities/{id}", body={"name": "Late lunch", "commute": True}, id=made["id"])
    assert (changed["name"], changed["commute"]) == ("Late lunch", True)


async def test_only_uploads_spend_the_overall_meters_alone(service: Service) -> None:
    api = service.api()
    await api.post(
        "/activities", name="Lunch", sport_type="Run", start_date_local="2026-01-05T12:00:00Z", elapsed_time=1800
    )
    await api.get("/athlete")
    assert (api.quota.overall_day.usage, api.quota.read_day.usage) == (2, 1)


async def test_a_file_is_uploaded(service: Service) -> None:
    api = service.api()
    gpx = (
        b'<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
        b'<trkpt lat="1.0" lon="2.0"><time>2026-01-05T10:00:00Z</time></trkpt>'
        b'<trkpt lat="1.001" lon="2.0"><time>2026-01-05T10:01:00Z</time></trkpt></trkseg></trk></gpx>'
    )
    upload = await api.post("/uploads", files={"file": ("a.gpx", gpx)}, data_type="gpx", name="Loop")
    assert upload["error"] is None
    service.clock.advance(10)
    assert (await api.get("/uploads/{id}", id=upload["id"]))["activity_id"]


async def test_a_stream_that_may_have_arrived_is_sent_once(service: Service) -> None:
    service.emulator.faults.add(Fault.server_error(), path="/uploads")
    with pytest.raises(ServerError):
        await service.api().post("/uploads", files={"file": ("a.fit", BytesIO(b"123"))}, data_type="fit")
    assert service.emulator.count("POST", "/uploads") == 1


@pytest.mark.parametrize("fault", [Fault.lost(), Fault.server_error(502), Fault.server_error(597, html=False)])
async def test_an_ambiguous_post_is_never_repeated(service: Service, fault: Fault) -> None:
    service.emulator.faults.add(fault, path="/activities")
    with pytest.raises((TransportError, ServerError)):
        await service.api().post(
            "/activities", name="x", sport_type="Run", start_date_local="2026-01-05T12:00:00Z", elapsed_time=60
        )
    assert service.emulator.count("POST", "/activities") == 1


@pytest.mark.parametrize(
    "fault", [Fault.lost(), Fault.refused(), Fault.server_error(502), Fault.server_error(597, html=False)]
)
async def test_a_get_survives_trouble(service: Service, fault: Fault) -> None:
    service.emulator.faults.add(fault, path="/athlete", times=2)
    async with service.clock.autojump():
        assert (await service.api().get("/athlete"))["id"]


@pytest.mark.parametrize(
    ("fault", "kind"), [(Fault.html(), DecodeError), (Fault.truncated(), DecodeError), (Fault.inactive(), FaultError)]
)
async def test_odd_answers_end_in_the_tree(service: Service, fault: Fault, kind: type[Exception]) -> None:
    service.emulator.faults.add(fault, path="/athlete")
    with pytest.raises(kind):
        await service.api().get("/athlete")


async def test_an_empty_success_is_an_empty_object(service: Service) -> None:
    service.emulator.faults.add(Fault.empty_body(), path="/athlete")
    assert await service.api().get("/athlete") == {}


async def test_without_checks_a_refusal_is_a_value(service: Service) -> None:
    answer = await service.api().get("/activities/{id}", check_for_errors=False, id=1)
    assert answer["message"] == "Resource Not Found"
    service.emulator.faults.add(Fault.html(404), path="/athlete")
    assert "<html>" in await service.api().get("/athlete", check_for_errors=False)


async def test_a_missing_scope_is_not_refreshed(service: Service) -> None:
    granted = service.emulator.grant(scope=["read"])
    api = service.bare_api(access_token=granted["access_token"])
    with pytest.raises(InsufficientScopeError) as caught:
        await api.get("/athlete/activities")
    assert "activity:read" in caught.value.missing
    assert service.emulator.count("POST", "/oauth/token") == 0


async def test_a_429_of_somebody_elses_making_is_waited_for() -> None:
    service = Service(MeterLimits())
    api = service.api()
    async with service.http_client, service.clock.autojump():
        await api.get("/athlete")
        service.emulator.spend(99)
        started = service.clock.monotonic()
        await api.get("/athlete")
        assert service.clock.monotonic() >= started + 890
    assert [served.status_code for served in service.emulator.requests] == [200, 429, 200]


async def test_a_last_429_names_the_meter() -> None:
    service = Service(MeterLimits())
    service.emulator.spend(100)
    async with service.http_client:
        with pytest.raises(RateLimitedError) as caught:
            await service.api(retry=RetryPolicy(max_attempts=1)).get("/athlete")
    assert caught.value.window == "read_15min"
    assert caught.value.quota_class == QuotaClass.READ
    assert caught.value.resume_at == pytest.approx(service.clock.time() + 900, abs=2)


async def test_a_call_that_cannot_start_in_time_fails_at_once_and_costs_nothing() -> None:
    service = Service(MeterLimits())
    api = service.api()
    async with service.http_client:
        await api.get("/athlete")
        service.emulator.spend(98)
        await api.get("/athlete")
        with pytest.raises(QuotaExceededError) as caught:
            await api.with_options(max_wait=2.0, priority=Priority.INTERACTIVE).get("/athlete")
    assert caught.value.window == "read_15min"
    assert 880 < caught.value.wait_seconds < 902
    assert len(service.emulator.requests) == 2


async def test_options_share_everything_else(service: Service) -> None:
    api = service.api()
    view = api.with_options(timeout=5.0, retry=RetryPolicy(max_attempts=1))
    assert view.tokens is api.tokens
    view.access_token = "other"
    assert api.access_token == "other"
    assert view.quota == api.quota


async def test_credentials_learnt_by_a_view_are_known_to_the_object_it_came_from(service: Service) -> None:
    emulator, api = service.emulator, service.bare_api()
    view = api.with_options(timeout=5.0)
    code = oauth.parse_redirect(await emulator.approve(await api.authorization_url(emulator.client_id, BACK))).code
    await view.exchange_code_for_token(emulator.client_id, emulator.client_secret, code)
    await api.revoke()
    assert view.access_token is None


@pytest.mark.parametrize("options", [{"timeout": 0.0}, {"timeout": float("nan")}, {"max_wait": -1.0}])
async def test_invalid_options_are_refused(service: Service, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        service.api().with_options(**options)
    with pytest.raises(InputError):
        service.bare_api(**options)


async def test_tokens_and_their_parts_exclude_each_other(service: Service) -> None:
    with pytest.raises(InputError):
        service.bare_api(tokens=TokenSource(), access_token="a")


async def test_athletes_share_tokens_between_objects(service: Service) -> None:
    api = service.api(expires_in=-5)
    other = service.bare_api(tokens=api.tokens)
    await other.get("/athlete")
    assert other.access_token == api.access_token


async def test_paginate_walks_to_the_empty_page(service: Service) -> None:
    api = service.api()
    expected = {activity["id"] for activity in service.emulator.world().activities}
    seen = [activity["id"] async for activity in api.paginate("/athlete/activities", per_page=20)]
    assert len(seen) == len(expected)
    assert set(seen) == expected
    assert service.emulator.count("GET", "/athlete/activities") == -(-len(expected) // 20) + 1


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_paginate_goes_past_short_pages(service: Service, prefetch: int) -> None:
    service.emulator.faults.add(Fault.short_pages(7), path="/athlete/activities", times=None)
    expected = [activity["id"] for activity in reversed(service.emulator.world().activities)]
    walk = service.api().paginate("/athlete/activities", per_page=20, prefetch=prefetch)
    assert [activity["id"] async for activity in walk] == expected


async def test_paginate_stops_at_the_limit_without_another_request(service: Service) -> None:
    walk = service.api().paginate("/athlete/activities", per_page=10, limit=20)
    assert len([item async for item in walk]) == 20
    assert service.emulator.count("GET", "/athlete/activities") == 2


async def test_paginate_takes_an_unpaged_endpoint_once(service: Service) -> None:
    api = service.api()
    activity_id = service.emulator.world().activities[-1]["id"]
    laps = [lap["id"] async for lap in api.paginate("/activities/{id}/laps", id=activity_id)]
    assert len(laps) == len(set(laps)) > 0


async def test_a_walk_is_an_async_generator_that_says_what_it_is_and_how_it_is_read(service: Service) -> None:
    walk = service.api().paginate("/athlete/activities", per_page=5)
    assert isinstance(walk, AsyncGenerator)
    assert repr(walk) == "<items of /athlete/activities>"
    for use in (iter, list):
        with pytest.raises(AsyncOnlyError, match="async for"):
            use(cast(Any, walk))
    with pytest.raises(TypeError, match="not awaited"):
        await cast(Any, walk)
    first = await anext(walk)
    assert (await walk.asend(None))["id"] != first["id"]
    with pytest.raises(LookupError):
        await walk.athrow(LookupError())
    with pytest.raises(StopAsyncIteration):
        await anext(walk)


async def test_an_error_in_a_prefetched_page_is_raised_as_itself(service: Service) -> None:
    service.emulator.faults.add(Fault.status(400, {"message": "no", "errors": []}), path="/athlete/activities", after=1)
    with pytest.raises(BadRequestError):
        async for _ in service.api().paginate("/athlete/activities", per_page=5, prefetch=4):
            pass


async def test_leaving_a_walk_early_leaks_nothing(service: Service) -> None:
    walk = service.api().paginate("/athlete/activities", per_page=5, prefetch=2)
    async for _ in walk:
        break
    await walk.aclose()
    assert service.limiter.quota.read_15min.reserved == 0


@pytest.mark.parametrize("arguments", [{"per_page": 0}, {"limit": -1}, {"prefetch": -1}, {"page": 3}])
async def test_paginate_refuses_nonsense_at_once(service: Service, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        service.api().paginate("/athlete/activities", **arguments)


async def test_a_thousand_calls_at_once(service: Service) -> None:
    api = service.api()
    answers: list[Any] = []

    async def call() -> None:
        answers.append(await api.get("/athlete"))

    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(call)
    assert len(answers) == 1000
    assert service.limiter.quota.read_15min.reserved == 0


async def test_calls_cancelled_anywhere_leak_no_reservation() -> None:
    service = Service(latency_seconds=1.0)
    api = service.api(expires_in=-5)
    async with service.http_client, service.clock.autojump():
        for turns in range(0, 60, 3):
            async with anyio.create_task_group() as calls:
                for _ in range(5):
                    calls.start_soon(api.get, "/athlete")
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                calls.cancel_scope.cancel()
        assert (await api.get("/athlete"))["id"]
    assert service.limiter.quota.read_15min.reserved == 0
    assert service.emulator.count("POST", "/oauth/token") == 1


async def test_closing_waits_for_a_refresh_in_progress(service: Service) -> None:
    saved: list[TokenSet] = []
    service.emulator.faults.add(Fault.latency(5.0), path="/oauth/token")
    api = service.api(expires_in=-5, on_token_refresh=saved.append)
    async with service.clock.autojump():
        with anyio.move_on_after(0):
            await api.get("/athlete")
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(api.get, "/athlete")
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
            tasks.cancel_scope.cancel()
        await api.aclose()
    assert len(saved) == 1
    assert api.refresh_token == saved[0].refresh_token


async def test_no_secret_is_logged_or_shown(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api = service.api(expires_in=-5)
    secrets = [api.access_token, api.refresh_token, service.emulator.client_secret]
    service.emulator.faults.add(Fault.server_error(), path="/oauth/token")
    async with service.clock.autojump():
        await api.get("/athlete")
    secrets += [api.access_token, api.refresh_token]
    shown = [repr(api), repr(api.tokens), repr(api.tokens.token), *(record.getMessage() for record in caplog.records)]
    for secret in secrets:
        assert secret
        assert not [text for text in shown if secret in text]


async def test_the_authorization_url_of_another_host(service: Service) -> None:
    url = await service.bare_api().authorization_url(7, BACK, "force", ["read_all"], "s")
    assert url.startswith(f"{BASE}/oauth/authorize?")
    assert parse_qs(urlsplit(url).query)["scope"] == ["read_all"]
    assert (await ApiV3().authorization_url(7, BACK)).startswith("https://www.strava.com/oauth/authorize?")


@pytest.mark.parametrize("name", ["api_url", "oauth_url"])
async def test_a_base_that_is_no_url_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        ApiV3(**{name: "strava"})


async def test_not_found(service: Service) -> None:
    with pytest.raises(NotFoundError) as caught:
        await service.api().get("/activities/{id}", id=1)
    assert caught.value.path == "/activities/1"


async def test_an_api_for_another_athlete_shares_all_but_the_tokens(service: Service) -> None:
    api = service.api()
    granted = service.emulator.grant(expires_in=60)
    tokens = TokenSource(
        TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"]), clock=service.clock
    )
    async with api.with_tokens(tokens) as other:
        await other.get("/athlete")  # renewed with the credentials of the first
        assert other.access_token != granted["access_token"]
        assert other.quota is not api.quota
        assert other.quota.read_15min.usage == api.quota.read_15min.usage == 1
    await api.get("/athlete")  # closing the other has not closed the pool
    assert api.access_token != other.access_token


async def test_a_view_of_a_view_closes_no_more_than_that(service: Service) -> None:
    api = service.api()
    other = api.with_tokens(TokenSource(api.tokens.token, clock=service.clock))
    await other.with_options(timeout=5.0).aclose()
    await api.get("/athlete")
    await api.with_options(timeout=5.0).aclose()
    with pytest.raises(InputError, match="closed"):
        await other.get("/athlete")


class Labelled(ApiV3):
    """A program's own class, with an attribute of its own."""

    label = ""


async def test_a_view_of_a_subclass_has_its_attributes(service: Service) -> None:
    api = Labelled("token", service.http_client, service.limiter)
    api.label = "nightly"
    views = [api.with_options(timeout=5.0), api.with_tokens(TokenSource(TokenSet("other")))]
    assert [(type(view), vars(view)["label"]) for view in views] == [(Labelled, "nightly")] * 2


def refusal(retry_after: str | None = None) -> Fault:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Fault.status(429, {"message": "Rate Limit Exceeded", "errors": []}, headers=headers)


async def test_a_token_endpoint_that_refuses_is_asked_with_pauses_and_then_left_alone(service: Service) -> None:
    service.emulator.faults.add(refusal(), path="/oauth/token", times=None)
    api, started = service.api(expires_in=-5), service.clock.monotonic()
    async with service.clock.autojump():
        with pytest.raises(RateLimitedError):
            await api.get("/athlete")
    assert service.clock.monotonic() - started == 0.75 * (0.5 + 1.0 + 2.0)
    assert service.emulator.count("POST", "/oauth/token") == 4
    other = api.with_tokens(TokenSource(TokenSet("a", "r", 1), clock=service.clock))
    for _ in range(3):
        for caller in (api, other):
            with pytest.raises(RateLimitedError, match=r"may be sent in 4\.0 s") as caught:
                await caller.get("/athlete")
            assert caught.value.retry_after == 4.0
    assert service.emulator.count("POST", "/oauth/token") == 4
    service.emulator.faults.clear()
    service.clock.advance(4.0)
    assert await api.get("/athlete")


@pytest.mark.parametrize("retry_after", ["120", "Tue, 06 Jan 2026 10:02:00 GMT"])
async def test_a_token_endpoint_that_says_when_is_not_asked_before(service: Service, retry_after: str) -> None:
    service.emulator.faults.add(refusal(retry_after), path="/oauth/token")
    api = service.api(expires_in=-5)
    with pytest.raises(RateLimitedError) as caught:
        await api.get("/athlete")
    assert caught.value.retry_after == 120.0
    service.clock.advance(119.0)
    with pytest.raises(RateLimitedError, match=r"in 1\.0 s"):
        await api.get("/athlete")
    with pytest.raises(RateLimitedError, match=r"in 1\.0 s"):
        await api.exchange_code_for_token(service.emulator.client_id, service.emulator.client_secret, "code")
    assert service.emulator.count("POST", "/oauth/token") == 1
    service.clock.advance(1.0)
    assert await api.get("/athlete")


async def test_a_short_retry_after_is_waited_for(service: Service) -> None:
    service.emulator.faults.add(refusal("20"), path="/oauth/token")
    api, started = service.api(expires_in=-5), service.clock.monotonic()
    async with service.clock.autojump():
        assert await api.get("/athlete")
    assert service.clock.monotonic() - started == 20.0 + 0.75 * 0.5


async def test_a_renewal_has_25_seconds_with_its_attempts(service: Service) -> None:
    service.emulator.faults.add(refusal("22"), path="/oauth/token")
    with pytest.raises(RateLimitedError) as caught:
        await service.api(expires_in=-5).get("/athlete")
    assert caught.value.retry_after == 22.0
    assert service.emulator.count("POST", "/oauth/token") == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": "{a}", "refresh_token": "{r}"},
        {"access_token": "{a}", "refresh_token": "{r}", "expires_at": "1767715200", "athlete": None},
        {"access_token": "{a}", "refresh_token": "{r}", "expires_at": 1e999, "expires_in": 10**400},
        {"access_token": "{a}", "expires_in": "21600"},
    ],
)
async def test_a_renewal_with_an_odd_answer_is_kept(service: Service, answer: dict[str, Any]) -> None:
    saved: list[TokenSet] = []
    granted = service.emulator.grant()
    names = {"{a}": granted["access_token"], "{r}": granted["refresh_token"]}
    body = {name: names.get(value, value) if isinstance(value, str) else value for name, value in answer.items()}
    service.emulator.faults.add(
        Fault.status(200, json.dumps(body), content_type="application/json"), path="/oauth/token"
    )
    api = service.bare_api(
        access_token="old",
        refresh_token="old-r",
        token_expires=1,
        client_id=1,
        client_secret="s",
        on_token_refresh=saved.append,
    )
    assert (await api.get("/athlete"))["id"] == service.emulator.athlete_ids[0]
    refresh_token = granted["refresh_token"] if "refresh_token" in answer else "old-r"
    assert [tokens.refresh_token for tokens in saved] == [refresh_token]
    assert service.emulator.count("POST", "/oauth/token") == 1


@pytest.mark.parametrize("token_expires", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "huge"])
def test_an_expiry_that_is_none_is_reported(token_expires: float) -> None:
    with pytest.raises(InputError):
        ApiV3("a", token_expires=token_expires)
    api = ApiV3("a", token_expires=5.5)
    with pytest.raises(InputError):
        api.token_expires = token_expires
    assert api.token_expires == 5
