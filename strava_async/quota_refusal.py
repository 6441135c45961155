"""What a 429 says: a window that is over, a full meter, or nothing that the numbers explain (rule 7)."""

from __future__ import annotations

from strava_async.quota_budget import Budget
from strava_async.quota_clock import ServerClock
from strava_async.quota_entry import Ending, LedgerEntry, Placement
from strava_async.quota_fields import Fields, parse_retry_after
from strava_async.quota_turn import CounterTurn
from strava_async.quota_window import MARGIN_SECONDS, Window


class Refusals:
    """Decides what follows from a 429.

    Args:
        read: the read budget.
        overall: the overall budget.
        clock: Strava's clock.
        window: the window that the ledger is in.
        turn: when the counters turn.
    """

    __slots__ = ("_clock", "_overall", "_read", "_turn", "_window")

    def __init__(self, read: Budget, overall: Budget, clock: ServerClock, window: Window, turn: CounterTurn) -> None:
        self._read = read
        self._overall = overall
        self._clock = clock
        self._window = window
        self._turn = turn

    def judge(
        self, entry: LedgerEntry, fields: Fields, ending: Ending, told: bool, told_read: bool, now: float
    ) -> None:
        """Take in a 429, whose numbers the meters have taken in.

        Args:
            entry: the permit.
            fields: those of the answer.
            ending: where its request was counted.
            told: whether the answer had a usable number of the overall budget.
            told_read: the same of the read budget.
            now: monotonic.
        """
        # The numbers said it: the counter has not turned yet, and the ledger waits for it.
        if self._turn.failed_at is not None:
            return
        # The status says it, where no number does.
        if not told and self.is_of_first_seconds(entry, ending):
            self._turn.saw_old(entry.given_at)
            return
        # Refused by a window that is over: nothing follows for this one.
        if ending.in_quarter in (Placement.BEFORE, Placement.BEFORE_OR_IN):
            return
        # By this window or by the next: the refusal is over when this one is.
        if ending.in_quarter is Placement.IN_OR_AFTER:
            self._overall.hold_until = max(self._overall.hold_until, self._window.turns_at)
            return
        spends = (self._overall, self._read) if entry.reads else (self._overall,)
        # A full meter explains it, and so much for an earlier 429 that nothing explained.
        if any(budget.quarter.room(budget.out) <= 0 or budget.day.room(budget.out) <= 0 for budget in spends):
            for budget in spends:
                if entry.number > budget.hold_number:
                    budget.forgive()
            return
        # Nothing explains it. A read that tells the overall numbers alone was refused by the other budget.
        culprit = self._read if entry.reads and told and not told_read else self._overall
        # Calls that were under way together are refused together: that is one refusal, and not many.
        if entry.number > culprit.hold_number:
            asked = parse_retry_after(fields.retry_after, self._clock.earliest(now))
            midnight = self._window.turns_at + self._window.day_ends - self._window.ends
            culprit.strike(now, asked, midnight - now, ending.youngest)

    def is_of_first_seconds(self, entry: LedgerEntry, ending: Ending) -> bool:
        """Say whether an answer without numbers tells by its status if the counter of a full window had turned."""
        return (
            ending.in_quarter is Placement.IN
            and self._turn.is_open(entry.number, entry.given_at)
            and (self._overall.was_full or (entry.reads and self._read.was_full))
        )

    def wait_for_counter(self, given_at: float, now: float) -> None:
        """Send nothing for a while: the counter had not turned when a request of this window began."""
        turn, clock, begins = self._turn, self._clock, self._window.begins
        turn.learn(clock.earliest(given_at) + clock.late - begins)
        clock.set_lateness(turn.early, turn.late)
        self._window.set_turn(now)
        at = max(now, clock.surely_at(begins, now)) + MARGIN_SECONDS
        turn.probe_again(at)
        for budget in (self._overall, self._read):
            budget.hold_until = max(budget.hold_until, at)
            budget.begun = 0
