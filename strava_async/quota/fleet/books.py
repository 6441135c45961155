"""Meters and ceilings of a process that shares its quota: what others do is told, and not concluded. Pure."""

from __future__ import annotations

import math
from collections import deque

from strava_async.quota.budget import Budget
from strava_async.quota.ceiling import Ceilings
from strava_async.quota.entry import Completion, LedgerEntry, WindowMatch
from strava_async.quota.fleet.lease import HEARD_SECONDS, Lease
from strava_async.quota.fleet.messages import NONE, OVERALL, READ
from strava_async.quota.meter import Before, MeterState
from strava_async.quota.server_clock import ServerClock
from strava_async.quota.turn import CounterTurn
from strava_async.quota.window import Window


class FleetMeter(MeterState):
    """A meter whose numbers include the requests of other processes.

    Attributes:
        spoken_for: what the last reply told of usage, of what others hold, and of their unconfirmed requests, in all.
        is_closed: whether it told as well that nothing of that comes back before the turn.
        told: the highest number of an answer to a request of ours since it was last told; ``NONE`` for none.
        latest: of these the number of the youngest request.
        latest_number: its permit's number; it stays when the number is told.
        refused: the highest of these that came with a 429 and was no lower than the limit.
    """

    __slots__ = ("is_closed", "latest", "latest_number", "refused", "spoken_for", "told")

    def __init__(self, name: str, default_limit: int, turn: CounterTurn) -> None:
        super().__init__(name, default_limit, turn)
        self.spoken_for = 0
        self.is_closed = False
        self.told = self.latest = self.refused = NONE
        self.latest_number = NONE

    @property
    def held_elsewhere(self) -> int:
        """How much of what is spent is only held by other processes, or unconfirmed there."""
        return max(0, self.spoken_for - (self.usage or 0))

    def spent(self, out: int) -> int:
        """Return what is spent, or held by others."""
        return max(self.usage or 0, self.spoken_for) + len(self.unconfirmed)

    def room(self, out: int) -> int:
        """Return how many permits may be out; a few, while limit or usage is unknown."""
        return super().room(out) if self.limit is None or self.usage is None else self.limit - self.spent(out)

    def free(self, out: int) -> float:
        """Return how many more permits there may be in this window; inf while limit or usage is unknown.

        What others hold comes back where they do not use it.
        """
        if self.limit is None or self.usage is None:
            return math.inf
        return self.limit - (self.spent(out) + out if self.is_closed else max(self.usage, self.own))

    def confirm(self, usage: int, entry: LedgerEntry, youngest: int) -> WindowMatch:
        """Take in a number that belongs to this window by Strava's clock; return where its request was counted."""
        if self.before is not None and self._turn.is_open(entry.number, entry.given_at):
            match = self._match_count(self.before, usage, entry, youngest)
            if match is not WindowMatch.IN:
                return match
        if usage > self.told:
            self.told = usage
        if entry.number > self.latest_number:
            self.latest, self.latest_number = usage, entry.number
        if self.usage is None or usage > self.usage:
            self.usage = usage
        waiting = self.unconfirmed
        while waiting and waiting[0].youngest < entry.number and waiting[0].arrived_at <= entry.given_at:
            waiting.popleft()
        return WindowMatch.IN

    def _match_count(self, before: Before, usage: int, entry: LedgerEntry, youngest: int) -> WindowMatch:
        """Find out if the counter had turned when it counted a request; no reply says so yet."""
        # Lower than before: the counter has started again.
        if usage <= before.usage:
            self._turn.saw_new(youngest)
            return WindowMatch.IN
        # No more than all of us are known to have sent since.
        if usage <= self.own + self.spoken_for:
            return WindowMatch.IN
        # It goes on from the count before, or others have been very fast. It is proof only where the window before was
        # full: then the others wait for a number that shows that the counter has turned.
        limit = self.limit
        if limit is None or usage < limit or (before.room > 0 and before.usage < limit):
            return WindowMatch.BEFORE_OR_IN
        self._turn.saw_old(entry.given_at)
        return WindowMatch.BEFORE

    def turn(self, out: int, boundary: float, others: int) -> None:
        """Begin the window that starts at ``boundary`` on Strava's clock."""
        super().turn(out, boundary, others)
        self._forget_told()

    def forget(self, out: int) -> None:
        """Begin a window of which nothing is known."""
        super().forget(out)
        self._forget_told()

    def _forget_told(self) -> None:
        self.spoken_for = 0
        self.is_closed = False
        self.told = self.latest = self.refused = NONE

    def note_refusal(self, entry: LedgerEntry) -> None:
        """Take in that an answer whose number was taken in is a 429."""
        if self.latest_number == entry.number and self.limit is not None and self.latest >= self.limit:
            self.refused = max(self.refused, self.latest)

    def settle_unconfirmed(self, until: dict[Completion, int], number_at: int) -> None:
        """Drop what a number of another process includes."""
        if self.unconfirmed:
            self.unconfirmed = deque(
                completion for completion in self.unconfirmed if until.get(completion, number_at + 1) > number_at
            )


