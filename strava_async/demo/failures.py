"""What a harvest failed to fetch: noted, reported at the end, and fetched again by the next harvest.

Rules:

- An error may be about the one thing that was asked for: Strava may answer 500 for one old activity for days, or with a
  page in place of JSON. Then the rest goes on. An error about the grant, the quota or the application ends the harvest.
- If ten requests in a row fail, it is no longer about one thing: that ends the harvest too. They are noted, so that the
  next harvest does not end there again.
- What failed in an earlier harvest is fetched last, the fewest failures first, and only until a few have failed again:
  what Strava cannot serve makes no harvest more expensive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

from strava_async._types import is_object
from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    DecodeError,
    FaultError,
    RateLimitedError,
    StravaError,
    TransportError,
    UnauthorizedError,
)

IN_A_ROW = 10
AGAIN = 5

_ABOUT_ALL = (UnauthorizedError, RateLimitedError, ApplicationInactiveError, AthleteCapacityError)


class Failure(NamedTuple):
    """Something that was not fetched.

    Attributes:
        what: ``detail`` or ``streams`` of an activity, or its ``summary`` on the list.
        activity_id: whose; None where the list does not tell.
        reason: the error.
    """

    what: str
    activity_id: int | None
    reason: str

    def __str__(self) -> str:
        whose = "an unknown activity" if self.activity_id is None else str(self.activity_id)
        return printable(f"{self.what} of {whose}: {self.reason}")


def printable(text: str) -> str:
    """Return the text without control characters, and without lone surrogates, which no file can hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class Row:
    """Failures one after the other, in the order of asking: answers come in any order, failures often first.

    Attributes:
        full: whether there was ever such a row.

    Args:
        length: how many make a row.
    """

    def __init__(self, length: float) -> None:
        self.full = False
        self._length = length
        self._failed: set[int] = set()

    def add(self, number: int) -> None:
        """Count a failure, given its number in the order of asking."""
        self._failed.add(number)
        first = last = number
        while first - 1 in self._failed:
            first -= 1
        while last + 1 in self._failed:
            last += 1
        self.full = self.full or last - first + 1 >= self._length


class Notes(Protocol):
    """Where it is noted what failed. What was noted is kept for good when the method returns."""

    async def failed(self, kind: str) -> list[int]:
        """Return the activities of which this failed and did not come since, the fewest failures first."""
        ...

    async def note_failure(self, kind: str, activity_id: int, reason: str) -> None:
        """Note that it failed; once more, if it did before."""
        ...


class NoNotes:
    """Notes of a store that keeps none: each harvest asks for everything that is missing, as if for the first time."""

    async def failed(self, kind: str) -> list[int]:
        """Return nothing."""
        return []

    async def note_failure(self, kind: str, activity_id: int, reason: str) -> None:
        """Note nothing."""


def concerns_one(error: StravaError) -> bool:
    """Say whether the error may be about the one thing that was asked for."""
    return isinstance(error, FaultError | DecodeError | TransportError) and not isinstance(error, _ABOUT_ALL)


def usable(summaries: Sequence[Any]) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Return the summaries that tell whose and when they are, so that a file can hold it, and what the others lack."""
    good: list[dict[str, Any]] = []
    bad: list[Failure] = []
    for summary in summaries:
        activity_id = _id(summary)
        athlete_id = _id(summary.get("athlete")) if is_object(summary) else None
        begins = summary.get("start_date") if is_object(summary) else None
        if None not in (activity_id, athlete_id) and isinstance(begins, str) and begins.isascii():
            good.append(cast("dict[str, Any]", summary))
        else:
            bad.append(Failure("summary", activity_id, "it lacks its id, its athlete or its start_date"))
    return good, bad


def _id(value: object) -> int | None:
    """Return the id that an object has; None where that is none: beyond 64 bits, a file cannot hold it."""
    number = value.get("id") if is_object(value) else None
    return number if type(number) is int and 0 < number < 2**63 else None  # True is an int to Python
