"""What a call has to wait for, as far as that is known: for messages, deadlines and timers, and not for decisions."""

from __future__ import annotations

from strava_async.quota.budget import Budget
from strava_async.quota.ceiling import TICK_SECONDS
from strava_async.quota.meter import MeterState
from strava_async.quota.reserve import Reserve
from strava_async.quota.server_clock import ServerClock
from strava_async.quota.values import QUARTER_SECONDS, Blocked
from strava_async.quota.window import DAY_SECONDS, Window


class Waits:
    """Finds in the ledger what keeps a call from starting.

    Args:
        read: the read budget.
        overall: the overall budget.
        clock: Strava's clock.
        window: the window that the ledger is in.
        reserve: what background work leaves to the others.
    """

    __slots__ = ("_clock", "_overall", "_read", "_reserve", "_window")

    def __init__(self, read: Budget, overall: Budget, clock: ServerClock, window: Window, reserve: Reserve) -> None:
        self._read = read
        self._overall = overall
        self._clock = clock
        self._window = window
        self._reserve = reserve

    def blocked(self, reads: bool, now: float, reads_ahead: int = 0, uploads_ahead: int = 0) -> Blocked | None:
        """Return what, at least, keeps a call from starting if those ahead start first; None if nothing is known to."""
        read, window = self._read, self._window
        # Reads that must wait for the read budget are passed by what needs the overall budget only.
        passing = min(reads_ahead, max(0, read.quarter.free(read.out)), max(0, read.day.free(read.out)))
        overall = (self._overall, uploads_ahead + int(passing))
        # Everything that is in the way at once is over when the longest of it is.
        longest = None
        for budget, ahead in ((read, reads_ahead), overall) if reads else (overall,):
            for wait in (
                self._cooldown(budget, now),
                self._turn(budget, budget.quarter, ahead, window.ends, QUARTER_SECONDS, now),
                self._probe(budget)
                if budget.is_day_in_doubt()
                else self._turn(budget, budget.day, ahead, window.day_ends, DAY_SECONDS, now),
            ):
                if wait is not None and (longest is None or wait.until > longest.until):
                    longest = wait
        return longest

    def default_wait(self, reads: bool, now: float) -> Blocked:
        """Return the wait for the answer to a request in flight, as a guess of one second."""
        budget = self._read if reads else self._overall
        awaits = "answers under way" if budget.known else "the first answer"
        return Blocked(budget.quarter.name, self._clock.earliest(now) + 1, awaits, until=now + 1)

    def reserve_wait(self, reads: bool, now: float, *, after_answers: bool = False) -> Blocked | None:
        """Return how long the reserve holds back the next background call, other rules apart; None if it does not.

        Args:
            reads: whether the call spends the read budget too.
            now: monotonic.
            after_answers: whether to look at the meters as they will be after the answers to requests in flight.
        """
        window, reserve = self._window, self._reserve
        server_now = self._clock.earliest(now)
        rate = reserve.rate(server_now - window.begins)
        longest = None
        for budget in (self._overall, self._read) if reads else (self._overall,):
            out = budget.out
            for meter, ends, left_at in (
                (budget.quarter, window.ends, reserve.quarter_left),
                (budget.day, window.day_ends, reserve.day_left),
            ):
                # Of a window of which nothing is known, nothing can be kept for others.
                if meter.limit is None or meter.usage is None or window.may_be_over(ends, now):
                    continue
                free = meter.free(out) if after_answers else meter.room(out) - out
                if free > reserve.most(meter.limit):
                    continue  # as mostly; and of a day, what is added below makes it more
                if meter is budget.day:
                    # One answer alone would count for hours, and background calls may be the only ones.
                    if budget.is_day_in_doubt():
                        continue
                    free += meter.spent(out) - meter.confirmed(out)
                # The reserve shrinks: this call may start once it is smaller than what is free.
                seconds = ends - server_now - left_at(meter.limit, free, rate)
                if seconds >= 0 and (longest is None or now + seconds > longest.until):
                    longest = Blocked(meter.name, server_now + seconds, until=now + seconds + TICK_SECONDS)
        return longest

    def _turn(
        self, budget: Budget, meter: MeterState, ahead: int, ends: float, length: int, now: float
    ) -> Blocked | None:
        window = self._window
        # Of limits that wait for their second witness, those ahead may have more than these show.
        windows = meter.windows_to_wait(budget.out, ahead if budget.limits_confirmed else 0)
        if windows == 0 or window.may_be_over(ends, now):
            return None
        resume_at = ends + (windows - 1) * length
        until = window.turns_at + resume_at - window.ends
        if windows == 1 and length == QUARTER_SECONDS:
            until = min(until, window.may_turn_at())
        return Blocked(meter.name, resume_at, until=until)

    def _probe(self, budget: Budget) -> Blocked | None:
        """Return how long the next probe of a day in doubt is away; None if one may begin, or is in flight."""
        if budget.is_probed():
            return None
        return Blocked(budget.day.name, self._window.day_ends, until=self._window.turns_at)

    def _cooldown(self, budget: Budget, now: float) -> Blocked | None:
        if now >= budget.cooldown_until:
            return None
        return Blocked(budget.quarter.name, self._clock.earliest(budget.cooldown_until), until=budget.cooldown_until)
