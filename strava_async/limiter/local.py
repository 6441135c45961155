"""The limiter: a call gets its permit before it is sent, in order, and waits for it where there is no quota.

The rules of the ledger are in ``quota.values``, those of the queue in ``queue``, those of waiting in ``dispatcher``.
"""

from __future__ import annotations

import math
import random as system_random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock, SystemClock
from strava_async.limiter.arguments import check_reserve, priority_of, quota_class_of, seconds_of
from strava_async.limiter.base import Permit
from strava_async.limiter.dispatcher import Dispatcher
from strava_async.limiter.permit import LedgerPermit
from strava_async.limiter.queue import Waiter
from strava_async.quota.ledger import Ledger
from strava_async.quota.values import Blocked, Priority, QuotaClass

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota


class RateLimiter:
    """The quota of one application, shared by everything that sends for it.

    It belongs to one event loop at a time, the first that acquires, and to that loop's thread: ``acquire`` in another
    loop is an InputError. When the loop has ended, the next one may use it; permits that were out count as abandoned.
    Permits may be ended in any thread. What ``quota`` and ``blocked`` show in another one may be a moment old.

    It keeps no task alive and needs no closing. Waits longer than a minute are logged to ``strava_async.limiter``, once
    at their beginning (INFO; WARNING for more than a quarter hour) and once at their end (INFO).

    Attributes:
        clock: the clock passed in.
        random: the source of jitter passed in.

    Args:
        clock: None means the system's.
        random: returns numbers in [0, 1); None means the system's.
        reserve: the share of a quarter hour's quota that BACKGROUND calls leave to the others at the beginning of the
            window; it shrinks to nothing until the end. From 0 (none) to 1.

    Raises:
        InputError: ``reserve`` is out of range.
    """

    def __init__(
        self, *, clock: Clock | None = None, random: Callable[[], float] | None = None, reserve: float = 0.2
    ) -> None:
        check_reserve(reserve)
        self.clock: Clock = clock or SystemClock()
        self.random: Callable[[], float] = random or system_random.random
        ledger = Ledger(self.clock.monotonic(), self.clock.time(), random=self.random, reserve=reserve)
        self._binding = LoopBinding("this rate limiter")
        self._ledger = ledger
        self._dispatcher = Dispatcher(ledger, self.clock, self._binding)

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        """Wait for the right to send one request.

        First come, first served inside a priority. With quota left and no call waiting it returns at once, without a
        checkpoint: the request that follows is one.

        Args:
            quota_class: what the request spends.
            priority: which calls go first when quota is short.
            max_wait: seconds that the call may wait; None means as long as it takes, 0 not at all.
            retry_of: the permit of an earlier attempt of the same call, which goes before younger calls.

        Returns:
            the permit, to be settled, released or abandoned.

        Raises:
            QuotaExceededError: the call could not start in time; raised as soon as that is known, mostly at once.
                Nothing was spent.
            InputError: an argument is wrong, or the limiter belongs to another event loop, which has not ended.
        """
        if quota_class.__class__ is not QuotaClass:
            quota_class = quota_class_of(quota_class)
        if priority.__class__ is not Priority:
            priority = priority_of(priority)
        seconds = math.inf if max_wait is None else seconds_of(max_wait)
        if self._binding.enter():
            self._dispatcher = self._dispatcher.successor()
        dispatcher = self._dispatcher
        now = dispatcher.now()
        ticket = dispatcher.ticket(retry_of)
        entry = dispatcher.try_enter(quota_class, priority, now)
        if entry is None:
            entry = await dispatcher.wait(Waiter(quota_class, priority, ticket, now, now + seconds), now)
        return LedgerPermit(dispatcher, entry, ticket)

    @property
    def quota(self) -> Quota:
        """The four meters now."""
        return self._dispatcher.quota()

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return the meter that keeps a call of this class from starting now, and until when; None if none does.

        Raises:
            InputError: there is no such class.
        """
        return self._dispatcher.blocked(quota_class_of(quota_class))

    def snapshot(self) -> dict[str, Any]:
        """Return what is known, in a form that JSON can hold, for ``restore`` after a restart."""
        from strava_async.quota.snapshot import save  # not above: most programs need neither

        now = self._dispatcher.advance()
        return save(self._ledger, now, self.clock.time())

    @classmethod
    def restore(cls, snapshot: Mapping[str, Any], **options: Any) -> Self:
        """Return a limiter that knows what another one knew.

        Numbers of a window that is over are ignored, so an old snapshot never lets more calls start than none would.

        Args:
            snapshot: the result of ``snapshot``.
            options: those of the constructor.

        Raises:
            InputError: this is not a snapshot, or an option is out of range.
        """
        from strava_async.quota.snapshot import load

        limiter = cls(**options)
        load(limiter._ledger, snapshot, limiter.clock.monotonic(), limiter.clock.time())
        return limiter
