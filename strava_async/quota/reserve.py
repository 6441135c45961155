"""What background work leaves to calls of a higher priority.

Rules:

- With ``left`` seconds to the end of a window, the reserve is ``share * limit * left / length``: it shrinks to nothing.
- Where interactive calls come often, it is what they will likely need, ``x + 5 * sqrt(x)`` with ``x = rate * left``,
  if that is more; at most half of a quarter hour's limit.
- For the day, the share is half of that for the quarter hour, and it is also the most that is reserved. A number in
  doubt (``witness``) takes nothing from what is left of a day.
"""

from __future__ import annotations

import math

from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY

_DAY_SECONDS = QUARTER_SECONDS * QUARTERS_PER_DAY
_MOST_OF_QUARTER = 0.5
_DEVIATIONS = 5  # calls come at random: sqrt(x) is the standard deviation of their number


class Reserve:
    """The reserve for one application.

    Args:
        share: the share of a quarter hour's limit at its beginning; 0 for no reserve at all.
    """

    __slots__ = ("_before", "_share", "_starts")

    def __init__(self, share: float) -> None:
        self._share = share
        self._starts = 0
        self._before = 0

    def note_interactive(self) -> None:
        """Count an interactive call."""
        self._starts += 1

    def turn(self, following: bool) -> None:
        """Begin a quarter hour; ``following`` if it is the next one."""
        self._before = self._starts if following else 0
        self._starts = 0

    def rate(self, elapsed: float) -> float:
        """Return the interactive calls per second, ``elapsed`` seconds into the quarter hour."""
        return (self._before + self._starts) / (QUARTER_SECONDS + max(elapsed, 0.0))

    def quarter_left(self, limit: int, free: float, rate: float) -> float:
        """Return the seconds before the end of the quarter hour at which the reserve falls below ``free``."""
        most = max(_MOST_OF_QUARTER, self._share)
        return _left(limit, free, rate, share=self._share, most=most, length=QUARTER_SECONDS)

    def day_left(self, limit: int, free: float, rate: float) -> float:
        """Return the same for the day."""
        share = self._share / 2
        return _left(limit, free, rate, share=share, most=share, length=_DAY_SECONDS)


def _left(limit: int, free: float, rate: float, *, share: float, most: float, length: int) -> float:
    if share == 0 or free > most * limit:
        return math.inf
    if free <= 0:
        return 0.0
    left = free * length / (share * limit)
    if rate > 0:
        # solved for x, where it is equal to ``free``
        likely = ((math.sqrt(_DEVIATIONS**2 + 4 * free) - _DEVIATIONS) / 2) ** 2
        left = min(left, likely / rate)
    return left
