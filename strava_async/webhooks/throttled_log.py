"""Log lines that any sender can cause: each kind at most once a minute."""

from __future__ import annotations

import logging

from strava_async._concurrency.ttl_set import TtlSet
from strava_async.clock import Clock

EACH_SECONDS = 60.0

_KINDS = 100

_logger = logging.getLogger("strava_async.webhooks")


class ThrottledLog:
    """Logs each kind of problem at most once a minute; ``WebhookRouter.counts`` has the totals.

    Args:
        clock: times the minute.
    """

    def __init__(self, clock: Clock) -> None:
        self._logged = TtlSet(clock, _KINDS, EACH_SECONDS)

    def log(self, level: int, kind: str, text: str) -> None:
        """Log a text, unless one of its kind was logged within the last minute."""
        if kind not in self._logged:
            self._logged.add(kind)
            _logger.log(level, "%s", text)
