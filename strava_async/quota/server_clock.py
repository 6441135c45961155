"""Strava's clock, as far as it is known from the ``Date`` fields of its answers.

Rules:

- An answer with ``Date: d`` to a request sent at s and received at t was stamped somewhere in [s, t], while the
  server's clock showed something in [d, d + 1). So the offset ``server - monotonic`` lies in [d - t, d + 1 - s).
- The interval known is the intersection of all of these. It widens slowly, because two clocks never run alike.
- An empty intersection is replaced by the union where only seconds are missing (another host, a long silence): the
  lower bound stays safe, and the next answer narrows it again.
- A ``Date`` farther off needs a second witness (``witness``). Until there is one, nothing moves.
- The machine's own idea of Unix time serves until the first ``Date``, and is one witness against it: a ``Date`` that
  is minutes away from it needs a second one too. Of such two, the one by which a window ends first is probed.
- When the machine's clock jumps ahead of the monotonic one later, the machine has slept, or its clock was set: that
  moves nothing but the upper bound, until a ``Date`` decides.
- Windows are counted by another host. Where its counter turns later than ``Date`` says (``turn``), the clock
  meant here is the counter's: that of ``Date``, less as many seconds.
"""

from __future__ import annotations

import math
from enum import Enum

from strava_async.quota.witness import CLOSE_SECONDS, Rival

_DRIFT = 1e-5  # seconds per second; a crystal that NTP steers stays below a tenth of that
_SLEEP_DRIFT = 1e-3  # what counts the seconds of a machine that sleeps is a poorer clock, and counts whole ones
_SLEEP_SPARE_SECONDS = 2.0
_MAX_DRIFT_SECONDS = 0.25  # what a wait for midnight may add; a request too early by more costs one 429
_SHARP_SECONDS = 30.0  # a Date whose request took longer agrees with too much to be a witness
_MACHINE_SECONDS = 300.0  # how far the first Date may be from the machine's clock to be believed alone


class ClockChange(Enum):
    """What one ``Date`` did to the clock.

    ``MOVED``: the turn of a window moves, because the lower bound changed, or the upper one by more than a second.
    ``JUMPED``: a second witness set the clock again. ``RIVAL``: it waits for its second witness, and counts for nothing
    until then.
    """

    NOTHING = "nothing"
    MOVED = "moved"
    JUMPED = "jumped"
    RIVAL = "rival"


# An enum's members are looked up slowly, and these are for each answer.
NOTHING, MOVED = ClockChange.NOTHING, ClockChange.MOVED


class ServerClock:
    """The bounds of the offset between Strava's clock and ours. Instants passed in are readings of the monotonic clock.

    Attributes:
        synchronized: whether the bounds are by an answer of Strava's yet.
        updated_at: when the bounds last changed.
        doubted: whether the upper bound was moved for a reason that no ``Date`` has confirmed.
        low: the lower bound of ``server - monotonic`` at ``updated_at``, the counter's lateness taken off.
        high: the upper bound.
        early: seconds by which the counter surely runs behind ``Date``.
        late: seconds by which it may run behind.
    """

    __slots__ = ("_rival", "doubted", "early", "high", "late", "low", "synchronized", "updated_at")

    def __init__(self, now: float, low: float, high: float) -> None:
        self.synchronized = False
        self.updated_at = now
        self.doubted = False
        self.low = low
        self.high = high
        self.early = 0.0
        self.late = 0.0
        self._rival: Rival | None = None

    def suppose(self, now: float, low: float, high: float) -> None:
        """Assume these bounds until the first ``Date``."""
        self.low, self.high, self.updated_at = low, high, now

    @property
    def contested(self) -> bool:
        """Whether a ``Date`` that contradicts the clock waits for its second witness."""
        return self._rival is not None

    def rival_turn(self, length: int) -> float:
        """Return the monotonic instant at which a window of so many seconds ends by the first ``Date``.

        inf unless that contradicts the machine's clock: then one of the two is wrong, and it is not known which.
        """
        rival = self._rival
        if rival is None or self.synchronized:
            return math.inf
        return ((rival.observed_at + rival.low) // length + 1) * length - rival.low

    def drift(self, now: float) -> float:
        """Return by how much each bound has widened since it was learnt."""
        return min(abs(now - self.updated_at) * _DRIFT, _MAX_DRIFT_SECONDS)

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

    def set_lateness(self, early: float, late: float) -> None:
        """Take in by how many seconds the counter runs behind ``Date``: between ``early`` and ``late``."""
        self.low += self.late - late
        self.high += self.early - early
        self.early, self.late = early, late

    def observe_date(self, date: float, sent_at: float, received_at: float) -> ClockChange:
        """Take in one ``Date``."""
        low, high = date - received_at - self.late, date + 1 - sent_at - self.early
        drift = self.drift(received_at)
        known_low, known_high = self.low - drift, self.high + drift
        # The common case: it agrees, and narrows nothing.
        if self.synchronized and low <= known_low and high >= known_high:
            self._rival = None
            return NOTHING
        # How far it is from what is known; negative where the intervals overlap.
        missing = low - known_high if low > known_high else known_low - high
        if missing > (CLOSE_SECONDS if self.synchronized else _MACHINE_SECONDS):
            return self._observe_rival(low, high, sent_at, received_at)
        # The machine's own idea of the time was a guess: the first Date replaces it.
        if not self.synchronized:
            self._set(low, high, received_at)
            return ClockChange.MOVED
        # Seconds apart: the union, which is safe. Else the intersection.
        if missing > 0:
            low, high = min(low, known_low), max(high, known_high)
        else:
            low, high = max(low, known_low), min(high, known_high)
        self._set(low, high, received_at)
        return MOVED if low != known_low or known_high - high > 1 else NOTHING

    def _observe_rival(self, low: float, high: float, sent_at: float, received_at: float) -> ClockChange:
        """Take in a ``Date`` that contradicts what is known."""
        rival = self._rival
        # One whose request took long agrees with too much.
        if high - low > _SHARP_SECONDS:
            return ClockChange.RIVAL
        if rival is None or not rival.agrees(low, high):
            self._rival = Rival(low, high, received_at)
        # A second witness has to be independent of the first: its request began after that had arrived.
        elif sent_at >= rival.observed_at:
            self._set(low, high, received_at)
            return ClockChange.JUMPED
        return ClockChange.RIVAL

    def _set(self, low: float, high: float, updated_at: float) -> None:
        self.synchronized = True
        self.doubted = False
        self.low, self.high, self.updated_at = low, high, updated_at
        self._rival = None
