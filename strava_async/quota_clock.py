"""Strava's clock, as far as the ``Date`` fields of its answers tell.

Rules:

- An answer with ``Date: d`` to a request sent at s and received at t was stamped somewhere in [s, t], while the
  server's clock showed something in [d, d + 1). So the offset ``server - monotonic`` lies in [d - t, d + 1 - s).
- The interval known is the intersection of all of these. It widens slowly, because two clocks never run alike.
- An empty intersection (another host, a clock that was set, a stale answer) is replaced by the union: the lower bound
  stays safe, and the next answer narrows it again.
- The machine's own idea of Unix time serves only until the first ``Date``. When it jumps ahead of the monotonic clock
  later, the machine has slept, or its clock was set: that moves nothing but the upper bound, until a ``Date`` decides.
"""

from __future__ import annotations

import math

_DRIFT = 1e-5  # seconds per second; a crystal that NTP steers stays below a tenth of that
_SLEEP_DRIFT = 1e-3  # what counts the seconds of a machine that sleeps is a poorer clock, and tells whole ones
_SLEEP_SPARE_SECONDS = 2.0
_MAX_DRIFT_SECONDS = 0.25  # what a wait for midnight may add; a request too early by more costs one 429


class ServerClock:
    """The bounds of the offset between Strava's clock and ours. Instants passed in are readings of the monotonic clock.

    Attributes:
        heard: whether an answer has told the time yet.
        heard_at: when the bounds last changed.
        doubted: whether the upper bound was moved for a reason that no second witness has confirmed.
        low: the lower bound of ``server - monotonic`` at ``heard_at``.
        high: the upper bound.
    """

    __slots__ = ("doubted", "heard", "heard_at", "high", "low")

    def __init__(self, now: float, low: float, high: float) -> None:
        self.heard = False
        self.heard_at = now
        self.doubted = False
        self.low = low
        self.high = high

    def drift(self, now: float) -> float:
        """Return by how much each bound has widened since it was learnt."""
        return min(abs(now - self.heard_at) * _DRIFT, _MAX_DRIFT_SECONDS)

    def earliest(self, now: float) -> float:
        """Return the earliest that Strava's clock can show at ``now``."""
        return now + self.low - self.drift(now)

    def latest(self, now: float) -> float:
        """Return the latest that Strava's clock can show at ``now``."""
        return now + self.high + self.drift(now)

    def surely_at(self, server_instant: float, now: float) -> float:
        """Return the monotonic instant from which on Strava's clock surely shows ``server_instant`` or later."""
        at = server_instant - self.low
        return at + self.drift(max(at, now))

    def widen(self, seconds: float) -> float:
        """Allow for Strava's clock having moved on by so much more than the monotonic one; return by how much."""
        seconds += seconds * _SLEEP_DRIFT + _SLEEP_SPARE_SECONDS
        self.high += seconds
        self.doubted = True
        return seconds

    def learn(self, date: float, sent_at: float, received_at: float) -> bool:
        """Take in one ``Date``.

        Returns:
            whether that moves the turn of a window: the lower bound changed, or the upper one by more than a second.
        """
        low, high = date - received_at, date + 1 - sent_at
        known_low = known_high = math.inf
        contradicted = False
        if self.heard:
            drift = self.drift(received_at)
            known_low, known_high = self.low - drift, self.high + drift
            if low <= known_low and high >= known_high:
                return False
            if low > known_high or high < known_low:
                low, high = min(low, known_low), max(high, known_high)
                contradicted = True
            else:
                low, high = max(low, known_low), min(high, known_high)
        self.heard = True
        self.doubted = contradicted
        self.low, self.high, self.heard_at = low, high, received_at
        return low != known_low or known_high - high > 1
