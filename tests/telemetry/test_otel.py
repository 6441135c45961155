"""Spans and metrics of the requests to an emulator, and the page about them."""

import ast
import inspect
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import strava_async
from strava_async import ApiV3, DecodeError, Quota, QuotaExceededError, RateLimiter, RetryPolicy, Strava, TransportError
from strava_async.fastapi import WebhookCounts, webhook_router
from strava_async.otel import WINDOWS, instrument, instrument_webhooks
from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits, serve
from strava_async.webhooks import StoreStats

BASE = "https://strava.test"
PAGE = Path(__file__).parent.parent.parent / "docs" / "observability.md"


class Telemetry:
    """An SDK that keeps what it is given."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        """Return the data points of one metric."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def gauge(self, name: str) -> dict[Any, float]:
        return {point.attributes["strava.quota.window"]: point.value for point in self.points(f"strava.quota.{name}")}


class Watched(RateLimiter):
    """A limiter that knows the threads that looked at it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.threads: set[int] = set()

    @property
    def quota(self) -> Quota:
        self.threads.add(threading.get_ident())
        return super().quota


class Service(Telemetry):
    """An emulator, a program with instruments, and what they showed."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.emulator = Emulator(clock=self.clock, limits=MeterLimits(200, 2000, 100, 1000), years=0.1)
        self.http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        self.limiter = Watched(clock=self.clock, random=lambda: 0.5)
        self.hooks = instrument(
            tracer_provider=self.tracers, meter_provider=self.meters, limiter=self.limiter, **options
        )

    def api(self, *, expires_in: float = 21_600, **arguments: Any) -> ApiV3:
        granted = self.emulator.grant(expires_in=expires_in)
        return ApiV3(
            granted["access_token"],
            refresh_token=granted["refresh_token"],
            token_expires=granted["expires_at"],
            client_id=self.emulator.client_id,
            client_secret=self.emulator.client_secret,
            http_client=self.http_client,
            rate_limiter=self.limiter,
            api_url=f"{BASE}/api/v3",
            oauth_url=f"{BASE}/oauth",
            hooks=self.hooks,
            **arguments,
        )


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with made.http_client:
        yield made


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.anyio
async def test_a_request_is_a_client_span_under_the_callers(service: Service) -> None:
    with service.tracers.get_tracer("caller").start_as_current_span("job"):
        await service.api().get("/athletes/{id}/stats", id=service.emulator.athlete_ids[0])
    span, job = service.spans
    assert (span.name, span.kind, span.status.status_code) == (
        "GET /athletes/{id}/stats",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert span.parent is not None
    assert span.parent.span_id == job.context.span_id
    assert attributes(span) == {
        "http.request.method": "GET",
        "url.template": "/athletes/{id}/stats",
        "server.address": "strava.test",
        "server.port": 443,
        "strava.quota_class": "read",
        "http.response.status_code": 200,
    }


@pytest.mark.anyio
async def test_each_attempt_has_a_span_that_counts_the_ones_before(service: Service) -> None:
    service.emulator.faults.add(Fault.server_error(), times=2)
    async with service.clock.autojump():
        await service.api().get("/athlete")
    shown = [
        (span.status.status_code, attributes(span).get("error.type"), attributes(span).get("http.request.resend_count"))
        for span in service.spans
    ]
    assert shown == [(StatusCode.ERROR, "503", None), (StatusCode.ERROR, "503", 1), (StatusCode.UNSET, None, 2)]
    assert [point.value for point in service.points("strava.retries")] == [2]


@pytest.mark.anyio
async def test_no_reply_is_an_error_without_a_status(service: Service) -> None:
    service.emulator.faults.add(Fault.lost(lambda: httpx.ReadError("gone")))
    with pytest.raises(TransportError):
        await service.api(retry=RetryPolicy(max_attempts=1)).get("/athlete")
    (span,) = service.spans
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "TransportError"
    assert "http.response.status_code" not in attributes(span)


@pytest.mark.anyio
async def test_a_body_that_cannot_be_read_is_an_error_with_a_status(service: Service) -> None:
    service.emulator.faults.add(Fault.html())
    with pytest.raises(DecodeError):
        await service.api().get("/athlete")
    (span,) = service.spans
    assert span.status.status_code is StatusCode.ERROR
    assert (attributes(span)["error.type"], attributes(span)["http.response.status_code"]) == ("DecodeError", 200)


@pytest.mark.anyio
async def test_the_span_of_a_cancelled_call_ends_and_is_no_error(service: Service) -> None:
    service.emulator.faults.add(Fault.latency(3600))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.api().get, "/athlete")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    (span,) = service.spans
    assert (span.status.status_code, attributes(span)["error.type"]) == (StatusCode.UNSET, "cancelled")


