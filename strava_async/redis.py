"""What processes on any number of hosts share on a Redis server (extra ``redis``)."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.limiter.redis import RedisRateLimiter
    from strava_async.stores.redis import RedisTokenStore
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {"RedisRateLimiter": "strava_async.limiter.redis", "RedisTokenStore": "strava_async.stores.redis"},
        needs={"redis": ("redis",)},
    )

__all__ = ["RedisRateLimiter", "RedisTokenStore"]
