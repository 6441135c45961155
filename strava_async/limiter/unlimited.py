"""A limiter without a limit."""

from __future__ import annotations

import random as system_random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from strava_async.clock import Clock, SystemClock
from strava_async.limiter.base import Permit
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY, Blocked, Priority, QuotaClass

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota


class _FreePermit:
    """A permit that is not counted."""

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Do nothing."""


class Unlimited:
    """A limiter that never waits and counts nothing: for tests, or where something else observes the quota.

    Attributes:
        clock: the clock passed in.
        random: the source of jitter passed in.

    Args:
        clock: None means the system's.
        random: returns numbers in [0, 1); None means the system's.
    """

    def __init__(self, *, clock: Clock | None = None, random: Callable[[], float] | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.random: Callable[[], float] = random or system_random.random

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        """Return a permit at once."""
        return _FreePermit()

    @property
    def quota(self) -> Quota:
        """Four meters of which nothing is known but the end of their windows."""
        from strava_async.quota.readings import Meter, Quota  # not above: no request needs them

        now = self.clock.time()
        quarter = Meter(None, None, 0, (now // QUARTER_SECONDS + 1) * QUARTER_SECONDS)
        day_seconds = QUARTER_SECONDS * QUARTERS_PER_DAY
        day = Meter(None, None, 0, (now // day_seconds + 1) * day_seconds)
        return Quota(read_15min=quarter, read_day=day, overall_15min=quarter, overall_day=day)

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return None: nothing keeps a call from starting."""
        return None
