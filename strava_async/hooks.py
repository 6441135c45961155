"""Hooks: functions that receive requests, responses, waits, retries and renewals."""

from strava_async.telemetry.hooks import (
    Hooks,
    RefreshEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    WaitEvent,
    WaitReason,
)

__all__ = ["Hooks", "RefreshEvent", "RequestEvent", "ResponseEvent", "RetryEvent", "WaitEvent", "WaitReason"]
