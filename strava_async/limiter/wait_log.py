"""What the limiter tells the log: long waits, once per class and period, at their beginning and at their end."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import NamedTuple

from strava_async.limiter.queue import Line
from strava_async.quota.ledger import Ledger
from strava_async.quota.values import QUARTER_SECONDS, QuotaClass

_logger = logging.getLogger("strava_async.limiter")
_LONG_SECONDS = 60.0
_VERY_LONG_SECONDS = QUARTER_SECONDS + 2.0  # a quarter hour, and what is not known of Strava's clock


class _Period(NamedTuple):
    """A wait that was told of: since when, how loudly, and after how many answers."""

    began_at: float
    level: int
    answers: int


class WaitLog:
    """Remembers since when each class has been known to wait."""

    def __init__(self) -> None:
        self._periods: dict[QuotaClass, _Period] = {}

    def check(self, line: Line, ledger: Ledger, started: tuple[bool, bool], now: float) -> None:
        """Say what has ended and what has begun; after every change of the line.

        A wait that turns out to be very long is told of again, because the first line may have been read by nobody.

        Args:
            line: who waits.
            ledger: the books.
            started: whether an upload, and whether a read has just been served.
            now: monotonic.
        """
        for quota_class in QuotaClass:
            reads = quota_class is QuotaClass.READ
            waiting = line.waiting(reads)
            period = self._periods.get(quota_class)
            if period is not None and (started[reads] or not waiting):
                del self._periods[quota_class]
                seconds = now - period.began_at
                _logger.info("%s calls go on after %.0f s; %d still wait", quota_class, seconds, waiting)
                period = None
            # Only an answer can make a wait that is known longer.
            if waiting and (period is None or (period.level < logging.WARNING and period.answers != ledger.answers)):
                self._begin(quota_class, waiting, ledger, period, now)

    def _begin(self, quota_class: QuotaClass, waiting: int, ledger: Ledger, known: _Period | None, now: float) -> None:
        wait = ledger.waits.for_quota(quota_class is QuotaClass.READ, now)
        if wait is None or wait.until - now <= _LONG_SECONDS:
            return
        level = logging.WARNING if wait.until - now > _VERY_LONG_SECONDS else logging.INFO
        self._periods[quota_class] = _Period(now if known is None else known.began_at, level, ledger.answers)
        if known is not None and known.level >= level:
            return
        until = datetime.fromtimestamp(wait.resume_at, UTC).isoformat(timespec="seconds")
        _logger.log(level, "%s is spent: %d %s calls wait until %s", wait.window, waiting, quota_class, until)
