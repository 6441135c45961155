"""The calls that wait for a permit, and which is next. Pure: no event loop, no clock.

Rules:

- One lane for each priority and class. In a lane, first come, first served; a call that is tried again keeps the
  ticket of its first attempt.
- The most urgent priority goes first; between its two lanes the older head, unless it must wait for something that the
  other does not need: an upload overtakes reads that wait for the read budget.
- Every tenth start is that of a call of a lower priority, if one has waited for longer than a window: none starves.
- A call with a deadline that cannot be met is refused as soon as that is known.
- Leaving the queue takes the same time at any place in it.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

from strava_async.errors import QuotaExceededError
from strava_async.limiter.ledger import QuotaLedger
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.values import QUARTER_SECONDS, Blocked, Priority, QuotaClass

_STARVED_EVERY = 10  # starts

# An enum's members are looked up slowly, and these are for each call.
_READ, _UPLOAD = QuotaClass.READ, QuotaClass.UPLOAD
_NORMAL, _BACKGROUND = Priority.NORMAL, Priority.BACKGROUND


class Waiter:
    """A call in the queue.

    Attributes:
        quota_class: what it spends.
        priority: of the call.
        ticket: calls count up; smaller is older.
        asked_at: since when it has been waiting; monotonic.
        deadline: the monotonic instant until which it may start; inf for none.
        lane: the lane that it is in; None when it has left.
        outcome: its permit in the ledger, once it is served; what it would have to wait for, once it is refused; what
            its task is to raise, once the limiter is closed.
        wake: wakes its task, which has an outcome or becomes the owner of the timer; None while the task runs.
    """

    __slots__ = (
        "asked_at",
        "deadline",
        "lane",
        "newer",
        "older",
        "outcome",
        "priority",
        "quota_class",
        "ticket",
        "wake",
    )

    def __init__(
        self, quota_class: QuotaClass, priority: Priority, ticket: int, asked_at: float, deadline: float
    ) -> None:
        self.quota_class = quota_class
        self.priority = priority
        self.ticket = ticket
        self.asked_at = asked_at
        self.deadline = deadline
        self.lane: Lane | None = None
        self.older: Waiter | None = None
        self.newer: Waiter | None = None
        self.outcome: LedgerEntry | Blocked | Exception | None = None
        self.wake: Callable[[], None] | None = None

    def refusal(self, blocked: Blocked, now: float) -> QuotaExceededError:
        """Return the error of a call that would have to wait for too long."""
        return QuotaExceededError(
            quota_class=self.quota_class,
            window=blocked.window,
            resume_at=blocked.resume_at,
            wait_seconds=max(0.0, blocked.until - now),
            awaits=blocked.awaits,
        )


class Lane:
    """Calls of one priority and class, linked from the oldest to the youngest."""

    __slots__ = ("head", "length", "tail")

    def __init__(self) -> None:
        self.head: Waiter | None = None
        self.tail: Waiter | None = None
        self.length = 0

    def insert(self, waiter: Waiter) -> None:
        """Add a call at the place of its ticket, which is nearly always the end."""
        older, newer = self.tail, None
        if older is not None and older.ticket > waiter.ticket:
            # A second attempt: only other second attempts can be older, so the search from the front is short.
            older, newer = None, self.head
            while newer is not None and newer.ticket < waiter.ticket:
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


class WaitQueue:
    """All lanes, in front of one ledger.

    Attributes:
        length: how many calls wait.
    """

    def __init__(self, ledger: QuotaLedger) -> None:
        self.length = 0
        self._ledger = ledger
        self._lanes = tuple({_UPLOAD: Lane(), _READ: Lane()} for _ in Priority)
        self._since_starved = 0
        # Calls with a deadline, the earliest first; some that have left the queue are still here.
        self._deadlines: dict[QuotaClass, list[tuple[float, int, Waiter]]] = {_UPLOAD: [], _READ: []}
        self._entered = itertools.count()

    def enter(self, waiter: Waiter) -> None:
        """Add a call at the place of its ticket."""
        self._lanes[waiter.priority][waiter.quota_class].insert(waiter)
        self.length += 1
        if waiter.deadline < math.inf:
            deadlines = self._deadlines[waiter.quota_class]
            # Calls that have left are removed before they outnumber those that wait.
            if len(deadlines) > 64 and len(deadlines) > 2 * self.length:
                deadlines[:] = [entry for entry in deadlines if entry[2].lane is not None]
                heapq.heapify(deadlines)
            heapq.heappush(deadlines, (waiter.deadline, next(self._entered), waiter))

    def leave(self, waiter: Waiter) -> None:
        """Take a call out, if it is in."""
        if waiter.lane is not None:
            waiter.lane.remove(waiter)
            self.length -= 1

    def first(self) -> Waiter | None:
        """Return the call that is next by rank."""
        for lanes in self._lanes:
            head = _older(lanes[_UPLOAD].head, lanes[_READ].head)
            if head is not None:
                return head
        return None

    def leave_all(self) -> list[Waiter]:
        """Take all calls out, and return them."""
        left: list[Waiter] = []
        while (waiter := self.first()) is not None:
            self.leave(waiter)
            left.append(waiter)
        return left

    def waiting(self, quota_class: QuotaClass) -> int:
        """Return how many calls of a class wait."""
        return sum(lanes[quota_class].length for lanes in self._lanes)

    def lengths(self) -> tuple[int, int, int, int]:
        """Return how many reads of each priority wait, the most urgent first, and how many uploads."""
        interactive, normal, background = (lanes[_READ].length for lanes in self._lanes)
        return interactive, normal, background, self.waiting(_UPLOAD)

    def next_start(self, now: float) -> Waiter | None:
        """Take out the call that may start now, to be booked; None if none may. The ledger has rolled its windows."""
        if self.length == 0:
            return None
        chosen = None
        for lanes in self._lanes:
            chosen = _older(self._admitted(lanes[_UPLOAD].head, now), self._admitted(lanes[_READ].head, now))
            if chosen is not None:
                break
        if chosen is None:
            return None
        # Now and then the call that has waited longest goes first, however many of a higher priority come.
        starved = self._starved(chosen, now)
        if starved is not None:
            self._since_starved += 1
            if self._since_starved >= _STARVED_EVERY:
                self._since_starved = 0
                chosen = starved
        self.leave(chosen)
        return chosen

    def _admitted(self, head: Waiter | None, now: float) -> Waiter | None:
        return head if head is not None and self._ledger.admits(head.quota_class, head.priority, now) else None

    def _starved(self, chosen: Waiter, now: float) -> Waiter | None:
        """Return the call of a lower priority that has waited longest, if longer than a window."""
        starved = None
        for lanes in self._lanes[chosen.priority + 1 :]:
            for lane in lanes.values():
                head = lane.head
                if (
                    head is not None
                    and head.asked_at <= now - QUARTER_SECONDS
                    # The reserve, which is for calls of a higher priority, does not hold it back.
                    and self._ledger.admits(head.quota_class, _NORMAL, now)
                ):
                    starved = _older(starved, head)
        return starved

    def next_refusal(self, now: float) -> Waiter | None:
        """Take out a call that cannot start before its deadline, and note why; None if there is none."""
        for deadlines in self._deadlines.values():
            while deadlines and deadlines[0][2].lane is None:
                heapq.heappop(deadlines)
            if not deadlines:
                continue
            waiter = deadlines[0][2]
            blocked = self._blocked(waiter.quota_class, waiter.priority, now, 0, 0)
            if waiter.deadline <= now or (blocked is not None and blocked.until > waiter.deadline):
                heapq.heappop(deadlines)
                waiter.outcome = blocked or self._ledger.default_wait(waiter.quota_class, now)
                self.leave(waiter)
                return waiter
        return None

    def blocked_behind(self, quota_class: QuotaClass, priority: Priority, now: float) -> Blocked | None:
        """Return what a new call has to wait for, if all before it are served first; None if for nothing known."""
        uploads_ahead = reads_ahead = 0
        for lanes in self._lanes[: priority + 1]:
            uploads_ahead += lanes[_UPLOAD].length
            reads_ahead += lanes[_READ].length
        return self._blocked(quota_class, priority, now, reads_ahead, uploads_ahead)

    def _blocked(
        self, quota_class: QuotaClass, priority: Priority, now: float, reads_ahead: int, uploads_ahead: int
    ) -> Blocked | None:
        blocked = self._ledger.blocked(quota_class, now, reads_ahead, uploads_ahead)
        if blocked is None and priority is _BACKGROUND:
            return self._ledger.reserve_wait(quota_class, now, after_answers=True)
        return blocked

    def next_change(self, now: float) -> float:
        """Return the monotonic instant, after ``now``, at which time alone may let a call start or end its wait."""
        at = self._ledger.next_change()
        for deadlines in self._deadlines.values():
            if deadlines:
                at = min(at, deadlines[0][0])
        for quota_class, lane in self._lanes[_BACKGROUND].items():
            # The reserve shrinks all the time: that matters only where nothing else keeps the call.
            if lane.head is not None and self._ledger.admits(quota_class, _NORMAL, now):
                blocked = self._ledger.reserve_wait(quota_class, now)
                if blocked is not None:
                    at = min(at, blocked.until)
        return at


def _older(one: Waiter | None, other: Waiter | None) -> Waiter | None:
    if one is None or other is None:
        return one or other
    return one if one.ticket < other.ticket else other
