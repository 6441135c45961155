"""What is known, where processes that share a quota meet: the quota, and a row for each of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

from strava_async.quota.fleet.messages import (
    DAYS,
    NO_WANTS,
    NONE,
    NOTHING,
    OVERALL,
    READ,
    UNKNOWN,
    Numbers,
    Pair,
    Spent,
    Unconfirmed,
    Wants,
)


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a process. It does not change: another takes its place.

    Attributes:
        count: of its last call.
        at: when that was.
        asks_at: when it was told to ask again; it is not counted among those who wait much longer than that.
        wanted_at: when it last had requests that wait.
        lease_until: from then on what it holds may have been sent by nobody knows whom.
        known_until: when it is forgotten.
        held: as in ``Report``, and what was granted since.
        done: as in ``Report``.
        wants: as in ``Report``, without what was granted since.
        unconfirmed: as in ``Report``.
        ahead: what it had more than others in the window before: a few, which it has less in this one.
        slot: a small number that no other process has, from 1 on; of those who have had as much, the first come first.
    """

    count: int
    at: int
    asks_at: int
    wanted_at: int
    lease_until: int
    known_until: int
    held: Spent = NOTHING
    done: Spent = NOTHING
    wants: Wants = NO_WANTS
    unconfirmed: tuple[Unconfirmed, ...] = ()
    ahead: int = 0
    slot: int = 1


NOBODY = ""
"""No process: what was lost of many, as one."""


class Lost(NamedTuple):
    """Requests of a process that was lost: they are unconfirmed until it is back, or a number includes them."""

    process: str
    requests: Unconfirmed


class Doubt(NamedTuple):
    """A number that nothing but the answers of one report explains.

    Attributes:
        usage: what would be known without it; ``NONE`` if it was the first.
        at: when it was told; the number of a request that was granted then or later confirms or refutes it.
        process: who told it; another process that tells more confirms it.
    """

    usage: int
    at: int
    process: str


