"""A limiter whose quota many processes share: queue and permits as alone, units from where all meet.

``quota.fleet`` has the rules. A task of the limiter's own tells and asks; nothing else waits for the meeting place.
"""

from __future__ import annotations

import logging
import math
import os
import random as system_random
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError, LimiterError, QuotaExceededError, StoreError
from strava_async.limiter.base import Permit
from strava_async.limiter.dispatcher import Dispatcher
from strava_async.limiter.meeting_place import MeetingPlace
from strava_async.limiter.permit import LedgerPermit
from strava_async.limiter.queue import Waiter
from strava_async.quota.fleet_ledger import FleetLedger
from strava_async.quota.fleet_messages import Wants
from strava_async.quota.readings import Quota
from strava_async.quota.values import Blocked, Priority, QuotaClass

State = Literal["shared", "healing", "away"]
"""``shared``: units come from the meeting place. ``healing``: it lost what it knew, and asks all. ``away``: none."""

_logger = logging.getLogger("strava_async.limiter")
_SHORTEST_LEASE = 3.0
_SHORTEST_SLEEP = 0.001


class SharedLimiter:
    """What limiters of a shared quota have in common; each names its place.

    Args:
        place: where the processes meet.
        what: the place, as a message names it.
        clock: None means the system's.
        random: returns numbers in [0, 1); None means the system's.
        reserve: the share of a quarter hour that background calls leave to the others.
        away: what holds while the place is away: ``share`` or ``wait``.
        lease_seconds: how long units are good without another call.

    Attributes:
        is_calling: whether a call to the meeting place is under way.
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
    ) -> None:
        if not 0 <= reserve <= 1:
            raise InputError(f"reserve must be between 0 and 1, not {reserve}")
        if away not in ("share", "wait"):
            raise InputError(f'away must be "share" or "wait", not {away!r}')
        if not _SHORTEST_LEASE <= lease_seconds < math.inf:
            raise InputError(f"lease_seconds must be {_SHORTEST_LEASE:g} or more, not {lease_seconds}")
        self.clock: Clock = clock or SystemClock()
        self.random: Callable[[], float] = random or system_random.random
        self._place = place
        self._what = what
        self._away = away
        self._binding = LoopBinding("this rate limiter")
        self._ledger = FleetLedger(
            _new_id(),
            self.clock.monotonic(),
            self.clock.time(),
            random=self.random,
            reserve=reserve,
            lease_seconds=lease_seconds,
            away=away,
        )
        self._dispatcher = Dispatcher(self._ledger, self.clock, self._binding)
        self._pid = os.getpid()
        self._is_started = False
        self._cancel: Callable[[], object] | None = None
        self._tasks: TaskGroup | None = None
        self._due = -math.inf
        self.is_calling = False
        self._wake: Callable[[], None] | None = None
        self._is_closed = False
        self._is_away = False
        self._failure: StoreError | None = None

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
                closed while the call waited. Nothing was spent.
            InputError: an argument is wrong; the limiter is closed, belongs to another event loop, or on trio was not
                entered with ``async with``.
        """
        quota_class, priority = _member(QuotaClass, quota_class), _member(Priority, priority)
        if max_wait is not None and not max_wait >= 0:
            raise InputError(f"max_wait must not be negative, but is {max_wait}")
        self._enter()
        dispatcher = self._dispatcher
        now = dispatcher.now()
        ticket = dispatcher.ticket(retry_of)
        entry = dispatcher.try_enter(quota_class, priority, now)
        if entry is None:
            deadline = math.inf if max_wait is None else now + max_wait
            # It runs once this call stands in the queue.
            self._wake_task()
            try:
                entry = await dispatcher.wait(Waiter(quota_class, priority, ticket, now, deadline), now)
            except QuotaExceededError as error:
                if self._away == "wait" and self.state == "away":
                    raise LimiterError(f"{self._what} is away: see the log of strava_async.limiter") from error
                raise
        self.look()
        return _SharedPermit(self, dispatcher, entry, ticket)

    @property
    def quota(self) -> Quota:
        """The four meters, as this process knows them."""
        return self._dispatcher.quota()

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return the meter that keeps a call of this class from starting now, and until when; None if none does.

        Raises:
            InputError: there is no such class.
        """
        return self._dispatcher.blocked(_member(QuotaClass, quota_class))

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

    def snapshot(self) -> dict[str, Any]:
        """Return what this process knows of the quota, in a form that JSON can hold."""
        from strava_async.quota.snapshot import save

        return save(self._ledger, self._dispatcher.advance(), self.clock.time())

    async def __aenter__(self) -> Self:
        self._check_open()
        self._binding.enter()
        self._follow_fork()
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._tasks, self._is_started = tasks, True
        tasks.start_soon(self._run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, None
        await self.aclose()
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)

    async def aclose(self) -> None:
        """End the limiter's task, and give back what is in hand; a second time has no effect.

        Calls that wait raise ``LimiterError``, and so do later ones. Permits that are out may still be ended.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_started:
            return
        self._dispatcher.refuse_all(self._closed_error)
        if self._cancel is not None:
            self._cancel()
        self._wake_task()
        ledger = self._ledger
        report = ledger.report(Wants(), self.clock.monotonic(), leaves=True)
        with anyio.move_on_after(1.0, shield=True):
            try:
                await self._place.call(report, self._wall_ms())
            except StoreError:
                _logger.debug("%s was not told that a process leaves", self._what)

    # -- the task -----------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        self._check_open()
        if self._binding.enter():
            self._dispatcher, self._is_started = self._dispatcher.successor(), False
        if self._is_started:
            return
        self._follow_fork()
        asyncio = sys.modules.get("asyncio")
        try:
            loop = None if asyncio is None else asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            raise InputError("on trio this rate limiter has to be entered first: async with limiter")
        self._task = loop.create_task(self._run())  # the loop itself would not keep it
        self._cancel, self._is_started = self._task.cancel, True

    def _follow_fork(self) -> None:
        """Be another process, if this one was forked after the limiter was made and before it was used."""
        if self._pid != os.getpid():
            self._pid, self._ledger.process = os.getpid(), _new_id()

    def _check_open(self) -> None:
        if self._is_closed:
            raise self._closed_error()

    def _closed_error(self) -> LimiterError:
        return LimiterError("this rate limiter is closed: make a new one")

    def look(self) -> None:
        """Let the task see that a call is due earlier than it thought, if one is."""
        if self._wake is not None and self._binding.is_here():
            wants = Wants(*self._dispatcher.lengths())
            if self._ledger.due(wants, self.clock.monotonic()) < self._due:
                self._wake()

    def _wake_task(self) -> None:
        if self._wake is not None and self._binding.is_here():
            self._wake()

    async def _run(self) -> None:
        ledger = self._ledger
        while not self._is_closed:
            now = self._dispatcher.now()
            ledger.roll_windows(now)
            wants = Wants(*self._dispatcher.lengths())
            due = ledger.due(wants, now)
            if self._failure is not None and ledger.lease.is_away(now):
                self._note_away(self._failure)
            elif due > now:
                due = min(due, ledger.lease.away_at)
            if due > now:
                self._due = due
                await self._sleep(due - now)
                continue
            report = ledger.report(wants, now)
            self.is_calling = True
            try:
                reply = await self._place.call(report, self._wall_ms())
            except StoreError as error:
                ledger.fail(self._dispatcher.now())
                self._failure = error
            else:
                ledger.take(reply, self._dispatcher.now())
                self._note_back()
            finally:
                self.is_calling = False
            if not self._is_closed:
                self._dispatcher.serve()

    async def _sleep(self, seconds: float) -> None:
        with anyio.CancelScope() as scope:
            self._wake = scope.cancel
            try:
                if seconds == math.inf:
                    await anyio.sleep_forever()
                await self.clock.sleep(max(seconds, _SHORTEST_SLEEP))
            finally:
                self._wake = None

    def _note_away(self, error: StoreError) -> None:
        if not self._is_away:
            self._is_away = True
            rule = "calls wait" if self._away == "wait" else "this process goes on with its part of the quota"
            _logger.warning("%s is away, %s: %s", self._what, rule, error)

    def _note_back(self) -> None:
        self._failure = None
        if self._is_away:
            self._is_away = False
            _logger.info("%s is back", self._what)

    def _wall_ms(self) -> int:
        return int(self.clock.time() * 1_000)


class _SharedPermit(LedgerPermit):
    """A permit whose end is told."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: SharedLimiter, dispatcher: Dispatcher, entry: Any, ticket: int) -> None:
        super().__init__(dispatcher, entry, ticket)
        self._limiter = limiter

    def settle(self, status_code: int, headers: Any) -> None:
        """End with an answer."""
        super().settle(status_code, headers)
        self._limiter.look()

    def release(self) -> None:
        """End without a request."""
        super().release()
        self._limiter.look()

    def abandon(self) -> None:
        """End without an answer."""
        super().abandon()
        self._limiter.look()


def _new_id() -> str:
    return uuid4().hex[:16]


def _member(kind: Any, value: Any) -> Any:
    if value.__class__ is kind:
        return value
    try:
        return kind(value)
    except ValueError as error:
        name = "quota class" if kind is QuotaClass else "priority"
        raise InputError(f"no such {name}: {value!r}") from error
