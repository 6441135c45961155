"""The part of ``strava-async quota`` that needs the extra ``redis``."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import from_url
from redis.exceptions import RedisError

from strava_async.cli.terminal import UsageError
from strava_async.errors import StoreError
from strava_async.limiter.redis_place import RedisPlace
from strava_async.quota.fleet_state import Fleet
from strava_async.stores.redis_errors import reason

TIMEOUT_SECONDS = 5.0


async def read_fleet(url: str, named: str, application: str) -> tuple[Fleet, float]:
    """Return what is known on a server of an application's quota, and the server's time. Writes nothing.

    Args:
        url: of the server. It is in no error.
        named: what the URL was given by, for errors.
        application: whose quota.

    Raises:
        UsageError: the URL is none of a Redis server.
        StoreError: the server cannot be reached, or refuses.
    """
    try:
        client: Any = from_url(url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS)
    except (ValueError, TypeError):
        raise UsageError(f"{named} is no URL of a Redis server, such as redis://localhost:6379/0") from None
    async with client:
        place = RedisPlace(client, application, timeout=TIMEOUT_SECONDS)
        fleet = await place.read()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                seconds, microseconds = await client.time()
        except (RedisError, OSError, TimeoutError) as error:
            failure = StoreError(f"{place.what} {reason(error, place.keys[0])}")
        else:
            return fleet, seconds + microseconds / 1e6
    raise failure  # here, where the client's error is not its context
