"""What hooks receive, in which order, and that they affect no call."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import pytest

from strava_async import (
    ApiV3,
    DecodeError,
    InputError,
    InvalidGrantError,
    Priority,
    QuotaClass,
    QuotaExceededError,
    RateLimitedError,
    RateLimiter,
    RetryPolicy,
    ServerError,
    Strava,
    TransportError,
    UnauthorizedError,
)
from strava_async.request.reply import LARGE_BODY_BYTES
from strava_async.telemetry.hooks import Hooks, RefreshEvent, RequestEvent, ResponseEvent, RetryEvent, WaitEvent
from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits

BASE = "https://strava.test"
ONCE = RetryPolicy(max_attempts=1)


class Service:
    """An emulator, and a program that records what its hooks receive."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.emulator = Emulator(clock=self.clock, limits=MeterLimits(200, 2000, 100, 1000), years=0.1)
        self.http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        self.limiter = RateLimiter(clock=self.clock, random=lambda: 0.5)
        self.told: list[Any] = []
        note = self.told.append
        self.hooks = Hooks(request=note, response=note, wait=note, retry=note, refresh=note)

    def api(self, *, expires_in: float = 21_600, **arguments: Any) -> ApiV3:
        granted = self.emulator.grant(expires_in=expires_in)
        return ApiV3(
            granted["access_token"],
            refresh_token=granted["refresh_token"],
            token_expires=granted["expires_at"],
            client_id=self.emulator.client_id,
            client_secret=self.emulator.client_secret,
            **{**self.common, **arguments},
        )

    @property
    def common(self) -> dict[str, Any]:
        urls = {"api_url": f"{BASE}/api/v3", "oauth_url": f"{BASE}/oauth"}
        return {"http_client": self.http_client, "rate_limiter": self.limiter, "hooks": self.hooks, **urls}

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    @property
    def story(self) -> list[str]:
        """Return a summary of the events, in order."""
        return [_short(event) for event in self.told]


def _short(event: Any) -> str:
    match event:
        case RequestEvent():
            return f"request {event.endpoint} {event.attempt}"
        case ResponseEvent(error=None):
            return f"response {event.status_code}"
        case ResponseEvent() if event.cancelled:
            return f"response {event.status_code} cancelled"
        case ResponseEvent():
            return f"response {event.status_code} {type(event.error).__name__}"
        case WaitEvent():
            return f"wait {event.reason} {'cancelled' if event.cancelled else event.seconds}"
        case RetryEvent():
            return f"retry {type(event.error).__name__} {event.seconds}"
        case _:
            return f"refresh {type(event.error).__name__}"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with made.http_client:
        yield made


@pytest.mark.anyio
async def test_a_success_is_one_request_and_its_response(service: Service) -> None:
    await service.api(priority=Priority.INTERACTIVE).get("/athletes/{id}/stats", id=service.emulator.athlete_ids[0])
    request, response = service.told
    assert (request.method, request.endpoint, request.attempt) == ("GET", "/athletes/{id}/stats", 1)
    assert (request.quota_class, request.priority) == (QuotaClass.READ, Priority.INTERACTIVE)
    assert (request.server_address, request.server_port) == ("strava.test", 443)
    assert response.request is request
    assert (response.status_code, response.error, response.cancelled) == (200, None, False)


@pytest.mark.anyio
async def test_a_response_says_how_long_it_took_and_how_much_came(service: Service) -> None:
    service.emulator.faults.add(Fault.latency(0.25))
    service.emulator.faults.add(Fault.status(200, "[1, 2]", content_type="application/json"))
    async with service.clock.autojump():
        await service.api().get("/athlete")
    (response,) = service.of(ResponseEvent)
    assert (response.seconds, response.body_bytes) == (0.25, 6)


@pytest.mark.anyio
async def test_decoding_is_not_part_of_the_seconds_of_a_response(service: Service) -> None:
    await service.api().request("GET", "/athlete", decode=lambda _: service.clock.advance(5))
    assert service.of(ResponseEvent)[0].seconds == 0


@pytest.mark.anyio
async def test_the_limiter_knows_the_answer_before_the_hook_does(service: Service) -> None:
    usages: list[int | None] = []
    hooks = Hooks(response=lambda _: usages.append(service.limiter.quota.read_15min.usage))
    await service.api(hooks=hooks).get("/athlete")
    assert usages == [1]


