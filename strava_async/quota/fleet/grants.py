"""One quota for many processes: what a process may start, from all that is known. Pure; ``sync`` calls it.

Rules:

- Room is ``limit - usage - held - unconfirmed``, the least of the meters that a request spends.
- While limits or usage are unknown, one request is out in the whole fleet, and ten after a second without an answer.
  Then slow start, as in one process: one, ten, all, each when most of the step before are answered. After a full window
  one request goes first, and the others wait for its number, a second at most.
- Where others spend the quota too, half of our share of what is left is out at the most.
- A probe is one request that goes although there is no room, while nothing is out: where only unconfirmed requests are
  in the way, and all of ours are fewer than the limit; or where a meter may have room in truth (``probes``).
- Interactive requests get what there is. Normal ones get it up to a level that is fair to all who wait: as high as the
  room lets all be filled, counting what each had in this window. Background work leaves the reserve, goes behind normal
  requests that wait elsewhere, and is as fair.
- While there is plenty, a process gets some in advance.
"""

from __future__ import annotations

from dataclasses import replace

from strava_async.quota.fleet.line import Line
from strava_async.quota.fleet.messages import (
    METERS,
    NONE,
    NOTHING,
    OVERALL,
    OVERALL_DAY,
    OVERALL_QUARTER,
    READ,
    READ_DAY,
    READ_QUARTER,
    Reply,
    Report,
    Spent,
)
from strava_async.quota.fleet.probes import doubted_until, full_meters
from strava_async.quota.fleet.shares import above_reserve, remaining
from strava_async.quota.fleet.state import Fleet

PATIENCE_MS = 1_000
STEPS = (1, 10)
IN_ADVANCE = 32
PLENTY = 4  # times what all who wait may get in advance has to be left
SOON_MS, POLL_MS, HELD_MS, MELT_MS = 200, 400, 700, 60_000
TELL_MS, TELL_ALONE_MS = 250, 3_000

_UNBOUNDED = 1 << 30


