"""How far a failure reaches, and when failures are no longer about one thing each. Pure.

Rules:

- An error may be about the one thing that was asked for: Strava may answer 500 for one old activity for days, or with
  a page in place of JSON. It is noted, and the rest goes on.
- Where there was no connection, or Strava said that the quota is spent, it is not about that thing: nothing is noted,
  and the next run asks for it at once. A machine that was off the network for a night is to begin with the newest.
- An error about the grant ends that athlete; one about the application, the limiter or the store ends the run.
- What needs a subscription or a scope that the athlete lacks is not asked for again in the same run. Nor is a kind that
  Strava forbids three times in a row: it may be about one activity, or about all.
- If ten requests in a row fail, it is no longer about one thing: that ends the run, too. What failed in an earlier run
  does not count there.
- What failed in an earlier run is fetched last, the fewest failures first, until a few have failed again: what Strava
  cannot serve makes no run more expensive.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    DecodeError,
    FaultError,
    ForbiddenError,
    InvalidClientError,
    MissingScopeError,
    OAuthError,
    PaymentRequiredError,
    RateLimitedError,
    StravaError,
    TransportError,
    UnauthorizedError,
)
from strava_async.harvest.kinds import Kind

IN_A_ROW = 10
AGAIN = 5
FORBIDDEN = 3

NEEDED = (Kind.DETAIL, Kind.STREAMS, None)


class Reach(Enum):
    """What a failure is about."""

    ONE = "one"
    LATER = "later"
    KIND = "kind"
    ATHLETE = "athlete"
    RUN = "run"


def reach_of(error: StravaError, kind: Kind | None) -> Reach:
    """Return how far an error reaches.

    Args:
        error: what came instead of an answer.
        kind: what was asked for; None for the list, or whether an activity is still there.
    """
    if isinstance(error, ApplicationInactiveError | AthleteCapacityError | InvalidClientError):
        return Reach.RUN
    if isinstance(error, RateLimitedError) or (isinstance(error, TransportError) and error.sent == "never"):
        return Reach.LATER
    if isinstance(error, PaymentRequiredError):
        return Reach.KIND if kind is not None else Reach.ONE
    if isinstance(error, UnauthorizedError | MissingScopeError):
        return Reach.ATHLETE if kind in NEEDED else Reach.KIND
    if isinstance(error, OAuthError):
        return Reach.ATHLETE
    if isinstance(error, FaultError | DecodeError | TransportError):
        return Reach.ONE
    return Reach.RUN


class Forbidden:
    """Refusals of an athlete's, by kind, one after the other."""

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()

    def answered(self, kind: Kind) -> None:
        """Note an answer."""
        self._counts[kind] = 0

    def add(self, kind: Kind, error: StravaError) -> bool:
        """Note a failure; return whether no more of the kind is to be asked for."""
        self._counts[kind] += isinstance(error, ForbiddenError) and kind not in NEEDED
        return self._counts[kind] >= FORBIDDEN


class InARow:
    """Failures one after the other, in the order of asking: answers come in any order, failures often first.

    Attributes:
        full: whether there was ever a whole row of them.

    Args:
        length: how many make a row.
    """

    def __init__(self, length: int = IN_A_ROW) -> None:
        self.full = False
        self._length = length
        self._asked = 0
        self._failed: set[int] = set()

    def ask(self) -> int:
        """Return the number of a request."""
        self._asked += 1
        return self._asked

    def add(self, number: int) -> None:
        """Count a failure, by the number of its request."""
        self._failed = {each for each in self._failed if each > number - 10 * self._length}
        self._failed.add(number)
        first = last = number
        while first - 1 in self._failed:
            first -= 1
        while last + 1 in self._failed:
            last += 1
        self.full = self.full or last - first + 1 >= self._length