@pytest.mark.anyio
async def test_a_429_is_followed_by_a_retry_and_a_wait_for_quota(service: Service) -> None:
    service.emulator.faults.add(Fault.rate_limited())
    async with service.clock.autojump():
        await service.api().get("/athlete")
    wait = service.of(WaitEvent)[0]
    assert wait.seconds > 1
    assert service.story == [
        "request /athlete 1",
        "response 429 RateLimitedError",
        "retry RateLimitedError 0.0",
        f"wait quota {wait.seconds}",
        "request /athlete 2",
        "response 200",
    ]
    assert wait.request is service.of(RequestEvent)[1]
    assert service.of(RetryEvent)[0].request is service.of(RequestEvent)[0]
    assert isinstance(service.of(ResponseEvent)[0].error, RateLimitedError)


@pytest.mark.anyio
async def test_a_server_error_is_followed_by_a_retry_and_its_backoff(service: Service) -> None:
    service.emulator.faults.add(Fault.server_error())
    async with service.clock.autojump():
        await service.api(retry=RetryPolicy(base_seconds=4.0)).get("/athlete")
    assert service.story == [
        "request /athlete 1",
        "response 503 ServerError",
        "retry ServerError 2.0",
        "wait retry 2.0",
        "request /athlete 2",
        "response 200",
    ]
    assert service.of(WaitEvent)[0].request is service.of(RequestEvent)[0]


@pytest.mark.anyio
async def test_the_last_failure_is_no_retry(service: Service) -> None:
    service.emulator.faults.add(Fault.server_error())
    with pytest.raises(ServerError):
        await service.api(retry=ONCE).get("/athlete")
    assert service.story == ["request /athlete 1", "response 503 ServerError"]


@pytest.mark.anyio
async def test_no_reply_is_a_response_without_a_status(service: Service) -> None:
    service.emulator.faults.add(Fault.lost(lambda: httpx.ReadError("gone")))
    with pytest.raises(TransportError) as caught:
        await service.api(retry=ONCE).get("/athlete")
    assert service.story == ["request /athlete 1", "response None TransportError"]
    assert service.of(ResponseEvent)[0].error is caught.value


@pytest.mark.anyio
async def test_a_refusal_that_is_not_raised_is_an_error_all_the_same(service: Service) -> None:
    await service.api().get("/activities/1", check_for_errors=False)
    assert service.story == ["request /activities/{id} 1", "response 404 NotFoundError"]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [Fault.html(), Fault.truncated()], ids=["html", "cut"])
async def test_a_body_that_cannot_be_read_is_a_response_with_status_and_error(service: Service, fault: Fault) -> None:
    service.emulator.faults.add(fault)
    with pytest.raises(DecodeError):
        await service.api().get("/athlete")
    assert service.story == ["request /athlete 1", "response 200 DecodeError"]


@pytest.mark.anyio
async def test_what_a_decoder_of_the_callers_raises_ends_the_response_too(service: Service) -> None:
    def decode(body: bytes) -> None:
        raise LookupError("not mine")

    with pytest.raises(LookupError):
        await service.api().request("GET", "/athlete", decode=decode)
    assert service.story == ["request /athlete 1", "response 200 LookupError"]


@pytest.mark.anyio
async def test_a_closed_client_is_reported_as_a_response_with_its_error_and_costs_nothing(service: Service) -> None:
    api = service.api()
    await api.get("/athlete")
    service.told.clear()
    await service.http_client.aclose()
    with pytest.raises(InputError):
        await api.get("/athlete")
    assert service.story == ["request /athlete 1", "response None InputError"]
    assert service.limiter.quota.read_15min.usage == 1


@pytest.mark.anyio
async def test_a_call_cancelled_in_flight_has_its_response(service: Service) -> None:
    service.emulator.faults.add(Fault.latency(3600))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.api().get, "/athlete")
        await anyio.wait_all_tasks_blocked()
        service.clock.advance(7)
        tasks.cancel_scope.cancel()
    assert service.story == ["request /athlete 1", "response None cancelled"]
    assert service.of(ResponseEvent)[0].seconds == 7


