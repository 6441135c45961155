"""What the limiter tells the log: long waits, once per class and period, at their beginning and at their end."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from strava_async.limiter_line import Line
from strava_async.quota import QuotaClass
from strava_async.quota_ledger import Ledger

_logger = logging.getLogger("strava_async.limiter")
_LONG_SECONDS = 60.0


class WaitLog:
    """Remembers since when each class has been known to wait."""

    def __init__(self) -> None:
        self._since: dict[QuotaClass, float] = {}

    def check(self, line: Line, ledger: Ledger, started: tuple[bool, bool], now: float) -> None:
        """Say what has ended and what has begun; after every change of the line.

        Args:
            line: who waits.
            ledger: the books.
            started: whether an upload, and whether a read has just been served.
            now: monotonic.
        """
        for quota_class in QuotaClass:
            reads = quota_class is QuotaClass.READ
            waiting = line.waiting(reads)
            since = self._since.get(quota_class)
            if since is not None and (started[reads] or not waiting):
                since = None
                began_at = self._since.pop(quota_class)
                _logger.info("%s calls go on after %.0f s; %d still wait", quota_class, now - began_at, waiting)
            if since is None and waiting:
                wait = ledger.wait_for(reads, now)
                if wait is not None and wait.until - now > _LONG_SECONDS:
                    self._since[quota_class] = now
                    until = datetime.fromtimestamp(wait.resume_at, UTC).isoformat(timespec="seconds")
                    _logger.info("%s is spent: %d %s calls wait until %s", wait.window, waiting, quota_class, until)
