"""Whose quota a harvest spends: its own limiter, or one that processes share in a file or on Redis."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from strava_async.cli.config import Options
from strava_async.cli.places import expanded
from strava_async.cli.redis_url import needing_redis, redis_url
from strava_async.cli.terminal import UsageError
from strava_async.clock import Clock
from strava_async.limiter.base import Limiter
from strava_async.limiter.local import RateLimiter
from strava_async.limiter.sqlite import SqliteRateLimiter

OPTION = "--quota"
_SCHEMES = ("redis://", "rediss://", "unix://")


@asynccontextmanager
async def limiter_of(
    given: str | None, options: Options, client_id: int, reserve: float, clock: Clock
) -> AsyncGenerator[Limiter]:
    """Return a context with the limiter.

    Args:
        given: the file or the URL; None means the server that the environment names, or else no other process.
        options: which application.
        client_id: its id, by which its quota is known to the other processes.
        reserve: what background work leaves to others.
        clock: tells the time, but for what is between the processes on Redis.

    Raises:
        UsageError: it is neither.
    """
    is_file = given is not None and not given.lower().startswith(_SCHEMES)
    if is_file and given is not None and "://" in given:
        raise UsageError(f"{OPTION} takes a file, or a URL with redis://, rediss:// or unix://")
    if is_file and given is not None:
        path = expanded(Path(given), OPTION)
        async with SqliteRateLimiter(path, application=str(client_id), reserve=reserve, clock=clock) as shared:
            yield shared
        return
    url = redis_url(given, options.environment, OPTION)
    if url is None:
        yield RateLimiter(reserve=reserve, clock=clock)
        return
    with needing_redis("a quota on Redis needs"):
        from strava_async.cli.redis import limiter
    async with limiter(url, str(client_id), reserve) as on_redis:
        yield on_redis
