"""One of Strava's two budgets, read or overall: its quarter-hour and its day meter, and the permits that spend it.

Rules:

- A limit is that of the answer to the youngest request, higher or lower. It is confirmed by a second answer with the
  same.
- A day that is full only if a number in doubt is right, or limits that no second answer confirmed, lets one call
  through in each quarter hour.
- After a 429 that no number explains the budget cools down: nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from strava_async.quota.entry import IN, Completion, LedgerEntry
from strava_async.quota.headers import parse_pair
from strava_async.quota.meter import MeterState
from strava_async.quota.turn import CounterTurn

if TYPE_CHECKING:
    from strava_async.quota.readings import Meter

_MISSING_UNTIL_DEFAULTS = 3  # answers without numbers until the documented limits are assumed
_COOLDOWN_SECONDS = 5.0
_MAX_COOLDOWN_SECONDS = 300.0


class Budget:
    """The two meters of one budget, the permits out, and the cooldown after a 429 that no number explains.

    Args:
        name: ``read`` or ``overall``.
        quarter_limit: the documented limit of a new application for a quarter hour.
        day_limit: that for a day.
        turn: what is known of the turn of the counters.
        meter: makes a meter from its name, its documented limit and ``turn``.

    Attributes:
        quarter: the quarter-hour meter.
        day: the day meter.
        out: permits that spend this budget and have not ended.
        out_since: the monotonic instant since which one or another has been out.
        begun: permits given since the quarter hour began, or since its last probe failed.
        ceiling: how many may be out at once, by all rules but the reserve; the ledger's conclusion.
        asks: whether the ceiling lets one call ask whether the window of a full meter is over.
        refusals: unexplained 429s in a row.
        cooldown_until: the monotonic instant until which nothing is sent because of them.
        cooldown_number: the youngest permit when the cooldown began; answers to older ones say nothing about it.
        limits_confirmed: whether a second answer has had the same limits.
    """

    __slots__ = (
        "_asked",
        "_limit_number",
        "_limit_text",
        "_missing",
        "asks",
        "begun",
        "ceiling",
        "cooldown_number",
        "cooldown_until",
        "day",
        "limits_confirmed",
        "out",
        "out_since",
        "quarter",
        "refusals",
    )

    def __init__(
        self,
        name: str,
        quarter_limit: int,
        day_limit: int,
        turn: CounterTurn,
        meter: Callable[[str, int, CounterTurn], MeterState] = MeterState,
    ) -> None:
        self.quarter = meter(f"{name}_15min", quarter_limit, turn)
        self.day = meter(f"{name}_day", day_limit, turn)
        self.out = 0
        self.out_since = -math.inf
        self.begun = 0
        self.ceiling = 1
        self.asks = False
        self.refusals = 0
        self.cooldown_until = -math.inf
        self.cooldown_number = -1
        self.limits_confirmed = False
        self._asked = False
        self._missing = 0
        self._limit_number = -1
        self._limit_text: str | None = None

    @property
    def limit_number(self) -> int:
        """The number of the youngest permit whose answer told the limits; -1 before."""
        return self._limit_number

    def set_limits(self, quarter_limit: int, day_limit: int, confirmed: bool) -> None:
        """Take over limits that somebody else was told."""
        if (quarter_limit, day_limit) != (self.quarter.limit, self.day.limit):
            self.quarter.limit, self.day.limit = quarter_limit, day_limit
            self._limit_text = None
        self.limits_confirmed = confirmed

    @property
    def known(self) -> bool:
        """Whether limit and usage of both meters are."""
        return self.quarter.known and self.day.known

    def begin(self, now: float) -> None:
        """Count a permit given."""
        if not self.out:
            self.out_since = now
        self.out += 1
        self.begun += 1
        self.quarter.own += 1
        self.day.own += 1

    def undo(self) -> None:
        """Take back a permit whose request was never sent."""
        self.out -= 1
        self.begun -= 1
        self.quarter.own -= 1
        self.day.own -= 1

    def end(self, completion: Completion) -> None:
        """End a permit without a number."""
        self.out -= 1
        self.quarter.end(completion.in_quarter, completion)
        self.day.end(completion.in_day, completion)

    def end_all(self, completion: Completion) -> None:
        """End each permit that is out without a number."""
        while self.out:
            self.end(completion)

    def settle(
        self, limit_text: str | None, usage_text: str | None, entry: LedgerEntry, spends: bool, completion: Completion
    ) -> bool:
        """Take in what an answer says of this budget, and end the permit if it spends it.

        Returns:
            whether the answer had a usable usage.
        """
        if limit_text is not None:
            self._adopt(limit_text, entry.number)
        usage = parse_pair(usage_text)
        # An answer counts its own request: a zero comes from somewhere else.
        if usage is None or (spends and 0 in usage):
            if spends:
                self.end(completion)
            return False
        self.out -= spends
        # Each number counts for a window only if its request was surely counted in that window.
        in_quarter, in_day = completion.in_quarter, completion.in_day
        if in_quarter is IN:
            in_quarter = self.quarter.confirm(usage[0], entry, completion.youngest)
        if in_day is IN:
            in_day = self.day.confirm(usage[1], entry, completion.youngest)
        # Where it does not, the request may still have been counted: it stays unconfirmed.
        if spends:
            if in_quarter is not IN:
                self.quarter.end(in_quarter, completion)
            if in_day is not IN:
                self.day.end(in_day, completion)
        return True

    def _adopt(self, limit_text: str, number: int) -> None:
        # Answers come out of order: a limit of an older request is an older one.
        if number < self._limit_number:
            return
        if limit_text != self._limit_text:
            limits = parse_pair(limit_text)
            if limits is None or 0 in limits:
                return
            self._limit_text = limit_text
            self.limits_confirmed = limits == (self.quarter.limit, self.day.limit)
            self.quarter.limit, self.day.limit = limits
        else:
            self.limits_confirmed = True
        self._limit_number = number

    def note_missing_numbers(self) -> None:
        """Note an answer without numbers; after a few, assume the documented limits, and count alone."""
        self._missing += 1
        if self._missing < _MISSING_UNTIL_DEFAULTS:
            return
        for meter in (self.quarter, self.day):
            if meter.limit is None:
                meter.limit = meter.default_limit
                self.limits_confirmed = True  # no answer has had any: there is nothing to doubt
            if meter.usage is None:
                meter.usage = 0

    def turn(self, boundary: float, day_boundary: float | None) -> None:
        """Begin a new quarter hour, and a new day where ``day_boundary`` is given."""
        # Read before the quarter hour turns: what others sent in it bounds what they can add in the first seconds.
        others = self.quarter.others
        self.begun = 0
        self.quarter.turn(self.out, boundary, others)
        if day_boundary is not None:
            self.day.turn(self.out, day_boundary, others)
        else:
            self.day.before = None
        # A new window ends a cooldown of our own making, but not a wait that Strava has asked for.
        if not self._asked:
            self.cooldown_until = -math.inf

    def forget(self) -> None:
        """Begin a quarter hour and a day of which nothing is known."""
        self.quarter.forget(self.out)
        self.day.forget(self.out)

    @property
    def was_full(self) -> bool:
        """Whether there was no room in a window that has just ended."""
        return any(meter.before is not None and meter.before.room <= 0 for meter in (self.quarter, self.day))

    def is_day_in_doubt(self) -> bool:
        """Return whether the day is full only if a number, or limits, are right that one answer alone has had."""
        day, out = self.day, self.out
        return (
            day.limit is not None
            and day.room(out) <= 0
            and (not self.limits_confirmed or day.confirmed(out) < day.limit)
        )

    def is_probed(self) -> bool:
        """Return whether one call may find out if the day is full: one in each quarter hour, while it is in doubt."""
        return self.quarter.own == self.out and self.is_day_in_doubt()

    def start_cooldown(self, now: float, asked: float | None, at_most: float, youngest: int) -> None:
        """Send nothing after a 429 that no number explains: for 5 s, 10 s, ... 300 s, or for longer if asked to.

        Args:
            now: monotonic.
            asked: the seconds that Strava asked for; None if it did not.
            at_most: how many of these are believed.
            youngest: the number of the youngest permit.
        """
        seconds = min(_MAX_COOLDOWN_SECONDS, _COOLDOWN_SECONDS * 2.0 ** min(self.refusals, 10))
        longer = 0.0 if asked is None else min(asked, at_most)
        self.refusals += 1
        self.cooldown_until = now + max(seconds, longer)
        self.cooldown_number = youngest
        self._asked = longer > seconds

    def clear_cooldown(self) -> None:
        """End the cooldown: Strava answers again."""
        self.refusals = 0
        self.cooldown_until = -math.inf
        self._asked = False

    def meters(self, ends: float, day_ends: float) -> tuple[Meter, Meter]:
        """Return what is known of the quarter hour and of the day, with their ends."""
        from strava_async.quota.readings import Meter  # not above: no request needs it

        def read(meter: MeterState, ends: float) -> Meter:
            held = meter.held_elsewhere
            usage = None if meter.usage is None else meter.spent(self.out) - held
            return Meter(meter.limit, usage, self.out + held, ends)

        return read(self.quarter, ends), read(self.day, day_ends)