@pytest.mark.anyio
async def test_many_calls_at_once_have_their_own_spans(service: Service) -> None:
    tracer = service.tracers.get_tracer("caller")
    api = service.api(expires_in=-5)

    async def job(number: int) -> None:
        with tracer.start_as_current_span(f"job {number}"):
            await api.get("/athlete")

    async with service.clock.autojump(), anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(job, number)
    jobs = {span.context.span_id for span in service.spans if span.name.startswith("job ")}
    parents = [span.parent.span_id for span in service.spans if span.name == "GET /athlete" and span.parent]
    assert len(parents) == 20
    assert set(parents) == jobs


@pytest.mark.anyio
async def test_a_renewal_is_counted_with_its_failure(service: Service) -> None:
    await service.api(expires_in=10).get("/athlete")
    service.emulator.faults.add(Fault.server_error(), path="/oauth/token")
    with pytest.raises(strava_async.ServerError):
        await service.api(expires_in=-5, retry=RetryPolicy(max_attempts=1)).get("/athlete")
    counted = {point.attributes.get("error.type"): point.value for point in service.points("strava.token.refreshes")}
    assert counted == {None: 1, "ServerError": 1}
    token = next(span for span in service.spans if span.name == "POST /oauth/token")
    assert "strava.quota_class" not in attributes(token)


@pytest.mark.anyio
async def test_requests_are_measured_in_seconds(service: Service) -> None:
    service.emulator.faults.add(Fault.latency(0.25))
    async with service.clock.autojump():
        await service.api().get("/athlete")
    (point,) = service.points("http.client.request.duration")
    assert (point.count, point.sum) == (1, 0.25)
    assert point.explicit_bounds[0] == 0.005
    assert dict(point.attributes) == attributes(service.spans[0])


@pytest.mark.anyio
async def test_waits_for_quota_are_measured_and_refusals_distinguished(service: Service) -> None:
    api = service.api()
    service.emulator.spend(99)
    async with service.clock.autojump():
        await api.get("/athlete")
        with pytest.raises(QuotaExceededError):
            await api.with_options(max_wait=1).get("/athlete")
        await api.get("/athlete")
    waits = {point.attributes.get("error.type"): point for point in service.points("strava.quota.wait")}
    assert waits.keys() == {None, "QuotaExceededError"}
    assert waits[None].sum > 890
    assert dict(waits[None].attributes) == {"strava.quota_class": "read", "strava.priority": "normal"}


@pytest.mark.anyio
async def test_a_backoff_is_no_wait_for_quota(service: Service) -> None:
    service.emulator.faults.add(Fault.server_error())
    async with service.clock.autojump():
        await service.api().get("/athlete")
    assert service.points("strava.quota.wait") == []


@pytest.mark.anyio
async def test_the_gauges_show_the_four_meters_after_the_last_answer(service: Service) -> None:
    assert service.gauge("limit") == service.gauge("remaining") == {}
    service.emulator.spend(9)
    await service.api().get("/athlete")
    assert service.gauge("limit") == dict(zip(WINDOWS, (100, 1000, 200, 2000), strict=True))
    assert service.gauge("usage") == dict.fromkeys(WINDOWS, 10)
    assert service.gauge("remaining") == dict(zip(WINDOWS, (90, 990, 190, 1990), strict=True))


@pytest.mark.anyio
async def test_a_window_that_has_ended_is_shown_empty(service: Service) -> None:
    await service.api().get("/athlete")
    service.clock.advance(901)
    assert service.gauge("usage") == {"read_15min": 0, "overall_15min": 0, "read_day": 1, "overall_day": 1}
    assert service.gauge("remaining")["read_15min"] == 100


@pytest.mark.anyio
async def test_an_exporters_thread_does_not_touch_the_limiter(service: Service) -> None:
    await service.api().get("/athlete")
    shown = await anyio.to_thread.run_sync(service.gauge, "usage")
    assert shown["read_day"] == 1
    assert service.limiter.threads == {threading.get_ident()}


