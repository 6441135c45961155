"""The task of a limiter that shares its quota: it tells and asks when that is due, as long as its event loop lives.

Rules:

- It alone uses the meeting place; nothing else waits for that.
- It is woken only where a call became due earlier than it thought.
- Nothing that fails in it leaves calls waiting for ever: a fault counts as a call without a reply.
- When it ends, however it ends, calls that wait are refused, and what is in hand is given back if that can be told.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio

from strava_async._concurrency.background import Background, start_background
from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._concurrency.single_flight import own_copy
from strava_async.clock import Clock
from strava_async.errors import LimiterError, StravaError
from strava_async.limiter.dispatcher import Dispatcher
from strava_async.limiter.meeting import Meeting
from strava_async.quota.fleet.ledger import FleetLedger
from strava_async.quota.fleet.messages import Wants
from strava_async.quota.values import Priority, QuotaClass

_SHORTEST_SLEEP = 0.001
_LONGEST_SLEEP = 60.0  # a timer may stand still while the machine sleeps
_FAULT_SECONDS = 1.0
_END_SECONDS = 2.0
_UPLOADS = 3  # in Wants


class Reporter:
    """Keeps one process in touch with the others, in one event loop.

    Args:
        meeting: with the others.
        ledger: of this process.
        dispatcher: what waits for the ledger, in this loop.
        clock: of both.
        binding: the event loop, which is running.

    Attributes:
        checked: set once the place is found to be usable, or the task has ended.
        is_over: whether it has ended, or is about to.
        error: why it did not start; None if nothing kept it.
    """

    def __init__(
        self, meeting: Meeting, ledger: FleetLedger, dispatcher: Dispatcher, clock: Clock, binding: LoopBinding
    ) -> None:
        self.checked = anyio.Event()
        self.is_over = False
        self.error: StravaError | None = None
        self._meeting = meeting
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._clock = clock
        self._binding = binding
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._is_stopping = self._closes = False
        self._due = -math.inf
        self._wake: Callable[[], None] | None = None
        ledger.lease.on_news = self.look
        self._task: Background = start_background(self._run, "strava_async: shared quota")

    def expect(self, quota_class: QuotaClass, priority: Priority) -> None:
        """Let it see that a call is about to wait: it runs once that stands in the queue."""
        if self._wake is not None:
            wants = list(self._dispatcher.lengths())
            wants[priority if quota_class is QuotaClass.READ else _UPLOADS] += 1
            self._wake_for(Wants(*wants))

    async def stop(self, *, closes: bool) -> None:
        """Let it give back what is in hand, and end; return when that is done, soon in any case.

        Args:
            closes: whether it closes the place as well.
        """
        self._is_stopping, self._closes = True, closes
        self._meeting.hurry()
        if self._wake is not None:
            self._wake()
        with anyio.move_on_after(_END_SECONDS, shield=True):
            await self._ended.wait()
        self._scope.cancel()

    def refusal(self) -> StravaError:
        """Return the error of a call that comes, or still waits, when the task has ended by itself."""
        if self.error is not None:
            return own_copy(self.error)
        return LimiterError("the task of this rate limiter was cancelled, as at the end of an event loop")

    def look(self) -> None:
        """See whether there is something to tell: the lease or the queue has changed."""
        if self._wake is None:
            return
        if self._binding.is_here():
            self._wake_for(Wants(*self._dispatcher.lengths()))
        else:  # the loop stands still, and may go on
            self._binding.call_soon(self.look)

    def _wake_for(self, wants: Wants) -> None:
        if self._wake is not None and self._ledger.due(wants, self._clock.monotonic()) < self._due:
            self._wake()

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._meeting.check()
                self.checked.set()
                while not self._is_stopping:
                    await self._step_or_note()
        except GeneratorExit:  # the event loop was closed: nothing can be awaited
            self.is_over = True
            raise
        except StravaError as error:  # of the check; what fails later is noted
            self.error = error
            await self._end()
        except BaseException:
            await self._end()
            raise
        else:
            await self._end()

    async def _end(self) -> None:
        self.is_over = True
        try:
            self._dispatcher.refuse_all(self.refusal)
            self.checked.set()
            with anyio.CancelScope(shield=True):
                await self._meeting.leave(self._dispatcher.now)
                if self._closes:
                    await self._meeting.close()
        finally:
            self._ended.set()

    async def _step_or_note(self) -> None:
        try:
            await self._step()
        except Exception as error:
            self._meeting.note_fault(error, self._dispatcher.now())
            self._due = -math.inf
            await self._sleep(_FAULT_SECONDS)

    async def _step(self) -> None:
        dispatcher, ledger, meeting = self._dispatcher, self._ledger, self._meeting
        now = dispatcher.advance()
        wants = Wants(*dispatcher.lengths())
        due = ledger.due(wants, now)
        if meeting.failure is not None and ledger.lease.is_away(now):
            meeting.note_away()
        elif due > now:
            due = min(due, ledger.lease.away_at)
        if due > now:
            self._due = due
            await self._sleep(due - now)
            return
        has_reply = await meeting.call(wants, dispatcher.now)
        dispatcher.serve()
        if has_reply:
            meeting.note_back()

    async def _sleep(self, seconds: float) -> None:
        if self._is_stopping:
            return
        with anyio.CancelScope() as scope:
            self._wake = scope.cancel
            try:
                if seconds == math.inf:
                    await anyio.sleep_forever()
                await self._clock.sleep(min(max(seconds, _SHORTEST_SLEEP), _LONGEST_SLEEP))
            finally:
                self._wake = None
        if self._task.is_cancelled():
            raise anyio.get_cancelled_exc_class()
