"""A quota that processes on any number of hosts share on a Redis server (extra ``redis``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import sniffio
from redis.asyncio import Redis, RedisCluster

from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.limiter.redis_place import RedisPlace
from strava_async.limiter.shared import SharedLimiter
from strava_async.stores.redis_client import check_client


class RedisRateLimiter(SharedLimiter):
    """The quota of one application, shared by all processes that use the same server, on any number of hosts.

    It is a ``RateLimiter`` for each process: its queue, priorities, deadlines and permits are as there. What may start
    is agreed with the other processes on the server, some requests at a time and one round trip for each agreement, and
    is fair between those that wait. The server is Redis 7 or later, or one that speaks as it does, such as Valkey. Runs
    on asyncio.

    ``redis`` is the caller's: a client of one server, of Sentinel (``master_for``) or of a cluster. TLS, password and
    timeouts are its affair, and it is never closed. The limiter belongs to the event loop that uses it. Its two keys
    begin with ``{strava:<application>}``, take some hundred bytes for each process, and expire two days after their
    last use. An ACL of ``~{strava:*}* +evalsha +eval +script|load +hget +hset +hgetall +hdel +hmget +pexpire +time``
    suffices.

    A task of its own keeps in touch: the first ``acquire`` starts it, or ``async with limiter``. Leaving that, or
    ``aclose``, returns the units not used. Either way it first finds out, in two round trips and without a write,
    whether this user may do all that is needed: if not, ``async with`` or ``acquire`` raises ``LimiterError``, which
    names the missing command.

    While the server cannot be used (unreachable, read-only, full), the process goes on after ``lease_seconds`` with
    half of its part of the last known quota, or waits, as ``away`` says: one WARNING of the logger
    ``strava_async.limiter`` says why, one INFO when it is over.

    Attributes:
        clock: the clock passed in.
        random: the source of jitter passed in.

    Args:
        redis: a ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``.
        application: whose quota it is, such as the client id; a text without braces. All processes give the same.
        clock: None means the system's, and for what is between the processes the server's. Another one's ``time`` has
            to be the same in all of them.
        random: returns numbers in [0, 1); None means the system's.
        reserve: the share of a quarter hour's quota that BACKGROUND calls leave to the others at the beginning of the
            window; from 0 to 1.
        away: ``share`` to go on alone, carefully, while the server cannot be used; ``wait`` to wait.
        lease_seconds: how long a process may use what it was granted without another exchange; 3 to 300.

    Raises:
        InputError: an argument is invalid, or ``redis`` is a sync client.
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        *,
        application: str,
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
        reserve: float = 0.2,
        away: Literal["share", "wait"] = "share",
        lease_seconds: float = 10.0,
    ) -> None:
        check_client(redis, application, "RedisRateLimiter")
        place = RedisPlace(redis, application, server_time=clock is None)
        super().__init__(
            place,
            f"the shared quota on {place.what}",
            clock=clock,
            random=random,
            reserve=reserve,
            away=away,
            lease_seconds=lease_seconds,
        )

    def __repr__(self) -> str:
        return f"<RedisRateLimiter of {self._what}: {self.state}>"

    def _follow_loop(self) -> None:
        if sniffio.current_async_library() == "trio":
            raise InputError("RedisRateLimiter runs on asyncio, as redis-py does: use SqliteRateLimiter on trio")
        super()._follow_loop()
