"""How many permits may be out, by room, slow start, cooldown, probes and external usage (rules 4 to 7)."""

from __future__ import annotations

import math

from strava_async.quota.budget import Budget
from strava_async.quota.server_clock import ServerClock
from strava_async.quota.turn import CounterTurn
from strava_async.quota.window import Window

_STALE_SECONDS = 3_600.0
_SLOW_START_STEPS = (1, 10)  # permits out at a time; after these, no bound
_PATIENCE_SECONDS = 1.0  # how long answers of slow start are waited for before more may be sent
_ASK_SECONDS = 60.0  # between two questions whether a window is over, if the first had no answer; then twice that, ...
_MAX_ASK_SECONDS = 900.0
TICK_SECONDS = 0.001  # past an instant rather than on it


class Ceilings:
    """Computes ``ceiling`` and ``asks`` of both budgets from everything known.

    Args:
        read: the read budget.
        overall: the overall budget.
        clock: Strava's clock.
        window: the window that the ledger is in.
        turn: when the counters turn.
        now: monotonic.

    Attributes:
        answered_at: when the last answer came; monotonic.
        changes_at: the monotonic instant at which time alone changes a ceiling; inf for none.
        watched: whether a permit given changes one.
    """

    __slots__ = (
        "_ask_at",
        "_asked",
        "_budgets",
        "_clock",
        "_external_before",
        "_overall",
        "_own_before",
        "_step",
        "_step_answers",
        "_turn",
        "_window",
        "answered_at",
        "changes_at",
        "watched",
    )

    def __init__(
        self, read: Budget, overall: Budget, clock: ServerClock, window: Window, turn: CounterTurn, now: float
    ) -> None:
        self._budgets = (overall, read)
        self._overall = overall
        self._clock = clock
        self._window = window
        self._turn = turn
        self._step = 0
        self._step_answers = 0
        self._own_before = self._external_before = 0
        self._ask_at = -math.inf
        self._asked = 0
        self.answered_at = now
        self.changes_at = math.inf
        self.watched = True

    # -- what happened ------------------------------------------------------------------------------------------------

    def note_given(self, reads: bool, now: float) -> None:
        """Note a permit given while that changes a ceiling."""
        overall, read = self._budgets
        if overall.asks or (reads and read.asks):
            self._ask_at = now + min(_ASK_SECONDS * 2.0 ** min(self._asked, 10), _MAX_ASK_SECONDS)
            self._asked += 1
        self.recompute(now)

    def note_released(self, now: float) -> None:
        """Note a permit that was given back: if it was to ask, another may."""
        self._ask_at = min(self._ask_at, now)

    def note_served(self) -> None:
        """Note an answer that is no refusal."""
        self._step_answers += 1

    def note_sleep(self, seconds: float, now: float) -> None:
        """Note so many seconds that the monotonic clock has missed."""
        self.answered_at -= seconds
        self._ask_at = now
        self.restart_slow_start()

    def restart_slow_start(self) -> None:
        """Begin at the first step again."""
        self._step = self._step_answers = 0

    def turn(self, following: bool, now: float) -> None:
        """Begin a new window, before the meters do; ``following`` if it is the next one."""
        # Shares are counted over two windows: at the beginning of one there is nothing to go by.
        meter = self._overall.quarter
        self._own_before = meter.own if following else 0
        self._external_before = meter.others if following else 0
        # Where others spend too, all that is known of their pace may have changed. A number in doubt says so as well,
        # which costs a round trip or two.
        others = meter.external_usage > meter.external_before
        if others or self._clock.contested or now - self.answered_at > _STALE_SECONDS:
            self.restart_slow_start()

    def begin(self) -> None:
        """Begin a window, whichever it is: questions whether the one before was over are forgotten."""
        self._asked = 0

    # -- conclusions --------------------------------------------------------------------------------------------------

    def recompute(self, now: float) -> None:
        """Recompute both ceilings; after every change."""
        self.changes_at = math.inf
        self.watched = False
        probing = self._turn.is_probed(now)
        if probing:
            self.changes_at = self._turn.probes_until
        for budget in self._budgets:
            out = budget.out
            room = min(budget.quarter.room(out), budget.day.room(out))
            # A day that is full by a number in doubt lets one call through, to have a second answer.
            if room <= 0 and budget.is_probed():
                room = min(1, budget.quarter.room(out))
            budget.asks = False
            # The rules from the strictest to the most lenient: the first that applies decides.
            if now < budget.cooldown_until:
                budget.ceiling = min(room, 0)
                self.changes_at = min(self.changes_at, budget.cooldown_until)
            # Full, but the window may be over unnoticed: one call finds out.
            elif room <= 0 and (self._clock.doubted or self._clock.contested):
                budget.asks = self._asks(budget, now)
                budget.ceiling = 1 if budget.asks else room
                self.watched = True
            elif room <= 1:
                budget.ceiling = room
            # After a 429 that nothing explains, one at a time until Strava answers otherwise.
            elif budget.refusals:
                budget.ceiling = 1
            # With nothing known one call learns for all, unless its answer takes too long.
            elif not budget.known:
                budget.ceiling = room if self._waited(budget, budget.out_since, 1, now) else 1
            else:
                budget.ceiling = self._bounded(room, now)
            # After a full window one call finds out first if the counter has turned too.
            if probing and budget.was_full:
                # Permits out from the window before are no probes.
                budget.ceiling = min(budget.ceiling, out + max(0, 1 - budget.begun))

    def _waited(self, budget: Budget, since: float, most: int, now: float) -> int:
        """Return how often, up to ``most``, patience with the calls out has ended since then; zero if none is out."""
        self.watched = True
        if not budget.out:
            return 0
        times = int((now - since) // _PATIENCE_SECONDS)
        if times >= most:
            return most
        self.changes_at = min(self.changes_at, since + (times + 1) * _PATIENCE_SECONDS + TICK_SECONDS)
        return times

    def _asks(self, budget: Budget, now: float) -> bool:
        """Return whether a call may find out now if each full meter of a budget has turned."""
        at = max(self._ask_at, self._may_turn_at(budget, now))
        if at <= now:
            return True
        self.changes_at = min(self.changes_at, at + TICK_SECONDS)
        return False

    def _may_turn_at(self, budget: Budget, now: float) -> float:
        """Return the monotonic instant at which each full meter of a budget may have turned at the earliest."""
        window, out = self._window, budget.out
        if not self._clock.doubted:
            return math.inf if budget.day.room(out) <= 0 else window.may_turn_at()
        ends = window.day_ends if budget.day.room(out) <= 0 else window.ends
        return now + ends - self._clock.latest(now)

    def _bounded(self, room: int, now: float) -> int:
        """Return what slow start and the use of others leave of the room of a budget that is known."""
        bound = room
        if self._step < len(_SLOW_START_STEPS):
            # No more start until most are answered: their numbers show what other processes have in flight.
            size = min(_SLOW_START_STEPS[self._step], max(1, room // 4))
            if 4 * self._step_answers >= 3 * size:
                self._step += 1
                self._step_answers = 0
                return self._bounded(room, now)
            overall, bound = self._overall, size - self._step_answers
            # Unless they are slow.
            last_at = max(self.answered_at, overall.out_since)
            most = math.ceil((room - bound) / _SLOW_START_STEPS[-1])
            bound = min(room, bound + _SLOW_START_STEPS[-1] * self._waited(overall, last_at, most, now))
        # Others spend too: half of our share of what is left, as shares were in this window and the one before.
        quarter = self._overall.quarter
        external = self._external_before + quarter.external_usage - quarter.external_before
        if external > 0:
            own = self._own_before + quarter.own
            bound = min(bound, max(1, room * own // (2 * (own + external))))
        return bound
