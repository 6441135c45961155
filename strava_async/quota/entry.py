"""What the ledger keeps of a permit: how it began, how it ended, and in which windows its request was counted."""

from __future__ import annotations

import math
from enum import Enum


class LedgerEntry:
    """A permit as it stands in the ledger. It does not change.

    Attributes:
        reads: whether it spends the read budget too.
        number: permits count up.
        given_at: monotonic.
        earliest: the earliest that Strava's clock can have shown then, as known then.
    """

    # No NamedTuple: to make one takes twice as long, and there is one for each request.
    __slots__ = ("earliest", "given_at", "number", "reads")

    def __init__(self, reads: bool, number: int, given_at: float, earliest: float) -> None:
        self.reads = reads
        self.number = number
        self.given_at = given_at
        self.earliest = earliest


class WindowMatch(Enum):
    """Where a request was counted, seen from the window that a meter is in.

    ``BEFORE_OR_IN`` happens around the beginning of the window, ``IN_OR_AFTER`` around its end, or while little is
    known of Strava's clock. ``UNKNOWN``: the answer contradicts the clock.
    """

    IN = "in"
    BEFORE = "before"
    BEFORE_OR_IN = "before or in"
    IN_OR_AFTER = "in or after"
    UNKNOWN = "unknown"


IN = WindowMatch.IN  # an enum's members are looked up slowly, and this one is for each answer


class Completion:
    """How a permit ended, as far as windows go. It does not change.

    Attributes:
        in_quarter: where it was counted, seen from the quarter-hour meters.
        in_day: where it was counted, seen from the day meters.
        latest: the latest instant on Strava's clock at which it can have been counted.
        youngest: the number of the youngest permit at the end.
        arrived_at: the monotonic instant from which on it surely has been counted, if it ever is.
    """

    __slots__ = ("arrived_at", "in_day", "in_quarter", "latest", "youngest")

    def __init__(
        self,
        in_quarter: WindowMatch,
        in_day: WindowMatch,
        latest: float,
        youngest: int,
        arrived_at: float = -math.inf,
    ) -> None:
        self.in_quarter = in_quarter
        self.in_day = in_day
        self.latest = latest
        self.youngest = youngest
        self.arrived_at = arrived_at
