"""What the answers to a process say that shares its quota, apart from the meters: whose request said it. Pure."""

from __future__ import annotations

from strava_async.quota.budget import Budget
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.fleet.books import FleetMeter
from strava_async.quota.fleet.messages import NONE, OVERALL, READ, Pair
from strava_async.quota.meter import MeterState


class AnswerNotes:
    """Remembers by the grants of the requests what their answers brought; see ``Report``.

    Args:
        read: the read budget.
        overall: the overall budget.

    Attributes:
        limits_at: the grant of the youngest request whose answer told the limits.
        refused_seconds: how long nothing is to be sent after the last 429 that nothing explains.
        late_at: the grant of a request of this window that found the count of the window before.
        late_seconds: how long nothing is to be sent because of that.
    """

    def __init__(self, read: Budget, overall: Budget) -> None:
        self._budgets = ((read, READ), (overall, OVERALL))
        self._number_at = [NONE, NONE]
        self._refused_at = [NONE, NONE]
        self._served_at = [NONE, NONE]
        self.limits_at = NONE
        self.refused_seconds = 0.0
        self.late_at = NONE
        self.late_seconds = 0.0

    def note(self, entry: LedgerEntry, at: int, status_code: int, now: float) -> bool:
        """Note an answer that the meters have taken in.

        Args:
            entry: its permit.
            at: the grant of that.
            status_code: of the answer.
            now: monotonic.

        Returns:
            whether nothing is to be sent for a while.
        """
        for budget, index in self._budgets:
            if _latest_number(budget.quarter) == entry.number:
                self._number_at[index] = max(self._number_at[index], at)
        if self._budgets[OVERALL][0].limit_number == entry.number:
            self.limits_at = max(self.limits_at, at)
        if status_code == 429:
            return self._note_refusal(at, now)
        self._served_at[OVERALL] = max(self._served_at[OVERALL], at)
        if entry.reads:
            self._served_at[READ] = max(self._served_at[READ], at)
        return False

    def _note_refusal(self, at: int, now: float) -> bool:
        """Note a 429 that nothing explains, or that shows a counter that turns late."""
        stops = False
        for budget, index in self._budgets:
            seconds = budget.cooldown_until - now
            if seconds <= 0:
                continue
            stops = True
            if budget.refusals:
                self._refused_at[index], self.refused_seconds = max(self._refused_at[index], at), seconds
            else:
                self.late_at, self.late_seconds = max(self.late_at, at), seconds
        return stops

    def turn(self) -> None:
        """Forget what was of a window."""
        self._number_at = [NONE, NONE]
        self.late_at, self.late_seconds = NONE, 0.0

    def numbers(self) -> Pair:
        """Return, by budget, the grant of the youngest request of this window that brought a number."""
        return self._number_at[READ], self._number_at[OVERALL]

    def refused(self) -> Pair:
        """Return, by budget, the grant of the youngest request with a 429 that nothing explains."""
        return self._refused_at[READ], self._refused_at[OVERALL]

    def served(self) -> Pair:
        """Return, by budget, the grant of the youngest request with another answer."""
        return self._served_at[READ], self._served_at[OVERALL]


def _latest_number(meter: MeterState) -> int:
    return meter.latest_number if isinstance(meter, FleetMeter) else NONE
