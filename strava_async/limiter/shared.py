"""A limiter whose quota many processes share: queue and permits as alone, units from where all meet.

``quota.fleet`` has the rules. A task of the limiter's own tells and asks (``reporter``); calls do not wait for that
while there are units in hand.
"""

from __future__ import annotations

import math
import os
import random as system_random
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import uuid4

import sniffio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError, LimiterError, QuotaExceededError
from strava_async.limiter.arguments import check_reserve, priority_of, quota_class_of, seconds_of
from strava_async.limiter.base import Permit
from strava_async.limiter.dispatcher import Dispatcher
from strava_async.limiter.meeting import CALL_SECONDS, Meeting
from strava_async.limiter.meeting_place import MeetingPlace
from strava_async.limiter.permit import LedgerPermit
from strava_async.limiter.queue import Waiter
from strava_async.limiter.reporter import Reporter
from strava_async.quota.fleet.ledger import FleetLedger
from strava_async.quota.values import Blocked, Priority, QuotaClass

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota

State = Literal["shared", "healing", "away"]
"""``shared``: units come from the meeting place. ``healing``: it lost what it knew, and asks all. ``away``: none."""

_SHORTEST_LEASE = 3.0
_RULES = {"share": "this process goes on with its part of the quota", "wait": "calls wait"}


