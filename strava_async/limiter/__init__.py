"""Permits for requests: what any limiter offers, the one of this process, its queue and its dispatcher."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.limiter.base import ClosableLimiter, Limiter, Permit
    from strava_async.limiter.local import RateLimiter
    from strava_async.limiter.sqlite import SqliteRateLimiter
    from strava_async.limiter.unlimited import Unlimited
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "ClosableLimiter": "base",
            "Limiter": "base",
            "Permit": "base",
            "RateLimiter": "local",
            "SqliteRateLimiter": "sqlite",
            "Unlimited": "unlimited",
        },
    )

__all__ = ["ClosableLimiter", "Limiter", "Permit", "RateLimiter", "SqliteRateLimiter", "Unlimited"]
