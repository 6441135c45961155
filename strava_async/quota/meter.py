"""One of Strava's meters, a budget in a window: what is known of it, and what of it this process has spent.

Rules:

- ``usage`` is the largest number that Strava reported for the window; within a window it only rises, unless it is in
  doubt and a later answer refutes it (``witness``).
- A request of this process is out (its permit has not ended), or covered by ``usage``, or **unconfirmed**: it may have
  been counted, and no number says so yet. A number covers every unconfirmed request that had ended before its
  own request began.
- ``spent`` is an upper bound of what own requests and the known use of others have taken from a window, permits out
  excepted. It is the smaller of two such bounds: the last number plus everything it may not include, and everything
  that was sent here in the window plus the most that others are proven to have sent.
- A window that turns starts at zero. What is out goes along; what is unconfirmed goes along if it can have been counted
  after the turn.
- A number of a window's first seconds that goes on from the count before, and that others cannot explain, may be of the
  window before (``turn``). If it shows a full meter, it is.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from strava_async.quota.entry import IN, Completion, LedgerEntry, WindowMatch
from strava_async.quota.turn import CounterTurn
from strava_async.quota.witness import Doubt

_UNKNOWN_ROOM = 10  # permits out where nothing is known, once the first answer has been waited for


class Before(NamedTuple):
    """What is known of a meter's window before.

    Attributes:
        usage: the largest number reported.
        most: the most that can have been counted when it ended, as far as is known.
        room: how many more it had room for.
        others: how many requests of others the numbers proved in the quarter hour before, since the first number. They
            cannot send more in the first seconds of a window.
    """

    usage: int
    most: int
    room: int
    others: int


class MeterState:
    """One meter: a budget in a window.

    Args:
        name: as on ``Quota``.
        default_limit: the documented limit of a new application, assumed where Strava reports none.
        turn: what is known of the turn of the counters.

    Attributes:
        name: as on ``Quota``.
        default_limit: the documented limit of a new application, assumed where Strava reports none.
        limit: None until known.
        usage: the largest number reported; None until known.
        own: requests of this process that may be counted in this window, permits out included.
        external_usage: how many requests of others the numbers prove.
        external_before: how many of those there were at the first number.
        unconfirmed: how the unconfirmed requests ended, oldest first.
        doubt: what would be believed without the largest number, where that is in doubt.
        before: the window before; None where nothing is known of it.
        watched: whether more than a larger number can come of an answer that our own count explains.
    """

    __slots__ = (
        "_turn",
        "before",
        "default_limit",
        "doubt",
        "external_before",
        "external_usage",
        "limit",
        "name",
        "own",
        "unconfirmed",
        "usage",
        "watched",
    )

    def __init__(self, name: str, default_limit: int, turn: CounterTurn) -> None:
        self.name = name
        self.default_limit = default_limit
        self.limit: int | None = None
        self.usage: int | None = None
        self.own = 0
        self.external_usage = 0
        self.external_before = 0
        self.unconfirmed: deque[Completion] = deque()
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
        """How many requests of others the numbers prove since the first one, that in doubt excepted."""
        external_usage = self.external_usage if self.doubt is None else self.doubt.external_usage
        return max(0, external_usage - self.external_before)

    @property
    def held_elsewhere(self) -> int:
        """How much of what is spent is only held by other processes."""
        return 0

    def spent(self, out: int) -> int:
        """Return the upper bound of what is spent, ``out`` permits excepted."""
        return self._spent(self.usage or 0, self.external_usage, out)

    def _spent(self, usage: int, external_usage: int, out: int) -> int:
        if not self.unconfirmed:
            return usage
        return max(usage, min(usage + len(self.unconfirmed), self.own - out + external_usage))

    def room(self, out: int) -> int:
        """Return how many permits may be out; a few, while limit or usage is unknown."""
        if self.limit is None or self.usage is None:
            return _UNKNOWN_ROOM
        return self.limit - (self.spent(out) if self.unconfirmed else self.usage)

    def free(self, out: int) -> float:
        """Return how many more permits there will be in this window; inf while limit or usage is unknown.

        Each permit out counts once here, while ``room - out`` may count those twice whose requests are in flight.
        """
        if self.limit is None or self.usage is None:
            return math.inf
        return self.limit - max(
            self.usage, min(self.usage + len(self.unconfirmed) + out, self.own + self.external_usage)
        )

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
        return self.spent(out) if doubt is None else self._spent(doubt.usage, doubt.external_usage, out)

    def restore(self, limit: int | None, usage: int | None, confirmed: int | None) -> None:
        """Take over what is known of the window from a snapshot; nothing of it is this process's."""
        self.limit = limit
        self.usage = usage
        self.external_usage = self.external_before = usage or 0
        if usage is not None and confirmed is not None and confirmed < usage:
            self.doubt = Doubt(confirmed, confirmed, -1)

    def confirm(self, usage: int, entry: LedgerEntry, youngest: int) -> WindowMatch:
        """Take in a number that belongs to this window by Strava's clock.

        Returns:
            where its request was counted: ``IN``, and the number is believed; or not so surely, and it is not.
        """
        # The common case is a number that our own count explains: only that it rises is noted.
        if self.watched or usage - self.own > self.external_usage:
            match = self._match_counter(usage, entry, youngest)
            if match is not IN:
                return match
            self._weigh(usage, entry, youngest)
        elif self.usage is None or usage > self.usage:
            self.usage = usage
        # It covers what had ended, and surely arrived, before its own request began.
        waiting = self.unconfirmed
        while waiting and waiting[0].youngest < entry.number and waiting[0].arrived_at <= entry.given_at:
            waiting.popleft()
        return IN

    def _match_counter(self, usage: int, entry: LedgerEntry, youngest: int) -> WindowMatch:
        """Find out if the counter had turned when it counted a request."""
        before, turn = self.before, self._turn
        if before is None or not turn.is_open(entry.number, entry.given_at):
            return WindowMatch.IN
        # Lower than before: the counter has started again.
        if usage <= before.usage:
            turn.saw_new(youngest)
            return WindowMatch.IN
        # Few enough for others to have sent since the turn, or too many to go on from the count before.
        if usage - self.own <= before.others or usage - self.own > before.most + before.others:
            return WindowMatch.IN
        # It goes on from the count before. That is proof only where it is full.
        if self.limit is None or usage < self.limit:
            return WindowMatch.BEFORE_OR_IN
        turn.saw_old(entry.given_at)
        self.before = before._replace(usage=usage, most=max(before.most, usage))
        if not turn.restarted:
            # What was believed to be of this window was of the one before too.
            self.usage, self.external_usage, self.doubt = 0, 0, None
        return WindowMatch.BEFORE

    def _weigh(self, usage: int, entry: LedgerEntry, youngest: int) -> None:
        """Compare a number with the largest so far; see ``witness``."""
        doubt, known = self.doubt, self.usage or 0
        if doubt is not None:
            # A second answer reaches as high: the number in doubt is right.
            if usage >= known:
                self.doubt = None
            # A lower one of a request that began later refutes it: counters only rise.
            elif entry.number > doubt.youngest:
                known, self.external_usage, self.doubt = doubt.usage, doubt.external_usage, None
                self.external_before = min(self.external_before, doubt.external_usage)
            # Neither: but what would be believed without it has risen.
            elif usage > doubt.usage:
                self.doubt = Doubt(usage, max(doubt.external_usage, usage - self.own), doubt.youngest)
        # More than our own count explains: others sent the rest, if a second answer says so too.
        external_usage = usage - self.own
        if usage > known and external_usage > self.external_usage:
            self.doubt = Doubt(known, self.external_usage, youngest)
        if external_usage > self.external_usage:
            self.external_usage = external_usage
            if self.usage is None:
                self.external_before = external_usage
        self.usage = max(known, usage)
        self.watched = self.doubt is not None or (
            self.before is not None and self._turn.is_open(youngest, entry.given_at)
        )

    def end(self, match: WindowMatch, completion: Completion) -> None:
        """Count a request that ended without a number for this window."""
        if match is WindowMatch.BEFORE:
            self.own -= 1
        else:
            self.unconfirmed.append(completion)

    def turn(self, out: int, boundary: float, others: int) -> None:
        """Begin the window that starts at ``boundary`` on Strava's clock; others sent so many in the last quarter."""
        self.before = None
        if self.usage is not None:
            # What the counter may still show in the first seconds, if it turns late.
            if self.usage and self.limit is not None:
                spent = self.spent(out)
                self.before = Before(self.usage, spent + out, self.limit - spent - out, others)
            self.usage = 0
            self.watched = self.before is not None
        # What may have been counted after the boundary goes along.
        self.doubt = None
        self.unconfirmed = deque(completion for completion in self.unconfirmed if completion.latest > boundary)
        self.own = out + len(self.unconfirmed)
        self.external_usage = self.external_before = 0

    def forget(self, out: int) -> None:
        """Begin a window of which nothing is known."""
        self.usage = self.doubt = self.before = None
        self.watched = True
        self.unconfirmed.clear()
        self.own = out
        self.external_usage = self.external_before = 0