@pytest.mark.anyio
@pytest.mark.parametrize("athlete_ids", [False, True])
async def test_an_athletes_id_is_shown_only_if_wanted_and_never_in_metrics(athlete_ids: bool) -> None:
    service = Service(athlete_ids=athlete_ids)
    emulator = service.emulator
    urls = {"api_url": f"{BASE}/api/v3", "oauth_url": f"{BASE}/oauth"}
    common = {"http_client": service.http_client, "rate_limiter": service.limiter, "hooks": service.hooks}
    async with service.http_client, Strava(emulator.client_id, emulator.client_secret, **common, **urls) as strava:
        page = await strava.authorization_url("http://localhost/back", "read", "s")
        client = await strava.connect_redirect(await emulator.approve(page), state="s")
        await client.athlete.get()
    shown = attributes(service.spans[-1])
    assert shown.get("strava.athlete_id") == (emulator.athlete_ids[0] if athlete_ids else None)
    assert "strava.athlete_id" not in service.points("http.client.request.duration")[-1].attributes


@pytest.mark.anyio
async def test_spans_and_metrics_hold_no_secret_and_no_query(service: Service) -> None:
    api = service.api(expires_in=10)
    before = {api.access_token, api.refresh_token}
    await api.get("/athlete", verify_token="hush")
    secrets = {service.emulator.client_secret, api.access_token, api.refresh_token, "hush", *before}
    shown = repr([span.to_json() for span in service.spans]) + repr(service.points("http.client.request.duration"))
    assert len(service.spans) == 2
    assert not [secret for secret in secrets if secret is None or secret in shown]


class Router:
    """What a router of webhooks shows."""

    counts = WebhookCounts(
        refused=1, turned_away=2, duplicates=3, accepted=30, handled=4, dropped=5, failed=6, kept=7, taken_over=8
    )
    stats: StoreStats | None = StoreStats(unfinished=11, claimed=12, oldest_seconds=13.5, ready_seconds=9.5)
    store_is_away = False
    oldest_waiting_seconds = 9.5
    threads_left_behind = 10


def test_webhook_events_are_counted_by_outcome() -> None:
    shown = Telemetry()
    instrument_webhooks(Router(), meter_provider=shown.meters)
    points = shown.points("strava.webhook.events")
    assert {point.attributes["strava.webhook.outcome"]: point.value for point in points} == {
        **{"refused": 1, "turned_away": 2, "duplicate": 3, "handled": 4, "dropped": 5, "failed": 6, "kept": 7},
        "taken_over": 8,
    }
    assert gauges_of(shown) == {
        **{"waiting": 11, "claimed": 12, "oldest_age": 13.5, "oldest_wait": 9.5, "store_away": 0},
        "threads_left_behind": 10,
    }


def gauges_of(shown: Telemetry) -> dict[str, float]:
    names = ("waiting", "claimed", "oldest_age", "oldest_wait", "store_away", "threads_left_behind")
    found = {name: shown.points(f"strava.webhook.{name}") for name in names}
    return {name: points[0].value for name, points in found.items() if points}


def test_what_is_not_known_of_a_store_is_left_out() -> None:
    shown, router = Telemetry(), Router()
    router.stats, router.store_is_away = None, True
    instrument_webhooks(router, meter_provider=shown.meters)
    assert gauges_of(shown) == {"oldest_wait": 9.5, "store_away": 1, "threads_left_behind": 10}
    router.stats = StoreStats(0, 0, None, None)
    assert gauges_of(shown)["oldest_age"] == 0.0


def test_webhook_metrics_follow_a_router() -> None:
    shown = Telemetry()
    router = webhook_router(Strava(1, "secret"), verify_token="x", on_event=print)
    instrument_webhooks(router, meter_provider=shown.meters)
    assert {point.value for point in shown.points("strava.webhook.events")} == {0}
    assert [point.value for point in shown.points("strava.webhook.oldest_wait")] == [0.0]


@pytest.mark.anyio
async def test_without_an_sdk_nothing_happens(service: Service) -> None:
    service.hooks = instrument()
    assert await service.api().get("/athlete")
    assert service.spans == ()


@pytest.mark.asyncio
async def test_the_other_blocks_on_the_page_run_one_after_the_other() -> None:
    shown = Telemetry()
    _, *blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    emulator = Emulator(years=0.1)
    async with serve(emulator) as url:
        names: dict[str, Any] = {name: getattr(strava_async, name) for name in strava_async.__all__}
        names |= {"urls": {"api_url": f"{url}/api/v3"}, "access_token": emulator.grant()["access_token"]}
        names |= {"tracer_provider": shown.tracers, "meter_provider": shown.meters}
        names |= {"router": webhook_router(Strava(1, "secret"), verify_token="x", on_event=print)}
        for block in blocks:
            running = eval(compile(block, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(running):
                await running
    assert [span.name for span in shown.spans] == ["GET /athlete"]
    assert shown.gauge("usage")["read_15min"] == 1
    assert [point.value for point in shown.points("strava.webhook.waiting")] == [0]
