"""Webhooks: the subscription, the events, and what handles them behind the answer to Strava.

``WebhookEvent``, ``parse_event``, ``challenge_of`` and ``check_signature`` are plain values and functions, for a
service on whatever framework. ``strava_async.fastapi.webhook_router`` is the callback for FastAPI and Starlette; what
happens to an event after the answer is in this package, which imports neither.
"""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.webhooks.backlog import Backlog, PersistedEvent
    from strava_async.webhooks.backlog_sqlite import SqliteBacklog
    from strava_async.webhooks.base import (
        Appended,
        Claim,
        EventAdmin,
        EventState,
        EventStore,
        StoredEvent,
        StoreStats,
    )
    from strava_async.webhooks.counts import WebhookCounts
    from strava_async.webhooks.event_store_memory import MemoryEventStore
    from strava_async.webhooks.event_store_sqlite import SqliteEventStore
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
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "TOLERANCE_SECONDS": "events",
            "Appended": "base",
            "Backlog": "backlog",
            "Claim": "base",
            "EventAdmin": "base",
            "EventState": "base",
            "EventStore": "base",
            "GrantState": "pending",
            "MemoryEventStore": "event_store_memory",
            "PendingEvent": "pending",
            "PersistedEvent": "backlog",
            "SqliteBacklog": "backlog_sqlite",
            "SqliteEventStore": "event_store_sqlite",
            "StoreStats": "base",
            "StoredEvent": "base",
            "Subscription": "subscription",
            "WaitReason": "pending",
            "WebhookCounts": "counts",
            "WebhookEvent": "events",
            "Webhooks": "subscription",
            "challenge_of": "events",
            "check_signature": "events",
            "check_signing_secret": "events",
            "parse_event": "events",
        },
    )

__all__ = [
    "TOLERANCE_SECONDS",
    "Appended",
    "Backlog",
    "Claim",
    "EventAdmin",
    "EventState",
    "EventStore",
    "GrantState",
    "MemoryEventStore",
    "PendingEvent",
    "PersistedEvent",
    "SqliteBacklog",
    "SqliteEventStore",
    "StoreStats",
    "StoredEvent",
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
