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
from typing import NamedTuple

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

    def most(self, limit: int) -> float:
        """Return the most that is ever reserved of a window, by its limit."""
        return max(_MOST_OF_QUARTER, self._share) * limit

    def quarter_left(self, limit: int, free: float, rate: float) -> float:
        """Return the seconds before the end of the quarter hour at which the reserve falls below ``free``."""
        return seconds_left(QUARTER, self._share, limit, free, rate)

    def day_left(self, limit: int, free: float, rate: float) -> float:
        """Return the same for the day."""
        return seconds_left(DAY, self._share, limit, free, rate)


class Length(NamedTuple):
    """A kind of window.

    Attributes:
        seconds: how long it is.
        most: the share of its limit that is reserved at the most, if that is more than the share asked for.
        weight: the part of the share asked for that is reserved in it.
    """

    seconds: int
    most: float
    weight: float


QUARTER = Length(QUARTER_SECONDS, _MOST_OF_QUARTER, 1.0)
DAY = Length(_DAY_SECONDS, 0.0, 0.5)


def needed(length: Length, share: float, limit: int, left: float, rate: float) -> float:
    """Return the reserve, ``left`` seconds before the end of a window, at ``rate`` interactive calls per second."""
    share *= length.weight
    if share == 0:
        return 0.0
    likely = rate * left
    melting = share * limit * left / length.seconds
    return min(max(length.most, share) * limit, max(melting, likely + _DEVIATIONS * math.sqrt(likely)))


def seconds_left(length: Length, share: float, limit: int, free: float, rate: float) -> float:
    """Return the seconds before the end of a window at which ``needed`` falls below ``free``."""
    share *= length.weight
    if share == 0 or free > max(length.most, share) * limit:
        return math.inf
    if free <= 0:
        return 0.0
    left = free * length.seconds / (share * limit)
    if rate > 0:
        # solved for x, where it is equal to ``free``
        likely = ((math.sqrt(_DEVIATIONS**2 + 4 * free) - _DEVIATIONS) / 2) ** 2
        left = min(left, likely / rate)
    return left
