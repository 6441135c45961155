"""The library's limiters, and one that is made elsewhere, by the contract of all; and what ``ApiV3`` takes of each."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import anyio
import httpx
import pytest

from strava_async import ApiV3, Clock, RetryPolicy
from strava_async.errors import InputError, LimiterError, QuotaExceededError
from strava_async.limiter.base import ClosableLimiter, Limiter, Permit
from strava_async.limiter.local import RateLimiter
from strava_async.limiter.unlimited import Unlimited
from strava_async.quota.readings import Meter, Quota
from strava_async.quota.values import Blocked, Priority, QuotaClass
from strava_async.testing.clock import FakeClock
from tests.limiter.contract import ClosableLimiterContract, LimiterContract, MeteredLimiterContract

QUARTER, DAY = 900, 86_400


class TestRateLimiter(MeteredLimiterContract):
    @pytest.fixture
    def limiter(self, clock: FakeClock) -> Limiter:
        return RateLimiter(clock=clock, random=lambda: 0.5)


class TestUnlimited(LimiterContract):
    @pytest.fixture
    def limiter(self, clock: FakeClock) -> Limiter:
        return Unlimited(clock=clock)


class Slip:
    """A permit of ``FixedWindow``."""

    def __init__(self, limiter: FixedWindow, quota_class: QuotaClass) -> None:
        self._limiter = limiter
        self._quota_class: QuotaClass | None = quota_class

    def _end(self, cost: int) -> None:
        quota_class, self._quota_class = self._quota_class, None
        if quota_class is not None:
            self._limiter.end(quota_class, cost)

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        self._end(1)

    def release(self) -> None:
        self._end(0)

    def abandon(self) -> None:
        self._end(1)

    def __enter__(self) -> Slip:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abandon()


class FixedWindow:
    """A limiter as somebody else would write it: so many calls of each class in a quarter hour, and no headers read."""

    def __init__(self, clock: Clock, *, per_window: int) -> None:
        self._clock = clock
        self._per_window = per_window
        self._window = 0
        self._used = dict.fromkeys(QuotaClass, 0)
        self._out = dict.fromkeys(QuotaClass, 0)
        self._waiting: set[anyio.CancelScope] = set()
        self._closed = False

    @property
    def clock(self) -> Clock:
        return self._clock

    def _roll(self) -> float:
        window = int(self._clock.time() // QUARTER)
        if window != self._window:
            self._window = window
            self._used = dict.fromkeys(QuotaClass, 0)
        return float((window + 1) * QUARTER)

    @property
    def quota(self) -> Quota:
        ends, day_ends = self._roll(), float((self._clock.time() // DAY + 1) * DAY)

        def meter(classes: list[QuotaClass], ends: float) -> Meter:
            used, out = (sum(counts[each] for each in classes) for counts in (self._used, self._out))
            return Meter(self._per_window * len(classes), used, out, ends)

        read, every = [QuotaClass.READ], list(QuotaClass)
        return Quota(meter(read, ends), meter(read, day_ends), meter(every, ends), meter(every, day_ends))

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        ends = self._roll()
        if self._used[quota_class] + self._out[quota_class] < self._per_window:
            return None
        return Blocked("read_15min" if quota_class is QuotaClass.READ else "overall_15min", ends)

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Slip:
        if self._closed:
            raise InputError("this limiter is closed: make a new one")
        deadline = math.inf if max_wait is None else self._clock.time() + max_wait
        while not self._closed and (blocked := self.blocked(quota_class)) is not None:
            seconds = blocked.resume_at - self._clock.time()
            if blocked.resume_at > deadline:
                raise QuotaExceededError(
                    quota_class=quota_class, window=blocked.window, resume_at=blocked.resume_at, wait_seconds=seconds
                )
            with anyio.CancelScope() as scope:
                self._waiting.add(scope)
                try:
                    await self._clock.sleep(seconds)
                finally:
                    self._waiting.discard(scope)
        if self._closed:
            raise LimiterError("this limiter was closed")
        self._out[quota_class] += 1
        return Slip(self, quota_class)

    def end(self, quota_class: QuotaClass, cost: int) -> None:
        self._roll()
        self._out[quota_class] -= 1
        self._used[quota_class] += cost

    def snapshot(self) -> dict[str, Any]:
        return {"window": self._window, "used": {each.value: count for each, count in self._used.items()}}

    async def aclose(self) -> None:
        self._closed = True
        for scope in self._waiting:
            scope.cancel()


class TestOneMadeElsewhere(ClosableLimiterContract):
    @pytest.fixture
    def limiter(self, clock: FakeClock) -> Limiter:
        return FixedWindow(clock, per_window=100)

    @pytest.fixture
    def closable(self, limiter: FixedWindow) -> ClosableLimiter:
        return limiter

    @pytest.fixture
    async def spent(self, limiter: Limiter, clock: FakeClock) -> Limiter:
        while limiter.blocked(QuotaClass.READ) is None:
            (await limiter.acquire()).abandon()
        return limiter


# -- jitter ------------------------------------------------------------------------------------------------------------


async def elapsed(limiter: FixedWindow, clock: FakeClock) -> float:
    """Return the seconds that a call takes whose first attempt ends with 503; it backs off for 8 s at the most."""
    answers = iter([httpx.Response(503), httpx.Response(200, json={})])
    transport = httpx.MockTransport(lambda request: next(answers))
    began = clock.monotonic()
    async with clock.autojump(), httpx.AsyncClient(transport=transport) as http_client:
        api = ApiV3("token", http_client, limiter, retry=RetryPolicy(base_seconds=8, max_seconds=8))
        assert await api.get("/athlete") == {}
    return clock.monotonic() - began


@pytest.mark.anyio
async def test_the_jitter_of_retries_is_that_of_a_limiter_that_has_some() -> None:
    clock = FakeClock()
    limiter = FixedWindow(clock, per_window=9)
    limiter.random = lambda: 0.25
    assert await elapsed(limiter, clock) == 2.0


@pytest.mark.anyio
@pytest.mark.parametrize("attribute", [None, random.Random(1), 0.5])
async def test_it_is_the_systems_where_the_limiter_has_none(attribute: object) -> None:
    clock = FakeClock()
    limiter = FixedWindow(clock, per_window=9)
    if attribute is not None:
        limiter.random = attribute
    assert 0 <= await elapsed(limiter, clock) < 8
