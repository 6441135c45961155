"""The client of redis-py that a program passes in: whether it is one, and how its server is asked (extra ``redis``)."""

from __future__ import annotations

from math import inf

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError, ResponseError, TryAgainError

from strava_async.errors import InputError, StoreError
from strava_async.stores._values import check_application
from strava_async.stores.redis_scripts import REPEATED_SECONDS
from strava_async.stores.redis_server import RedisServer

MOST_REPLICAS = 1000


def server_of(
    redis: Redis | RedisCluster,
    *,
    application: str,
    keys: str,
    timeout: float,
    error: type[StoreError],
    refused: type[StoreError] | None = None,
) -> RedisServer:
    """Return the server of a client.

    Args:
        redis: the client.
        application: whose data these are.
        keys: the pattern of the keys in use, after ``{strava:<application>}``.
        timeout: how long one exchange may take; seconds.
        error: what is raised.
        refused: what is raised where nothing was written; None means the same.
    """
    return RedisServer(
        redis,
        keys=f"{prefix(application)}{keys}",
        place=place(application),
        timeout=timeout,
        error=error,
        refused=refused or error,
        errors=(RedisError, RedisClusterException),
        refusals=(ResponseError,),
        redirections=(MovedError, AskError, TryAgainError),
    )


def prefix(application: str) -> str:
    """Return what the keys of an application begin with: one hash tag, so that a cluster keeps them together."""
    return f"{{strava:{application}}}"


def place(application: str) -> str:
    """Return what errors call the server."""
    return f"Redis (application {application})"


def check_client(redis: object, application: object, part: str) -> None:
    """Raise InputError unless these are an async client and the name of an application.

    Args:
        redis: the client.
        application: the name; see ``check_application``.
        part: what takes them.
    """
    if not isinstance(redis, Redis | RedisCluster):
        raise InputError(
            f"{part} takes a client of redis.asyncio, such as redis.asyncio.Redis.from_url(...): a sync one "
            "would stop the event loop"
        )
    check_application(application)


def check_seconds(name: str, seconds: object, *, least: float = 0.0, most: float = inf) -> None:
    """Raise InputError unless it is a number of seconds between these."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not least <= seconds <= most:
        bounds = f"at least {least:g}" if most == inf else f"from {least:g} to {most:g}"
        raise InputError(f"{name} is a number of seconds, {bounds}")


def check_exchange(timeout: object, replicas: object) -> None:
    """Raise InputError unless these are how long an exchange may take, and how many replicas confirm a write."""
    check_seconds("timeout", timeout, least=0.01, most=REPEATED_SECONDS)
    if type(replicas) is not int or not 0 <= replicas <= MOST_REPLICAS:
        raise InputError(f"replicas is a number of replicas, from 0 to {MOST_REPLICAS}")
