"""What to do after an attempt that failed: a pure decision, so that the table can be checked by eye.

Rules:

==================================  ==========================================================================
outcome                             decision
==================================  ==========================================================================
the access token was refused        refresh, once per call, if the body can be sent again; else raise
429, the limiter knows the meter    try again (the limiter makes it wait), if the body can be sent again
any other 429                       wait and try again, if the body can be sent again and Strava does not ask for a
                                    wait of more than ``max_seconds``
5xx                                 wait and try again, if the method is idempotent
no reply, for a permanent reason    raise
no reply, surely never sent         wait and try again, whatever the method
no reply, maybe sent                wait and try again, if the method is idempotent
anything else                       raise
==================================  ==========================================================================

Every repetition but the one after a refresh is bounded by ``RetryPolicy.max_attempts``. A body that is a stream can
be sent once. 401 and 429 are refusals: the request did nothing, so that even a POST may follow them.

The wait before attempt n + 1 is ``jitter * min(max_seconds, base_seconds * 2 ** (n - 1))`` with jitter from [0, 1):
exponential backoff with full jitter, which keeps many callers from coming back at the same moment. After a 429 the
jitter is from [0.5, 1): who counts is not asked again at once. ``Retry-After`` comes on top of it; of a 5xx no more
than ``max_seconds``, because it tells of Strava's trouble, and not of ours.

The other 429s are those of calls that spend no quota, such as a renewal of tokens, and of all calls where nothing
keeps the quota (``Unlimited``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from strava_async.errors import (
    FaultError,
    InputError,
    RateLimitedError,
    ServerError,
    StravaError,
    TransportError,
    UnauthorizedError,
)

LONGEST_PAUSE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a call is tried again.

    Attributes:
        max_attempts: requests per call at the most, not counting the one after a refresh; 1 means no retry.
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
        # 2 ** 1100 is no float any more; by then the minimum was reached long ago.
        doublings = min(attempt - 1, 64)
        return jitter * min(self.max_seconds, self.base_seconds * 2.0**doublings)


class Attempt(NamedTuple):
    """What the decision needs to know about the request just made.

    Attributes:
        number: 1 for the first of its call.
        idempotent: sending it twice does no harm.
        replayable: its body can be sent a second time.
        refreshable: the bearer can be renewed, and was not yet renewed for this call.
    """

    number: int
    idempotent: bool
    replayable: bool
    refreshable: bool


class Step(Enum):
    """What can follow an attempt that failed."""

    WAIT = "try again, after a while and with a permit of its own"
    REFRESH = "renew the bearer, then try again"
    RAISE = "give up"


class Decision(NamedTuple):
    """What does follow an attempt that failed.

    Attributes:
        step: see there.
        seconds: for ``WAIT``, how long.
    """

    step: Step
    seconds: float = 0.0


_RAISE = Decision(Step.RAISE)


def decide(attempt: Attempt, error: StravaError, policy: RetryPolicy, jitter: float) -> Decision:
    """Return what follows an attempt that ended with this error; see the table above."""
    if is_expired_token(error):
        return Decision(Step.REFRESH) if attempt.refreshable and attempt.replayable else _RAISE
    if attempt.number >= policy.max_attempts:
        return _RAISE
    match error:
        case RateLimitedError() if attempt.replayable:
            return _after_429(attempt, error, policy, jitter)
        case TransportError(permanent=True):
            return _RAISE
        case TransportError(sent="never"):
            return Decision(Step.WAIT, policy.backoff(attempt.number, jitter))
        case ServerError() if attempt.idempotent and attempt.replayable:
            asked = min(error.retry_after or 0.0, policy.max_seconds)
            return Decision(Step.WAIT, asked + policy.backoff(attempt.number, jitter))
        case TransportError() if attempt.idempotent and attempt.replayable:
            return Decision(Step.WAIT, policy.backoff(attempt.number, jitter))
        case _:
            return _RAISE


def _after_429(attempt: Attempt, error: RateLimitedError, policy: RetryPolicy, jitter: float) -> Decision:
    if error.window is not None:
        return Decision(Step.WAIT)
    asked = error.retry_after or 0.0
    if asked > policy.max_seconds:
        return _RAISE
    return Decision(Step.WAIT, asked + policy.backoff(attempt.number, at_least_half(jitter)))


def at_least_half(jitter: float) -> float:
    """Return jitter from [0.5, 1) for jitter from [0, 1)."""
    return 0.5 + 0.5 * jitter


def is_expired_token(error: StravaError) -> bool:
    """Say whether a 401 is about the access token; only then does a refresh help."""
    return isinstance(error, UnauthorizedError) and any(
        detail.get("resource") == "Athlete" and detail.get("field") == "access_token" for detail in error.errors
    )


class Pause:
    """How long an endpoint that spends no quota is left alone by all callers, after it refused one for good.

    So that the next caller does not begin anew where the last one gave up: as long as ``Retry-After`` said, a quarter
    of an hour at the most, or as the backoff goes on. All instants are monotonic.
    """

    def __init__(self) -> None:
        self._until = -math.inf
        self._refusals = 0
        self._last: FaultError | None = None

    def note(self, error: StravaError | None, policy: RetryPolicy, now: float) -> None:
        """Note how a call ended; None means well."""
        match error:
            case None:
                self._refusals = 0
            case RateLimitedError() | ServerError(retry_after=float()):
                asked = min(error.retry_after or 0.0, LONGEST_PAUSE_SECONDS)
                pause = max(asked, policy.backoff(error.attempts + self._refusals, 1.0))
                self._until = max(self._until, now + pause)  # one that was on its way may say less
                self._refusals += 1
                self._last = error
            case _:
                pass

    def check(self, now: float) -> None:
        """Raise what the refused one got, with the seconds that are left as its ``retry_after``, if any are."""
        left, last = self._until - now, self._last
        if last is None or left <= 0:
            return
        message = f"not asked again: it was refused a moment ago, and may be asked in {left:.1f} s"
        error = type(last)(
            status_code=last.status_code, message=message, method=last.method, path=last.path, attempts=0
        )
        error.retry_after = left
        raise error
