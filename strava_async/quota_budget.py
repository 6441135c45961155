"""One of Strava's two budgets, read or overall: its quarter-hour and its day meter, and what of it is ours.

Rules:

- ``usage`` is the largest number that Strava reported for the window; within a window it only rises.
- A request of ours is out (a permit not ended), or covered by ``usage``, or **loose**: it may have been counted, and no
  number says so yet. A number covers every loose request that had ended before the number's own request began.
- ``spent`` is an upper bound of what our requests and the known use of others have taken from a window, permits out
  excepted. It is the smaller of two such bounds: the last number plus everything it may not include, and everything
  that we sent in the window plus the most that others are proven to have sent.
- A window that turns starts at zero. What is out goes along; what is loose goes along if it can have been counted after
  the turn.
- A limit is that of the answer to the youngest request, higher or lower.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum
from typing import NamedTuple

from strava_async.quota_fields import parse_pair

_UNKNOWN_ROOM = 10  # permits out where nothing is known, once the first answer has been waited for
_BLIND_ANSWERS = 3  # answers without numbers until the documented limits are believed
_HOLD_SECONDS = 5.0
_MAX_HOLD_SECONDS = 300.0


class Reservation:
    """A permit as the books see it.

    Attributes:
        reads: whether it spends the read budget too.
        number: permits count up.
        given_at: monotonic.
        earliest: the earliest that Strava's clock can have shown then, as known then.
    """

    __slots__ = ("earliest", "given_at", "number", "reads")

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


class MeterState:
    """One meter: a budget in a window.

    Attributes:
        name: as on ``Quota``.
        default_limit: the documented limit of a new application, for where Strava does not tell.
        limit: None until known.
        usage: the largest number reported; None until known.
        own: requests of ours that may be counted in this window, permits out included.
        foreign: how many requests of others the numbers prove.
        foreign_before: how many of those there were when we looked for the first time.
        loose: the ends of the loose requests, oldest first.
    """

    __slots__ = ("default_limit", "foreign", "foreign_before", "limit", "loose", "name", "own", "usage")

    def __init__(self, name: str, default_limit: int) -> None:
        self.name = name
        self.default_limit = default_limit
        self.limit: int | None = None
        self.usage: int | None = None
        self.own = 0
        self.foreign = 0
        self.foreign_before = 0
        self.loose: deque[Ending] = deque()

    @property
    def known(self) -> bool:
        """Whether limit and usage are."""
        return self.limit is not None and self.usage is not None

    def spent(self, out: int) -> int:
        """Return the upper bound of what is spent, ``out`` permits excepted."""
        usage = self.usage or 0
        if not self.loose:
            return usage
        return max(usage, min(usage + len(self.loose), self.own - out + self.foreign))

    def room(self, out: int) -> int:
        """Return how many permits may be out; a few, while limit or usage is unknown."""
        if self.limit is None or self.usage is None:
            return _UNKNOWN_ROOM
        return self.limit - (self.spent(out) if self.loose else self.usage)

    def free(self, out: int) -> float:
        """Return how many more permits there will be in this window; inf while limit or usage is unknown.

        Each permit out counts once here, while ``room - out`` may count those twice whose answers are under way.
        """
        if self.limit is None or self.usage is None:
            return math.inf
        return self.limit - max(self.usage, min(self.usage + len(self.loose) + out, self.own + self.foreign))

    def windows_to_wait(self, out: int, ahead: int) -> int:
        """Return in how many windows' time one more request fits, after ``ahead`` others; 0 means in this one."""
        free = self.free(out)
        if self.limit is None or ahead < free:
            return 0
        # What was used beyond the limit is no debt: the next window is whole.
        return 1 + int((ahead - max(0, free)) // self.limit)

    def confirm(self, usage: int, permit: Reservation) -> None:
        """Take in a number that surely belongs to this window."""
        foreign = usage - self.own
        if self.usage is None:
            self.usage = usage
            self.foreign = self.foreign_before = max(foreign, 0)
        else:
            if usage > self.usage:
                self.usage = usage
            if foreign > self.foreign:
                self.foreign = foreign
        loose = self.loose
        while loose and loose[0].youngest < permit.number and loose[0].arrived_at <= permit.given_at:
            loose.popleft()

    def end(self, placement: Placement, ending: Ending) -> None:
        """Count a request that ended without a number for this window."""
        if placement is Placement.BEFORE:
            self.own -= 1
        else:
            self.loose.append(ending)

    def turn(self, out: int, boundary: float) -> None:
        """Begin the window that starts at ``boundary`` on Strava's clock."""
        if self.usage is not None:
            self.usage = 0
        self.loose = deque(ending for ending in self.loose if ending.latest > boundary)
        self.own = out + len(self.loose)
        self.foreign = self.foreign_before = 0

    def forget(self, out: int) -> None:
        """Begin a window of which nothing is known."""
        self.usage = None
        self.loose.clear()
        self.own = out
        self.foreign = self.foreign_before = 0


class Budget:
    """The two meters of one budget, the permits out, and the hold after a 429 that no number explains.

    Attributes:
        quarter: the quarter-hour meter.
        day: the day meter.
        out: permits that spend this budget and have not ended.
        out_since: the monotonic instant since which one or another has been out.
        ceiling: how many may be out at once, by all rules but the reserve; the ledger's conclusion.
        asks: whether the ceiling lets one call ask whether the window of a full meter is over.
        strikes: unexplained 429s in a row.
        hold_until: the monotonic instant until which nothing is sent because of them.
        hold_number: the youngest permit when the hold began; older ones tell nothing about it.
    """

    __slots__ = (
        "_asked",
        "_blind",
        "_limit_number",
        "_limit_text",
        "asks",
        "ceiling",
        "day",
        "hold_number",
        "hold_until",
        "out",
        "out_since",
        "quarter",
        "strikes",
    )

    def __init__(self, name: str, quarter_limit: int, day_limit: int) -> None:
        self.quarter = MeterState(f"{name}_15min", quarter_limit)
        self.day = MeterState(f"{name}_day", day_limit)
        self.out = 0
        self.out_since = -math.inf
        self.ceiling = 1
        self.asks = False
        self.strikes = 0
        self.hold_until = -math.inf
        self.hold_number = -1
        self._asked = False
        self._blind = 0
        self._limit_number = -1
        self._limit_text: str | None = None

    @property
    def known(self) -> bool:
        """Whether limit and usage of both meters are."""
        return self.quarter.known and self.day.known

    def begin(self, now: float) -> None:
        """Count a permit given."""
        if not self.out:
            self.out_since = now
        self.out += 1
        self.quarter.own += 1
        self.day.own += 1

    def undo(self) -> None:
        """Take back a permit whose request was never sent."""
        self.out -= 1
        self.quarter.own -= 1
        self.day.own -= 1

    def end(self, ending: Ending) -> None:
        """End a permit without a number."""
        self.out -= 1
        self.quarter.end(ending.in_quarter, ending)
        self.day.end(ending.in_day, ending)

    def end_all(self, ending: Ending) -> None:
        """End each permit that is out without a number."""
        while self.out:
            self.end(ending)

    def settle(
        self, limit_text: str | None, usage_text: str | None, permit: Reservation, spends: bool, ending: Ending
    ) -> bool:
        """Take in what an answer tells of this budget, and end the permit if it spends it.

        Returns:
            whether the answer told a usage.
        """
        if limit_text is not None:
            self._adopt(limit_text, permit.number)
        usage = parse_pair(usage_text)
        # An answer counts its own request: a zero comes from somewhere else.
        if usage is None or (spends and 0 in usage):
            if spends:
                self.end(ending)
            return False
        self.out -= spends
        if ending.in_quarter is Placement.IN:
            self.quarter.confirm(usage[0], permit)
        elif spends:
            self.quarter.end(ending.in_quarter, ending)
        if ending.in_day is Placement.IN:
            self.day.confirm(usage[1], permit)
        elif spends:
            self.day.end(ending.in_day, ending)
        return True

    def _adopt(self, limit_text: str, number: int) -> None:
        if number < self._limit_number:
            return
        if limit_text != self._limit_text:
            limits = parse_pair(limit_text)
            if limits is None or 0 in limits:
                return
            self._limit_text = limit_text
            self.quarter.limit, self.day.limit = limits
        self._limit_number = number

    def go_blind(self) -> None:
        """Note an answer without numbers; after a few, believe the documented limits and count alone."""
        self._blind += 1
        if self._blind < _BLIND_ANSWERS:
            return
        for meter in (self.quarter, self.day):
            if meter.limit is None:
                meter.limit = meter.default_limit
            if meter.usage is None:
                meter.usage = 0

    def turn(self, boundary: float, day_boundary: float | None) -> None:
        """Begin a new quarter hour, and a new day where ``day_boundary`` is given."""
        self.quarter.turn(self.out, boundary)
        if day_boundary is not None:
            self.day.turn(self.out, day_boundary)
        if not self._asked:
            self.hold_until = -math.inf

    def forget(self) -> None:
        """Begin a quarter hour and a day of which nothing is known."""
        self.quarter.forget(self.out)
        self.day.forget(self.out)

    def strike(self, now: float, asked: float | None, youngest: int) -> None:
        """Hold this budget after a 429 that no number explains.

        Args:
            now: monotonic.
            asked: the seconds that Strava asked for; None means 5 s, 10 s, ... 300 s.
            youngest: the number of the youngest permit.
        """
        seconds = min(_MAX_HOLD_SECONDS, _HOLD_SECONDS * 2.0 ** min(self.strikes, 10)) if asked is None else asked
        self.strikes += 1
        self.hold_until = now + seconds
        self.hold_number = youngest
        self._asked = asked is not None

    def forgive(self) -> None:
        """End the hold: Strava answers again."""
        self.strikes = 0
        self.hold_until = -math.inf
        self._asked = False
