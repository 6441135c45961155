"""The permits of one call: one for each attempt, and one budget of waiting for all of them."""

from __future__ import annotations

from strava_async.clock import Clock
from strava_async.limiter.base import Limiter, Permit
from strava_async.quota.values import Priority, QuotaClass
from strava_async.request.reports import Report


class PermitBudget:
    """Acquires the permits of a call, within its ``max_wait``.

    Args:
        limiter: grants them.
        clock: measures the waits.
        quota_class: which meters the call spends; None for none.
        priority: its rank in the queue.
        max_wait: seconds that all its attempts together may queue; None means no bound.
        report: receives the waits.

    Attributes:
        attempts: how many permits were acquired.
    """

    __slots__ = ("_clock", "_left", "_limiter", "_previous", "_priority", "_quota_class", "_report", "attempts")

    def __init__(
        self,
        limiter: Limiter,
        clock: Clock,
        quota_class: QuotaClass | None,
        priority: Priority,
        max_wait: float | None,
        report: Report,
    ) -> None:
        self._limiter = limiter
        self._clock = clock
        self._quota_class = quota_class or QuotaClass.READ
        self._priority = priority
        self._left = max_wait
        self._report = report
        self._previous: Permit | None = None
        self.attempts = 0

    async def acquire(self) -> Permit:
        """Wait for the permit of the next attempt.

        Raises:
            QuotaExceededError: the wait would be longer than what is left of the budget.
        """
        self._report.begin(self.attempts + 1)
        started = 0.0 if self._left is None else self._clock.monotonic()
        with self._report.waiting("quota"):
            permit = await self._limiter.acquire(
                self._quota_class, priority=self._priority, max_wait=self._left, retry_of=self._previous
            )
        if self._left is not None:
            self._left = max(0.0, self._left - (self._clock.monotonic() - started))
        self.attempts += 1
        self._previous = permit
        return permit
