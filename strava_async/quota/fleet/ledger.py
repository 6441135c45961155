"""The ledger of a process that shares its quota: Strava's clock and the place of answers, as alone; the rest is told.

Rules:

- What may start is what is in hand (``lease``). Slow start, the use by others, the reserve and numbers in doubt
  are judged where all meet (``sync``); what ``quota`` and ``blocked`` answer is from numbers that each reply brings.
- Away, the rules of one process hold, and at most half of 1/N of the room known is out, for N processes; the last N
  units of a window are left alone; one request at a time where nothing was heard for ten seconds.
- Until this process has Strava's time from an answer of its own, it goes by that of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from strava_async.quota.ceiling import Ceilings
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.fleet.books import FleetCeilings, FleetMeter, is_full
from strava_async.quota.fleet.lease import Lease
from strava_async.quota.fleet.messages import (
    NONE,
    NOTHING,
    OVERALL,
    READ,
    Reply,
    Report,
    Spent,
    Wants,
    numbers_of,
)
from strava_async.quota.fleet.notes import AnswerNotes
from strava_async.quota.fleet.told import Told
from strava_async.quota.fleet.unconfirmed import UnconfirmedRequests
from strava_async.quota.ledger import Ledger
from strava_async.quota.values import QUARTER_SECONDS, Blocked, Priority, QuotaClass

_ROW_SPARE_SECONDS = 5.0
_AHEAD_SECONDS, _MOST_AHEAD_SECONDS = 0.7, 30.0  # between two calls of a process whose window the others are not in yet
_AHEAD_PART = 10  # of what is left of theirs


class FleetLedger(Ledger):
    """What one of many processes knows of the quota that they share.

    Args:
        process: its id, which no other process ever has.
        now: monotonic.
        wall: what the machine believes Unix time to be.
        random: numbers in [0, 1), for the jitter.
        reserve: the share of a quarter hour that background work leaves to the others.
        lease_seconds: how long units are good without another call.
        away: what holds when the meeting place does not answer: ``share`` or ``wait``.

    Attributes:
        lease: the units in hand.
        process: the id passed in; it may be replaced before the first call.
    """

    _meter = FleetMeter

    def __init__(
        self,
        process: str,
        now: float,
        wall: float,
        *,
        random: Callable[[], float],
        reserve: float,
        lease_seconds: float = 10.0,
        away: str = "share",
    ) -> None:
        self.lease = Lease(lease_seconds, random)
        self.process = process
        self._share = reserve
        self._away = away
        self._grant_at: dict[int, int] = {}  # by permit out: the instant of the reply that it began after
        self._late_seen = NONE
        self._told = Told()
        super().__init__(now, wall, random=random, reserve=reserve)
        meters = (self.read.quarter, self.read.day, self.overall.quarter, self.overall.day)
        self._notes = AnswerNotes(self.read, self.overall)
        self._unconfirmed = UnconfirmedRequests(self.read, self.overall)
        self._meters = cast("tuple[FleetMeter, ...]", meters)

    def _make_ceilings(self, now: float) -> Ceilings:
        return FleetCeilings(self.lease, self._away, self.read, self.overall, self.clock, self.window, self.turn, now)

    # -- permits ------------------------------------------------------------------------------------------------------

    def admits(self, quota_class: QuotaClass, priority: Priority, now: float) -> bool:
        """Return whether a permit may be given now, in the window that ``roll_windows`` found."""
        overall, read = self.overall, self.read
        if overall.out >= overall.ceiling or (quota_class is QuotaClass.READ and read.out >= read.ceiling):
            return False
        # What is in hand was granted with the reserve in mind.
        return now < self.lease.away_at or super().admits(quota_class, priority, now)

    def book(self, quota_class: QuotaClass, priority: Priority, now: float) -> LedgerEntry:
        """Count a permit as out, and return what stands of it in the ledger."""
        entry = super().book(quota_class, priority, now)
        self._grant_at[entry.number] = self.lease.at
        self.lease.start(entry.reads, now)
        return entry

    def release(self, entry: LedgerEntry, now: float) -> None:
        """End a permit whose request never left this machine."""
        self._grant_at.pop(entry.number, None)
        self.lease.put_back(entry.reads, now)
        super().release(entry, now)

    def abandon(self, entry: LedgerEntry, now: float) -> None:
        """End a permit whose request was sent, with unknown outcome; it may yet arrive."""
        self._grant_at.pop(entry.number, None)
        self.lease.note_news(now)
        super().abandon(entry, now)

    def abandon_all(self, now: float) -> None:
        """End every permit that is out: nobody will."""
        self._grant_at.clear()
        self.lease.note_news(now)
        super().abandon_all(now)

    def settle(self, entry: LedgerEntry, status_code: int, headers: Mapping[str, str], now: float) -> None:
        """End a permit with its answer."""
        at = self._grant_at.pop(entry.number, NONE)
        free = self.lease.free
        super().settle(entry, status_code, headers, now)
        if status_code == 429:
            for meter in self._meters:
                meter.note_refusal(entry)
        if free[OVERALL] and (is_full(self.overall) or is_full(self.read)):
            # Others have spent what is in hand.
            self.lease.drop(reads_alone=not is_full(self.overall))
            self._ceilings.recompute(now)
        if self._notes.note(entry, at, status_code, now):
            self.lease.drop()
            self._ceilings.recompute(now)
        self.lease.note_news(now)

    # -- windows ------------------------------------------------------------------------------------------------------

    def _turn(self, quarter: int, now: float) -> None:
        self.lease.note_turn(now)
        self._notes.turn()
        super()._turn(quarter, now)

    # -- queries ------------------------------------------------------------------------------------------------------

    def reserve_wait(self, quota_class: QuotaClass, now: float, *, after_answers: bool = False) -> Blocked | None:
        """Return how long the reserve keeps a background call from starting, as last told; None if it does not."""
        lease = self.lease
        if lease.is_away(now):
            return super().reserve_wait(quota_class, now, after_answers=after_answers)
        if lease.free[OVERALL] or now >= lease.reserved_until:
            return None
        resume_at = self.clock.earliest(lease.reserved_until)
        return Blocked(self.overall.quarter.name, resume_at, until=lease.reserved_until)

    # -- calls --------------------------------------------------------------------------------------------------------

    def due(self, wants: Wants, now: float) -> float:
        """Return the monotonic instant at which the next call is due; inf for none as long as nothing happens."""
        due = self.lease.due(wants, self.overall.out, now)
        return min(due, max(now, self.window.turns_at)) if wants.total else due

    def report(self, wants: Wants, now: float, *, leaves: bool = False) -> Report:
        """Begin a call, and return what it tells.

        Args:
            wants: what waits.
            now: monotonic.
            leaves: whether it is the last one.
        """
        lease, read, overall = self.lease, self.read, self.overall
        in_advance = lease.begin_call(wants, now)
        if leaves:
            lease.drop()
            in_advance = 0
        self._ceilings.recompute(now)
        meters = self._meters
        limits = numbers_of(meter.limit for meter in meters)
        unconfirmed, telling = self._unconfirmed.tell(now)
        self._told = Told(
            quarter=self.window.quarter,
            wants=wants,
            numbers=tuple((meter.told, meter.latest_number) for meter in meters),
            limits=limits,
            limits_at=self._notes.limits_at,
            unconfirmed=telling,
        )
        seconds_left = max(0.0, self.window.ends - self.clock.earliest(now))
        row_seconds = self.window.turns_at - now + _ROW_SPARE_SECONDS if wants.total else 0.0
        clock, notes = self.clock, self._notes
        return Report(
            process=self.process,
            count=lease.count,
            acknowledged=lease.acknowledged,
            seen=lease.seen,
            alone=lease.alone,
            quarter=self.window.quarter,
            sure=clock.synchronized and not clock.doubted and not clock.contested,
            ms_left=int(seconds_left * 1_000),
            held=Spent(read.out + lease.free[READ], overall.out + lease.free[OVERALL]),
            done=Spent(read.quarter.own - read.out, overall.quarter.own - overall.out),
            numbers=numbers_of(meter.told for meter in meters),
            latest=numbers_of(meter.latest for meter in meters),
            refused=numbers_of(meter.refused for meter in meters),
            number_at=notes.numbers(),
            known=numbers_of(meter.usage for meter in meters),
            limits=limits,
            limits_at=self._notes.limits_at,
            assumed=self._notes.limits_at == NONE and overall.known and lease.at > 0 and self._assumes(),
            unconfirmed=unconfirmed,
            refused_at=notes.refused(),
            refused_ms=int(notes.refused_seconds * 1_000),
            served_at=notes.served(),
            late_at=notes.late_at,
            late_ms=int(notes.late_seconds * 1_000),
            lateness=(int(self.turn.early * 1_000), int(self.turn.late * 1_000)),
            wants=wants,
            in_advance=in_advance,
            lease_ms=0 if leaves else int(lease.seconds * 1_000),
            row_ms=0 if leaves else int(max(0.0, row_seconds) * 1_000),
            reserve=self._share,
        )

    def _assumes(self) -> bool:
        """Say whether the limits are the documented ones, which nobody has told."""
        return all(meter.limit in (None, meter.default_limit) for meter in self._meters)

    def take(self, reply: Reply, now: float) -> None:
        """Take in the reply to the last report."""
        if reply.stale:
            self.fail(now)
            return
        told = self._told
        self._unconfirmed.were_told(told.unconfirmed, reply.at)
        self._follow(reply, now)
        in_window = reply.quarter == self.window.quarter
        if in_window:
            self._adopt(reply, told)
        self.lease.take(reply, reply.granted if in_window else NOTHING, told.wants, now)
        if not in_window:
            # The window has turned here: if the others do not know that yet, they do with the next call.
            wait = min(_MOST_AHEAD_SECONDS, max(_AHEAD_SECONDS, reply.ms_left / 1_000 / _AHEAD_PART))
            self.lease.note_turn(now if told.quarter != self.window.quarter else now + wait)
        self._ceilings.recompute(now)

    def fail(self, now: float) -> None:
        """Take in that the last report has had no reply."""
        self.lease.fail(now)
        self._ceilings.recompute(now)

    def _follow(self, reply: Reply, now: float) -> None:
        """Be in the window of all; go by their time as long as there is no better."""
        quarter = self.window.quarter
        if reply.sure and not self.clock.synchronized:
            low = (reply.quarter + 1) * QUARTER_SECONDS - reply.ms_left / 1_000 - now
            self.clock.suppose(now, low, low + 1.0)
            if reply.quarter <= quarter:
                self._enter_window(reply.quarter, now)
        if reply.quarter > quarter:
            self._turn(reply.quarter, now)
        if reply.late_at > self._late_seen:
            self._late_seen = reply.late_at
            self.turn.early, self.turn.late = reply.lateness[0] / 1_000, reply.lateness[1] / 1_000
            self.clock.set_lateness(self.turn.early, self.turn.late)
            self.window.set_turn(now)
        if reply.has_number and reply.quarter == self.window.quarter:
            self.turn.saw_new(self._number)

    def _adopt(self, reply: Reply, told: Told) -> None:
        """Take over numbers and limits, unless answers since the report know better."""
        told.adopt_usage(self._meters, reply, self._unconfirmed.until)
        meters = self._meters
        if self._notes.limits_at == told.limits_at and numbers_of(meter.limit for meter in meters) == told.limits:
            for budget, (quarter, day) in ((self.read, reply.limits[:2]), (self.overall, reply.limits[2:])):
                if NONE not in (quarter, day):
                    budget.set_limits(quarter, day, True)