@pytest.mark.anyio
async def test_a_call_cancelled_while_its_answer_is_decoded_has_its_response_with_the_status(service: Service) -> None:
    service.emulator.faults.add(Fault.status(200, b"[" + b" " * LARGE_BODY_BYTES + b"]"))
    decoded: list[bytes] = []
    with anyio.CancelScope() as scope:
        await service.api(http_client=Cancelling(service, scope)).request("GET", "/athlete", decode=decoded.append)
    assert decoded == []
    assert service.story == ["request /athlete 1", "response 200 cancelled"]
    assert service.of(ResponseEvent)[0].body_bytes == LARGE_BODY_BYTES + 2


class Cancelling(httpx.AsyncClient):
    """A client that cancels the call when the answer is there."""

    def __init__(self, service: Service, scope: anyio.CancelScope) -> None:
        super().__init__(transport=httpx.ASGITransport(app=service.emulator.app))
        self._scope = scope

    async def send(self, *arguments: Any, **options: Any) -> httpx.Response:
        response = await super().send(*arguments, **options)
        await response.aread()
        self._scope.cancel()
        return response


@pytest.mark.anyio
async def test_a_wait_for_quota_is_reported_when_it_is_over(service: Service) -> None:
    api = service.api()
    service.emulator.spend(99)
    async with service.clock.autojump():
        await api.get("/athlete")
        service.told.clear()
        await api.get("/athlete")
    wait, request, _ = service.told
    assert (wait.reason, wait.error, wait.request) == ("quota", None, request)
    assert wait.seconds > 890


@pytest.mark.anyio
async def test_a_wait_refused_at_once_is_reported_with_its_error(service: Service) -> None:
    api = service.api(max_wait=5)
    service.emulator.spend(99)
    await api.get("/athlete")
    service.told.clear()
    with pytest.raises(QuotaExceededError) as caught:
        await api.get("/athlete")
    (wait,) = service.told
    assert (wait.reason, wait.error, wait.seconds) == ("quota", caught.value, 0)
    assert (wait.request.endpoint, wait.request.quota_class) == ("/athlete", QuotaClass.READ)


@pytest.mark.anyio
@pytest.mark.parametrize("reason", ["quota", "retry"])
async def test_a_wait_that_is_cancelled_is_reported(service: Service, reason: str) -> None:
    api = service.api()
    if reason == "quota":
        service.emulator.spend(99)
        await api.get("/athlete")
        service.told.clear()
    else:
        service.emulator.faults.add(Fault.server_error())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(api.get, "/athlete")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert service.story[-1] == f"wait {reason} cancelled"


@pytest.mark.anyio
async def test_a_renewal_before_the_expiry_is_reported(service: Service) -> None:
    service.emulator.faults.add(Fault.latency(0.5), path="/oauth/token")
    async with service.clock.autojump():
        await service.api(expires_in=10).get("/athlete")
    assert service.story == [
        "request /oauth/token 1",
        "response 200",
        "refresh NoneType",
        "request /athlete 1",
        "response 200",
    ]
    assert service.of(RefreshEvent)[0].seconds == 0.5
    assert service.of(RequestEvent)[0].quota_class is None


@pytest.mark.anyio
async def test_a_renewal_after_a_401_is_reported_and_the_call_tried_again(service: Service) -> None:
    api = service.api()
    service.emulator.expire_access_tokens()
    await api.get("/athlete")
    assert service.story == [
        "request /athlete 1",
        "response 401 UnauthorizedError",
        "request /oauth/token 1",
        "response 200",
        "refresh NoneType",
        "retry UnauthorizedError 0.0",
        "request /athlete 2",
        "response 200",
    ]
    assert isinstance(service.of(RetryEvent)[0].error, UnauthorizedError)


@pytest.mark.anyio
async def test_an_invalid_grant_is_reported_as_a_renewal_that_failed_once(service: Service) -> None:
    api = service.api(expires_in=10)
    service.emulator.disconnect()
    for _ in range(2):
        with pytest.raises(InvalidGrantError):
            await api.get("/athlete")
    assert service.story == ["request /oauth/token 1", "response 400 InvalidGrantError", "refresh InvalidGrantError"]


