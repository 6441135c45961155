"""What processes on any number of hosts share on a Redis server (extra ``redis``)."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.limiter.redis import RedisRateLimiter
    from strava_async.stores.redis import RedisTokenStore
    from strava_async.webhooks.redis_store import RedisEventStore
else:
    _WHERE = {
        "RedisEventStore": "strava_async.webhooks.redis_store",
        "RedisRateLimiter": "strava_async.limiter.redis",
        "RedisTokenStore": "strava_async.stores.redis",
    }
    __getattr__, __dir__ = lazy(__name__, _WHERE, needs={"redis": ("redis",)})

__all__ = ["RedisEventStore", "RedisRateLimiter", "RedisTokenStore"]
