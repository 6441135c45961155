"""The ledger: what may start now, and what an answer changes. The rules are in ``quota``, and so are their numbers.

Every ``now`` is a reading of the monotonic clock, never smaller than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from strava_async.quota import QUARTER_SECONDS, QUARTERS_PER_DAY, Meter, Quota
from strava_async.quota_budget import Budget
from strava_async.quota_clock import NOTHING, ServerClock, Told
from strava_async.quota_fields import Fields, parse_date, parse_retry_after, pick_fields
from strava_async.quota_meter import IN, Ending, MeterState, Placement, Reservation
from strava_async.quota_reserve import Reserve
from strava_async.quota_turn import CounterTurn

_DAY_SECONDS = QUARTER_SECONDS * QUARTERS_PER_DAY
_MARGIN_SECONDS = 0.05  # between the hosts that stamp answers and the one that counts
_JITTER_SECONDS = 0.25
TURN_SECONDS = _MARGIN_SECONDS + _JITTER_SECONDS  # within these after a boundary, the books turn
_LATE_SECONDS = 0.9  # jitter gives way to the uncertainty of the clock, so that both together stay below this
_GRACE_SECONDS = 5.0  # how long after its abandonment a request may still arrive
_STALE_SECONDS = 3_600.0
_SKEW_SECONDS = 120.0  # how wrong the machine's clock may be, as long as there is no other
_FLIGHTS = (1, 10)  # after these, no bound
_PATIENCE_SECONDS = 1.0  # how long the first answer, or that of a flight, is waited for before more may be sent
_ASK_SECONDS = 60.0  # between two questions whether a window is over, if the first had no answer; then twice that, ...
_MAX_ASK_SECONDS = 900.0
_TICK_SECONDS = 0.001  # past an instant rather than on it


class Wait(NamedTuple):
    """What a call has to wait for.

    Attributes:
        until: monotonic.
        window: the meter without room.
        resume_at: epoch seconds on Strava's clock.
        awaits: the answer that decides, where nothing else is known to be in the way; the instants are a guess then.
    """

    until: float
    window: str
    resume_at: float
    awaits: str = ""


class Ledger:
    """The books of one application.

    Attributes:
        read: the read budget.
        overall: the overall budget.
        clock: Strava's clock.
        turn: when its counters turn.
        reserve: what background work leaves to the others.
        quarter: the window that the books are in, in quarter hours since 1970.
        turns_at: the monotonic instant at which the next window begins for us.
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
        self.reserve = Reserve(reserve)
        self._random = random
        self._number = -1
        self._flight = 0
        self._landed = 0
        self._answered_at = now
        self.answers = 0
        self._own_before = self._foreign_before = 0
        self._jump_number = -1
        self._date_text: str | None = None
        self._date: float | None = None
        self._dated = False
        self._changes_at = math.inf
        self._watched = True
        self._ask_at = -math.inf
        self._asked = 0
        self._lost_seconds = 0.0
        self._lost_number = -1
        self._label(int(wall // QUARTER_SECONDS), now)
        self.reckon(now)

    # -- permits ------------------------------------------------------------------------------------------------------

    def admits(self, reads: bool, background: bool, now: float) -> bool:
        """Return whether a permit may be given now, in the window that ``catch_up`` found."""
        overall, read = self.overall, self.read
        if overall.out >= overall.ceiling or (reads and read.out >= read.ceiling):
            return False
        return not background or self.melting(reads, now) is None

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
        if self._watched:
            if self.overall.asks or (reads and self.read.asks):
                self._ask_at = now + min(_ASK_SECONDS * 2.0 ** min(self._asked, 10), _MAX_ASK_SECONDS)
                self._asked += 1
            self.reckon(now)

    def release(self, permit: Reservation, now: float) -> None:
        """End a permit whose request never left this machine."""
        self.overall.undo()
        if permit.reads:
            self.read.undo()
        self._ask_at = min(self._ask_at, now)
        self.reckon(now)

    def abandon(self, permit: Reservation, now: float) -> None:
        """End a permit whose request was sent, with unknown outcome; it may yet arrive."""
        arrived_at = now + _GRACE_SECONDS
        ending = self._place(permit, self.clock.latest(arrived_at), now)._replace(arrived_at=arrived_at)
        self.overall.end(ending)
        if permit.reads:
            self.read.end(ending)
        self.reckon(now)

    def abandon_all(self, now: float) -> None:
        """End every permit that is out: of none will an end be told."""
        arrived_at = now + _GRACE_SECONDS
        somewhere = Placement.IN_OR_AFTER
        latest = self.clock.latest(arrived_at) + (0.0 if self.clock.heard else _SKEW_SECONDS)
        for budget in (self.overall, self.read):
            budget.end_all(Ending(somewhere, somewhere, latest, self._number, arrived_at))
        self.reckon(now)

    def settle(self, permit: Reservation, status_code: int, headers: Mapping[str, str], now: float) -> None:
        """End a permit with its answer."""
        fields = pick_fields(headers)
        latest = self._hear(fields.date, permit, now)
        if self._begins <= permit.earliest <= latest <= self._ends:
            ending = Ending(IN, IN, latest, self._number)
        else:
            ending = self._place(permit, latest, now)
        reads = permit.reads
        told = self.overall.settle(fields.overall_limit, fields.overall_usage, permit, True, ending)
        told_read = self.read.settle(fields.read_limit, fields.read_usage, permit, reads, ending)
        self._answered_at = now
        self.answers += 1
        if status_code == 429:
            self._refused(permit, fields, ending, told, told_read, now)
        else:
            if not told and self._is_of_first_seconds(permit, ending):
                self.turn.saw_new(self._number)
            self._served(self.overall, permit, told)
            if reads:
                self._served(self.read, permit, told_read)
            self._landed += 1
        if self.turn.failed_at is not None:
            self._wait_for_counter(self.turn.failed_at, now)
        self.reckon(now)

    def _served(self, budget: Budget, permit: Reservation, told: bool) -> None:
        if not told:
            budget.go_blind()
        if budget.strikes and permit.number > budget.hold_number:
            budget.forgive()
            self._start_anew()

    def _start_anew(self) -> None:
        self._flight = self._landed = 0

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
            overall.hold_until = max(overall.hold_until, self.turns_at)
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
            midnight = self.turns_at + self._day_ends - self._ends
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
        turn, clock = self.turn, self.clock
        turn.learn(clock.earliest(given_at) + clock.late - self._begins)
        clock.set_lateness(turn.early, turn.late)
        self._set_turn(now)
        at = max(now, clock.surely_at(self._begins, now)) + _MARGIN_SECONDS
        turn.probe_again(at)
        for budget in (self.overall, self.read):
            budget.hold_until = max(budget.hold_until, at)
            budget.begun = 0

    # -- how many may be out ------------------------------------------------------------------------------------------

    def reckon(self, now: float) -> None:
        """Conclude the ceilings from everything known; after every change."""
        self._changes_at = math.inf
        self._watched = False
        probing = self.turn.is_probed(now)
        if probing:
            self._changes_at = self.turn.probes_until
        for budget in (self.overall, self.read):
            room = min(budget.quarter.room(budget.out), budget.day.room(budget.out))
            if room <= 0 and budget.is_probed():
                room = min(1, budget.quarter.room(budget.out))
            budget.asks = False
            if now < budget.hold_until:
                budget.ceiling = min(room, 0)
                self._changes_at = min(self._changes_at, budget.hold_until)
            elif room <= 0 and (self.clock.doubted or self.clock.contested):
                budget.asks = self._asks(budget, now)
                budget.ceiling = 1 if budget.asks else room
                self._watched = True
            elif room <= 1:
                budget.ceiling = room
            elif budget.strikes:
                budget.ceiling = 1
            elif not budget.known:
                budget.ceiling = room if self._waited(budget, budget.out_since, 1, now) else 1
            else:
                budget.ceiling = self._bounded(room, now)
            if probing and budget.was_full:
                # Permits out from the window before are no probes.
                budget.ceiling = min(budget.ceiling, budget.out + max(0, 1 - budget.begun))

    def _waited(self, budget: Budget, since: float, most: int, now: float) -> int:
        """Return how often, up to ``most``, patience with the calls out has ended since then; zero if none is out."""
        self._watched = True
        if not budget.out:
            return 0
        times = int((now - since) // _PATIENCE_SECONDS)
        if times >= most:
            return most
        self._changes_at = min(self._changes_at, since + (times + 1) * _PATIENCE_SECONDS + _TICK_SECONDS)
        return times

    def _asks(self, budget: Budget, now: float) -> bool:
        """Say whether a call may find out now if each full meter of a budget has turned."""
        at = max(self._ask_at, self._may_end_at(budget, now))
        if at <= now:
            return True
        self._changes_at = min(self._changes_at, at + _TICK_SECONDS)
        return False

    def _may_end_at(self, budget: Budget, now: float) -> float:
        """Return the instant, by our clock, at which each full meter of a budget may have turned at the earliest."""
        if not self.clock.doubted:
            return math.inf if budget.day.room(budget.out) <= 0 else self._rival_turn()
        full = [
            ends
            for meter, ends in ((budget.quarter, self._ends), (budget.day, self._day_ends))
            if meter.room(budget.out) <= 0
        ]
        return now + max(full, default=-math.inf) - self.clock.latest(now)

    def _rival_turn(self) -> float:
        return self.clock.rival_turn(QUARTER_SECONDS) + _MARGIN_SECONDS

    def _may_be_over(self, ends: float, now: float) -> bool:
        return self.clock.doubted and self.clock.latest(now) >= ends

    def doubt(self, seconds: float, now: float) -> None:
        """Allow for so many seconds of which our clock knows nothing: this machine slept, or its clock was set."""
        # A request that was out then may have been counted, and its answer stamped, before or after.
        self._lost_seconds = self.clock.widen(seconds) + (self._lost_seconds if self.overall.out else 0.0)
        self._lost_number = self._number
        self._answered_at -= seconds
        for budget in (self.overall, self.read):
            budget.hold_until -= seconds
        self._ask_at = now
        self._start_anew()
        self.reckon(now)

    def _bounded(self, room: int, now: float) -> int:
        bound = room
        if self._flight < len(_FLIGHTS):
            # Nobody follows until most have landed: so their numbers show who else is in the air.
            size = min(_FLIGHTS[self._flight], max(1, room // 4))
            if 4 * self._landed >= 3 * size:
                self._flight += 1
                self._landed = 0
                return self._bounded(room, now)
            overall, bound = self.overall, size - self._landed
            # Nobody, unless they are slow.
            last_at, flights = max(self._answered_at, overall.out_since), math.ceil((room - bound) / _FLIGHTS[-1])
            bound = min(room, bound + _FLIGHTS[-1] * self._waited(overall, last_at, flights, now))
        quarter = self.overall.quarter
        foreign = self._foreign_before + quarter.foreign - quarter.foreign_before
        if foreign > 0:
            own = self._own_before + quarter.own
            bound = min(bound, max(1, room * own // (2 * (own + foreign))))
        return bound

    def melting(self, reads: bool, now: float, *, landed: bool = False) -> Wait | None:
        """Return how long the reserve holds back the next background call, other rules apart; None if it does not.

        Args:
            reads: whether the call spends the read budget too.
            now: monotonic.
            landed: whether to look at the books as they will be when the answers under way are there.
        """
        server_now = self.clock.earliest(now)
        rate = self.reserve.rate(server_now - self._begins)
        longest = None
        for budget in (self.overall, self.read) if reads else (self.overall,):
            out = budget.out
            for meter, ends, left_at in (
                (budget.quarter, self._ends, self.reserve.quarter_left),
                (budget.day, self._day_ends, self.reserve.day_left),
            ):
                if meter.limit is None or meter.usage is None or self._may_be_over(ends, now):
                    continue
                free = meter.free(out) if landed else meter.room(out) - out
                seconds = ends - server_now - left_at(meter.limit, free, rate)
                if seconds >= 0 and (longest is None or now + seconds > longest.until):
                    longest = Wait(now + seconds + _TICK_SECONDS, meter.name, server_now + seconds)
        return longest

    # -- windows ------------------------------------------------------------------------------------------------------

    def catch_up(self, now: float) -> None:
        """Turn the windows that have ended, and end the holds."""
        while now >= self.turns_at:
            self._turn(max(self.quarter + 1, int(self.clock.earliest(now) // QUARTER_SECONDS) - 1), now)
        if now >= self._changes_at:
            self.reckon(now)

    def resume(self, clock: ServerClock, quarter: int, now: float) -> None:
        """Take up saved books, whose numbers are in place, in the window that they belong to."""
        self.clock = clock
        self._dated = True
        self._label(quarter, now)
        self.reckon(now)

    def _turn(self, quarter: int, now: float) -> None:
        following = quarter == self.quarter + 1
        meter = self.overall.quarter
        self._own_before = meter.own if following else 0
        self._foreign_before = meter.foreign - meter.foreign_before if following else 0
        day = quarter // QUARTERS_PER_DAY
        day_boundary = float(day * _DAY_SECONDS) if day > self.quarter // QUARTERS_PER_DAY else None
        for budget in (self.overall, self.read):
            budget.turn(float(quarter * QUARTER_SECONDS), day_boundary)
        self.reserve.turn(following)
        self.turn.begin(min(now, self.turns_at), day_boundary is not None)
        self.clock.set_lateness(self.turn.early, self.turn.late)
        if self._foreign_before or self.clock.contested or now - self._answered_at > _STALE_SECONDS:
            self._start_anew()
        self._label(quarter, now)
        self.reckon(now)

    def _label(self, quarter: int, now: float) -> None:
        self.quarter = quarter
        self._begins = float(quarter * QUARTER_SECONDS)
        self._ends = self._begins + QUARTER_SECONDS
        self._day_ends = float((quarter // QUARTERS_PER_DAY + 1) * _DAY_SECONDS)
        self._jitter = self._random()
        self._asked = 0
        self._set_turn(now)

    def _set_turn(self, now: float) -> None:
        clock = self.clock
        certain_at = clock.surely_at(self._ends, now)
        width = clock.high - clock.low + 2 * clock.drift(certain_at)
        spare = min(_JITTER_SECONDS, max(0.0, _LATE_SECONDS - _MARGIN_SECONDS - width))
        self.turns_at = certain_at + _MARGIN_SECONDS + self._jitter * spare

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
        if first and not (self._dated and quarter > self.quarter):
            # What the machine's clock called the window was a guess; the numbers are this window's all the same.
            self._label(quarter, now)
        elif first:
            self._turn(quarter, now)
        elif told is Told.JUMPED:
            # By whatever clock the numbers were told, it was another one.
            for budget in (self.overall, self.read):
                budget.forget()
            self._start_anew()
            self._jump_number = self._number
            self._label(quarter, now)
        else:
            self._set_turn(now)

    def _place(self, permit: Reservation, latest: float, now: float) -> Ending:
        """Find the windows in which a request was counted; turn ours if it is surely over."""
        lost = self._lost_seconds if permit.number <= self._lost_number else 0.0
        earliest = self.clock.earliest(permit.given_at) - lost
        if permit.number > self._jump_number:
            earliest = max(earliest, permit.earliest)
        if latest < earliest:
            latest = self.clock.latest(now)
            return Ending(Placement.UNKNOWN, Placement.UNKNOWN, latest, self._number)
        first = int(earliest // QUARTER_SECONDS)
        # The bound is not reached; but a machine's clock, as long as there is no other, is one instant and no interval.
        last = max(first, math.ceil(latest / QUARTER_SECONDS) - 1)
        if first > self.quarter:
            self._turn(first, now)
        return Ending(
            _placement(first, last, self.quarter),
            _placement(first // QUARTERS_PER_DAY, last // QUARTERS_PER_DAY, self.quarter // QUARTERS_PER_DAY),
            latest if self.clock.heard else latest + _SKEW_SECONDS,
            self._number,
        )

    # -- what is told to others ---------------------------------------------------------------------------------------

    def wait_for(self, reads: bool, now: float, reads_ahead: int = 0, uploads_ahead: int = 0) -> Wait | None:
        """Return what, at least, keeps a call from starting when those ahead start first; None if nothing known."""
        read = self.read
        # Reads that must wait for the read budget are passed by what needs the overall budget only.
        passing = min(reads_ahead, max(0, read.quarter.free(read.out)), max(0, read.day.free(read.out)))
        overall = (self.overall, uploads_ahead + int(passing))
        longest = None
        for budget, ahead in ((read, reads_ahead), overall) if reads else (overall,):
            for wait in (
                self._hold(budget, now),
                self._window(budget, budget.quarter, ahead, self._ends, QUARTER_SECONDS, now),
                self._doubtful_day(budget)
                if budget.is_day_in_doubt()
                else self._window(budget, budget.day, ahead, self._day_ends, _DAY_SECONDS, now),
            ):
                if wait is not None and (longest is None or wait.until > longest.until):
                    longest = wait
        return longest

    def soon(self, reads: bool, now: float) -> Wait:
        """Return the wait for an answer under way, as a guess of one second."""
        budget = self.read if reads else self.overall
        awaits = "answers under way" if budget.known else "the first answer"
        return Wait(now + 1, budget.quarter.name, self.clock.earliest(now) + 1, awaits)

    def _window(
        self, budget: Budget, meter: MeterState, ahead: int, ends: float, length: int, now: float
    ) -> Wait | None:
        # Of limits that wait for their second witness, those ahead may have more than these show.
        windows = meter.windows_to_wait(budget.out, ahead if budget.limits_confirmed else 0)
        if windows == 0 or self._may_be_over(ends, now):
            return None
        resume_at = ends + (windows - 1) * length
        until = self.turns_at + resume_at - self._ends
        if windows == 1 and length == QUARTER_SECONDS:
            until = min(until, self._rival_turn())
        return Wait(until, meter.name, resume_at)

    def _doubtful_day(self, budget: Budget) -> Wait | None:
        """Return how long the next probe of a day in doubt is away; None if one may begin, or is under way."""
        return None if budget.is_probed() else Wait(self.turns_at, budget.day.name, self._day_ends)

    def _hold(self, budget: Budget, now: float) -> Wait | None:
        if now >= budget.hold_until:
            return None
        return Wait(budget.hold_until, budget.quarter.name, self.clock.earliest(budget.hold_until))

    def next_change(self) -> float:
        """Return the monotonic instant, after that of ``catch_up``, at which time alone may let a call start."""
        return min(self.turns_at, self._changes_at)

    def quota(self) -> Quota:
        """Return the four meters, in the window that ``catch_up`` found."""
        read, overall = self.read, self.overall
        return Quota(
            read_15min=_view(read.quarter, read.out, self._ends),
            read_day=_view(read.day, read.out, self._day_ends),
            overall_15min=_view(overall.quarter, overall.out, self._ends),
            overall_day=_view(overall.day, overall.out, self._day_ends),
        )


def _placement(first: int, last: int, window: int) -> Placement:
    if last < window:
        return Placement.BEFORE
    if last > window:
        return Placement.IN_OR_AFTER
    return Placement.IN if first == window else Placement.BEFORE_OR_IN


def _view(meter: MeterState, out: int, resets_at: float) -> Meter:
    usage = None if meter.usage is None else meter.spent(out)
    return Meter(limit=meter.limit, usage=usage, reserved=out, resets_at=resets_at)