@dataclass(slots=True)
class Fleet:
    """What is known of the quota, and of all who share it. ``sync`` changes none that it is given, but a copy.

    Attributes:
        sequence: of this state; rises with each call.
        wall: the reading of the meeting place's clock at the last call.
        at: the instant of the last call.
        quarter: the window; 0 at the very beginning.
        sure: whether a process that is sure has named it.
        turned_at: when it began here.
        ends_at: when it ends, as far as is known.
        heals_until: until then nothing is granted.
        usage: the highest numbers of this window and day.
        limits: those of the youngest request.
        limits_at: its grant.
        limits_confirmed: whether a second request had the same.
        number_at: for each budget, the grant of the youngest request with a number in this window.
        doubts: the numbers in doubt, by meter.
        lost: requests of processes that were lost.
        gone: what processes ended in this window that are forgotten.
        others: requests of others in this window that the numbers prove; ``NONE`` until the first number.
        others_at_first: those that were there before.
        others_before: those of the window before.
        own_before: ours in the window before.
        was_full: whether the window before had no room when it ended.
        first_at: since when the first request of a window, or of all, has been out; ``NONE`` where none is.
        has_number: whether a number of this window has come.
        answered_at: when the last number came, or a step of slow start began.
        step: of slow start.
        answered: what had ended when it began.
        cooldown_until: for each budget, until when nothing is sent after a 429 that nothing explains.
        refused_at: for each budget, the instant at which that was told; ``NONE`` once a younger request was served.
        judged_at: for each budget, the instant at which the last was told; what was granted before is of the same.
        served_at: for each budget, the grant of the youngest request that was served.
        refusals: for each budget, how many such 429s there were in a row.
        late_until: nothing is sent until then, because Strava's counter has not turned.
        late_at: the instant at which that was told.
        lateness: as told then.
        probed_at: when a request last asked whether a meter is as full as it seems.
        interactive: interactive requests granted in this window.
        interactive_before: those in the window before.
        most: the most processes that were known at the same time in this window.
        most_before: the most in the one before.
        rows: the processes by id.
    """

    sequence: int = 0
    wall: int = 0
    at: int = 0
    quarter: int = 0
    sure: bool = False
    turned_at: int = 0
    ends_at: int = 0
    heals_until: int = 0
    usage: Numbers = UNKNOWN
    limits: Numbers = UNKNOWN
    limits_at: int = NONE
    limits_confirmed: bool = False
    number_at: Pair = (NONE, NONE)
    doubts: dict[int, Doubt] = field(default_factory=dict[int, Doubt])
    lost: tuple[Lost, ...] = ()
    gone: Spent = NOTHING
    others: int = NONE
    others_at_first: int = 0
    others_before: int = 0
    own_before: int = 0
    was_full: bool = False
    first_at: int = NONE
    has_number: bool = False
    answered_at: int = 0
    step: int = 0
    answered: int = 0
    cooldown_until: Pair = (0, 0)
    refused_at: Pair = (NONE, NONE)
    judged_at: Pair = (NONE, NONE)
    served_at: Pair = (NONE, NONE)
    refusals: Pair = (0, 0)
    late_until: int = 0
    late_at: int = NONE
    lateness: Pair = (0, 0)
    probed_at: int = NONE
    interactive: int = 0
    interactive_before: int = 0
    most: int = 0
    most_before: int = 0
    rows: dict[str, Row] = field(default_factory=dict[str, Row])

    def copy(self) -> Fleet:
        """Return another with the same in it."""
        return replace(self, doubts=dict(self.doubts), rows=dict(self.rows))

    def is_known(self, budget: int) -> bool:
        """Return whether usage and limits of a budget are."""
        return NONE not in (*self.usage[2 * budget : 2 * budget + 2], *self.limits[2 * budget : 2 * budget + 2])

    def free_slot(self) -> int:
        """Return the smallest slot that no process has."""
        taken = {row.slot for row in self.rows.values()}
        return next(slot for slot in count(1) if slot not in taken)

    def held(self) -> Spent:
        """Return what all processes hold."""
        read = overall = 0
        for row in self.rows.values():
            read += row.held[READ]
            overall += row.held[OVERALL]
        return Spent(read, overall)

    def ended(self) -> Spent:
        """Return what all processes have ended in this window."""
        read, overall = self.gone
        for row in self.rows.values():
            read += row.done[READ]
            overall += row.done[OVERALL]
        return Spent(read, overall)

    def own(self) -> Spent:
        """Return the requests of all processes that Strava may have counted in this window, or will count."""
        own = self.ended().plus(self.held())
        for _, requests in self.lost:
            if requests.in_window:
                own = own.plus(requests)
        return own

    def unconfirmed(self, *, in_window: bool) -> Spent:
        """Return what may have been counted in this window, or else in this day, and is in no number."""
        read = overall = 0
        for requests in self._all_unconfirmed():
            if requests.in_window or not in_window:
                read += requests.read if requests.until > self.number_at[READ] else 0
                overall += requests.overall if requests.until > self.number_at[OVERALL] else 0
        return Spent(read, overall)

    def _all_unconfirmed(self) -> list[Unconfirmed]:
        found = [requests for _, requests in self.lost]
        for row in self.rows.values():
            found += row.unconfirmed
        return found

    def is_unconfirmed(self, requests: Unconfirmed) -> bool:
        """Return whether a number does not yet include some of them."""
        return bool(
            (requests.read and requests.until > self.number_at[READ])
            or (requests.overall and requests.until > self.number_at[OVERALL])
        )

    def room(self, meter: int, held: Spent, in_window: Spent, in_day: Spent) -> int:
        """Return how many more requests a meter that is known surely has room for."""
        budget = meter // 2
        unconfirmed = in_day if meter in DAYS else in_window
        return self.limits[meter] - self.usage[meter] - held[budget] - unconfirmed[budget]
