"""What a lane has a caller do: a request, or the few of one job. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from strava_async.harvest.agenda import Job
from strava_async.harvest.list_state import Walk


@dataclass(frozen=True, slots=True)
class Check:
    """Asking whether an activity is still there."""

    activity_id: int


@dataclass(frozen=True, slots=True)
class Retry:
    """A job that failed before."""

    job: Job


Task = Walk | Check | Job | Retry
"""The page of a list, and what is above."""
