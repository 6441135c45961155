"""The dispatcher: ledger and queue, made awaitable.

Rules:

- A decision and its booking have no ``await`` in between, so no two tasks are given the same unit.
- The dispatcher has no task of its own. The first call in the queue owns the timer, one for all, and passes it on when
  it leaves: served, refused or cancelled.
- Whatever changes the ledger (an answer, a permit given back, the time) wakes exactly those who may start, in order.
- A cancelled waiter leaves the queue; one that was served and does not know it yet gives its permit back.
- Ledger and queue belong to one event loop and its thread. A permit that ends in another thread is booked in that one a
  little later. Calls that wait in a loop that has ended are forgotten, and its permits are abandoned.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock
from strava_async.limiter.ledger import QuotaLedger
from strava_async.limiter.permit import LedgerPermit
from strava_async.limiter.queue import Waiter, WaitQueue
from strava_async.limiter.suspension import SuspensionWatch
from strava_async.limiter.wait_log import WaitLog
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.values import Blocked, Priority, QuotaClass

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota

_SHORTEST_SLEEP = 0.001  # less may not move a clock that counts in floats since 1970
_LONGEST_SLEEP = 60.0  # a timer may stand still while the machine sleeps


class Dispatcher:
    """Lets the calls of one application start, in order, when the ledger admits them.

    Args:
        ledger: the ledger, which nothing else changes.
        clock: the one that the ledger's instants are readings of.
        binding: the event loop that it belongs to; entered before each ``try_enter``.
    """

    def __init__(self, ledger: QuotaLedger, clock: Clock, binding: LoopBinding) -> None:
        self._ledger = ledger
        self._clock = clock
        self._binding = binding
        self._is_over = False
        # Returns the monotonic instant, after finding out whether the machine slept.
        self.now = SuspensionWatch(clock, ledger.note_sleep).now
        self._queue = WaitQueue(ledger)
        self._log = WaitLog()
        self._tickets = 0
        self._timer_owner: Waiter | None = None
        self._timer_ends = math.inf
        # Ends to be booked at the next occasion: of permits that leaked, and of those ended in another thread.
        self._deferred: deque[Callable[[float], None]] = deque()

    def successor(self) -> Dispatcher:
        """Return the dispatcher for the next event loop: this one's has ended, and with it its calls and permits."""
        now = self.now()
        dispatcher = Dispatcher(self._ledger, self._clock, self._binding)
        dispatcher._tickets, dispatcher._log = self._tickets, self._log
        self.retire()
        self._ledger.roll_windows(now)
        self._ledger.abandon_all(now)
        dispatcher._log.check(dispatcher._queue, self._ledger, (), now)
        return dispatcher

    def retire(self) -> None:
        """Let what comes late, from a loop that has ended, find a dispatcher that is over, and bound to no loop."""
        self._is_over, self._binding = True, LoopBinding("a dispatcher that is over")

    def lengths(self) -> tuple[int, int, int, int]:
        """Return how many reads of each priority wait, the most urgent first, and how many uploads."""
        return self._queue.lengths()

    def serve(self) -> None:
        """Let start who may, after a change of the ledger that did not come through here; in the loop's own thread."""
        self._serve(self.now())

    def quota(self) -> Quota:
        """Return the four meters now."""
        self.advance()
        return self._ledger.quota()

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return what keeps a call of a class from starting now; None if nothing is known to."""
        return self._ledger.blocked(quota_class, self.advance())

    def ticket(self, retry_of: object) -> int:
        """Return the ticket of a new call, or that of the call of which ``retry_of`` was an earlier permit."""
        if isinstance(retry_of, LedgerPermit):
            issuer = retry_of.issuer
            # The tickets of another limiter are of another count.
            if isinstance(issuer, Dispatcher) and issuer._ledger is self._ledger:
                return retry_of.ticket
        self._tickets += 1
        return self._tickets

    def try_enter(self, quota_class: QuotaClass, priority: Priority, now: float) -> LedgerEntry | None:
        """Book a permit, if one may be given now and no call waits."""
        ledger = self._ledger
        if self._deferred or now >= ledger.next_change():
            self._advance(now)
        if self._queue.length or not ledger.admits(quota_class, priority, now):
            return None
        return ledger.book(quota_class, priority, now)

    async def wait(self, waiter: Waiter, now: float) -> LedgerEntry:
        """Return the permit of ``waiter`` when it is booked.

        Raises:
            QuotaExceededError: it could not be in time.
            Exception: see ``refuse_all``.
        """
        if waiter.deadline < math.inf:
            blocked = self._queue.blocked_behind(waiter.quota_class, waiter.priority, now)
            if blocked is not None and blocked.until > waiter.deadline:
                raise waiter.refusal(blocked, now)
        self._queue.enter(waiter)
        try:
            self._serve(now)
            while (outcome := waiter.outcome) is None:
                if self._timer_owner is None:
                    await self._keep_time(waiter)
                else:
                    # Not above: it brings asyncio along, a third of what importing this package takes.
                    from strava_async._concurrency.parking import new_parker

                    parker = new_parker()
                    waiter.wake = parker.wake
                    await parker
        except BaseException:
            self._withdraw(waiter)
            raise
        finally:
            waiter.wake = None
            self._pass_timer_on()
        if isinstance(outcome, Blocked):
            raise waiter.refusal(outcome, self.now())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def refuse_all(self, new_error: Callable[[], Exception]) -> None:
        """Let each call that waits raise an error of its own: for the ``aclose`` of a limiter.

        Call it in the event loop of the dispatcher. Later calls are for the limiter to refuse; permits that are out may
        still be ended.
        """
        for waiter in self._queue.leave_all():
            waiter.outcome = new_error()
            if waiter.wake is not None:
                waiter.wake()
        self._log.check(self._queue, self._ledger, (), self.now())

    async def _keep_time(self, waiter: Waiter) -> None:
        """Serve the queue whenever time alone changes something, until ``waiter`` has left it."""
        self._timer_owner = waiter
        try:
            while True:
                now = self.now()
                self._serve(now)
                if waiter.outcome is not None:
                    return
                self._timer_ends = self._queue.next_change(now)
                with anyio.CancelScope() as scope:
                    waiter.wake = scope.cancel
                    await self._clock.sleep(min(max(self._timer_ends - now, _SHORTEST_SLEEP), _LONGEST_SLEEP))
                waiter.wake = None
        finally:
            self._timer_owner = None

    def _pass_timer_on(self) -> None:
        if self._timer_owner is None:
            first = self._queue.first()
            if first is None or first.wake is None:
                return
            if self._binding.is_here():
                first.wake()
            else:
                self._binding.call_soon(self._resume)

    def _withdraw(self, waiter: Waiter) -> None:
        """Undo what a cancelled call has: its place in the queue, or the permit that it does not know of yet."""
        if self._is_over:
            return
        now = self.now()
        if waiter.outcome is None:
            self._queue.leave(waiter)
            self._log.check(self._queue, self._ledger, (), now)
        elif isinstance(waiter.outcome, LedgerEntry):
            self._ledger.release(waiter.outcome, now)
            self._serve_soon(now)

    def _serve(self, now: float) -> None:
        """Start all calls that may start, and refuse those that cannot start in time."""
        if self._deferred:
            self._book_deferred(now)
        ledger, queue = self._ledger, self._queue
        ledger.roll_windows(now)
        started: set[QuotaClass] = set()
        while (waiter := queue.next_start(now)) is not None:
            waiter.outcome = ledger.book(waiter.quota_class, waiter.priority, now)
            started.add(waiter.quota_class)
            if waiter.wake is not None:
                waiter.wake()
        while (waiter := queue.next_refusal(now)) is not None:
            if waiter.wake is not None:
                waiter.wake()
        self._log.check(queue, ledger, started, now)
        # The timer may have to end earlier now; then its owner sets it again.
        owner = self._timer_owner
        if (
            owner is not None
            and owner.outcome is None
            and owner.wake is not None
            and queue.next_change(now) < self._timer_ends - _SHORTEST_SLEEP
        ):
            owner.wake()

    def _serve_soon(self, now: float) -> None:
        """Serve the queue now, or a little later in its own event loop if that is not the running one."""
        if self._binding.is_here():
            self._serve(now)
        else:
            self._ledger.roll_windows(now)
            self._binding.call_soon(self._resume)

    def _resume(self) -> None:
        if not self._is_over:
            self._serve(self.now())
            self._pass_timer_on()

    def advance(self) -> float:
        """Bring everything up to date, or a little later in its own thread; return the monotonic instant."""
        if self._binding.thread != get_ident() and not self._binding.has_ended():
            self._binding.call_soon(self._resume)
            return self._clock.monotonic()
        now = self.now()
        self._advance(now)
        return now

    def _advance(self, now: float) -> None:
        if self._deferred:
            self._book_deferred(now)
        if self._queue.length:
            self._serve_soon(now)
        else:
            self._ledger.roll_windows(now)

    def _book_deferred(self, now: float) -> None:
        while self._deferred:
            self._deferred.popleft()(now)

    def settle(self, entry: LedgerEntry, status_code: int, headers: Mapping[str, str]) -> None:
        """Book an answer."""
        if self._binding.thread != get_ident():  # not by _end: this is for each response, and a partial costs
            self._end_elsewhere(partial(self._ledger.settle, entry, status_code, headers))
            return
        now = self.now()
        self._ledger.settle(entry, status_code, headers, now)
        if self._queue.length:
            self._serve_soon(now)

    def release(self, entry: LedgerEntry) -> None:
        """Book that nothing was sent."""
        self._end(partial(self._ledger.release, entry))

    def abandon(self, entry: LedgerEntry) -> None:
        """Book that nothing is known."""
        self._end(partial(self._ledger.abandon, entry))

    def _end(self, book: Callable[[float], None]) -> None:
        if self._binding.thread != get_ident():
            self._end_elsewhere(book)
            return
        now = self.now()
        book(now)
        if self._queue.length:
            self._serve_soon(now)

    def abandon_leaked(self, entry: LedgerEntry) -> None:
        """Book, at the next occasion, that nothing is known: this may be called in the middle of anything."""
        self._deferred.append(partial(self._ledger.abandon, entry))

    def _end_elsewhere(self, book: Callable[[float], None]) -> None:
        """Book an end in the thread of the event loop: it came in another."""
        if not self._is_over:
            self._deferred.append(book)
            self._binding.call_soon(self._resume)