class Grants:
    """Books what a process may start into a state, and answers it.

    Args:
        fleet: the state, with the report taken in; what is granted is put into it.
        report: what the process reported.
    """

    def __init__(self, fleet: Fleet, report: Report) -> None:
        self._fleet = fleet
        self._report = report
        self._row = fleet.rows[report.process]
        self._held = fleet.held()
        self._in_window = fleet.unconfirmed(in_window=True)
        self._in_day = fleet.unconfirmed(in_window=False)
        self._is_bounded = False
        rooms = [self._room(READ), self._room(OVERALL)]
        self._uploads, self._reads = rooms[OVERALL], min(rooms)
        self._bound = self._bound_of_all()
        self._line = Line(fleet, report.process)
        self._reserved_ms = 0

    def reply(self) -> Reply:
        """Grant what may be granted, and return the answer."""
        fleet, report, wants = self._fleet, self._report, self._report.wants
        granted = NOTHING
        # A process that is ahead of the others would not use what is of their window.
        if fleet.at >= fleet.heals_until and report.quarter <= fleet.quarter:
            granted = self._probe() or self._grant()
        if granted.overall and fleet.first_at == NONE:
            fleet.first_at = fleet.at
        # A probe's answer is waited for as well.
        unmet = max(0, wants.total - granted.overall)
        poll_ms, backs_off = self._poll(granted, unmet)
        fleet.rows[report.process] = replace(
            self._row,
            held=self._row.held.plus(granted),
            wants=remaining(wants, granted),
            asks_at=fleet.at + max(0, poll_ms),
        )
        return Reply(
            stale=False,
            sequence=fleet.sequence,
            at=fleet.at,
            quarter=fleet.quarter,
            sure=fleet.sure,
            ms_left=max(0, fleet.ends_at - fleet.at),
            granted=granted,
            usage=fleet.usage,
            limits=fleet.limits,
            number_at=fleet.number_at,
            has_number=fleet.has_number,
            late_at=fleet.late_at,
            lateness=fleet.lateness,
            elsewhere=self._elsewhere(),
            waiting=len(self._line.rows) + (unmet > 0),
            processes=max(fleet.most, fleet.most_before),
            poll_ms=poll_ms,
            backs_off=backs_off,
            tell_ms=self._tell_ms(),
            reserved_ms=self._reserved_ms,
            heals=fleet.at < fleet.heals_until,
        )

    # -- room ---------------------------------------------------------------------------------------------------------

    def _room(self, budget: int) -> int:
        """Return how many more requests may spend a budget, the other one apart."""
        fleet, held = self._fleet, self._held[budget]
        if not fleet.is_known(budget):
            self._is_bounded = True
            waited = fleet.first_at != NONE and fleet.at - fleet.first_at >= PATIENCE_MS
            room = (STEPS[-1] if waited else 1) - held
        else:
            room = min(self._meter_room(2 * budget), self._meter_room(2 * budget + 1))
        if fleet.at < max(fleet.cooldown_until[budget], fleet.late_until):
            return min(0, room)
        # After a 429 that nothing explains, one at a time until one is served.
        if fleet.refused_at[budget] != NONE:
            self._is_bounded = True
            return min(room, 1 - held)
        return room

    def _meter_room(self, meter: int) -> int:
        return self._fleet.room(meter, self._held, self._in_window, self._in_day)

    def _not_before(self, reads: bool) -> int:
        """Return until when no read, or no upload, goes."""
        fleet = self._fleet
        return max(fleet.late_until, fleet.cooldown_until[OVERALL], fleet.cooldown_until[READ] if reads else 0)

    def _bound_of_all(self) -> int:
        """Return how many more may be out, whatever room there is."""
        fleet = self._fleet
        if not fleet.is_known(OVERALL):
            return _UNBOUNDED
        held, bound = self._held.overall, _UNBOUNDED
        own, ended = fleet.own().overall, fleet.ended().overall
        room = max(0, self._uploads) + held
        while fleet.step < len(STEPS):
            size, landed = min(STEPS[fleet.step], max(1, room // 4)), max(0, ended - fleet.answered)
            # Where Strava tells no numbers, there is nothing to wait for.
            if 4 * landed >= 3 * size and (fleet.has_number or fleet.limits_at == NONE):
                fleet.step, fleet.answered, fleet.answered_at = fleet.step + 1, ended, fleet.at
                continue
            # Nobody follows until most are answered, unless they are slow.
            slow = max(0, fleet.at - max(fleet.answered_at, fleet.first_at)) // PATIENCE_MS if held else 0
            bound = max(0, size - landed) + STEPS[-1] * slow - held
            bound = bound if held else max(1, bound)
            self._is_bounded = True
            break
        if fleet.was_full and not fleet.has_number:
            # Where no process is sure of the window, the number itself tells; unless there are none.
            told = fleet.sure or fleet.limits_at == NONE
            waited = told and fleet.first_at != NONE and fleet.at - fleet.first_at >= PATIENCE_MS
            if not waited:
                self._is_bounded = True
                bound = min(bound, 1 if fleet.first_at == NONE or not held else 0)
        others = max(0, fleet.others - fleet.others_at_first) + fleet.others_before
        if others:
            ours = own + fleet.own_before
            bound = min(bound, max(1, room * ours // (2 * (ours + others))) - held)
        return bound

    def _probe(self) -> Spent | None:
        """Return one request of those that wait, which asks whether there is room; None if none may."""
        wants = self._report.wants
        for reads, count in ((True, wants.reads), (False, wants.uploads)):
            if count and self._may_probe(reads):
                self._fleet.probed_at = self._fleet.at
                return Spent(int(reads), 1)
        return None

    def _may_probe(self, reads: bool) -> bool:
        fleet = self._fleet
        budgets = (READ, OVERALL) if reads else (OVERALL,)
        # Permits that were carried over a turn are no requests of this window, but they are out all the same.
        if self._held.overall or not all(map(fleet.is_known, budgets)):
            return False
        if (self._reads if reads else self._uploads) > 0 or fleet.at < self._not_before(reads):
            return False
        full = full_meters(fleet, reads)
        if full:
            return NONE < doubted_until(fleet, full) <= fleet.at
        own, others = fleet.own(), max(0, fleet.others)
        quarters, days = (READ_QUARTER, OVERALL_QUARTER), (READ_DAY, OVERALL_DAY)
        fits = all(own[budget] + others < fleet.limits[quarters[budget]] for budget in budgets)
        # What is unconfirmed of the day alone was asked about once in this window, if at all.
        of_day = any(self._meter_room(days[budget]) <= 0 for budget in budgets)
        return fits and not (of_day and fleet.probed_at >= fleet.turned_at)

    # -- grants -------------------------------------------------------------------------------------------------------

    def _grant(self) -> Spent:
        fleet, report, wants = self._fleet, self._report, self._report.wants
        free = max(0, min(self._reads, self._bound))
        most = max(0, min(self._uploads if wants.uploads else self._reads, self._bound))
        fair, fair_to_all = self._line.fair_part(most), self._line.fair_part(most, of_background=True)
        if self._is_bounded:
            fair, fair_to_all = max(1, fair), max(1, fair_to_all)
        interactive = min(wants.interactive, free)
        fleet.interactive += interactive
        reads = interactive + min(wants.normal, free - interactive, max(0, fair - interactive))
        if wants.background and fleet.is_known(READ):
            ahead = sum(row.wants.interactive + row.wants.normal for row in self._line.rows)
            above = self._above_reserve(reads) - ahead
            reads += max(0, min(wants.background, free - reads, above, fair_to_all - reads))
        elif wants.background:
            reads += max(0, min(wants.background, free - reads))
        uploads = max(0, min(wants.uploads, self._uploads - reads, self._bound - reads, max(0, fair - reads)))
        if reads + uploads == wants.total and not self._is_bounded and report.in_advance > 0:
            plenty = (self._above_reserve(reads) - uploads) // (PLENTY * (1 + len(self._line.rows)))
            reads += max(0, min(report.in_advance, IN_ADVANCE, plenty, self._bound - reads - uploads))
        return Spent(reads, reads + uploads)

    def _above_reserve(self, granted: int) -> int:
        """Return how many more requests leave the reserve, and note until when it holds the next one back."""
        free = [self._meter_room(meter) - granted for meter in METERS]
        above, self._reserved_ms = above_reserve(self._fleet, self._report, free, 1 + len(self._line.rows))
        return above

    # -- when to ask again --------------------------------------------------------------------------------------------

    def _poll(self, granted: Spent, unmet: int) -> tuple[int, bool]:
        """Return when the process is to ask again, and whether that is to become longer each time."""
        fleet, report = self._fleet, self._report
        if not unmet:
            return NONE, False
        if fleet.at < fleet.heals_until:
            return fleet.heals_until - fleet.at + 1, False
        if report.quarter > fleet.quarter:
            return max(POLL_MS, fleet.ends_at - fleet.at), False
        reads = report.wants.uploads == 0
        not_before = self._not_before(reads)
        if fleet.at < not_before:
            return not_before - fleet.at + 1, False
        held, full = self._held.overall + granted.overall, full_meters(fleet, reads)
        if full and not held:
            until = doubted_until(fleet, full)
            return NONE if until == NONE else max(HELD_MS, until - fleet.at), False
        if self._is_bounded:
            return SOON_MS, held == 0
        room = min(self._reads - granted.read, self._uploads - granted.overall) if reads else self._uploads
        if room > 0:
            only_background = report.wants.total == report.wants.background
            if only_background and self._above_reserve(granted.read) <= 0:
                return min(MELT_MS, max(SOON_MS, self._reserved_ms)), False
            return POLL_MS, False
        elsewhere = held - self._row.held.overall - granted.overall
        if not elsewhere or (full and not fleet.doubts):
            return NONE, False
        # Room may come at any time, and often does not for long: the first in line asks often, and the last seldom.
        # What those hold who want nothing may be in hand, and is given back soon: that is for as many of the line.
        ahead = max(0, self._line.ahead() - self._line.unused())
        return HELD_MS * (1 + ahead), self._in_day.overall > 0

    def _tell_ms(self) -> int:
        fleet = self._fleet
        if self._is_bounded or fleet.at < fleet.heals_until or fleet.doubts:
            return 0
        return TELL_MS if self._line.rows or self._in_day.overall else TELL_ALONE_MS

    def _elsewhere(self) -> Spent:
        """Return what others hold, and what is unconfirmed of theirs."""
        mine = self._report.held
        for each in self._row.unconfirmed:
            mine = mine.plus(each) if self._fleet.is_unconfirmed(each) else mine
        return self._held.plus(self._in_day).minus(mine)