@pytest.mark.anyio
async def test_a_renewal_for_many_callers_is_reported_once_and_each_request_has_its_own_response(
    service: Service,
) -> None:
    api = service.api(expires_in=-5)
    async with service.clock.autojump(), anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(api.get, "/athlete")
    assert len(service.of(RefreshEvent)) == 1
    requests, responses = service.of(RequestEvent), service.of(ResponseEvent)
    assert len(requests) == 51
    assert {id(request) for request in requests} == {id(response.request) for response in responses}
    assert len(responses) == 51


@pytest.mark.anyio
async def test_a_renewal_by_hand_is_reported_and_a_new_grant_is_none(service: Service) -> None:
    api = service.api()
    await api.refresh_access_token(service.emulator.client_id, service.emulator.client_secret, api.refresh_token or "")
    with pytest.raises(InvalidGrantError):
        await api.exchange_code_for_token(service.emulator.client_id, service.emulator.client_secret, "no")
    assert [type(event).__name__ for event in service.told].count("RefreshEvent") == 1


@pytest.mark.anyio
async def test_an_applications_athletes_share_its_hooks_and_are_known(service: Service) -> None:
    athlete_id = service.emulator.athlete_ids[0]
    emulator = service.emulator
    async with Strava(emulator.client_id, emulator.client_secret, **service.common) as strava:
        page = await strava.authorization_url("http://localhost/back", "read,activity:read", "s")
        await strava.connect_redirect(await emulator.approve(page), state="s")
        service.told.clear()
        service.clock.advance(6 * 3600)
        await strava.api(athlete_id).with_options(max_wait=5).get("/athlete")
    token, athlete = service.of(RequestEvent)
    assert (token.endpoint, token.athlete_id) == ("/oauth/token", None)
    assert (athlete.endpoint, athlete.athlete_id) == ("/athlete", athlete_id)
    assert service.of(RefreshEvent)[0].athlete_id == athlete_id


@pytest.mark.anyio
async def test_no_event_holds_a_secret(service: Service) -> None:
    api = service.api(expires_in=10)
    secrets = {service.emulator.client_secret, api.access_token, api.refresh_token, "hush"}
    async with service.clock.autojump():
        await api.get("/athlete", verify_token="hush")
        service.emulator.faults.add(Fault.server_error())
        await api.get("/athlete", verify_token="hush")
    told = repr(service.told)
    secrets |= {api.access_token, api.refresh_token}
    assert not [secret for secret in secrets if secret is None or secret in told]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["request", "response", "wait", "retry", "refresh"])
async def test_a_hook_that_raises_breaks_no_call_and_is_logged_once(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Any) -> None:
        called.append(event)
        raise ZeroDivisionError("my own mistake")

    called: list[Any] = []
    service.emulator.faults.add(Fault.server_error(), times=2)
    hooks = Hooks.combined(Hooks(**{name: broken}), service.hooks)
    api = service.api(expires_in=10, hooks=hooks)
    async with service.clock.autojump():
        assert await api.get("/athlete")
    assert called
    assert [event for event in service.told if type(event) is type(called[0])] == called
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("strava_async.hooks", logging.ERROR)
    assert "broken" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.anyio
async def test_what_is_no_exception_passes_through_a_hook(service: Service) -> None:
    with pytest.raises(SystemExit):
        await service.api(hooks=Hooks(response=lambda _: sys.exit(3))).get("/athlete")


@pytest.mark.anyio
async def test_hooks_that_listen_to_one_thing_hear_nothing_else(service: Service) -> None:
    waits: list[WaitEvent] = []
    service.emulator.faults.add(Fault.server_error())
    async with service.clock.autojump():
        await service.api(hooks=Hooks(wait=waits.append)).get("/athlete")
    assert [wait.reason for wait in waits] == ["retry"]


async def _async_hook(event: RequestEvent) -> None: ...


@pytest.mark.parametrize("hook", [_async_hook, "print"])
def test_a_hook_is_a_plain_function(hook: Any) -> None:
    with pytest.raises(InputError, match="request"):
        Hooks(request=hook)


def test_combined_hooks_are_called_in_their_order() -> None:
    heard: list[str] = []

    def hears(name: str) -> Callable[[object], None]:
        return lambda _: heard.append(name)

    hooks = Hooks.combined(Hooks(refresh=hears("a")), Hooks(), Hooks(refresh=hears("b")))
    assert hooks.refresh is not None
    hooks.refresh(RefreshEvent(None, 0.0, None))
    assert heard == ["a", "b"]
