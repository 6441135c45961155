"""The limiter: a call gets its permit before it is sent, in order, and waits for it where there is no quota.

``quota`` has the rules of the books, ``limiter_line`` those of the order, ``limiter_gate`` those of the waiting.
"""

from __future__ import annotations

import math
import random as system_random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError
from strava_async.limiter.dispatcher import Gate
from strava_async.limiter.permit import GatePermit
from strava_async.limiter.queue import Waiter
from strava_async.quota.ledger import Ledger
from strava_async.quota.values import QUARTER_SECONDS, QUARTERS_PER_DAY, Blocked, Meter, Priority, Quota, QuotaClass


class Permit(Protocol):
    """The right to send one request. It ends once; whatever is called after the first end does nothing."""

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        """End with an answer. Never raises, never waits.

        Args:
            status_code: of the answer.
            headers: its header fields; any mapping, names in any case. A dict of the fields that matter (``date``,
                ``retry-after``, ``x-ratelimit-*``, ``x-readratelimit-*``) alone, in lower case, is read fastest.
        """
        ...

    def release(self) -> None:
        """End without a request: it surely never left this machine, and costs nothing."""
        ...

    def abandon(self) -> None:
        """End without an answer: the request may have been counted, and counts until an answer says otherwise."""
        ...

    def __enter__(self) -> Self:
        """Begin a block at whose end the permit is abandoned, unless it has ended before."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """See ``__enter__``."""
        ...


class Limiter(Protocol):
    """What a client needs of a limiter: ``RateLimiter``, ``Unlimited``, or a user's own.

    Attributes:
        clock: the time that the limiter lives by.
        random: its source of numbers in [0, 1).
    """

    clock: Clock
    random: Callable[[], float]

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        """Wait for a permit; see ``RateLimiter.acquire``."""
        ...

    @property
    def quota(self) -> Quota:
        """The four meters now."""
        ...

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return the meter that keeps a call of this class from starting now; None if none does."""
        ...


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
            window; it melts to nothing until the end. From 0 (none) to 1.

    Raises:
        InputError: ``reserve`` is out of range.
    """

    def __init__(
        self, *, clock: Clock | None = None, random: Callable[[], float] | None = None, reserve: float = 0.2
    ) -> None:
        if not 0 <= reserve <= 1:
            raise InputError(f"reserve must be between 0 and 1, not {reserve}")
        self.clock: Clock = clock or SystemClock()
        self.random: Callable[[], float] = random or system_random.random
        ledger = Ledger(self.clock.monotonic(), self.clock.time(), random=self.random, reserve=reserve)
        self._binding = LoopBinding("this rate limiter")
        self._gate = Gate(ledger, self.clock, self._binding)

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        """Wait for the right to send one request.

        First come, first served inside a priority. With quota at hand and nobody waiting it returns at once, without a
        checkpoint: the request that follows is one.

        Args:
            quota_class: what the request spends.
            priority: who goes first when quota is short.
            max_wait: seconds that the call may wait; None means as long as it takes, 0 not at all.
            retry_of: the permit of an earlier attempt of the same call, which keeps its place before younger calls.

        Returns:
            the permit, to be settled, released or abandoned.

        Raises:
            QuotaExceededError: the call could not start in time; raised as soon as that is known, mostly at once.
                Nothing was spent.
            InputError: an argument is wrong, or the limiter belongs to another event loop, which has not ended.
        """
        reads = quota_class is QuotaClass.READ or _reads(quota_class)
        if priority.__class__ is not Priority:
            priority = _priority(priority)
        if max_wait is None:
            max_wait = math.inf
        elif not max_wait >= 0:
            raise InputError(f"max_wait must not be negative, but is {max_wait}")
        if self._binding.enter():
            self._gate = self._gate.successor()
        gate = self._gate
        now = gate.now()
        permit = GatePermit(gate, gate.place(retry_of))
        if not gate.try_enter(permit, reads, priority, now):
            await gate.wait(Waiter(permit, reads, priority, permit.place, now, now + max_wait), now)
        return permit.open()

    @property
    def quota(self) -> Quota:
        """The four meters now."""
        self._gate.tidy()
        return self._gate.ledger.quota()

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return the meter that keeps a call of this class from starting now, and when it turns; None if none does.

        Raises:
            InputError: there is no such class.
        """
        reads = _reads(quota_class)
        wait = self._gate.ledger.waits.for_quota(reads, self._gate.tidy())
        return None if wait is None else Blocked(wait.window, wait.resume_at)

    def snapshot(self) -> dict[str, Any]:
        """Return what is known, in a form that JSON can hold, for ``restore`` after a restart."""
        from strava_async.quota.snapshot import save  # not above: most programs need neither

        now = self._gate.tidy()
        return save(self._gate.ledger, now, self.clock.time())

    @classmethod
    def restore(cls, snapshot: Mapping[str, Any], **options: Any) -> Self:
        """Return a limiter that knows what another one knew.

        What belongs to a window that is over is not believed, so an old snapshot never lets more calls start than none.

        Args:
            snapshot: the result of ``snapshot``.
            options: those of the constructor.

        Raises:
            InputError: this is no snapshot, or an option is out of range.
        """
        from strava_async.quota.snapshot import load

        limiter = cls(**options)
        load(limiter._gate.ledger, snapshot, limiter.clock.monotonic(), limiter.clock.time())
        return limiter


def _reads(quota_class: QuotaClass) -> bool:
    try:
        return QuotaClass(quota_class) is QuotaClass.READ
    except ValueError as error:
        raise InputError(f"no such quota class: {quota_class!r}") from error


def _priority(priority: int) -> Priority:
    try:
        return Priority(priority)
    except ValueError as error:
        raise InputError(f"no such priority: {priority!r}") from error


class _FreePermit:
    """A permit that nobody counts."""

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Do nothing."""


class Unlimited:
    """A limiter that never waits and counts nothing: for tests, or where something else keeps the quota.

    Attributes:
        clock: the clock passed in.
        random: the source of jitter passed in.

    Args:
        clock: None means the system's.
        random: returns numbers in [0, 1); None means the system's.
    """

    def __init__(self, *, clock: Clock | None = None, random: Callable[[], float] | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.random: Callable[[], float] = random or system_random.random

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        """Return a permit at once."""
        return _FreePermit()

    @property
    def quota(self) -> Quota:
        """Four meters of which nothing is known but the end of their windows."""
        now = self.clock.time()
        quarter = Meter(None, None, 0, (now // QUARTER_SECONDS + 1) * QUARTER_SECONDS)
        day_seconds = QUARTER_SECONDS * QUARTERS_PER_DAY
        day = Meter(None, None, 0, (now // day_seconds + 1) * day_seconds)
        return Quota(read_15min=quarter, read_day=day, overall_15min=quarter, overall_day=day)

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return None: nothing keeps a call from starting."""
        return None
