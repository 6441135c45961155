"""The part of the command line that needs the extra ``redis``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import ConnectionPool, Redis, from_url
from redis.client import NEVER_DECODE
from redis.exceptions import MovedError, RedisError

from strava_async.cli.redis_url import RedisUrl
from strava_async.cli.terminal import UsageError
from strava_async.errors import StoreError
from strava_async.limiter.redis import RedisRateLimiter
from strava_async.limiter.redis_place import RedisPlace
from strava_async.quota.fleet.state import Fleet
from strava_async.stores.redis_client import check_client, place, prefix
from strava_async.stores.redis_errors import reason
from strava_async.webhooks.redis_store import RedisEventStore

TIMEOUT_SECONDS = 5.0


async def read_fleet(url: RedisUrl, application: str) -> tuple[Fleet, float]:
    """Return what is known on a server of an application's quota, and the server's time. Writes nothing.

    Args:
        url: of the server.
        application: whose quota.

    Raises:
        UsageError: the URL is none of a Redis server.
        InputError: the name of the application cannot be one.
        StoreError: the server cannot be reached, or refuses.
    """
    async with _server(url, application, "HGETALL", "quota") as server, asyncio.timeout(TIMEOUT_SECONDS):
        seconds, microseconds = await server.time()
        fleet = await RedisPlace(server, application, timeout=TIMEOUT_SECONDS).read()
        return fleet, seconds + microseconds / 1e6


@asynccontextmanager
async def event_store(url: RedisUrl, application: str) -> AsyncGenerator[RedisEventStore]:
    """Return a context with the webhook events of an application on a server. Raises as ``read_fleet``."""
    async with _server(url, application, "HLEN", "events") as server:
        yield RedisEventStore(server, application=application, timeout=TIMEOUT_SECONDS)


@asynccontextmanager
async def limiter(url: RedisUrl, application: str, reserve: float) -> AsyncGenerator[RedisRateLimiter]:
    """Return a context with the limiter that an application's processes share on a server.

    Args:
        url: of the server.
        application: whose quota.
        reserve: what background work leaves to others.

    Raises:
        UsageError: the URL is none of a Redis server.
        LimiterError: the server refuses what is needed.
    """
    try:
        client: Any = from_url(url.url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS)
    except (ValueError, TypeError):
        raise _no_url(url) from None
    async with client, RedisRateLimiter(client, application=application, reserve=reserve) as shared:
        yield shared


def _no_url(url: RedisUrl) -> UsageError:
    return UsageError(f"{url.named} is no URL of a Redis server, such as redis://localhost:6379/0")


@asynccontextmanager
async def _server(url: RedisUrl, application: str, command: str, name: str) -> AsyncGenerator[Any]:
    """Return a context with a client of the server that has an application's keys. Errors do not show the URL.

    Of a cluster any server will do: it says which of them has the keys.

    Args:
        url: of a server.
        application: whose keys.
        command: asks for a hash, and is one that the user needs anyway.
        name: of the hash.
    """
    no_url = _no_url(url)
    try:
        client: Any = from_url(url.url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS)
    except (ValueError, TypeError):
        raise no_url from None
    check_client(client, application, "the command")
    failure: StoreError | None = None
    try:
        async with client, await _owner(client, command, f"{prefix(application)}:{name}", no_url) as owner:
            yield owner
    except (RedisError, OSError, TimeoutError) as error:
        failure = StoreError(f"{place(application)} {reason(error, f'{prefix(application)}:*')}")
    if failure is not None:
        raise failure  # here, where the client's error is not its context


async def _owner(client: Any, command: str, key: str, no_url: UsageError) -> Any:
    """Return a client of the server that has a key: the same, but in a cluster.

    Args:
        client: of the server that was named.
        command: asks for what is there.
        key: what is there.
        no_url: raised where the URL has options that are none: the client finds that out when it connects.
    """
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await client.execute_command(command, key, **{NEVER_DECODE: True})
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
