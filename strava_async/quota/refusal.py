"""What a 429 means: a window that is over, a full meter, or nothing that the numbers explain (rule 7)."""

from __future__ import annotations

from strava_async.quota.budget import Budget
from strava_async.quota.entry import Completion, LedgerEntry, WindowMatch
from strava_async.quota.headers import Fields, parse_retry_after
from strava_async.quota.server_clock import ServerClock
from strava_async.quota.turn import CounterTurn
from strava_async.quota.window import MARGIN_SECONDS, Window


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
        self,
        entry: LedgerEntry,
        fields: Fields,
        completion: Completion,
        reported: bool,
        read_reported: bool,
        now: float,
    ) -> None:
        """Take in a 429, whose numbers the meters have taken in.

        Args:
            entry: the permit.
            fields: those of the answer.
            completion: where its request was counted.
            reported: whether the answer had a usable number of the overall budget.
            read_reported: the same of the read budget.
            now: monotonic.
        """
        # The numbers said it: the counter has not turned yet, and the ledger waits for it.
        if self._turn.failed_at is not None:
            return
        # The status says it, where no number does.
        if not reported and self.is_of_first_seconds(entry, completion):
            self._turn.saw_old(entry.given_at)
            return
        # Refused by a window that is over: nothing follows for this one.
        if completion.in_quarter in (WindowMatch.BEFORE, WindowMatch.BEFORE_OR_IN):
            return
        # By this window or by the next: the refusal is over when this one is.
        if completion.in_quarter is WindowMatch.IN_OR_AFTER:
            self._overall.cooldown_until = max(self._overall.cooldown_until, self._window.turns_at)
            return
        spends = (self._overall, self._read) if entry.reads else (self._overall,)
        # A full meter explains it, and so much for an earlier 429 that nothing explained.
        if any(budget.quarter.room(budget.out) <= 0 or budget.day.room(budget.out) <= 0 for budget in spends):
            for budget in spends:
                if entry.number > budget.cooldown_number:
                    budget.clear_cooldown()
            return
        # Nothing explains it. A read with the overall numbers alone was refused by the other budget.
        culprit = self._read if entry.reads and reported and not read_reported else self._overall
        # Calls that were in flight together are refused together: that is one refusal, and not many.
        if entry.number > culprit.cooldown_number:
            asked = parse_retry_after(fields.retry_after, self._clock.earliest(now))
            midnight = self._window.turns_at + self._window.day_ends - self._window.ends
            culprit.start_cooldown(now, asked, midnight - now, completion.youngest)

    def is_of_first_seconds(self, entry: LedgerEntry, completion: Completion) -> bool:
        """Return whether the status of an answer without numbers shows if the counter of a full window had turned."""
        return (
            completion.in_quarter is WindowMatch.IN
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
            budget.cooldown_until = max(budget.cooldown_until, at)
            budget.begun = 0
