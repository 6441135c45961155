"""What the limiter logs: long waits, once per class and period, at their beginning and at their end."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from strava_async.limiter.ledger import QuotaLedger
from strava_async.limiter.queue import WaitQueue
from strava_async.quota.values import QUARTER_SECONDS, QuotaClass

_logger = logging.getLogger("strava_async.limiter")
_LONG_SECONDS = 60.0
_VERY_LONG_SECONDS = QUARTER_SECONDS + 2.0  # a quarter hour, and what is not known of Strava's clock


class _Period(NamedTuple):
    """A wait that was logged: since when, at which level, and after how many answers."""

    began_at: float
    level: int
    answers: int


class WaitLog:
    """Remembers since when calls of each class have waited."""

    def __init__(self) -> None:
        self._periods: dict[QuotaClass, _Period] = {}

    def check(self, queue: WaitQueue, ledger: QuotaLedger, started: Collection[QuotaClass], now: float) -> None:
        """Log what has ended and what has begun; after every change of the queue.

        A wait that turns out to be very long is logged again, because the first line may have gone unread.

        Args:
            queue: the calls that wait.
            ledger: the ledger.
            started: the classes of the calls that have just been served.
            now: monotonic.
        """
        for quota_class in QuotaClass:
            waiting = queue.waiting(quota_class)
            period = self._periods.get(quota_class)
            if period is not None and (quota_class in started or not waiting):
                del self._periods[quota_class]
                seconds = now - period.began_at
                _logger.info("%s calls go on after %.0f s; %d still wait", quota_class, seconds, waiting)
                period = None
            # Only an answer can make a wait that is known longer.
            if waiting and (period is None or (period.level < logging.WARNING and period.answers != ledger.answers)):
                self._begin(quota_class, waiting, ledger, period, now)

    def _begin(
        self, quota_class: QuotaClass, waiting: int, ledger: QuotaLedger, known: _Period | None, now: float
    ) -> None:
        blocked = ledger.blocked(quota_class, now)
        if blocked is None or blocked.until - now <= _LONG_SECONDS:
            return
        level = logging.WARNING if blocked.until - now > _VERY_LONG_SECONDS else logging.INFO
        self._periods[quota_class] = _Period(now if known is None else known.began_at, level, ledger.answers)
        if known is not None and known.level >= level:
            return
        until = datetime.fromtimestamp(blocked.resume_at, UTC).isoformat(timespec="seconds")
        _logger.log(level, "%s is spent: %d %s calls wait until %s", blocked.window, waiting, quota_class, until)
