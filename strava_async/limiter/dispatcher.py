"""The gate: ledger and line, made awaitable.

Rules:

- Decisions are made without an ``await`` between looking and booking, so no two tasks see the same unit.
- There is no task of the gate's own. The first in line keeps the time for all, with one timer, and hands that on when
  it leaves: served, refused or cancelled.
- Whoever changes the books (an answer, a permit given back, the time) wakes exactly those who may start, in order.
- A cancelled waiter leaves the line; one that is cancelled after it was served, and before it knew, gives its permit
  back.
- Books and line belong to one event loop and its thread. What is told elsewhere is booked there a little later; what
  waits in a loop that has ended is forgotten, and its permits are abandoned.
- A timer may stand still while the machine sleeps: nobody sleeps for more than a minute without a look at the clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock
from strava_async.errors import QuotaExceededError
from strava_async.limiter.permit import GatePermit
from strava_async.limiter.queue import Line, Waiter
from strava_async.limiter.wait_log import WaitLog
from strava_async.quota.ledger import Ledger
from strava_async.quota.meter import Reservation
from strava_async.quota.values import Priority, QuotaClass
from strava_async.quota.wait import Wait

_SHORTEST_SLEEP = 0.001  # less may not move a clock that counts in floats since 1970
_LONGEST_SLEEP = 60.0
_SLEPT_SECONDS = 5.0  # by which one clock has to be ahead of the other; less is a correction


class Gate:
    """The way through for all calls of one application.

    Attributes:
        ledger: the books.
        late: ends of permits that are to be booked when something else happens: of those that were dropped, and those
            that were told in another thread.

    Args:
        ledger: the books.
        clock: theirs.
        binding: the event loop that may pass; entered before each ``try_enter``.
    """

    def __init__(self, ledger: Ledger, clock: Clock, binding: LoopBinding) -> None:
        self.ledger = ledger
        self.late: deque[Callable[[float], None]] = deque()
        self._clock = clock
        self._binding = binding
        self._is_over = False
        self._wall_ahead = clock.time() - clock.monotonic()
        self._line = Line(ledger)
        self._log = WaitLog()
        self._places = 0
        self._keeper: Waiter | None = None
        self._keeps_until = math.inf

    def now(self) -> float:
        """Return the monotonic instant, after a look at the wall clock: has the other one stood still?"""
        now = self._clock.monotonic()
        before, self._wall_ahead = self._wall_ahead, self._clock.time() - now
        return now if self._wall_ahead - before <= _SLEPT_SECONDS else self._look_again(before)

    def _look_again(self, before: float) -> float:
        """Compare the clocks once more: this thread may have stood still between the two readings."""
        now = self._clock.monotonic()
        self._wall_ahead = self._clock.time() - now
        gained = self._wall_ahead - before
        if gained > _SLEPT_SECONDS:
            self.ledger.doubt(gained, now)
        return now

    def successor(self) -> Gate:
        """Return the gate for the next event loop: ours has ended, and with it the calls here and the permits out."""
        now = self.now()
        gate = Gate(self.ledger, self._clock, self._binding)
        gate._places, gate._log = self._places, self._log
        self._is_over, self._binding = True, LoopBinding("a gate that is over")
        self.ledger.catch_up(now)
        self.ledger.abandon_all(now)
        gate._log.check(gate._line, self.ledger, (False, False), now)
        return gate

    def try_enter(self, permit: GatePermit, reads: bool, priority: Priority, now: float) -> bool:
        """Book ``permit`` and return True, if it may be given now and nobody waits."""
        ledger = self.ledger
        if self.late or now >= ledger.next_change():
            self._tidy(now)
        if self._line.length or not ledger.admits(reads, priority is Priority.BACKGROUND, now):
            return False
        ledger.give(permit, reads, now)
        if priority is Priority.INTERACTIVE:
            ledger.reserve.note_interactive()
        return True

    def place(self, retry_of: object) -> int:
        """Return the place of a new call, or that of the call of which ``retry_of`` was an earlier permit."""
        if isinstance(retry_of, GatePermit):
            return retry_of.place
        self._places += 1
        return self._places

    async def wait(self, waiter: Waiter, now: float) -> None:
        """Return when the permit of ``waiter`` is booked.

        Raises:
            QuotaExceededError: it could not be in time.
        """
        if waiter.deadline < math.inf:
            self._refuse_if_hopeless(waiter, now)
        self._line.enter(waiter)
        try:
            self._serve(now)
            while waiter.lane is not None:
                if self._keeper is None:
                    await self._keep_time(waiter)
                else:
                    # Not above: it brings asyncio along, a third of what importing this package takes.
                    from strava_async._concurrency.parking import park

                    spot = park()
                    waiter.wake = spot.wake
                    await spot
        except BaseException:
            self._withdraw(waiter)
            raise
        finally:
            waiter.wake = None
            self._hand_on()
        if waiter.refusal is not None:
            raise _error(waiter, waiter.refusal, self.now())

    def _refuse_if_hopeless(self, waiter: Waiter, now: float) -> None:
        wait = self._line.wait_behind(waiter.reads, waiter.priority, now)
        if wait is not None and wait.until > waiter.deadline:
            raise _error(waiter, wait, now)

    async def _keep_time(self, waiter: Waiter) -> None:
        """Serve the line whenever time alone changes something, until ``waiter`` has left it."""
        self._keeper = waiter
        try:
            while True:
                now = self.now()
                self._serve(now)
                if waiter.lane is None:
                    return
                self._keeps_until = self._line.next_change(now)
                with anyio.CancelScope() as scope:
                    waiter.wake = scope.cancel
                    await self._clock.sleep(min(max(self._keeps_until - now, _SHORTEST_SLEEP), _LONGEST_SLEEP))
                waiter.wake = None
        finally:
            self._keeper = None

    def _hand_on(self) -> None:
        if self._keeper is None:
            first = self._line.first()
            if first is None or first.wake is None:
                return
            if self._binding.is_here():
                first.wake()
            else:
                self._binding.call_soon(self._resume)

    def _withdraw(self, waiter: Waiter) -> None:
        """Undo what a cancelled call has got: its place, or the permit that it does not know of yet."""
        if self._is_over:
            return
        now = self.now()
        if waiter.lane is not None:
            self._line.leave(waiter)
            self._log.check(self._line, self.ledger, (False, False), now)
        elif waiter.refusal is None:
            self.ledger.release(waiter.permit, now)
            self._stir(now)

    def _serve(self, now: float) -> None:
        """Let everybody start who may, and refuse everybody who cannot start in time."""
        if self.late:
            self._book_late(now)
        ledger, line = self.ledger, self._line
        ledger.catch_up(now)
        upload_started = read_started = False
        while (waiter := line.next_start(now)) is not None:
            ledger.give(waiter.permit, waiter.reads, now)
            upload_started |= not waiter.reads
            read_started |= waiter.reads
            if waiter.priority is Priority.INTERACTIVE:
                ledger.reserve.note_interactive()
            if waiter.wake is not None:
                waiter.wake()
        while (waiter := line.next_refusal(now)) is not None:
            if waiter.wake is not None:
                waiter.wake()
        self._log.check(line, ledger, (upload_started, read_started), now)
        keeper = self._keeper
        if (
            keeper is not None
            and keeper.lane is not None
            and keeper.wake is not None
            and line.next_change(now) < self._keeps_until - _SHORTEST_SLEEP
        ):
            keeper.wake()

    def _stir(self, now: float) -> None:
        """Serve the line; where its event loop is not the running one, let that do it."""
        if self._binding.is_here():
            self._serve(now)
        else:
            self.ledger.catch_up(now)
            self._binding.call_soon(self._resume)

    def _resume(self) -> None:
        if not self._is_over:
            self._serve(self.now())
            self._hand_on()

    def tidy(self) -> float:
        """Bring everything up to date, or let its thread do that a little later; return the monotonic instant."""
        if self._binding.thread != get_ident() and not self._binding.has_ended():
            self._binding.call_soon(self._resume)
            return self._clock.monotonic()
        now = self.now()
        self._tidy(now)
        return now

    def _tidy(self, now: float) -> None:
        if self.late:
            self._book_late(now)
        if self._line.length:
            self._stir(now)
        else:
            self.ledger.catch_up(now)

    def _book_late(self, now: float) -> None:
        while self.late:
            self.late.popleft()(now)

    def settle(self, permit: Reservation, status_code: int, headers: Mapping[str, str]) -> None:
        """Book an answer."""
        if self._binding.thread != get_ident():
            self._end_late(partial(self.ledger.settle, permit, status_code, headers))
            return
        now = self.now()
        self.ledger.settle(permit, status_code, headers, now)
        if self._line.length:
            self._stir(now)

    def release(self, permit: Reservation) -> None:
        """Book that nothing was sent."""
        self._end(partial(self.ledger.release, permit))

    def abandon(self, permit: Reservation) -> None:
        """Book that nothing is known."""
        self._end(partial(self.ledger.abandon, permit))

    def _end(self, book: Callable[[float], None]) -> None:
        if self._binding.thread != get_ident():
            self._end_late(book)
            return
        now = self.now()
        book(now)
        if self._line.length:
            self._stir(now)

    def abandon_later(self, permit: Reservation) -> None:
        """Leave a note to book that nothing is known."""
        self.late.append(partial(self.ledger.abandon, permit))

    def _end_late(self, book: Callable[[float], None]) -> None:
        """Leave an end that was told in another thread to that of the event loop."""
        if not self._is_over:
            self.late.append(book)
            self._binding.call_soon(self._resume)


def _error(waiter: Waiter, wait: Wait, now: float) -> QuotaExceededError:
    return QuotaExceededError(
        quota_class=QuotaClass.READ if waiter.reads else QuotaClass.UPLOAD,
        window=wait.window,
        resume_at=wait.resume_at,
        wait_seconds=max(0.0, wait.until - now),
        awaits=wait.awaits,
    )
