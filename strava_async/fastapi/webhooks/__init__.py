"""The callback of a webhook subscription: ``router`` answers Strava, ``guard`` decides what is accepted."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.fastapi.webhooks.guard import Signature
    from strava_async.fastapi.webhooks.router import WebhookRouter, webhook_router
    from strava_async.webhooks.counts import WebhookCounts
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {"Signature": "guard", "WebhookCounts": "router", "WebhookRouter": "router", "webhook_router": "router"},
    )

__all__ = ["Signature", "WebhookCounts", "WebhookRouter", "webhook_router"]
