"""The pause after an endpoint without quota has rejected a call. Pure: instants come in as arguments."""

from __future__ import annotations

import math

from strava_async.errors import FaultError, RateLimitedError, ServerError, StravaError
from strava_async.request.options import RetryPolicy

LONGEST_PAUSE_SECONDS = 900.0


class Pause:
    """A pause of all callers of an endpoint that spends no quota, after it has refused a call for good.

    The next caller does not start over where the last one gave up. The pause is as long as ``Retry-After``, up to a
    quarter of an hour, or as the next backoff, whichever is longer. All instants are monotonic.
    """

    def __init__(self) -> None:
        self._until = -math.inf
        self._refusals = 0
        self._last: FaultError | None = None

    def note(self, error: StravaError | None, policy: RetryPolicy, now: float) -> None:
        """Note the error that a call ended with; None for a success."""
        match error:
            case None:
                self._refusals = 0
            case RateLimitedError() | ServerError(retry_after=float()):
                asked = min(error.retry_after or 0.0, LONGEST_PAUSE_SECONDS)
                pause = max(asked, policy.backoff(error.attempts + self._refusals, 1.0))
                self._until = max(self._until, now + pause)  # a response that was in flight may ask for less
                self._refusals += 1
                self._last = error
            case _:
                pass

    def check(self, now: float) -> None:
        """Raise the error of the refused call during the pause, with the rest of it as ``retry_after``."""
        left, last = self._until - now, self._last
        if last is None or left <= 0:
            return
        message = f"not sent: the last request was refused, the next one may be sent in {left:.1f} s"
        error = type(last)(
            status_code=last.status_code, message=message, method=last.method, path=last.path, attempts=0
        )
        error.retry_after = left
        raise error