class FleetCeilings(Ceilings):
    """How many permits may be out: those that are, and the units in hand.

    Args:
        lease: the units in hand.
        away: ``share`` or ``wait``.
        read: the read budget.
        overall: the overall budget.
        clock: Strava's clock.
        window: the window that the ledger is in.
        turn: when the counters turn.
        now: monotonic.
    """

    __slots__ = ("_away", "_lease", "_shared")

    def __init__(
        self,
        lease: Lease,
        away: str,
        read: Budget,
        overall: Budget,
        clock: ServerClock,
        window: Window,
        turn: CounterTurn,
        now: float,
    ) -> None:
        super().__init__(read, overall, clock, window, turn, now)
        self._lease = lease
        self._away = away
        self._shared = ((overall, OVERALL), (read, READ))

    def note_sleep(self, seconds: float, now: float) -> None:
        """Note so many seconds that the monotonic clock has missed."""
        self._lease.note_sleep(seconds)
        super().note_sleep(seconds, now)

    def recompute(self, now: float) -> None:
        """Recompute both ceilings; after every change."""
        lease = self._lease
        if now >= lease.away_at:
            self._recompute_away(now)
            return
        free = lease.free
        if now >= lease.until:
            lease.drop()
        self.watched = False
        # What is in hand is void then, and where calls fail, the meeting place is away.
        self.changes_at = min(lease.until, lease.away_at) if free[OVERALL] else lease.away_at
        for budget, index in self._shared:
            budget.asks = False
            budget.ceiling = budget.out + free[index]
            if now < budget.cooldown_until:
                budget.ceiling = min(budget.ceiling, 0)
                self.changes_at = min(self.changes_at, budget.cooldown_until)

    def _recompute_away(self, now: float) -> None:
        self._lease.drop()
        super().recompute(now)
        if self._away == "wait":
            for budget, _ in self._shared:
                budget.ceiling = 0
            return
        processes = self._lease.processes
        heard = now - self.answered_at <= HEARD_SECONDS
        if heard:
            self.changes_at = min(self.changes_at, self.answered_at + HEARD_SECONDS)
        for budget, _ in self._shared:
            if not budget.known:
                budget.ceiling = min(budget.ceiling, 1)
                continue
            room = min(budget.quarter.room(budget.out), budget.day.room(budget.out))
            share = max(1, room // (2 * processes)) if room > processes else 0
            budget.ceiling = min(budget.ceiling, share if heard else min(share, 1))


def is_full(budget: Budget) -> bool:
    """Say whether Strava's own numbers leave nothing of a budget."""
    return _is_spent(budget.quarter) or _is_spent(budget.day)


def _is_spent(meter: MeterState) -> bool:
    limit, usage = meter.limit, meter.usage
    return limit is not None and usage is not None and usage >= limit
