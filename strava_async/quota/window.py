"""The window that the ledger is in: which quarter hour, when the next one begins here, and what was counted in it."""

from __future__ import annotations

import math
from collections.abc import Callable

from strava_async.quota.entry import Completion, WindowMatch
from strava_async.quota.server_clock import ServerClock
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY

DAY_SECONDS = QUARTER_SECONDS * QUARTERS_PER_DAY
MARGIN_SECONDS = 0.05  # between the hosts that stamp answers and the one that counts
_JITTER_SECONDS = 0.25
TURN_SECONDS = MARGIN_SECONDS + _JITTER_SECONDS  # within these after a boundary, windows turn here
_LATE_SECONDS = 0.9  # jitter gives way to the uncertainty of the clock, so that both together stay below this
_SKEW_SECONDS = 120.0  # how wrong the machine's clock may be, as long as there is no other


class Window:
    """A quarter hour, and the day that it belongs to. Instants are on Strava's clock unless they are called monotonic.

    Args:
        clock: Strava's clock.
        random: numbers in [0, 1), for the jitter.

    Attributes:
        quarter: which, in quarter hours since 1970.
        begins: its beginning.
        ends: its end.
        day_ends: the end of its day.
        turns_at: the monotonic instant at which the next window begins in the ledger.
    """

    __slots__ = ("_clock", "_jitter", "_random", "begins", "day_ends", "ends", "quarter", "turns_at")

    def __init__(self, clock: ServerClock, random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self.quarter = 0
        self.begins = self.ends = self.day_ends = 0.0
        self._jitter = 0.0
        self.turns_at = -math.inf

    @property
    def day(self) -> int:
        """Which day, since 1970."""
        return self.quarter // QUARTERS_PER_DAY

    def begin(self, quarter: int, now: float) -> None:
        """Be that quarter hour from now on."""
        self.quarter = quarter
        self.begins = float(quarter * QUARTER_SECONDS)
        self.ends = self.begins + QUARTER_SECONDS
        self.day_ends = float((self.day + 1) * DAY_SECONDS)
        self._jitter = self._random()
        self.set_turn(now)

    def set_turn(self, now: float) -> None:
        """Recompute when the next window begins in the ledger: more is known of Strava's clock."""
        # When the boundary has surely passed, and somewhat later: less late, the less is known of the clock.
        clock = self._clock
        certain_at = clock.surely_at(self.ends, now)
        width = clock.high - clock.low + 2 * clock.drift(certain_at)
        spare = min(_JITTER_SECONDS, max(0.0, _LATE_SECONDS - MARGIN_SECONDS - width))
        self.turns_at = certain_at + MARGIN_SECONDS + self._jitter * spare

    def following(self, now: float) -> int:
        """Return the quarter hour to begin with once this one has turned: the next, unless many have passed."""
        return max(self.quarter + 1, int(self._clock.earliest(now) // QUARTER_SECONDS) - 1)

    def may_be_over(self, ends: float, now: float) -> bool:
        """Return whether a window with that end may have turned unnoticed."""
        return self._clock.doubted and self._clock.latest(now) >= ends

    def may_turn_at(self) -> float:
        """Return the monotonic instant at which the quarter hour ends by a first ``Date`` in doubt; else inf."""
        return self._clock.rival_turn(QUARTER_SECONDS) + MARGIN_SECONDS

    def match(self, earliest: float, latest: float, youngest: int, arrived_at: float) -> Completion:
        """Find the windows in which a request was counted, between two instants, the later one excluded.

        Args:
            earliest: the first of the two.
            latest: the other one.
            youngest: the number of the youngest permit.
            arrived_at: the monotonic instant from which on it surely has been counted.
        """
        # But a machine's clock, as long as there is no other, is one instant and no interval.
        first = int(earliest // QUARTER_SECONDS)
        last = max(first, math.ceil(latest / QUARTER_SECONDS) - 1)
        return Completion(
            _match(first, last, self.quarter),
            _match(first // QUARTERS_PER_DAY, last // QUARTERS_PER_DAY, self.day),
            self.latest(latest),
            youngest,
            arrived_at,
        )

    def latest(self, instant: float) -> float:
        """Return the latest that Strava's clock may show when the ledger's shows ``instant``."""
        return instant if self._clock.synchronized else instant + _SKEW_SECONDS


def _match(first: int, last: int, window: int) -> WindowMatch:
    if last < window:
        return WindowMatch.BEFORE
    if last > window:
        return WindowMatch.IN_OR_AFTER
    return WindowMatch.IN if first == window else WindowMatch.BEFORE_OR_IN
