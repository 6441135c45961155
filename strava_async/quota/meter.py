"""One of Strava's meters, a budget in a window: what is known of it, and what of it is ours.

Rules:

- ``usage`` is the largest number that Strava reported for the window; within a window it only rises, unless it is in
  doubt and a later answer refutes it (``quota_witness``).
- A request of ours is out (a permit not ended), or covered by ``usage``, or **loose**: it may have been counted, and no
  number says so yet. A number covers every loose request that had ended before the number's own request began.
- ``spent`` is an upper bound of what our requests and the known use of others have taken from a window, permits out
  excepted. It is the smaller of two such bounds: the last number plus everything it may not include, and everything
  that we sent in the window plus the most that others are proven to have sent.
- A window that turns starts at zero. What is out goes along; what is loose goes along if it can have been counted after
  the turn.
- A number of a window's first seconds that goes on from the count before, and that others can't explain, may be of the
  window before (``quota_turn``). If it shows a full meter, it is.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum
from typing import NamedTuple

from strava_async.quota.turn import CounterTurn
from strava_async.quota.witness import Doubt

_UNKNOWN_ROOM = 10  # permits out where nothing is known, once the first answer has been waited for


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


class Before(NamedTuple):
    """What is known of a meter's window before.

    Attributes:
        usage: the largest number reported.
        most: the most that can have been counted when it ended, as far as we know.
        room: how many more it had room for.
        others: how many requests of others the numbers proved in the quarter hour before, since we looked. They can't
            send more in the first seconds of a window.
    """

    usage: int
    most: int
    room: int
    others: int


class MeterState:
    """One meter: a budget in a window.

    Args:
        name: as on ``Quota``.
        default_limit: the documented limit of a new application, for where Strava does not tell.
        turn: what is known of the turn of the counters.

    Attributes:
        name: as on ``Quota``.
        default_limit: the documented limit of a new application, for where Strava does not tell.
        limit: None until known.
        usage: the largest number reported; None until known.
        own: requests of ours that may be counted in this window, permits out included.
        foreign: how many requests of others the numbers prove.
        foreign_before: how many of those there were when we looked for the first time.
        loose: the ends of the loose requests, oldest first.
        doubt: what would be believed without the largest number, where that is in doubt.
        before: the window before; None where nothing is known of it.
        watched: whether more than a larger number can come of an answer that our own count explains.
    """

    __slots__ = (
        "_turn",
        "before",
        "default_limit",
        "doubt",
        "foreign",
        "foreign_before",
        "limit",
        "loose",
        "name",
        "own",
        "usage",
        "watched",
    )

    def __init__(self, name: str, default_limit: int, turn: CounterTurn) -> None:
        self.name = name
        self.default_limit = default_limit
        self.limit: int | None = None
        self.usage: int | None = None
        self.own = 0
        self.foreign = 0
        self.foreign_before = 0
        self.loose: deque[Ending] = deque()
        self.doubt: Doubt | None = None
        self.before: Before | None = None
        self.watched = True
        self._turn = turn

    @property
    def known(self) -> bool:
        """Whether limit and usage are."""
        return self.limit is not None and self.usage is not None

    @property
    def others(self) -> int:
        """How many requests of others the numbers prove since we looked for the first time, that in doubt excepted."""
        foreign = self.foreign if self.doubt is None else self.doubt.foreign
        return max(0, foreign - self.foreign_before)

    def spent(self, out: int) -> int:
        """Return the upper bound of what is spent, ``out`` permits excepted."""
        return self._spent(self.usage or 0, self.foreign, out)

    def _spent(self, usage: int, foreign: int, out: int) -> int:
        if not self.loose:
            return usage
        return max(usage, min(usage + len(self.loose), self.own - out + foreign))

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

    def confirmed(self, out: int) -> int:
        """Return what ``spent`` would be without the number that is in doubt."""
        doubt = self.doubt
        return self.spent(out) if doubt is None else self._spent(doubt.usage, doubt.foreign, out)

    def restore(self, limit: int | None, usage: int | None, confirmed: int | None) -> None:
        """Take up what is known of the window from somewhere else; nothing of it is ours."""
        self.limit = limit
        self.usage = usage
        self.foreign = self.foreign_before = usage or 0
        if usage is not None and confirmed is not None and confirmed < usage:
            self.doubt = Doubt(confirmed, confirmed, -1)

    def confirm(self, usage: int, permit: Reservation, youngest: int) -> Placement:
        """Take in a number that belongs to this window by Strava's clock.

        Returns:
            where its request was counted: ``IN``, and the number is believed; or not so surely, and it is not.
        """
        if self.watched or usage - self.own > self.foreign:
            placement = self._place(usage, permit, youngest)
            if placement is not IN:
                return placement
            self._weigh(usage, permit, youngest)
        elif self.usage is None or usage > self.usage:
            self.usage = usage
        loose = self.loose
        while loose and loose[0].youngest < permit.number and loose[0].arrived_at <= permit.given_at:
            loose.popleft()
        return IN

    def _place(self, usage: int, permit: Reservation, youngest: int) -> Placement:
        """Find out if the counter had turned when it counted a request."""
        before, turn = self.before, self._turn
        if before is None or not turn.is_open(permit.number, permit.given_at):
            return Placement.IN
        if usage <= before.usage:
            turn.saw_new(youngest)
            return Placement.IN
        if usage - self.own <= before.others or usage - self.own > before.most + before.others:
            return Placement.IN
        if self.limit is None or usage < self.limit:
            return Placement.BEFORE_OR_IN
        turn.saw_old(permit.given_at)
        self.before = before._replace(usage=usage, most=max(before.most, usage))
        if not turn.restarted:
            # What was believed to be of this window was of the one before too.
            self.usage, self.foreign, self.doubt = 0, 0, None
        return Placement.BEFORE

    def _weigh(self, usage: int, permit: Reservation, youngest: int) -> None:
        """Compare a number with the largest so far; see ``quota_witness``."""
        doubt, known = self.doubt, self.usage or 0
        if doubt is not None:
            if usage >= known:
                self.doubt = None
            elif permit.number > doubt.youngest:
                known, self.foreign, self.doubt = doubt.usage, doubt.foreign, None
                self.foreign_before = min(self.foreign_before, doubt.foreign)
            elif usage > doubt.usage:
                self.doubt = Doubt(usage, max(doubt.foreign, usage - self.own), doubt.youngest)
        foreign = usage - self.own
        if usage > known and foreign > self.foreign:
            self.doubt = Doubt(known, self.foreign, youngest)
        if foreign > self.foreign:
            self.foreign = foreign
            if self.usage is None:
                self.foreign_before = foreign
        self.usage = max(known, usage)
        self.watched = self.doubt is not None or (
            self.before is not None and self._turn.is_open(youngest, permit.given_at)
        )

    def end(self, placement: Placement, ending: Ending) -> None:
        """Count a request that ended without a number for this window."""
        if placement is Placement.BEFORE:
            self.own -= 1
        else:
            self.loose.append(ending)

    def turn(self, out: int, boundary: float, others: int) -> None:
        """Begin the window that starts at ``boundary`` on Strava's clock; others sent so many in the last quarter."""
        self.before = None
        if self.usage is not None:
            if self.usage and self.limit is not None:
                spent = self.spent(out)
                self.before = Before(self.usage, spent + out, self.limit - spent - out, others)
            self.usage = 0
            self.watched = self.before is not None
        self.doubt = None
        self.loose = deque(ending for ending in self.loose if ending.latest > boundary)
        self.own = out + len(self.loose)
        self.foreign = self.foreign_before = 0

    def forget(self, out: int) -> None:
        """Begin a window of which nothing is known."""
        self.usage = self.doubt = self.before = None
        self.watched = True
        self.loose.clear()
        self.own = out
        self.foreign = self.foreign_before = 0
