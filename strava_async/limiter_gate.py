"""The gate: ledger and line, made awaitable.

Rules:

- Decisions are made without an ``await`` between looking and booking, so no two tasks see the same unit.
- There is no task of the gate's own. The first in line keeps the time for all, with one timer, and hands that on when
  it leaves: served, refused or cancelled.
- Whoever changes the books (an answer, a permit given back, the time) wakes exactly those who may start, in order.
- A cancelled waiter leaves the line; one that is cancelled after it was served, and before it knew, gives its permit
  back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import anyio

from strava_async.clock import Clock
from strava_async.errors import QuotaExceededError
from strava_async.limiter_line import Line, Waiter
from strava_async.limiter_log import WaitLog
from strava_async.quota import Priority, QuotaClass
from strava_async.quota_budget import Reservation
from strava_async.quota_ledger import Ledger, Wait

_SHORTEST_SLEEP = 0.001  # less may not move a clock that counts in floats since 1970


class GatePermit(Reservation):
    """A permit; ``limiter.Permit`` says what its methods do. It can be ended once it is open.

    Attributes:
        place: that of its call in the line.
    """

    __slots__ = ("_gate", "_open", "place")

    def __init__(self, gate: Gate, place: int) -> None:
        self._gate = gate
        self._open = False
        self.place = place

    def open(self) -> Self:
        """Hand the permit, which is booked, to its caller."""
        self._open = True
        return self

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        """End with an answer."""
        if self._open:
            self._open = False
            self._gate.settle(self, status_code, headers)

    def release(self) -> None:
        """End without a request."""
        if self._open:
            self._open = False
            self._gate.release(self)

    def abandon(self) -> None:
        """End without an answer."""
        if self._open:
            self._open = False
            self._gate.abandon(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abandon()

    def __del__(self) -> None:
        # A permit that its caller lost. The books are not touched here: this may run in the middle of anything.
        if self._open:
            self._gate.lost.append(self)


class Gate:
    """The way through for all calls of one application.

    Attributes:
        ledger: the books.
        lost: permits that were dropped without an end; they are abandoned when something else happens.

    Args:
        ledger: the books.
        clock: theirs.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.lost: deque[GatePermit] = deque()
        self._clock = clock
        self._line = Line(ledger)
        self._log = WaitLog()
        self._places = 0
        self._keeper: Waiter | None = None
        self._keeps_until = math.inf

    def try_enter(self, permit: GatePermit, reads: bool, priority: Priority, now: float) -> bool:
        """Book ``permit`` and return True, if it may be given now and nobody waits."""
        ledger = self.ledger
        if self.lost or now >= ledger.next_change():
            self.tidy(now)
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
                    from strava_async.limiter_park import park

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
            raise _error(waiter, waiter.refusal, self._clock.monotonic())

    def _refuse_if_hopeless(self, waiter: Waiter, now: float) -> None:
        wait = self._line.wait_behind(waiter.reads, waiter.priority, now)
        if wait is not None and wait.until > waiter.deadline:
            raise _error(waiter, wait, now)

    async def _keep_time(self, waiter: Waiter) -> None:
        """Serve the line whenever time alone changes something, until ``waiter`` has left it."""
        self._keeper = waiter
        try:
            while True:
                now = self._clock.monotonic()
                self._serve(now)
                if waiter.lane is None:
                    return
                self._keeps_until = self._line.next_change(now)
                with anyio.CancelScope() as scope:
                    waiter.wake = scope.cancel
                    await self._clock.sleep(max(self._keeps_until - now, _SHORTEST_SLEEP))
                waiter.wake = None
        finally:
            self._keeper = None

    def _hand_on(self) -> None:
        if self._keeper is None:
            first = self._line.first()
            if first is not None and first.wake is not None:
                first.wake()

    def _withdraw(self, waiter: Waiter) -> None:
        """Undo what a cancelled call has got: its place, or the permit that it does not know of yet."""
        now = self._clock.monotonic()
        if waiter.lane is not None:
            self._line.leave(waiter)
            self._log.check(self._line, self.ledger, (False, False), now)
        elif waiter.refusal is None:
            self.ledger.release(waiter.permit, now)
            self._serve(now)

    def _serve(self, now: float) -> None:
        """Let everybody start who may, and refuse everybody who cannot start in time."""
        if self.lost:
            self._find_lost(now)
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

    def tidy(self, now: float) -> None:
        """Bring everything up to date."""
        if self._line.length:
            self._serve(now)
            return
        if self.lost:
            self._find_lost(now)
        self.ledger.catch_up(now)

    def _find_lost(self, now: float) -> None:
        while self.lost:
            self.ledger.abandon(self.lost.popleft(), now)

    def settle(self, permit: Reservation, status_code: int, headers: Mapping[str, str]) -> None:
        """Book an answer."""
        now = self._clock.monotonic()
        self.ledger.settle(permit, status_code, headers, now)
        if self._line.length:
            self._serve(now)

    def release(self, permit: Reservation) -> None:
        """Book that nothing was sent."""
        now = self._clock.monotonic()
        self.ledger.release(permit, now)
        if self._line.length:
            self._serve(now)

    def abandon(self, permit: Reservation) -> None:
        """Book that nothing is known."""
        now = self._clock.monotonic()
        self.ledger.abandon(permit, now)
        if self._line.length:
            self._serve(now)


def _error(waiter: Waiter, wait: Wait, now: float) -> QuotaExceededError:
    return QuotaExceededError(
        quota_class=QuotaClass.READ if waiter.reads else QuotaClass.UPLOAD,
        window=wait.window,
        resume_at=wait.resume_at,
        wait_seconds=max(0.0, wait.until - now),
    )
