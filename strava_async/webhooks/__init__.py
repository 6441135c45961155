"""Webhooks: the subscription, the events, and what handles them behind the answer to Strava.

``WebhookEvent``, ``parse_event``, ``challenge_of`` and ``check_signature`` are plain values and functions, for a
service on whatever framework. ``strava_async.fastapi.webhook_router`` is the callback for FastAPI and Starlette; what
happens to an event after the answer is in this package, which imports neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strava_async.webhooks.backlog import Backlog, KeptEvent
    from strava_async.webhooks.backlog_sqlite import SqliteBacklog
    from strava_async.webhooks.counts import WebhookCounts
    from strava_async.webhooks.events import (
        TOLERANCE_SECONDS,
        WebhookEvent,
        challenge_of,
        check_signature,
        check_signing_secret,
        parse_event,
    )
    from strava_async.webhooks.subscription import Subscription, Webhooks

__all__ = [
    "TOLERANCE_SECONDS",
    "Backlog",
    "KeptEvent",
    "SqliteBacklog",
    "Subscription",
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
    "Backlog": "backlog",
    "KeptEvent": "backlog",
    "SqliteBacklog": "backlog_sqlite",
    "Subscription": "subscription",
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
