"""The part of ``strava-async quota`` that needs the extra ``redis``."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import ConnectionPool, Redis, from_url
from redis.client import NEVER_DECODE
from redis.exceptions import MovedError, RedisError

from strava_async.cli.terminal import UsageError
from strava_async.errors import StoreError
from strava_async.limiter.redis_place import RedisPlace
from strava_async.quota.fleet.state import Fleet
from strava_async.stores.redis_errors import reason

TIMEOUT_SECONDS = 5.0


async def read_fleet(url: str, named: str, application: str) -> tuple[Fleet, float]:
    """Return what is known on a server of an application's quota, and the server's time. Writes nothing.

    Of a cluster any server will do: it says which of them has the keys.

    Args:
        url: of the server. It is in no error.
        named: what the URL was given by, for errors.
        application: whose quota.

    Raises:
        UsageError: the URL is none of a Redis server.
        StoreError: the server cannot be reached, or refuses.
    """
    no_url = UsageError(f"{named} is no URL of a Redis server, such as redis://localhost:6379/0")
    try:
        client: Any = from_url(url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS)
    except (ValueError, TypeError):
        raise no_url from None
    place = RedisPlace(client, application, timeout=TIMEOUT_SECONDS)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), client, await _owner(client, place.keys[0], no_url) as owner:
            seconds, microseconds = await owner.time()
            fleet = await RedisPlace(owner, application, timeout=TIMEOUT_SECONDS).read()
            return fleet, seconds + microseconds / 1e6
    except (RedisError, OSError, TimeoutError) as error:
        failure = StoreError(f"{place.what} {reason(error, f'{{strava:{application}}}:*')}")
    raise failure  # here, where the client's error is not its context


async def _owner(client: Any, key: str, no_url: UsageError) -> Any:
    """Return a client of the server that has a key: the same, but in a cluster.

    Args:
        client: of the server that was named.
        key: what is there.
        no_url: raised where the URL has options that are none: the client finds that out when it connects.
    """
    try:
        await client.execute_command("HGETALL", key, **{NEVER_DECODE: True})
    except MovedError as error:
        moved: Any = error
    except (AttributeError, LookupError, TypeError, ValueError):
        raise no_url from None  # the client's error may hold a part of the URL
    else:
        return client
    kind: Any = Redis
    pool = client.connection_pool
    there: dict[str, Any] = {**pool.connection_kwargs, "host": moved.host, "port": moved.port}
    return kind.from_pool(ConnectionPool(connection_class=pool.connection_class, **there))
