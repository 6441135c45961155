"""Traces and metrics through OpenTelemetry (extra ``otel``): ``Strava(..., hooks=instrument())``.

- A CLIENT span for each HTTP request, a child of the caller's current span. It ends even if the call is cancelled.
- Histograms of requests and of waits for quota, counters of retries and of renewals, and gauges of the four meters.

Attributes are those of the semantic conventions for HTTP, and ``strava.*``. ``url.full`` is left out: it would name
athletes and activities. No attribute holds a token, a secret, a query or a body.

Source:
    https://opentelemetry.io/docs/specs/semconv/http/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from strava_async._extras import extra
from strava_async.clock import Clock
from strava_async.limiter.base import Limiter
from strava_async.quota.readings import Meter as QuotaMeter
from strava_async.quota.readings import Quota
from strava_async.telemetry.hooks import Hooks, RefreshEvent, RequestEvent, ResponseEvent, RetryEvent, WaitEvent

with extra("otel", "strava_async.otel", "opentelemetry"):
    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation, get_meter
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider, get_tracer

Attributes = dict[str, str | int]

SCOPE = "strava_async"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.23.1"  # the first version with the stable conventions for HTTP
WINDOWS = ("read_15min", "read_day", "overall_15min", "overall_day")
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
WAIT_BUCKETS = (0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400)


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    limiter: Limiter | None = None,
    athlete_ids: bool = False,
) -> Hooks:
    """Return hooks that make spans and metrics. Call it once per application: its instruments are made here.

    Args:
        tracer_provider: None means the global one.
        meter_provider: None means the global one. Two applications in one process need one each.
        limiter: the limiter whose meters the gauges show, as they were after the last answer; None makes no gauges.
        athlete_ids: whether spans have ``strava.athlete_id``, which is personal data. Metrics never have it.
    """
    tracer = get_tracer(SCOPE, tracer_provider=tracer_provider, schema_url=SCHEMA_URL)
    meter = get_meter(SCOPE, meter_provider=meter_provider, schema_url=SCHEMA_URL)
    spans, metrics = _Spans(tracer, athlete_ids), _Metrics(meter)
    return Hooks.combined(
        Hooks(request=spans.begin, response=spans.end),
        Hooks(response=metrics.response, wait=metrics.wait, retry=metrics.retry, refresh=metrics.refresh),
        *([] if limiter is None else [Hooks(response=_Gauges(meter, limiter).update)]),
    )


class _Spans:
    """The spans of the requests in flight."""

    def __init__(self, tracer: Tracer, athlete_ids: bool) -> None:
        self._tracer = tracer
        self._athlete_ids = athlete_ids
        self._open: dict[RequestEvent, Span] = {}

    def begin(self, request: RequestEvent) -> None:
        attributes = _request_attributes(request)
        if request.attempt > 1:
            attributes["http.request.resend_count"] = request.attempt - 1
        if self._athlete_ids and request.athlete_id is not None:
            attributes["strava.athlete_id"] = request.athlete_id
        name = f"{request.method} {request.endpoint}"
        self._open[request] = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def end(self, response: ResponseEvent) -> None:
        span = self._open.pop(response.request, None)
        if span is None:
            return
        span.set_attributes(_outcome(response))
        if response.error is not None and not response.cancelled:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class _Metrics:
    """The counters and histograms."""

    def __init__(self, meter: Meter) -> None:
        self._duration = _seconds(meter, "http.client.request.duration", "Requests to Strava.", REQUEST_BUCKETS)
        self._wait = _seconds(meter, "strava.quota.wait", "Waits for quota that are over.", WAIT_BUCKETS)
        self._retries = meter.create_counter("strava.retries", "{retry}", "Requests that were made again.")
        self._refreshes = meter.create_counter("strava.token.refreshes", "{refresh}", "Renewals of tokens.")

    def response(self, response: ResponseEvent) -> None:
        self._duration.record(response.seconds, {**_request_attributes(response.request), **_outcome(response)})

    def wait(self, wait: WaitEvent) -> None:
        if wait.reason == "quota":
            attributes = {**_quota_class(wait.request), "strava.priority": wait.request.priority.name.lower()}
            self._wait.record(wait.seconds, attributes | _error_type(wait.error, wait.cancelled))

    def retry(self, retry: RetryEvent) -> None:
        self._retries.add(1, _request_attributes(retry.request) | _error_type(retry.error))

    def refresh(self, refresh: RefreshEvent) -> None:
        self._refreshes.add(1, _error_type(refresh.error))


class _Gauges:
    """The four meters, for an exporter that reads them from a thread of its own.

    The limiter belongs to the thread of its event loop, so the exporter sees its state after the last answer. A window
    that has ended since then counts as unused.
    """

    def __init__(self, meter: Meter, limiter: Limiter) -> None:
        self._limiter = limiter
        self._quota = limiter.quota
        self._make(meter, "strava.quota.limit", "Requests that the window holds.", _limit)
        self._make(meter, "strava.quota.usage", "Requests spent.", _usage)
        self._make(meter, "strava.quota.remaining", "Requests left.", _remaining)

    def update(self, _: ResponseEvent) -> None:
        self._quota = self._limiter.quota

    def _make(
        self, meter: Meter, name: str, description: str, value_of: Callable[[QuotaMeter, bool], int | None]
    ) -> None:
        clock = self._limiter.clock

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return _observations(self._quota, clock, value_of)

        meter.create_observable_gauge(name, [observe], "{request}", description)


def _observations(
    quota: Quota, clock: Clock, value_of: Callable[[QuotaMeter, bool], int | None]
) -> Iterable[Observation]:
    for window in WINDOWS:
        meter: QuotaMeter = getattr(quota, window)
        value = value_of(meter, clock.time() >= meter.resets_at)
        if value is not None:
            yield Observation(value, {"strava.quota.window": window})


def _limit(meter: QuotaMeter, over: bool) -> int | None:
    return meter.limit


def _usage(meter: QuotaMeter, over: bool) -> int | None:
    return 0 if over and meter.usage is not None else meter.usage


def _remaining(meter: QuotaMeter, over: bool) -> int | None:
    return meter.limit if over else meter.remaining


def _seconds(meter: Meter, name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=buckets)


def _request_attributes(request: RequestEvent) -> Attributes:
    return {
        "http.request.method": request.method,
        "url.template": request.endpoint,
        "server.address": request.server_address,
        "server.port": request.server_port,
        **_quota_class(request),
    }


def _quota_class(request: RequestEvent) -> Attributes:
    return {} if request.quota_class is None else {"strava.quota_class": str(request.quota_class)}


def _outcome(response: ResponseEvent) -> Attributes:
    attributes = _error_type(response.error, response.cancelled)
    if response.status_code is not None:
        attributes["http.response.status_code"] = response.status_code
        if response.status_code >= 400:
            attributes["error.type"] = str(response.status_code)
    return attributes


def _error_type(error: BaseException | None, cancelled: bool = False) -> Attributes:
    if error is None:
        return {}
    return {"error.type": "cancelled" if cancelled else type(error).__name__}
