"""What a limiter is: the Protocols that ``ApiV3`` and ``Strava`` use.

A limiter needs no base class: ``acquire``, ``quota``, ``blocked`` and ``clock`` are enough, and ``quota`` and ``clock``
may be attributes or properties. ``tests/limiter/contract.py`` of the project tests one.

Rules that a limiter keeps:

- ``acquire`` raises ``QuotaExceededError`` where the call could not start within ``max_wait``, and ``LimiterError``
  where the limiter cannot tell; nothing is sent then. Other errors reach the caller as they are.
- A call that is cancelled in ``acquire`` leaves nothing behind: neither a place in the queue nor a reservation.
- Permits may be ended in any order, and more than once; only the first end counts. Ending one never raises and never
  waits, because an answer is about to be returned.
- ``quota`` and ``blocked`` neither wait nor do I/O.
"""

from __future__ import annotations

import random as system_random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from strava_async.clock import Clock
from strava_async.quota.values import Blocked, Priority, QuotaClass

if TYPE_CHECKING:
    from strava_async.quota.readings import Quota


class Permit(Protocol):
    """The right to send one request. It ends once; calls after that do nothing."""

    def settle(self, status_code: int, headers: Mapping[str, str]) -> None:
        """End with an answer. Never raises, never waits.

        Args:
            status_code: of the answer.
            headers: its header fields; any mapping, names in any case. A dict of the fields that matter (``date``,
                ``retry-after``, ``x-ratelimit-*``, ``x-readratelimit-*``) alone, in lower case, is read fastest.
        """
        ...

    def release(self) -> None:
        """End without a request: it certainly never left this machine, and costs nothing."""
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
    """Gives permits for the requests of one application: ``RateLimiter``, ``Unlimited``, or your own class.

    A limiter may also have ``random``, a function that returns numbers in [0, 1): ``ApiV3`` and ``Strava`` take the
    jitter of their retries from it then.
    """

    @property
    def clock(self) -> Clock:
        """The clock that it uses, and that ``ApiV3`` and ``Strava`` use unless they are given another."""
        ...

    @property
    def quota(self) -> Quota:
        """The four meters now, as far as they are known."""
        ...

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        """Wait for the right to send one request.

        Args:
            quota_class: what the request spends.
            priority: which calls go first when quota is short.
            max_wait: seconds that the call may wait; None means as long as it takes, 0 not at all.
            retry_of: the permit of an earlier attempt of the same call, which has ended; None for the first attempt.
                The call has waited already: it comes before calls of its priority that are younger than its first
                attempt. A limiter that keeps no order ignores it, and so does one that does not know the
                permit.

        Returns:
            the permit, to be settled, released or abandoned.

        Raises:
            QuotaExceededError: the call could not start in time. Nothing was spent.
            LimiterError: the limiter cannot give permits. Nothing was spent.
        """
        ...

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        """Return the meter that keeps a call of this class from starting now, and until when; None if none does."""
        ...


class ClosableLimiter(Limiter, Protocol):
    """A limiter that keeps something running or open, such as a connection to what it shares its quota in.

    Its owner closes it, after the last ``ApiV3`` or ``Strava`` that uses it.
    """

    def snapshot(self) -> dict[str, Any]:
        """Return what is known of the quota, in a form that JSON can hold, for a restart."""
        ...

    async def aclose(self) -> None:
        """Stop what is running and close what is open; a second time has no effect.

        Calls that wait raise ``LimiterError``, and calls that come later ``InputError``. Permits that are out may still
        be ended.
        """
        ...


def jitter_of(limiter: Limiter) -> Callable[[], float]:
    """Return the limiter's ``random`` if it has such a function; else the system's."""
    random = getattr(limiter, "random", None)
    return cast("Callable[[], float]", random) if callable(random) else system_random.random
