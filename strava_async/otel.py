"""OpenTelemetry spans and metrics (extra ``otel``)."""

from strava_async.telemetry.otel import SCOPE, WINDOWS, instrument
from strava_async.telemetry.otel_webhooks import instrument_webhooks

__all__ = ["SCOPE", "WINDOWS", "instrument", "instrument_webhooks"]