class SharedLimiter:
    """What limiters of a shared quota have in common; each names its place.

    It belongs to one event loop at a time, as ``RateLimiter`` does. Made before a fork and used after it, it is a
    process of its own in each.

    Args:
        place: where the processes meet.
        what: the place, as a message names it.
        clock: None means the system's.
        random: returns numbers in [0, 1); None means the system's.
        reserve: the share of a quarter hour that background calls leave to the others.
        away: what holds while the place is away: ``share`` or ``wait``.
        lease_seconds: how long units are good without another call.
        call_seconds: how long an operation of the place may take, in real seconds.
    """

    def __init__(
        self,
        place: MeetingPlace,
        what: str,
        *,
        clock: Clock | None,
        random: Callable[[], float] | None,
        reserve: float,
        away: str,
        lease_seconds: float,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        check_reserve(reserve)
        if away not in _RULES:
            raise InputError(f'away must be "share" or "wait", not {away!r}')
        if not _SHORTEST_LEASE <= lease_seconds < math.inf:
            raise InputError(f"lease_seconds must be {_SHORTEST_LEASE:g} or more, not {lease_seconds}")
        self.clock: Clock = clock or SystemClock()
        self.random: Callable[[], float] = random or system_random.random
        self._what = what
        self._waits_while_away = away == "wait"
        self._binding = LoopBinding("this rate limiter")
        self._ledger = ledger = FleetLedger(
            _new_id(),
            self.clock.monotonic(),
            self.clock.time(),
            random=self.random,
            reserve=reserve,
            lease_seconds=lease_seconds,
            away=away,
        )
        self._meeting = Meeting(place, what, ledger, self.clock, rule=_RULES[away], call_seconds=call_seconds)
        self._dispatcher = Dispatcher(ledger, self.clock, self._binding)
        self._pid = os.getpid()
        self._reporter: Reporter | None = None
        self._is_entered = False
        self._is_closed = False

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        """Wait for the right to send one request.

        First come, first served inside a priority, and fair between processes. With a unit in hand and nobody waiting
        it returns at once; else the meeting place is asked, which takes a round trip. On asyncio the first call starts
        the limiter's task.

        Args:
            quota_class: what the request spends.
            priority: who goes first when quota is short; INTERACTIVE before others in all processes.
            max_wait: seconds that the call may wait; None means as long as it takes, 0 only with a unit in hand.
            retry_of: the permit of an earlier attempt of the same call, which keeps its place before younger calls.

        Returns:
            the permit, to be settled, released or abandoned.

        Raises:
            QuotaExceededError: the call could not start in time. Nothing was spent.
            LimiterError: the meeting place was away until the deadline, and ``away`` is ``wait``; or the limiter was
                closed, or its event loop ended, while the call waited. Nothing was spent.
            InputError: an argument is wrong; the limiter is closed, belongs to another event loop, or on trio was not
                entered with ``async with``.
            StravaError: the meeting place cannot be used the way it is set up; it says what to mend. Raised by calls
                of a limiter that was not entered, else by ``async with``.
        """
        if quota_class.__class__ is not QuotaClass:
            quota_class = quota_class_of(quota_class)
        if priority.__class__ is not Priority:
            priority = priority_of(priority)
        seconds = math.inf if max_wait is None else seconds_of(max_wait)
        reporter = self._reporter
        if reporter is None or reporter.is_over or self._is_closed or not self._binding.is_here():
            reporter = self._start()
        dispatcher = self._dispatcher
        now = dispatcher.now()
        ticket = dispatcher.ticket(retry_of)
        entry = dispatcher.try_enter(quota_class, priority, now)
        if entry is None:
            reporter.expect(quota_class, priority)
            try:
                entry = await dispatcher.wait(Waiter(quota_class, priority, ticket, now, now + seconds), now)
            except QuotaExceededError as error:
                if self._waits_while_away and self.state == "away":
                    raise LimiterError(f"{self._what} is away: {self._meeting.reason}") from error
                raise
            finally:
                reporter.look()  # where nothing waits any more, the others are told
        return LedgerPermit(dispatcher, entry, ticket)

    @property
    def quota(self) -> Quota:
        """The four meters, as this process knows them."""
        return self._dispatcher.quota()

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return the meter that keeps a call of this class from starting now, and until when; None if none does.

        Raises:
            InputError: there is no such class.
        """
        return self._dispatcher.blocked(quota_class_of(quota_class))

    @property
    def state(self) -> State:
        """Whether units come from the meeting place, or it is putting its books together, or is away."""
        lease = self._ledger.lease
        if lease.is_away(self.clock.monotonic()):
            return "away"
        return "healing" if lease.heals else "shared"

    @property
    def processes(self) -> int:
        """How many processes share the quota, as last told: the most at the same time, in this window or the last."""
        return self._ledger.lease.processes

    @property
    def is_calling(self) -> bool:
        """Whether an operation of the meeting place is under way."""
        return self._meeting.is_calling

    @property
    def is_entered(self) -> bool:
        """Whether ``async with`` has begun, in an event loop that has not ended; it stays true when it is closed."""
        return self._is_entered and not self._binding.has_ended()

    def snapshot(self) -> dict[str, Any]:
        """Return what this process knows of the quota, in a form that JSON can hold."""
        from strava_async.quota.snapshot import save  # not above: most programs do not need it

        return save(self._ledger, self._dispatcher.advance(), self.clock.time())

    async def __aenter__(self) -> Self:
        """Start the limiter's task, if no call has yet, and wait until the meeting place is found to be usable.

        Raises:
            InputError: it is entered already, was closed, or belongs to another event loop.
            StravaError: the meeting place cannot be used the way it is set up; it says what to mend.
        """
        if self._is_entered and not self._is_closed:
            raise InputError("this rate limiter is entered already: share the object, and enter it once")
        self._follow_loop()
        reporter = self._reporter
        starts = reporter is None or reporter.error is not None
        if reporter is None or starts:
            reporter = self._reporter = self._new_reporter()
        self._is_entered = True
        try:
            await reporter.checked.wait()
            if reporter.is_over:
                raise reporter.refusal()
        except BaseException:
            self._is_entered = False
            if starts:
                await reporter.stop(closes=False)
                self._reporter = None
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back what is in hand, and end the limiter's task; takes two seconds at the most.

        Calls that wait raise ``LimiterError``, later ones ``InputError``. Permits that are out may still be ended. A
        second time has no effect.

        Raises:
            InputError: the limiter belongs to another event loop, which has not ended.
        """
        if not self._is_closed:
            self._follow_loop()
            self._is_closed = True
            self._dispatcher.refuse_all(_closed_error)
        reporter = self._reporter
        if reporter is not None and not reporter.is_over and self._binding.is_here():
            await reporter.stop(closes=True)
            return
        await self._meeting.leave(self._dispatcher.now)
        await self._meeting.close()

    def _start(self) -> Reporter:
        """Return the reporter of the running event loop, which may have to be started."""
        self._follow_loop()
        reporter = self._reporter
        if reporter is not None and not reporter.is_over:
            return reporter
        if reporter is not None and reporter.error is None:
            raise reporter.refusal()
        if sniffio.current_async_library() == "trio":
            raise InputError("on trio this rate limiter has to be entered first: async with limiter")
        self._reporter = self._new_reporter()
        return self._reporter

    def _follow_loop(self) -> None:
        """Belong to the running event loop; forget what was in one that has ended."""
        if self._is_closed:
            raise InputError("this rate limiter is closed: make a new one")
        if self._binding.enter():
            self._dispatcher, self._reporter = self._dispatcher.successor(), None
            self._is_entered = False

    def _new_reporter(self) -> Reporter:
        if self._pid != os.getpid():  # forked after it was made, and before it was used
            self._pid, self._ledger.process = os.getpid(), _new_id()
        return Reporter(self._meeting, self._ledger, self._dispatcher, self.clock, self._binding)


def _closed_error() -> LimiterError:
    return LimiterError("this rate limiter was closed while the call waited: nothing was sent")


def _new_id() -> str:
    return uuid4().hex[:16]
