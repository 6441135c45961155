"""What processes that share a quota tell each other: a report, and its reply. Pure.

Rules:

- A process reports **all** of its state each time. So a lost reply, a repeated or late call, a store that was emptied
  and a replica that was promoted are healed by the next call.
- Numbers are whole; ``NONE`` stands for one that is not known, so no twin of this needs a null.
- Meters are in the order read quarter, read day, overall quarter, overall day; budgets in the order read, overall.
- Instants end in ``_at`` or ``until``: milliseconds on the clock of the meeting place, which moves with each call and
  never back. So the instant of a grant also says which calls came before it. They serve leases, freshness and that
  order; windows turn by Strava's clock alone.
- A quarter is the number of a window on Strava's clock: epoch seconds // 900.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

NONE = -1
READ, OVERALL = 0, 1
METERS = (READ_QUARTER, READ_DAY, OVERALL_QUARTER, OVERALL_DAY) = (0, 1, 2, 3)
QUARTERS, DAYS = (READ_QUARTER, OVERALL_QUARTER), (READ_DAY, OVERALL_DAY)

Numbers = tuple[int, int, int, int]
"""One for each meter."""

Pair = tuple[int, int]
"""One for each budget."""

UNKNOWN: Numbers = (NONE, NONE, NONE, NONE)


def numbers_of(numbers: Iterable[int | None]) -> Numbers:
    """Return four numbers, with ``NONE`` for those that are not known."""
    read_quarter, read_day, overall_quarter, overall_day = (NONE if each is None else each for each in numbers)
    return read_quarter, read_day, overall_quarter, overall_day


class Spent(NamedTuple):
    """Requests by what they spend.

    Attributes:
        read: of the read budget.
        overall: of the overall budget; a read spends both.
    """

    read: int = 0
    overall: int = 0

    def plus(self, other: tuple[int, ...]) -> Spent:
        """Return the sum."""
        return Spent(self.read + other[READ], self.overall + other[OVERALL])

    def minus(self, other: tuple[int, ...]) -> Spent:
        """Return the difference; nothing below zero."""
        return Spent(max(0, self.read - other[READ]), max(0, self.overall - other[OVERALL]))


NOTHING = Spent()


class Wants(NamedTuple):
    """How many requests wait in a process: reads by priority, and uploads of all priorities."""

    interactive: int = 0
    normal: int = 0
    background: int = 0
    uploads: int = 0

    @property
    def reads(self) -> int:
        """Reads of all priorities."""
        return self.interactive + self.normal + self.background

    @property
    def total(self) -> int:
        """All of them."""
        return self.reads + self.uploads


NO_WANTS = Wants()


class Unconfirmed(NamedTuple):
    """Requests that Strava may have counted, and that no number is known to include.

    Attributes:
        read: how many spend the read budget.
        overall: how many spend the overall budget.
        until: when they have surely arrived: the number of a request that was granted then or later includes them.
            ``NONE`` in a report whose process does not know yet.
        in_window: whether they may be counted in this window; else in this day.
        ms: in a report, how long they may still be under way.
    """

    read: int
    overall: int
    until: int = NONE
    in_window: bool = True
    ms: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a process reports.

    Attributes:
        process: its id; no other process ever has it.
        count: of its calls; rises with each.
        acknowledged: the count of its last call whose reply has come; 0 before.
        seen: the sequence number of that reply.
        alone: whether its calls had failed for as long as a lease since its last acknowledged one: it may have started
            requests without units, as may others.
        quarter: the window that it is in.
        sure: whether that is by Strava's clock, and not by its own.
        ms_left: until the end of the window.
        held: permits out, and units in hand.
        done: what ended in its window, unconfirmed requests included.
        numbers: the highest numbers of answers to its own requests since the last acknowledged call.
        latest: of these the numbers of its youngest request.
        refused: of these the highest that came with a 429 and were no lower than the limit: nobody doubts them.
        number_at: for each budget, the grant of the youngest request of this window that brought a number.
        known: what the last reply, and answers since, told of usage. For books that were lost.
        limits: Strava's, as far as it knows.
        limits_at: the grant of the youngest request that brought them itself.
        assumed: whether the limits are the documented ones, because several answers told none.
        unconfirmed: its unconfirmed requests.
        refused_at: for each budget, the grant of its youngest request with a 429 that nothing explains.
        refused_ms: how long Strava asked to wait then.
        served_at: for each budget, the grant of its youngest request with another answer.
        late_at: the grant of a request of this window that found the count of the window before.
        late_ms: how long nothing is to be sent because of that.
        lateness: by how many milliseconds, at least and at most, Strava's counters turn later than ``Date`` says.
        wants: what waits.
        in_advance: how many more units it can use soon.
        lease_ms: how long its units are good without another call.
        row_ms: how long it is to be remembered.
        reserve: the share of a quarter hour that its background work leaves to the others.
    """

    process: str
    count: int
    acknowledged: int = 0
    seen: int = 0
    alone: bool = False
    quarter: int = 0
    sure: bool = False
    ms_left: int = 0
    held: Spent = NOTHING
    done: Spent = NOTHING
    numbers: Numbers = UNKNOWN
    latest: Numbers = UNKNOWN
    refused: Numbers = UNKNOWN
    number_at: Pair = (NONE, NONE)
    known: Numbers = UNKNOWN
    limits: Numbers = UNKNOWN
    limits_at: int = NONE
    assumed: bool = False
    unconfirmed: tuple[Unconfirmed, ...] = ()
    refused_at: Pair = (NONE, NONE)
    refused_ms: int = 0
    served_at: Pair = (NONE, NONE)
    late_at: int = NONE
    late_ms: int = 0
    lateness: Pair = (0, 0)
    wants: Wants = NO_WANTS
    in_advance: int = 0
    lease_ms: int = 10_000
    row_ms: int = 10_000
    reserve: float = 0.2


@dataclass(frozen=True, slots=True)
class Reply:
    """What a process is told.

    Attributes:
        stale: its call was older than its last one, and changed nothing. All else is to be ignored.
        sequence: of the state.
        at: the instant; that of the grant, if there is one.
        quarter: the window of all.
        sure: whether a process that is sure has named it.
        ms_left: until its end.
        granted: what it may start, on top of what it holds.
        usage: Strava's numbers.
        limits: Strava's limits.
        number_at: as in ``Fleet``: what had arrived before is no longer unconfirmed.
        has_number: whether a number of this window has come, so Strava's counters have turned.
        late_at: when a process told that they turn late; ``NONE`` for never.
        lateness: as told then.
        elsewhere: what other processes hold, and what is unconfirmed of theirs.
        waiting: how many processes wait, this one included.
        processes: how many share the quota: the most that were known at once, in this window or the one before.
        poll_ms: when to ask again, because nothing else shows when there is room; ``NONE`` for not before the turn.
        backs_off: whether that is to become longer each time.
        tell_ms: how soon answers are to be told.
        reserved_ms: how long the reserve alone holds background calls back; 0 if it does not.
        heals: whether books that were lost are being put together.
    """

    stale: bool
    sequence: int
    at: int
    quarter: int
    sure: bool
    ms_left: int
    granted: Spent
    usage: Numbers
    limits: Numbers
    number_at: Pair
    has_number: bool
    late_at: int
    lateness: Pair
    elsewhere: Spent
    waiting: int
    processes: int
    poll_ms: int
    backs_off: bool
    tell_ms: int
    reserved_ms: int
    heals: bool
