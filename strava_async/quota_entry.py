"""What the ledger keeps of a permit: how it began, how it ended, and in which windows its request was counted."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple


class LedgerEntry(NamedTuple):
    """A permit as it stands in the ledger.

    Attributes:
        reads: whether it spends the read budget too.
        number: permits count up.
        given_at: monotonic.
        earliest: the earliest that Strava's clock can have shown then, as known then.
    """

    reads: bool
    number: int
    given_at: float
    earliest: float


class Placement(Enum):
    """Where a request was counted, seen from the window that a meter is in.

    ``BEFORE_OR_IN`` happens around the beginning of the window, ``IN_OR_AFTER`` around its end, or while little is
    known of Strava's clock. ``UNKNOWN``: the answer contradicts the clock.
    """

    IN = "in"
    BEFORE = "before"
    BEFORE_OR_IN = "before or in"
    IN_OR_AFTER = "in or after"
    UNKNOWN = "unknown"


IN = Placement.IN  # an enum's members are looked up slowly, and this one is for each answer


class Ending(NamedTuple):
    """How a permit ended, as far as windows go.

    Attributes:
        in_quarter: where it was counted, seen from the quarter-hour meters.
        in_day: where it was counted, seen from the day meters.
        latest: the latest instant on Strava's clock at which it can have been counted.
        youngest: the number of the youngest permit at the end.
        arrived_at: the monotonic instant from which on it surely has been counted, if it ever is.
    """

    in_quarter: Placement
    in_day: Placement
    latest: float
    youngest: int
    arrived_at: float = -math.inf
