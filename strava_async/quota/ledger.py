"""The ledger: what may start now, and what an answer changes. The rules, by their numbers, are in ``values``.

Every ``now`` is a reading of the monotonic clock, never smaller than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from strava_async.quota.budget import Budget
from strava_async.quota.ceiling import Ceilings
from strava_async.quota.entry import IN, Completion, LedgerEntry, WindowMatch
from strava_async.quota.headers import parse_date, pick_fields
from strava_async.quota.meter import MeterState
from strava_async.quota.refusal import Refusals
from strava_async.quota.reserve import Reserve
from strava_async.quota.server_clock import NOTHING, ClockChange, ServerClock
from strava_async.quota.turn import CounterTurn
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY, Blocked, Priority, QuotaClass
from strava_async.quota.wait import Waits
from strava_async.quota.window import DAY_SECONDS, Window

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota

_GRACE_SECONDS = 5.0  # how long after its abandonment a request may still arrive

# An enum's members are looked up slowly, and these are for each entry.
_READ, _INTERACTIVE, _BACKGROUND = QuotaClass.READ, Priority.INTERACTIVE, Priority.BACKGROUND


class Ledger:
    """The quota of one application: what Strava has reported of it, and the permits that spend it.

    Attributes:
        read: the read budget.
        overall: the overall budget.
        clock: Strava's clock.
        turn: when its counters turn.
        window: the quarter hour that the ledger is in.
        reserve: what background work leaves to the others.
        answers: how many have been taken in.

    Args:
        now: monotonic.
        wall: what the machine believes Unix time to be; serves until the first ``Date``.
        random: numbers in [0, 1), for the jitter.
        reserve: the share of a quarter hour that background work leaves to the others.
    """

    _meter: Callable[[str, int, CounterTurn], MeterState] = MeterState

    def __init__(self, now: float, wall: float, *, random: Callable[[], float], reserve: float) -> None:
        self.turn = CounterTurn()
        self.read = Budget("read", 100, 1_000, self.turn, self._meter)
        self.overall = Budget("overall", 200, 2_000, self.turn, self._meter)
        self.clock = ServerClock(now, wall - now, wall - now)
        self.window = Window(self.clock, random)
        self.reserve = Reserve(reserve)
        self._waits = Waits(self.read, self.overall, self.clock, self.window, self.reserve)
        self._refusals = Refusals(self.read, self.overall, self.clock, self.window, self.turn)
        self._ceilings = self._make_ceilings(now)
        self.answers = 0
        self._number = -1
        self._reset_number = -1  # of the youngest permit whose ``earliest`` is by a clock that was set again since
        self._date_text: str | None = None
        self._date: float | None = None
        self._dated = False
        self._lost_seconds = 0.0
        self._lost_number = -1
        self._enter_window(int(wall // QUARTER_SECONDS), now)
        self._ceilings.recompute(now)

    def _make_ceilings(self, now: float) -> Ceilings:
        return Ceilings(self.read, self.overall, self.clock, self.window, self.turn, now)

    # -- permits ------------------------------------------------------------------------------------------------------

    def admits(self, quota_class: QuotaClass, priority: Priority, now: float) -> bool:
        """Return whether a permit may be given now, in the window that ``roll_windows`` found."""
        overall, read, reads = self.overall, self.read, quota_class is _READ
        if overall.out >= overall.ceiling or (reads and read.out >= read.ceiling):
            return False
        return priority is not _BACKGROUND or self._waits.reserve_wait(reads, now) is None

    def book(self, quota_class: QuotaClass, priority: Priority, now: float) -> LedgerEntry:
        """Count a permit as out, and return its entry."""
        reads, clock = quota_class is _READ, self.clock
        self._number = number = self._number + 1
        # Before the first Date nothing is known of Strava's clock: the answer itself will say it.
        entry = LedgerEntry(reads, number, now, clock.earliest(now) if clock.synchronized else -math.inf)
        self.overall.begin(now)
        if reads:
            self.read.begin(now)
        if priority is _INTERACTIVE:
            self.reserve.note_interactive()
        if self._ceilings.watched:
            self._ceilings.note_given(reads, now)
        return entry

    def release(self, entry: LedgerEntry, now: float) -> None:
        """End a permit whose request never left this machine."""
        self.overall.undo()
        if entry.reads:
            self.read.undo()
        self._ceilings.note_released(now)
        self._ceilings.recompute(now)

    def abandon(self, entry: LedgerEntry, now: float) -> None:
        """End a permit whose request was sent, with unknown outcome; it may yet arrive."""
        arrived_at = now + _GRACE_SECONDS
        completion = self._match_windows(entry, self.clock.latest(arrived_at), now, arrived_at)
        self.overall.end(completion)
        if entry.reads:
            self.read.end(completion)
        self._ceilings.recompute(now)

    def abandon_all(self, now: float) -> None:
        """End every permit that is out: nothing else will."""
        # It is no longer known which requests were sent when: they may be counted now, or in the next window.
        arrived_at = now + _GRACE_SECONDS
        somewhere = WindowMatch.IN_OR_AFTER
        latest = self.window.latest(self.clock.latest(arrived_at))
        for budget in (self.overall, self.read):
            budget.end_all(Completion(somewhere, somewhere, latest, self._number, arrived_at))
        self._ceilings.recompute(now)

    def settle(self, entry: LedgerEntry, status_code: int, headers: Mapping[str, str], now: float) -> None:
        """End a permit with its answer."""
        fields = pick_fields(headers)
        # The time first: it decides in which window the request was counted, and whether the ledger's is over.
        latest = self._observe_date(fields.date, entry, now)
        window, ceilings = self.window, self._ceilings
        if window.begins <= entry.earliest <= latest <= window.ends:
            completion = Completion(IN, IN, latest, self._number)
        else:
            completion = self._match_windows(entry, latest, now)
        # Then the numbers, each budget on its own: a bad field must not spoil the others.
        reads = entry.reads
        reported = self.overall.settle(fields.overall_limit, fields.overall_usage, entry, True, completion)
        read_reported = self.read.settle(fields.read_limit, fields.read_usage, entry, reads, completion)
        ceilings.answered_at = now
        self.answers += 1
        # Then the status: a 429 may say what no number does, and any other one that Strava answers again.
        if status_code == 429:
            self._refusals.judge(entry, fields, completion, reported, read_reported, now)
        else:
            if not reported and self._refusals.is_of_first_seconds(entry, completion):
                self.turn.saw_new(self._number)
            self._note_served(self.overall, entry, reported)
            if reads:
                self._note_served(self.read, entry, read_reported)
            ceilings.note_served()
        # Numbers and status alike may have shown that the counter turns later than Date says.
        if self.turn.failed_at is not None:
            self._refusals.wait_for_counter(self.turn.failed_at, now)
            self._reset_number = self._number
        ceilings.recompute(now)

    def _note_served(self, budget: Budget, entry: LedgerEntry, reported: bool) -> None:
        if not reported:
            budget.note_missing_numbers()
        # What was sent before the cooldown began may have been counted before, and says nothing about it.
        if budget.refusals and entry.number > budget.cooldown_number:
            budget.clear_cooldown()
            self._ceilings.restart_slow_start()

    # -- windows ------------------------------------------------------------------------------------------------------

    def note_sleep(self, seconds: float, now: float) -> None:
        """Allow for so many seconds that the monotonic clock has missed: this machine slept, or its clock was set."""
        # A request that was out then may have been counted, and its answer stamped, before or after.
        self._lost_seconds = self.clock.widen(seconds) + (self._lost_seconds if self.overall.out else 0.0)
        self._lost_number = self._number
        for budget in (self.overall, self.read):
            budget.cooldown_until -= seconds
        self._ceilings.note_sleep(seconds, now)
        self._ceilings.recompute(now)

    def roll_windows(self, now: float) -> None:
        """Begin the windows that are due, and end the cooldowns that are over."""
        while now >= self.window.turns_at:
            self._turn(self.window.following(now), now)
        if now >= self._ceilings.changes_at:
            self._ceilings.recompute(now)

    def next_change(self) -> float:
        """Return the monotonic instant, after that of ``roll_windows``, at which time alone may let a call start."""
        return min(self.window.turns_at, self._ceilings.changes_at)

    def resume(self, quarter: int, now: float) -> None:
        """Continue from a restored state, whose numbers are in place, in the window that they belong to."""
        self._dated = True
        self._enter_window(quarter, now)
        self._ceilings.recompute(now)

    def _turn(self, quarter: int, now: float) -> None:
        # The ceilings first: what they remember of the window before is in the meters.
        following = quarter == self.window.quarter + 1
        self._ceilings.turn(following, now)
        day = quarter // QUARTERS_PER_DAY
        day_boundary = float(day * DAY_SECONDS) if day > self.window.day else None
        for budget in (self.overall, self.read):
            budget.turn(float(quarter * QUARTER_SECONDS), day_boundary)
        self.reserve.turn(following)
        # How late the counters turn, before the window: its end is by their clock.
        self.turn.begin(min(now, self.window.turns_at), day_boundary is not None)
        self.clock.set_lateness(self.turn.early, self.turn.late)
        self._enter_window(quarter, now)
        self._ceilings.recompute(now)

    def _enter_window(self, quarter: int, now: float) -> None:
        self.window.begin(quarter, now)
        self._ceilings.begin()

    def _observe_date(self, text: str | None, entry: LedgerEntry, now: float) -> float:
        """Take in a ``Date``; return the latest that Strava's clock can have shown when the request was counted."""
        if text is None:
            return self.clock.latest(now)
        # A hundred answers of one second have the same one: it is parsed once.
        if text != self._date_text:
            self._date_text, self._date = text, parse_date(text)
        date = self._date
        if date is None:
            return self.clock.latest(now)
        first = not self.clock.synchronized
        # A request that was out while the machine may have slept says nothing about how long.
        slept = entry.number <= self._lost_number
        change = NOTHING if slept else self.clock.observe_date(date, entry.given_at, now)
        if change is not NOTHING:
            if change is ClockChange.RIVAL:
                return self.clock.latest(now)
            self._follow_clock(first, change, now)
        return min(self.clock.latest(now), date + 1 - self.clock.early)

    def _follow_clock(self, first: bool, change: ClockChange, now: float) -> None:
        """Follow a change of what is known of Strava's clock."""
        quarter = int(self.clock.earliest(now) // QUARTER_SECONDS)
        if first and not (self._dated and quarter > self.window.quarter):
            # What the machine's clock called the window was a guess; the numbers are this window's all the same.
            self._enter_window(quarter, now)
        elif first:
            # Saved numbers were dated: they are of a window that is over.
            self._turn(quarter, now)
        elif change is ClockChange.JUMPED:
            # The numbers were reported by the clock before.
            for budget in (self.overall, self.read):
                budget.forget()
            self._ceilings.restart_slow_start()
            self._reset_number = self._number
            self._enter_window(quarter, now)
        else:
            self.window.set_turn(now)

    def _match_windows(
        self, entry: LedgerEntry, latest: float, now: float, arrived_at: float = -math.inf
    ) -> Completion:
        """Find the windows in which a request was counted; begin the next one if the ledger's is surely over."""
        lost = self._lost_seconds if entry.number <= self._lost_number else 0.0
        earliest = self.clock.earliest(entry.given_at) - lost
        # What was known when the permit was given may be sharper than what a wider interval says now.
        if entry.number > self._reset_number:
            earliest = max(earliest, entry.earliest)
        if latest < earliest:
            latest = self.clock.latest(now)
            return Completion(WindowMatch.UNKNOWN, WindowMatch.UNKNOWN, latest, self._number, arrived_at)
        quarter = int(earliest // QUARTER_SECONDS)
        if quarter > self.window.quarter:
            self._turn(quarter, now)
        return self.window.match(earliest, latest, self._number, arrived_at)

    # -- queries ------------------------------------------------------------------------------------------------------

    def quota(self) -> Quota:
        """Return the four meters, in the window that ``roll_windows`` found."""
        from strava_async.quota.readings import Quota  # not above: no request needs it

        ends, day_ends = self.window.ends, self.window.day_ends
        return Quota(*self.read.meters(ends, day_ends), *self.overall.meters(ends, day_ends))

    def blocked(
        self, quota_class: QuotaClass, now: float, reads_ahead: int = 0, uploads_ahead: int = 0
    ) -> Blocked | None:
        """Return what, at least, keeps a call from starting if those ahead start first; None if nothing is known to."""
        return self._waits.blocked(quota_class is _READ, now, reads_ahead, uploads_ahead)

    def default_wait(self, quota_class: QuotaClass, now: float) -> Blocked:
        """Return the wait for the next answer, with a guess of when: for a call that nothing known keeps."""
        return self._waits.default_wait(quota_class is _READ, now)

    def reserve_wait(self, quota_class: QuotaClass, now: float, *, after_answers: bool = False) -> Blocked | None:
        """Return how long the reserve keeps a background call from starting, other rules apart; None if it does not.

        Args:
            quota_class: what the call spends.
            now: monotonic.
            after_answers: whether to look at the meters as they will be after the answers to requests in flight.
        """
        return self._waits.reserve_wait(quota_class is _READ, now, after_answers=after_answers)
