"""What time it is for a harvest: the machine's clock, as far as Strava's answers do not contradict it.

Rules:

- What is counted in days does not depend on one clock: by a machine's clock that says next year, everything that is
  held would be too old, and would be deleted.
- The limiter knows Strava's clock by the ``Date`` of its answers. It may take two of them, one after the other, until
  it believes these rather than the machine. From then on the time is within the quarter hour that Strava is in.
- Before, and with a limiter that learns no limits, it is the machine's clock alone: then it is not confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from strava_async.clock import Clock
from strava_async.quota.readings import Quota
from strava_async.quota.values import QUARTER_SECONDS

_SPARE_SECONDS = 60.0  # a window may turn later by the counters than by Date
_JUMP_SECONDS = 1.0
_CHECK_SECONDS = 60.0


class Timekeeper:
    """Tells the time in one run.

    Args:
        clock: the machine's.
        quota: returns the meters.

    Attributes:
        is_confirmed: whether Strava's answers have been compared with the machine's clock.
        was_wrong: whether the machine's clock was wrong when they first were: then so is what was stored before.
    """

    def __init__(self, clock: Clock, quota: Callable[[], Quota]) -> None:
        self.is_confirmed = self.was_wrong = False
        self._clock = clock
        self._quota = quota
        self._answered_at = math.inf
        self._has_two = False
        # What the machine's clock is corrected by, and for what that was found.
        self._correction = 0.0
        self._base = math.nan
        self._compared_at = -math.inf

    def answered(self, sent_at: float) -> None:
        """Note an answer, by the monotonic instant before which its request was not sent."""
        if self._has_two:
            return
        self._has_two = sent_at >= self._answered_at
        self._answered_at = min(self._answered_at, self._clock.monotonic())

    def time(self) -> float:
        """Return epoch seconds."""
        now, monotonic = self._clock.time(), self._clock.monotonic()
        if self._has_two:
            has_jumped = not abs(now - monotonic - self._base) < _JUMP_SECONDS
            if has_jumped or not 0 <= monotonic - self._compared_at < _CHECK_SECONDS:
                self._compare(now)
                self._base, self._compared_at = now - monotonic, monotonic
        return now + self._correction

    def on_machine(self, at: float) -> float:
        """Return when the machine's clock shows what is ``at`` by ``time``."""
        self.time()
        return at - self._correction

    def _compare(self, now: float) -> None:
        meter = self._quota().read_15min
        if meter.limit is None:
            return
        low, high = meter.resets_at - QUARTER_SECONDS - _SPARE_SECONDS, meter.resets_at + _SPARE_SECONDS
        self._correction = min(max(now, low), high) - now
        self.was_wrong = self.was_wrong or (not self.is_confirmed and self._correction != 0)
        self.is_confirmed = True
