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

from collections import deque
from enum import Enum
from typing import NamedTuple

from strava_async.quota_fields import parse_pair

_BLIND_ANSWERS = 3  # answers without numbers until the documented limits are believed


class Placement(Enum):
    """In which window of a meter a request was counted, seen from the window that the meter is in."""

    CURRENT = "current"
    PAST = "past"
    UNSURE = "unsure"


class Loose(NamedTuple):
    """A request that may have been counted.

    Attributes:
        number: the number of the youngest permit when it ended.
        settled_at: the monotonic instant from which on it surely has been counted, if ever.
        latest: the latest instant on Strava's clock at which it can have been counted.
    """

    number: int
    settled_at: float
    latest: float


class MeterState:
    """One meter: a budget in a window.

    Attributes:
        name: as on ``Quota``.
        default_limit: the documented limit of a new application, for where Strava does not tell.
        limit: None until known.
        usage: the largest number reported; None until known.
        own: requests of ours that may be counted in this window, permits out included.
        foreign: how many requests of others the numbers prove.
        foreign_before: as many of those were there before we looked for the first time.
        loose: see the module.
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
        self.loose: deque[Loose] = deque()

    def spent(self, out: int) -> int:
        """Return the upper bound of what is spent, ``out`` permits excepted."""
        usage = self.usage or 0
        if not self.loose:
            return usage
        return max(usage, min(usage + len(self.loose), self.own - out + self.foreign))

    def committed(self, out: int) -> int:
        """Return the same with the permits out, each counted once; ``spent + out`` may count some twice."""
        usage = self.usage or 0
        return max(usage, min(usage + len(self.loose) + out, self.own + self.foreign))

    def confirm(self, usage: int, number: int, began_at: float) -> None:
        """Take in a number that surely belongs to this window.

        Args:
            usage: the number.
            number: that of the permit whose answer told it.
            began_at: when that permit was given.
        """
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
        while loose and loose[0].number < number and loose[0].settled_at <= began_at:
            loose.popleft()

    def turn(self, out: int, boundary: float) -> None:
        """Begin the window that starts at ``boundary`` on Strava's clock."""
        if self.usage is not None:
            self.usage = 0
        if self.loose:
            self.loose = deque(loose for loose in self.loose if loose.latest > boundary)
        self.own = out + len(self.loose)
        self.foreign = self.foreign_before = 0

    def forget(self, out: int) -> None:
        """Begin a window of which nothing is known."""
        self.usage = None
        self.loose.clear()
        self.own = out
        self.foreign = self.foreign_before = 0


class Budget:
    """The two meters of one budget, and the permits out.

    Attributes:
        quarter: the quarter-hour meter.
        day: the day meter.
        out: permits that spend this budget and have not ended.
        ceiling: how many may be out at once, by all rules but the reserve; kept by the ledger.
        strikes: 429s in a row that no number explains.
        hold_until: the monotonic instant until which nothing is sent because of them.
        hold_number: the youngest permit when the hold began.
        hold_asked: whether Strava named the length of the hold.
    """

    __slots__ = (
        "_blind",
        "_limit_number",
        "_limit_text",
        "ceiling",
        "day",
        "hold_asked",
        "hold_number",
        "hold_until",
        "out",
        "quarter",
        "strikes",
    )

    def __init__(self, name: str, quarter_limit: int, day_limit: int) -> None:
        self.quarter = MeterState(f"{name}_15min", quarter_limit)
        self.day = MeterState(f"{name}_day", day_limit)
        self.out = 0
        self.ceiling = 1
        self.strikes = 0
        self.hold_until = float("-inf")
        self.hold_number = -1
        self.hold_asked = False
        self._blind = 0
        self._limit_number = -1
        self._limit_text: str | None = None

    @property
    def known(self) -> bool:
        """Whether both limits and both usages are known."""
        quarter, day = self.quarter, self.day
        return not (quarter.usage is None or day.usage is None or quarter.limit is None or day.limit is None)

    def room(self) -> int:
        """Return how many permits may be out by the numbers; the budget must be known."""
        quarter, day, out = self.quarter, self.day, self.out
        return min((quarter.limit or 0) - quarter.spent(out), (day.limit or 0) - day.spent(out))

    def begin(self) -> None:
        """Count a permit given."""
        self.out += 1
        self.quarter.own += 1
        self.day.own += 1

    def undo(self) -> None:
        """Take back a permit whose request was never sent."""
        self.out -= 1
        self.quarter.own -= 1
        self.day.own -= 1

    def adopt(self, limit_text: str | None, number: int) -> None:
        """Take in the limits that the answer to permit ``number`` told."""
        if limit_text is None or number < self._limit_number:
            return
        if limit_text != self._limit_text:
            limits = parse_pair(limit_text)
            if limits is None or 0 in limits:
                return
            self._limit_text = limit_text
            self.quarter.limit, self.day.limit = limits
        self._limit_number = number

    def end(self, loose: Loose, in_quarter: Placement, in_day: Placement) -> None:
        """Count a request that ended without a number for this budget (``out`` is reduced already)."""
        for meter, placement in ((self.quarter, in_quarter), (self.day, in_day)):
            if placement is Placement.PAST:
                meter.own -= 1
            else:
                meter.loose.append(loose)

    def end_with(
        self,
        usage: tuple[int, int],
        number: int,
        began_at: float,
        loose: Loose,
        in_quarter: Placement,
        in_day: Placement,
    ) -> None:
        """Count a request of this budget that ended with a number, in the windows that it belongs to."""
        for meter, told, placement in ((self.quarter, usage[0], in_quarter), (self.day, usage[1], in_day)):
            if placement is Placement.CURRENT:
                meter.confirm(told, number, began_at)
            elif placement is Placement.PAST:
                meter.own -= 1
            else:
                meter.loose.append(loose)

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

    def strike(self, now: float, seconds: float | None, number: int) -> None:
        """Hold this budget after a 429 that no number explains.

        Args:
            now: monotonic.
            seconds: what Strava asked for; None means 5 s, 10 s, ... 300 s.
            number: the youngest permit.
        """
        self.strikes += 1
        self.hold_asked = seconds is not None
        self.hold_until = now + (min(300.0, 5.0 * 2.0 ** min(self.strikes - 1, 10)) if seconds is None else seconds)
        self.hold_number = number

    def forgive(self) -> None:
        """End the hold: Strava answers again."""
        self.strikes = 0
        self.hold_until = float("-inf")
        self.hold_asked = False
