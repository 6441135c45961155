"""The ledger: what may start now, and what an answer changes. The rules are in ``quota``, and so are their numbers.

Every ``now`` is a reading of the monotonic clock, never smaller than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from strava_async.quota.budget import Budget
from strava_async.quota.ceiling import Ceilings
from strava_async.quota.headers import Fields, parse_date, parse_retry_after, pick_fields
from strava_async.quota.meter import IN, Ending, MeterState, Placement, Reservation
from strava_async.quota.reserve import Reserve
from strava_async.quota.server_clock import NOTHING, ServerClock, Told
from strava_async.quota.turn import CounterTurn
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY, Meter, Quota
from strava_async.quota.wait import Waits
from strava_async.quota.window import DAY_SECONDS, MARGIN_SECONDS, Window

_GRACE_SECONDS = 5.0  # how long after its abandonment a request may still arrive


class Ledger:
    """The books of one application.

    Attributes:
        read: the read budget.
        overall: the overall budget.
        clock: Strava's clock.
        turn: when its counters turn.
        window: the quarter hour that the books are in.
        reserve: what background work leaves to the others.
        waits: what a call has to wait for.
        answers: how many have been taken in.

    Args:
        now: monotonic.
        wall: what the machine believes Unix time to be; serves until the first ``Date``.
        random: numbers in [0, 1), for the jitter.
        reserve: the share of a quarter hour that background work leaves to the others.
    """

    def __init__(self, now: float, wall: float, *, random: Callable[[], float], reserve: float) -> None:
        self.turn = CounterTurn()
        self.read = Budget("read", 100, 1_000, self.turn)
        self.overall = Budget("overall", 200, 2_000, self.turn)
        self.clock = ServerClock(now, wall - now, wall - now)
        self.window = Window(self.clock, random)
        self.reserve = Reserve(reserve)
        self.waits = Waits(self.read, self.overall, self.clock, self.window, self.reserve)
        self._ceilings = Ceilings(self.read, self.overall, self.clock, self.window, self.turn, now)
        self.answers = 0
        self._number = -1
        self._reset_number = -1  # of the youngest permit whose ``earliest`` is by a clock that was set anew since
        self._date_text: str | None = None
        self._date: float | None = None
        self._dated = False
        self._lost_seconds = 0.0
        self._lost_number = -1
        self._begin(int(wall // QUARTER_SECONDS), now)
        self._ceilings.reckon(now)

    # -- permits ------------------------------------------------------------------------------------------------------

    def admits(self, reads: bool, background: bool, now: float) -> bool:
        """Return whether a permit may be given now, in the window that ``catch_up`` found."""
        overall, read = self.overall, self.read
        if overall.out >= overall.ceiling or (reads and read.out >= read.ceiling):
            return False
        return not background or self.waits.melting(reads, now) is None

    def give(self, permit: Reservation, reads: bool, now: float) -> None:
        """Fill in a permit and count it as out."""
        self._number += 1
        permit.reads = reads
        permit.number = self._number
        permit.given_at = now
        # Before the first Date nothing is known of Strava's clock: the answer itself will tell.
        permit.earliest = self.clock.earliest(now) if self.clock.heard else -math.inf
        self.overall.begin(now)
        if reads:
            self.read.begin(now)
        if self._ceilings.watched:
            self._ceilings.note_given(reads, now)

    def release(self, permit: Reservation, now: float) -> None:
        """End a permit whose request never left this machine."""
        self.overall.undo()
        if permit.reads:
            self.read.undo()
        self._ceilings.note_released(now)
        self._ceilings.reckon(now)

    def abandon(self, permit: Reservation, now: float) -> None:
        """End a permit whose request was sent, with unknown outcome; it may yet arrive."""
        arrived_at = now + _GRACE_SECONDS
        ending = self._place(permit, self.clock.latest(arrived_at), now)._replace(arrived_at=arrived_at)
        self.overall.end(ending)
        if permit.reads:
            self.read.end(ending)
        self._ceilings.reckon(now)

    def abandon_all(self, now: float) -> None:
        """End every permit that is out: of none will an end be told."""
        arrived_at = now + _GRACE_SECONDS
        somewhere = Placement.IN_OR_AFTER
        latest = self.window.latest(self.clock.latest(arrived_at))
        for budget in (self.overall, self.read):
            budget.end_all(Ending(somewhere, somewhere, latest, self._number, arrived_at))
        self._ceilings.reckon(now)

    def settle(self, permit: Reservation, status_code: int, headers: Mapping[str, str], now: float) -> None:
        """End a permit with its answer."""
        fields = pick_fields(headers)
        latest = self._hear(fields.date, permit, now)
        window, ceilings = self.window, self._ceilings
        if window.begins <= permit.earliest <= latest <= window.ends:
            ending = Ending(IN, IN, latest, self._number)
        else:
            ending = self._place(permit, latest, now)
        reads = permit.reads
        told = self.overall.settle(fields.overall_limit, fields.overall_usage, permit, True, ending)
        told_read = self.read.settle(fields.read_limit, fields.read_usage, permit, reads, ending)
        ceilings.answered_at = now
        self.answers += 1
        if status_code == 429:
            self._refused(permit, fields, ending, told, told_read, now)
        else:
            if not told and self._is_of_first_seconds(permit, ending):
                self.turn.saw_new(self._number)
            self._served(self.overall, permit, told)
            if reads:
                self._served(self.read, permit, told_read)
            ceilings.note_served()
        if self.turn.failed_at is not None:
            self._wait_for_counter(self.turn.failed_at, now)
        ceilings.reckon(now)

    def _served(self, budget: Budget, permit: Reservation, told: bool) -> None:
        if not told:
            budget.go_blind()
        if budget.strikes and permit.number > budget.hold_number:
            budget.forgive()
            self._ceilings.start_anew()

    def _refused(
        self, permit: Reservation, fields: Fields, ending: Ending, told: bool, told_read: bool, now: float
    ) -> None:
        overall, read, reads = self.overall, self.read, permit.reads
        if self.turn.failed_at is not None:
            return  # by a window that is over for us, and not yet for the counter
        if not told and self._is_of_first_seconds(permit, ending):
            self.turn.saw_old(permit.given_at)
            return
        if ending.in_quarter in (Placement.BEFORE, Placement.BEFORE_OR_IN):
            return  # by a window that is over
        if ending.in_quarter is Placement.IN_OR_AFTER:
            # By this window or by the next: the refusal is over when this one is.
            overall.hold_until = max(overall.hold_until, self.window.turns_at)
            return
        spends = (overall, read) if reads else (overall,)
        if any(budget.quarter.room(budget.out) <= 0 or budget.day.room(budget.out) <= 0 for budget in spends):
            for budget in spends:
                if permit.number > budget.hold_number:
                    budget.forgive()
            return
        culprit = read if reads and told and not told_read else overall
        if permit.number > culprit.hold_number:
            asked = parse_retry_after(fields.retry_after, self.clock.earliest(now))
            midnight = self.window.turns_at + self.window.day_ends - self.window.ends
            culprit.strike(now, asked, midnight - now, self._number)

    def _is_of_first_seconds(self, permit: Reservation, ending: Ending) -> bool:
        """Say whether an answer without numbers tells by its status if the counter of a full window had turned."""
        return (
            ending.in_quarter is Placement.IN
            and self.turn.is_open(permit.number, permit.given_at)
            and (self.overall.was_full or (permit.reads and self.read.was_full))
        )

    def _wait_for_counter(self, given_at: float, now: float) -> None:
        """Send nothing for a while: the counter had not turned when a request of this window began."""
        turn, clock, begins = self.turn, self.clock, self.window.begins
        turn.learn(clock.earliest(given_at) + clock.late - begins)
        clock.set_lateness(turn.early, turn.late)
        self._reset_number = self._number
        self.window.set_turn(now)
        at = max(now, clock.surely_at(begins, now)) + MARGIN_SECONDS
        turn.probe_again(at)
        for budget in (self.overall, self.read):
            budget.hold_until = max(budget.hold_until, at)
            budget.begun = 0

    # -- windows ------------------------------------------------------------------------------------------------------

    def doubt(self, seconds: float, now: float) -> None:
        """Allow for so many seconds of which our clock knows nothing: this machine slept, or its clock was set."""
        # A request that was out then may have been counted, and its answer stamped, before or after.
        self._lost_seconds = self.clock.widen(seconds) + (self._lost_seconds if self.overall.out else 0.0)
        self._lost_number = self._number
        for budget in (self.overall, self.read):
            budget.hold_until -= seconds
        self._ceilings.note_sleep(seconds, now)
        self._ceilings.reckon(now)

    def catch_up(self, now: float) -> None:
        """Turn the windows that have ended, and end the holds."""
        while now >= self.window.turns_at:
            self._turn(self.window.following(now), now)
        if now >= self._ceilings.changes_at:
            self._ceilings.reckon(now)

    def next_change(self) -> float:
        """Return the monotonic instant, after that of ``catch_up``, at which time alone may let a call start."""
        return min(self.window.turns_at, self._ceilings.changes_at)

    def resume(self, quarter: int, now: float) -> None:
        """Take up saved books, whose numbers are in place, in the window that they belong to."""
        self._dated = True
        self._begin(quarter, now)
        self._ceilings.reckon(now)

    def _turn(self, quarter: int, now: float) -> None:
        following = quarter == self.window.quarter + 1
        self._ceilings.turn(following, now)
        day = quarter // QUARTERS_PER_DAY
        day_boundary = float(day * DAY_SECONDS) if day > self.window.day else None
        for budget in (self.overall, self.read):
            budget.turn(float(quarter * QUARTER_SECONDS), day_boundary)
        self.reserve.turn(following)
        self.turn.begin(min(now, self.window.turns_at), day_boundary is not None)
        self.clock.set_lateness(self.turn.early, self.turn.late)
        self._begin(quarter, now)
        self._ceilings.reckon(now)

    def _begin(self, quarter: int, now: float) -> None:
        self.window.begin(quarter, now)
        self._ceilings.begin()

    def _hear(self, text: str | None, permit: Reservation, now: float) -> float:
        """Take in a ``Date``; return the latest that Strava's clock can have shown when the request was counted."""
        if text is None:
            return self.clock.latest(now)
        if text != self._date_text:
            self._date_text, self._date = text, parse_date(text)
        date = self._date
        if date is None:
            return self.clock.latest(now)
        first = not self.clock.heard
        # What was out when we may have slept cannot tell how far.
        slept = permit.number <= self._lost_number
        told = NOTHING if slept else self.clock.learn(date, permit.given_at, now)
        if told is not NOTHING:
            if told is Told.RIVAL:
                return self.clock.latest(now)
            self._adjust(first, told, now)
        return min(self.clock.latest(now), date + 1 - self.clock.early)

    def _adjust(self, first: bool, told: Told, now: float) -> None:
        """Follow a change of what is known of Strava's clock."""
        quarter = int(self.clock.earliest(now) // QUARTER_SECONDS)
        if first and not (self._dated and quarter > self.window.quarter):
            # What the machine's clock called the window was a guess; the numbers are this window's all the same.
            self._begin(quarter, now)
        elif first:
            self._turn(quarter, now)
        elif told is Told.JUMPED:
            # By whatever clock the numbers were told, it was another one.
            for budget in (self.overall, self.read):
                budget.forget()
            self._ceilings.start_anew()
            self._reset_number = self._number
            self._begin(quarter, now)
        else:
            self.window.set_turn(now)

    def _place(self, permit: Reservation, latest: float, now: float) -> Ending:
        """Find the windows in which a request was counted; turn ours if it is surely over."""
        lost = self._lost_seconds if permit.number <= self._lost_number else 0.0
        earliest = self.clock.earliest(permit.given_at) - lost
        if permit.number > self._reset_number:
            earliest = max(earliest, permit.earliest)
        if latest < earliest:
            latest = self.clock.latest(now)
            return Ending(Placement.UNKNOWN, Placement.UNKNOWN, latest, self._number)
        quarter = int(earliest // QUARTER_SECONDS)
        if quarter > self.window.quarter:
            self._turn(quarter, now)
        return self.window.place(earliest, latest, self._number)

    def quota(self) -> Quota:
        """Return the four meters, in the window that ``catch_up`` found."""
        read, overall, window = self.read, self.overall, self.window
        return Quota(
            read_15min=_view(read.quarter, read.out, window.ends),
            read_day=_view(read.day, read.out, window.day_ends),
            overall_15min=_view(overall.quarter, overall.out, window.ends),
            overall_day=_view(overall.day, overall.out, window.day_ends),
        )


def _view(meter: MeterState, out: int, resets_at: float) -> Meter:
    usage = None if meter.usage is None else meter.spent(out)
    return Meter(limit=meter.limit, usage=usage, reserved=out, resets_at=resets_at)
