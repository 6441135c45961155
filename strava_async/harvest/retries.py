"""What failed before, and is asked for again at the end of a pass: ``Retries``. Pure."""

from __future__ import annotations

import heapq

from strava_async.harvest.agenda import Job
from strava_async.harvest.base import Activity
from strava_async.harvest.kinds import Kind

MOST_RETRIES = 500


class Retries:
    """Jobs of activities: those with the fewest failures are kept, and of these the newest activities."""

    def __init__(self) -> None:
        self._jobs: list[tuple[int, float, int, Kind, Job]] = []

    def add(self, activity: Activity, job: Job) -> bool:
        """Add a job; return whether there was room for all of them."""
        heapq.heappush(self._jobs, (-job.tries, activity.start, activity.id, job.kind, job))
        has_room = len(self._jobs) <= MOST_RETRIES
        if not has_room:
            heapq.heappop(self._jobs)
        return has_room

    def take(self) -> list[Job]:
        """Return them in the order of asking; there are none then."""
        jobs, self._jobs = sorted(self._jobs, key=lambda each: each[:4], reverse=True), []
        return [job for *_, job in jobs]
