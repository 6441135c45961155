"""Webhooks: the subscription, the events, and what handles them behind the answer to Strava.

``WebhookEvent``, ``parse_event``, ``challenge_of`` and ``check_signature`` are plain values and functions, for a
service on whatever framework. ``strava_async.fastapi.webhook_router`` is the callback for FastAPI and Starlette; what
happens to an event after the answer is in this package, which imports neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strava_async.webhooks.backlog import Backlog, PersistedEvent
    from strava_async.webhooks.backlog_sqlite import SqliteBacklog
    from strava_async.webhooks.base import Appended, Claim, EventStore
    from strava_async.webhooks.counts import WebhookCounts
    from strava_async.webhooks.event_store_memory import MemoryEventStore
    from strava_async.webhooks.events import (
        TOLERANCE_SECONDS,
        WebhookEvent,
        challenge_of,
        check_signature,
        check_signing_secret,
        parse_event,
    )
    from strava_async.webhooks.pending import GrantState, PendingEvent, WaitReason
    from strava_async.webhooks.subscription import Subscription, Webhooks

__all__ = [
    "TOLERANCE_SECONDS",
    "Appended",
    "Backlog",
    "Claim",
    "EventStore",
    "GrantState",
    "MemoryEventStore",
    "PendingEvent",
    "PersistedEvent",
    "SqliteBacklog",
    "Subscription",
    "WaitReason",
    "WebhookCounts",
    "WebhookEvent",
    "Webhooks",
    "challenge_of",
    "check_signature",
    "check_signing_secret",
    "parse_event",
]

_HOMES = {
    "TOLERANCE_SECONDS": "events",
    "Appended": "base",
    "Backlog": "backlog",
    "Claim": "base",
    "EventStore": "base",
    "GrantState": "pending",
    "MemoryEventStore": "event_store_memory",
    "PendingEvent": "pending",
    "PersistedEvent": "backlog",
    "SqliteBacklog": "backlog_sqlite",
    "Subscription": "subscription",
    "WaitReason": "pending",
    "WebhookCounts": "counts",
    "WebhookEvent": "events",
    "Webhooks": "subscription",
    "challenge_of": "events",
    "check_signature": "events",
    "check_signing_secret": "events",
    "parse_event": "events",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a client that never sees an event needs none of it.
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
