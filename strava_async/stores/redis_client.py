"""The client of redis-py that a program passes in: whether it is one, and how its server is asked (extra ``redis``)."""

from __future__ import annotations

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError, ResponseError, TryAgainError

from strava_async.errors import InputError, StoreError
from strava_async.stores._values import check_application
from strava_async.stores.redis_server import RedisServer


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
