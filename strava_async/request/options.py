"""How calls are made: the settings of an object or a view, and their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from strava_async._types import UNSET, Unset
from strava_async.errors import InputError
from strava_async.quota.values import Priority

# In less, TCP could not recover from the loss of two packets (RFC 6298 §2): an attempt would be cut off for nothing.
LEAST_ATTEMPT_SECONDS = 3.0
# No request about tokens takes longer, whatever Strava sends. A small timeout does not cut it off earlier than any
# attempt: the response may hold the only valid refresh token.
MAX_OAUTH_SECONDS = 20.0
# All attempts together: the lock of a token store may be a lease, which has to last longer.
RENEWAL_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is tried again, and after which waits.

    Attributes:
        max_attempts: the maximal number of requests per call, not counting the one after a refresh; 1 means no retry.
        base_seconds: the backoff before the second attempt is at most this long.
        max_seconds: no backoff is longer, and no ``Retry-After`` is waited for longer.

    Raises:
        InputError: fewer than one attempt, or a duration that is negative or not finite.
    """

    max_attempts: int = 4
    base_seconds: float = 0.5
    max_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise InputError("max_attempts is at least 1")
        if not all(math.isfinite(value) and value >= 0 for value in (self.base_seconds, self.max_seconds)):
            raise InputError("the seconds of a RetryPolicy are finite and not negative")

    def backoff(self, attempt: int, jitter: float) -> float:
        """Return the seconds to wait after that attempt (1 is the first); jitter is from [0, 1)."""
        # 2 ** 1100 exceeds a float; the maximum is reached long before.
        doublings = min(attempt - 1, 64)
        return jitter * min(self.max_seconds, self.base_seconds * 2.0**doublings)


class Options(NamedTuple):
    """How a call is made.

    Attributes:
        retry: when and how often to try again.
        timeout: the inactivity timeout: seconds without a byte from the server before an attempt is given up.
        total: seconds for one attempt, from asking for a connection to the body's last byte; None means no bound.
        max_wait: seconds that the call may queue for quota, all its attempts together; None means no bound.
        priority: its rank in that queue.
        within: seconds for all attempts together and the waits between them; None means no bound.
    """

    retry: RetryPolicy = RetryPolicy()
    timeout: float = 30.0
    max_wait: float | None = None
    priority: Priority = Priority.NORMAL
    total: float | None = None
    within: float | None = None


def checked(options: Options) -> Options:
    """Return the options.

    Raises:
        InputError: a duration that is negative or not a number.
    """
    if not (math.isfinite(options.timeout) and options.timeout > 0):
        raise InputError("timeout is a positive number of seconds")
    if options.total is not None and not (math.isfinite(options.total) and options.total > 0):
        raise InputError("total is a positive number of seconds, or None")
    if options.max_wait is not None and not options.max_wait >= 0:
        raise InputError("max_wait is not negative, or None")
    return options


def changed(
    options: Options,
    *,
    priority: Priority | Unset = UNSET,
    max_wait: float | Unset | None = UNSET,
    timeout: float | Unset = UNSET,
    total: float | Unset | None = UNSET,
    retry: RetryPolicy | Unset = UNSET,
) -> Options:
    """Return the options with those replaced that are given.

    Raises:
        InputError: as in ``checked``.
    """
    return checked(
        Options(
            retry=options.retry if isinstance(retry, Unset) else retry,
            timeout=options.timeout if isinstance(timeout, Unset) else timeout,
            max_wait=options.max_wait if isinstance(max_wait, Unset) else max_wait,
            priority=options.priority if isinstance(priority, Unset) else priority,
            total=options.total if isinstance(total, Unset) else total,
        )
    )


def of_oauth(options: Options) -> Options:
    """Return the options of a request about tokens: callers share its result, so it has to end."""
    bound = min(max(options.timeout, LEAST_ATTEMPT_SECONDS), MAX_OAUTH_SECONDS, options.total or math.inf)
    return options._replace(total=bound, within=RENEWAL_SECONDS)
