"""Second witnesses: what is believed of a number, or of a ``Date``, that nothing but one answer says.

Rules:

- A number that our own count does not explain counts at once, and is in **doubt** until the number of a second answer
  reaches as high. Then it cannot be taken back any more.
- A number in doubt is refuted by a lower one of a request that began after it had arrived: counters only rise.
- A ``Date`` that contradicts what is known of the clock is a **rival**, and moves nothing, until that of a request
  which began after it had arrived agrees with it. A ``Date`` that agrees with what is known ends the rivalry.
"""

from __future__ import annotations

from typing import NamedTuple

CLOSE_SECONDS = 5.0  # what clocks of honest hosts, or a crystal in a long silence, may differ by


class Doubt(NamedTuple):
    """That one answer alone has had the largest number of a meter, and that our own count does not explain it.

    Attributes:
        usage: what would be believed without it: the largest number that has a second witness, of whatever kind.
        external_usage: the use by others that would be known without it.
        youngest: the number of the youngest permit when that answer came.
    """

    usage: int
    external_usage: int
    youngest: int


class Rival(NamedTuple):
    """The offset of Strava's clock by a ``Date`` that contradicts what is known.

    Attributes:
        low: the lower bound of ``server - monotonic``.
        high: the upper bound.
        observed_at: when the answer was there; monotonic.
    """

    low: float
    high: float
    observed_at: float

    def agrees(self, low: float, high: float) -> bool:
        """Return whether another ``Date``, from which these bounds follow, agrees with this one."""
        return low - self.high <= CLOSE_SECONDS and self.low - high <= CLOSE_SECONDS
