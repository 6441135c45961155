"""Permits for requests: the limiter of one process, its queue, and what any limiter has to offer."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.limiter.local import Limiter, Permit, RateLimiter, Unlimited
else:
    __getattr__, __dir__ = lazy(
        __name__, {"Limiter": "local", "Permit": "local", "RateLimiter": "local", "Unlimited": "local"}
    )

__all__ = ["Limiter", "Permit", "RateLimiter", "Unlimited"]
