"""What to do after a failed attempt: a pure decision, so that the table can be checked by eye.

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
no reply, certainly not sent        wait and try again, whatever the method
no reply, maybe sent                wait and try again, if the method is idempotent
anything else                       raise
==================================  ==========================================================================

Every retry but the one after a refresh is bounded by ``RetryPolicy.max_attempts``. A body that is a stream can be sent
only once. 401 and 429 are refusals: the request had no effect, so that even a POST may be sent again.

The wait before attempt n + 1 is ``jitter * min(max_seconds, base_seconds * 2 ** (n - 1))`` with jitter from [0, 1):
exponential backoff with full jitter, which keeps many callers from retrying at the same moment. After a 429 the
jitter is from [0.5, 1), so that the wait is never close to zero. ``Retry-After`` is added to it; for a 5xx no more than
``max_seconds`` of it, because a 5xx is a failure of Strava's and not a limit on the caller.

The other 429s are those of calls that spend no quota, such as a renewal of tokens, and of all calls under a limiter
that knows no meters (``Unlimited``).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from strava_async.errors import RateLimitedError, ServerError, StravaError, TransportError, UnauthorizedError
from strava_async.request.options import RetryPolicy


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
    """What follows an attempt that failed.

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
