"""Who waits for a permit, and who is next. Pure: no loop, no clock.

Rules:

- One lane for each priority and class. In a lane, first come, first served; a call that is tried again keeps the place
  of its first attempt.
- The most urgent priority goes first; between its two lanes the older head, unless it must wait for something that the
  other does not need: an upload passes reads that wait for the read budget.
- Every tenth start is that of a call of a lower priority, if one has waited for longer than a window: nobody starves.
- A call with a deadline that cannot be met is refused as soon as that is known.
- Leaving the line costs the same wherever one stands.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

from strava_async.quota.ledger import Ledger
from strava_async.quota.meter import Reservation
from strava_async.quota.values import QUARTER_SECONDS, Priority
from strava_async.quota.wait import Wait

_TURN_OF_THE_STARVED = 10


class Waiter:
    """A call in the line.

    Attributes:
        permit: what it waits for; filled in when it is served.
        reads: whether it spends the read budget too.
        priority: who goes first.
        place: calls count up; smaller is older.
        asked_at: since when it has been waiting; monotonic.
        deadline: the monotonic instant until which it may start; inf for none.
        lane: where it stands; None when it has left.
        refusal: what it would have to wait for, once it is refused.
        wake: tells its task that it is served or refused, or has to keep the time; None while the task runs.
    """

    __slots__ = (
        "asked_at",
        "deadline",
        "lane",
        "newer",
        "older",
        "permit",
        "place",
        "priority",
        "reads",
        "refusal",
        "wake",
    )

    def __init__(
        self, permit: Reservation, reads: bool, priority: Priority, place: int, asked_at: float, deadline: float
    ) -> None:
        self.permit = permit
        self.reads = reads
        self.priority = priority
        self.place = place
        self.asked_at = asked_at
        self.deadline = deadline
        self.lane: Lane | None = None
        self.older: Waiter | None = None
        self.newer: Waiter | None = None
        self.refusal: Wait | None = None
        self.wake: Callable[[], None] | None = None


class Lane:
    """Calls of one priority and class, linked from the oldest to the youngest."""

    __slots__ = ("head", "length", "tail")

    def __init__(self) -> None:
        self.head: Waiter | None = None
        self.tail: Waiter | None = None
        self.length = 0

    def insert(self, waiter: Waiter) -> None:
        """Add a call at its place, which is nearly always the end."""
        older, newer = self.tail, None
        if older is not None and older.place > waiter.place:
            # A second attempt: only other second attempts can be older, so the search from the front is short.
            older, newer = None, self.head
            while newer is not None and newer.place < waiter.place:
                older, newer = newer, newer.newer
        waiter.lane, waiter.older, waiter.newer = self, older, newer
        if older is None:
            self.head = waiter
        else:
            older.newer = waiter
        if newer is None:
            self.tail = waiter
        else:
            newer.older = waiter
        self.length += 1

    def remove(self, waiter: Waiter) -> None:
        """Take a call out."""
        older, newer = waiter.older, waiter.newer
        if older is None:
            self.head = newer
        else:
            older.newer = newer
        if newer is None:
            self.tail = older
        else:
            newer.older = older
        waiter.lane = waiter.older = waiter.newer = None
        self.length -= 1


class Line:
    """All lanes, in front of one ledger.

    Attributes:
        length: how many calls wait.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.length = 0
        self._ledger = ledger
        self._lanes = tuple((Lane(), Lane()) for _ in Priority)  # per priority: uploads, reads
        self._since_starved = 0
        # Those with a deadline, per class, the earliest first; who has left may still be in.
        self._deadlines: tuple[list[tuple[float, int, Waiter]], ...] = ([], [])
        self._entries = itertools.count()

    def enter(self, waiter: Waiter) -> None:
        """Put a call in its place."""
        self._lanes[waiter.priority][waiter.reads].insert(waiter)
        self.length += 1
        if waiter.deadline < math.inf:
            deadlines = self._deadlines[waiter.reads]
            if len(deadlines) > 64 and len(deadlines) > 2 * self.length:
                deadlines[:] = [entry for entry in deadlines if entry[2].lane is not None]
                heapq.heapify(deadlines)
            heapq.heappush(deadlines, (waiter.deadline, next(self._entries), waiter))

    def leave(self, waiter: Waiter) -> None:
        """Take a call out, if it is in."""
        if waiter.lane is not None:
            waiter.lane.remove(waiter)
            self.length -= 1

    def first(self) -> Waiter | None:
        """Return the call that is next by rank."""
        for lanes in self._lanes:
            head = _older(lanes[0].head, lanes[1].head)
            if head is not None:
                return head
        return None

    def waiting(self, reads: bool) -> int:
        """Return how many calls of a class wait."""
        return sum(lanes[reads].length for lanes in self._lanes)

    def next_start(self, now: float) -> Waiter | None:
        """Take out the call that may start now; None if none may. The ledger has caught up."""
        if self.length == 0:
            return None
        chosen = None
        for lanes in self._lanes:
            background = lanes is self._lanes[Priority.BACKGROUND]
            chosen = _older(*(self._admitted(lanes[reads].head, bool(reads), background, now) for reads in (0, 1)))
            if chosen is not None:
                break
        if chosen is None:
            return None
        starved = self._starved(chosen, now)
        if starved is not None:
            self._since_starved += 1
            if self._since_starved >= _TURN_OF_THE_STARVED:
                self._since_starved = 0
                chosen = starved
        self.leave(chosen)
        return chosen

    def _admitted(self, head: Waiter | None, reads: bool, background: bool, now: float) -> Waiter | None:
        return head if head is not None and self._ledger.admits(reads, background, now) else None

    def _starved(self, chosen: Waiter, now: float) -> Waiter | None:
        """Return the call of a lower priority that has waited longest, if longer than a window."""
        starved = None
        for lanes in self._lanes[chosen.priority + 1 :]:
            for reads in (False, True):
                head = lanes[reads].head
                if (
                    head is not None
                    and head.asked_at <= now - QUARTER_SECONDS
                    and self._ledger.admits(reads, False, now)
                ):
                    starved = _older(starved, head)
        return starved

    def next_refusal(self, now: float) -> Waiter | None:
        """Take out a call that cannot start before its deadline, and note why; None if there is none."""
        for deadlines in self._deadlines:
            while deadlines and deadlines[0][2].lane is None:
                heapq.heappop(deadlines)
            if not deadlines:
                continue
            waiter = deadlines[0][2]
            wait = self._wait(waiter.reads, waiter.priority, now, 0, 0)
            if waiter.deadline <= now or (wait is not None and wait.until > waiter.deadline):
                heapq.heappop(deadlines)
                waiter.refusal = wait or self._ledger.waits.for_answer(waiter.reads, now)
                self.leave(waiter)
                return waiter
        return None

    def wait_behind(self, reads: bool, priority: Priority, now: float) -> Wait | None:
        """Return what a new call has to wait for, if all before it are served first; None if for nothing known."""
        uploads_before = reads_before = 0
        for lanes in self._lanes[: priority + 1]:
            uploads_before += lanes[False].length
            reads_before += lanes[True].length
        return self._wait(reads, priority, now, reads_before, uploads_before)

    def _wait(self, reads: bool, priority: Priority, now: float, reads_before: int, uploads_before: int) -> Wait | None:
        wait = self._ledger.waits.for_quota(reads, now, reads_before, uploads_before)
        if wait is None and priority is Priority.BACKGROUND:
            return self._ledger.waits.melting(reads, now, landed=True)
        return wait

    def next_change(self, now: float) -> float:
        """Return the monotonic instant, after ``now``, at which time alone may let a call start or end its wait."""
        at = self._ledger.next_change()
        for deadlines in self._deadlines:
            if deadlines:
                at = min(at, deadlines[0][0])
        for reads in (False, True):
            if self._lanes[Priority.BACKGROUND][reads].head is not None and self._ledger.admits(reads, False, now):
                melting = self._ledger.waits.melting(reads, now)
                if melting is not None:
                    at = min(at, melting.until)
        return at


def _older(one: Waiter | None, other: Waiter | None) -> Waiter | None:
    if one is None or other is None:
        return one or other
    return one if one.place < other.place else other
