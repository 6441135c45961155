"""Metrics of a service's webhook events (extra ``otel``): how they ended, and what waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from strava_async._extras import extra
from strava_async.telemetry.otel import SCHEMA_URL, SCOPE

with extra("otel", "strava_async.otel", "opentelemetry"):
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

OUTCOMES = {
    **{name: name for name in ("handled", "dropped", "failed", "kept", "taken_over", "turned_away", "refused")},
    "duplicates": "duplicate",
}


class WebhookCounts(Protocol):
    """The outcomes of webhook events; see ``strava_async.webhooks.WebhookCounts``."""

    refused: int
    turned_away: int
    duplicates: int
    handled: int
    dropped: int
    failed: int
    kept: int
    taken_over: int


class StoreStats(Protocol):
    """What waits in a store of webhook events; see ``strava_async.webhooks.StoreStats``."""

    @property
    def unfinished(self) -> int:
        """How many events there are."""
        ...

    @property
    def claimed(self) -> int:
        """How many of them a worker has."""
        ...

    @property
    def oldest_seconds(self) -> float | None:
        """How long ago the oldest was received."""
        ...


class Webhooks(Protocol):
    """The values that the metrics read, from any thread. ``WebhookRouter`` implements it."""

    @property
    def counts(self) -> WebhookCounts:
        """The outcomes of the events so far."""
        ...

    @property
    def oldest_waiting_seconds(self) -> float:
        """How long the oldest event has waited for a worker."""
        ...

    @property
    def stats(self) -> StoreStats | None:
        """What waits, as last seen; None if that is not known. It must not wait for a server or a file."""
        ...

    @property
    def store_is_away(self) -> bool:
        """Whether the store of the events cannot be used."""
        ...

    @property
    def threads_left_behind(self) -> int:
        """How many threads keep running beyond their timeout."""
        ...


def instrument_webhooks(router: Webhooks, *, meter_provider: MeterProvider | None = None) -> None:
    """Record metrics of webhook events: a counter by outcome, and gauges of what waits and of hanging handlers.

    Call it once per router. None of them names an athlete or an object. A collection waits for no file and no server:
    what waits is as last seen, up to 15 s ago, and is left out while it is not known. Of a store that processes share
    each of them reports the same.

    Args:
        router: what ``webhook_router`` returned.
        meter_provider: None means the global one.
    """
    meter = get_meter(SCOPE, meter_provider=meter_provider, schema_url=SCHEMA_URL)

    def observe_events(_: CallbackOptions) -> Iterable[Observation]:
        counts = router.counts
        for name, outcome in OUTCOMES.items():
            yield Observation(getattr(counts, name), {"strava.webhook.outcome": outcome})

    meter.create_observable_counter(
        "strava.webhook.events",
        [observe_events],
        "{event}",
        "Events posted to the callback, by outcome.",
    )
    for name, value_of, unit, description in (
        ("waiting", _stat(router, lambda stats: stats.unfinished), "{event}", "Events that are not finished."),
        ("claimed", _stat(router, lambda stats: stats.claimed), "{event}", "Events that a worker has."),
        ("oldest_age", _stat(router, lambda stats: stats.oldest_seconds or 0.0), "s", "The age of the oldest event."),
        ("oldest_wait", lambda: router.oldest_waiting_seconds, "s", "The wait of the oldest event for a worker."),
        ("store_away", lambda: int(router.store_is_away), "1", "1 while the store of the events is away."),
        ("threads_left_behind", lambda: router.threads_left_behind, "{thread}", "Handlers beyond their timeout."),
    ):
        _gauge(meter, f"strava.webhook.{name}", unit, description, value_of)


def _stat(router: Webhooks, value_of: Callable[[StoreStats], float]) -> Callable[[], float | None]:
    def value() -> float | None:
        stats = router.stats
        return None if stats is None else value_of(stats)

    return value


def _gauge(meter: Meter, name: str, unit: str, description: str, value_of: Callable[[], float | None]) -> None:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        value = value_of()
        if value is not None:
            yield Observation(value)

    meter.create_observable_gauge(name, [observe], unit, description)
