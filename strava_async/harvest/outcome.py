"""What a harvest says of itself: ``Progress`` while it runs, ``Outcome`` and ``Slice`` at the end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from strava_async.harvest.kinds import Kind
from strava_async.quota.values import Blocked

MOST_FAILURES = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was not fetched.

    Attributes:
        athlete_id: whose.
        kind: what; None for the list of activities, or for everything of the athlete.
        key: of what: the id of the activity or gear; empty for a list.
        reason: the error.
    """

    athlete_id: int
    kind: Kind | None
    key: str
    reason: str

    def __str__(self) -> str:
        what = "" if self.kind is None else f"{self.kind} of {self.key}: "
        return f"athlete {self.athlete_id}: {what}{self.reason}"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a harvest has done.

    Attributes:
        requests: that were answered, or have failed; repetitions after a failure are not counted.
        listed: activities that were on lists.
        stored: resources that came, by kind.
        none: resources that Strava does not have.
        pending: stream sets that are not ready yet.
        gone: activities that were deleted because Strava does not have them any more.
        failed: requests that failed.
        purged: activities and resources that were deleted because of their age.
    """

    requests: int
    listed: int
    stored: Mapping[Kind, int]
    none: int
    pending: int
    gone: int
    failed: int
    purged: int


@dataclass(frozen=True, slots=True)
class KindProgress:
    """How far one kind is.

    Attributes:
        wanted: how many are to be held.
        held: how many of these are, and need not be fetched now; what Strava does not have is among them.
        pending: how many are not ready yet.
        failed: how many failed when they were asked for last.
    """

    wanted: int
    held: int
    pending: int = 0
    failed: int = 0

    @property
    def left(self) -> int:
        """How many are still to be asked for."""
        return self.wanted - self.held - self.pending - self.failed


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a harvest is. All that it counts is stored.

    Attributes:
        counts: what it has done.
        athletes: of how many there is something left to do.
        failures: what failed last; at most 1,000.
        athletes_total: how many there are.
        athletes_listed: of how many the list was read, so that it is known what is wanted.
        activities: how many these have.
        kinds: how far each kind is, of these athletes.
        asking: how many requests are under way, or wait for quota.
        blocked: what keeps the next request from starting, and until when; None if nothing does. A wait for an answer
            is none. As it was when something was stored last: ask the limiter for what is now.
    """

    counts: Counts
    athletes: int
    failures: tuple[Failure, ...] = ()
    athletes_total: int = 0
    athletes_listed: int = 0
    activities: int = 0
    kinds: Mapping[Kind, KindProgress] = field(default_factory=dict[Kind, KindProgress])
    asking: int = 0
    blocked: Blocked | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a harvest ended.

    Attributes:
        complete: whether all that is wanted, and that Strava has, is stored.
        resume_at: when there is something to do again, and quota for it, as far as that is known; epoch seconds. None
            if it is not.
        counts: what it has done.
        failures: what failed; at most 1,000.
        quota_at: when there is quota again, if the run has ended because there was none in time; epoch seconds.
    """

    complete: bool
    resume_at: float | None
    counts: Counts
    failures: tuple[Failure, ...]
    quota_at: float | None = None


class Followed(StrEnum):
    """What came of a webhook event: ``QUEUED`` is that the activity will be asked about."""

    IGNORED = "ignored"
    QUEUED = "queued"
    DELETED = "deleted"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True)
class Slice:
    """How a part of a harvest of one athlete ended.

    Attributes:
        done: whether all that is wanted now, and that Strava has, is stored.
        resume_at: when to come back; epoch seconds.
        counts: what it has done.
        failures: what failed.
    """

    done: bool
    resume_at: float
    counts: Counts
    failures: tuple[Failure, ...]
