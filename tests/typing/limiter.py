"""Limiters as other people write them: mypy --strict and pyright read this, and nobody runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, assert_type

from redis.asyncio import Redis, RedisCluster

from strava_async import (
    ApiV3,
    Blocked,
    Clock,
    ClosableLimiter,
    Limiter,
    LimiterError,
    Meter,
    Permit,
    Priority,
    Quota,
    QuotaClass,
    RateLimiter,
    SqliteRateLimiter,
    Strava,
    SystemClock,
    Unlimited,
)
from strava_async.redis import RedisRateLimiter

METER = Meter(limit=100, usage=None, reserved=0, resets_at=900.0)
QUOTA = Quota(read_15min=METER, read_day=METER, overall_15min=METER, overall_day=METER)


class Ticket:
    """A permit without a base class of this library."""

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None: ...

    def release(self) -> None: ...

    def abandon(self) -> None: ...

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abandon()


class WithProperties:
    """The values that change are properties, and its permit is of a class of its own."""

    def __init__(self) -> None:
        self._clock = SystemClock()

    @property
    def clock(self) -> SystemClock:
        return self._clock

    @property
    def quota(self) -> Quota:
        return QUOTA

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Ticket:
        if max_wait == 0:
            raise LimiterError("the file of the quota is locked")
        return Ticket()

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        return Blocked("read_15min", 900.0)


@dataclass
class WithAttributes:
    """The values are plain attributes, and there are more parameters than asked for."""

    clock: Clock = field(default_factory=SystemClock)
    quota: Quota = QUOTA
    random: Callable[[], float] = lambda: 0.5

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
        weight: int = 1,
    ) -> Permit:
        return Ticket()

    def blocked(self, quota_class: QuotaClass) -> None:
        return None


class Shared(WithProperties):
    """One that has something to close."""

    def snapshot(self) -> dict[str, Any]:
        return {"usage": 1}

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Wrapped:
    """One that passes on to another, and cannot be assigned to."""

    inner: Limiter
    clock: Clock

    @property
    def quota(self) -> Quota:
        return self.inner.quota

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        return await self.inner.acquire(quota_class, priority=priority, max_wait=max_wait, retry_of=retry_of)

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        return self.inner.blocked(quota_class)


ACCEPTED: list[Limiter] = [
    RateLimiter(),
    Unlimited(),
    WithProperties(),
    WithAttributes(),
    Shared(),
    Wrapped(Unlimited(), SystemClock()),
    SqliteRateLimiter("quota.db", application="7"),
    RedisRateLimiter(RedisCluster("localhost"), application="7"),
]
CLOSABLE: list[ClosableLimiter] = [
    Shared(),
    SqliteRateLimiter("quota.db", application="7"),
    RedisRateLimiter(Redis(), application="7"),
]


async def use(closable: ClosableLimiter) -> None:
    """Take each where the library takes a limiter."""
    for limiter in ACCEPTED:
        assert_type(ApiV3(rate_limiter=limiter).quota, Quota)
        assert_type(Strava(1, "secret", rate_limiter=limiter).rate_limiter, Limiter)
    Strava(1, "secret", rate_limiter=closable)
    async with SqliteRateLimiter("quota.db", application="7") as shared:
        assert_type(shared, SqliteRateLimiter)
        assert_type(shared.processes, int)
        assert_type(shared.state, Literal["shared", "healing", "away"])
        assert_type(Strava(1, "secret", rate_limiter=shared).rate_limiter, Limiter)
        assert_type(shared.snapshot(), dict[str, Any])
    async with RedisRateLimiter(Redis(), application="7", away="wait") as on_redis:
        assert_type(on_redis, RedisRateLimiter)
    await closable.aclose()
    with await closable.acquire(QuotaClass.UPLOAD, priority=Priority.BACKGROUND, max_wait=2) as permit:
        permit.settle(status_code=200, headers={"Date": "Tue, 06 Jan 2026 10:00:00 GMT"})
    blocked = closable.blocked(QuotaClass.READ)
    if blocked is not None:
        assert_type(blocked.window, str)
        assert_type(blocked.resume_at, float)
