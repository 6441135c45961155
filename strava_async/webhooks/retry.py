"""When a webhook event is tried again after an error, and when it is given up.

====================================================  =====================================================
what went wrong                                       again after
====================================================  =====================================================
404 for what was just created                         2, 10, 60 s: events precede what Strava shows; see
                                                      ``owners`` for athletes with many 404s
the network, Strava, token store, limiter, ``claim``, 5, 30 s, 2, 10, 30 min, then each hour: eight times
checking whether a grant is dead, and what
``retry_on`` names: any OSError by default
quota is spent                                        when there is quota again, for two days
``on_disconnect``, whatever it raised                 as the network, and then each hour, without end
a dead grant                                          never: the athlete has to connect again
whatever else ``on_event`` raised; a thread of        never
``on_event`` that was left behind
====================================================  =====================================================

A group of errors counts as the one in it with the longest wait, and is given up if one of them is. Connection errors
and TimeoutError are OSErrors. The two days are measured on the monotonic clock, time in a backlog on the wall clock.

Each function counts a failure of the event, and returns its ``Retry``, or None if it is given up.
"""

from __future__ import annotations

from strava_async.clock import Clock
from strava_async.errors import (
    LimiterError,
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StoreError,
    TransportError,
)
from strava_async.webhooks.handler_errors import flatten
from strava_async.webhooks.pending import PendingEvent, Retry, WaitReason

NOT_FOUND_SECONDS = (2.0, 10.0, 60.0)
TROUBLE_SECONDS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 3600.0, 3600.0)
UNKNOWN_QUOTA_SECONDS = 60.0
MIN_QUOTA_SECONDS = 5.0
MAX_QUOTA_SECONDS = 86_400.0
QUOTA_AGE_SECONDS = 2 * 86_400.0
KEPT_SECONDS = 7 * 86_400.0  # Strava's data may be kept no longer


def after_error(
    pending: PendingEvent, error: Exception, clock: Clock, retry_on: tuple[type[Exception], ...]
) -> Retry | None:
    """Return when ``on_event`` is called again.

    Args:
        pending: the event.
        error: what ``on_event`` raised.
        clock: measures the age of the event.
        retry_on: temporary errors, besides those of the table.
    """
    retries = [_after(pending, leaf, clock, retry_on) for leaf in flatten(error)]
    known = [retry for retry in retries if retry is not None]
    if len(known) < len(retries):
        return None  # one error that is never retried decides
    seconds = max(retry.seconds for retry in known)
    # A lack of quota takes precedence as the reason: at shutdown, such an event is not attempted again.
    lacked_quota = any(retry.reason is WaitReason.QUOTA for retry in known)
    return Retry(seconds, WaitReason.QUOTA if lacked_quota else max(known, key=_seconds).reason)


def after_trouble(pending: PendingEvent, *, endless: bool = False) -> Retry | None:
    """Return when an event is attempted again after a temporary failure.

    Args:
        pending: the event.
        endless: whether it is never given up.
    """
    seconds = _next(pending, "trouble", TROUBLE_SECONDS)
    if seconds is None and endless:
        seconds = TROUBLE_SECONDS[-1]
    return None if seconds is None else Retry(seconds, WaitReason.TROUBLE)


def after_not_found(pending: PendingEvent, reason: WaitReason = WaitReason.NOT_FOUND) -> Retry | None:
    """Return when an event is attempted again after a 404; ``reason`` says what it waits for."""
    seconds = _next(pending, "not found", NOT_FOUND_SECONDS)
    return None if seconds is None else Retry(seconds, reason)


def _after(
    pending: PendingEvent, error: BaseException, clock: Clock, retry_on: tuple[type[Exception], ...]
) -> Retry | None:
    match error:
        case QuotaExceededError():
            return _after_quota(pending, error.wait_seconds, clock)
        case RateLimitedError():
            seconds = UNKNOWN_QUOTA_SECONDS if error.resume_at is None else error.resume_at - clock.time()
            return _after_quota(pending, seconds, clock)
        case TransportError() | ServerError() | StoreError() | LimiterError():
            return after_trouble(pending)
        case NotFoundError() if pending.event.aspect_type == "create":
            return after_not_found(pending)
        case _:
            return after_trouble(pending) if isinstance(error, retry_on) else None


def _after_quota(pending: PendingEvent, seconds: float, clock: Clock) -> Retry | None:
    if clock.monotonic() - pending.came_at > QUOTA_AGE_SECONDS:
        return None
    return Retry(min(max(MIN_QUOTA_SECONDS, seconds), MAX_QUOTA_SECONDS), WaitReason.QUOTA)


def _next(pending: PendingEvent, row: str, pauses: tuple[float, ...]) -> float | None:
    failures = pending.failures[row]
    pending.failures[row] += 1
    return pauses[failures] if failures < len(pauses) else None


def _seconds(retry: Retry) -> float:
    return retry.seconds
