"""The webhook events that are not finished: in lanes, and bounded for each athlete."""

from __future__ import annotations

from collections import deque

from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.lanes import Lane, LaneKey, lane_key
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.retry import Job


class Unfinished:
    """Keeps the lanes, and the books of the athletes whose events are in them.

    Args:
        owners: the books. A deauthorization is not in them: there are two of an athlete at the most.
    """

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._lanes: dict[LaneKey, Lane] = {}

    @property
    def lanes(self) -> list[Lane]:
        """The lanes. Callable from any thread, where a lane may have become empty since."""
        return list(self._lanes.values())

    @property
    def jobs(self) -> list[Job]:
        """All events."""
        return [job for lane in self.lanes for job in lane]

    def has_room(self, event: WebhookEvent) -> bool:
        """Say whether there may be one more of the event's athlete."""
        return event.is_deauthorization or self._owners.has_room(event.owner_id)

    def add(self, job: Job) -> Lane | None:
        """Add an event at the end of its lane; return the lane if it is the first."""
        if not job.event.is_deauthorization:
            self._owners.enter(job.event.owner_id)
        lane = self._lanes.setdefault(lane_key(job.event), deque())
        lane.append(job)
        return lane if len(lane) == 1 else None

    def supersede(self, job: Job) -> bool:
        """Let a deauthorization take the place of one of the same athlete's that waits behind another, if there is."""
        lane = self._lanes.get(lane_key(job.event)) if job.event.is_deauthorization else None
        if lane is None or len(lane) < 2 or not lane[-1].is_untouched:
            return False
        lane[-1] = job
        return True

    def finish(self, lane: Lane) -> Job:
        """Take the first event out of its lane; return it."""
        job = lane.popleft()
        if not lane:
            del self._lanes[lane_key(job.event)]
        self._leave(job)
        return job

    def clear(self) -> list[Job]:
        """Take out all events; return them."""
        left = self.jobs
        self._lanes.clear()
        for job in left:
            self._leave(job)
        return left

    def oldest_ready_at(self) -> float | None:
        """Return since when the event waits that waits longest for a worker; None if none does. From any thread."""
        ready_at = [job.ready_at for job in map(_first, self.lanes) if job is not None and job.ready_at is not None]
        return min(ready_at, default=None)

    def _leave(self, job: Job) -> None:
        if not job.event.is_deauthorization:
            self._owners.leave(job.event.owner_id)


def _first(lane: Lane) -> Job | None:
    try:
        return lane[0]
    except IndexError:  # it was finished while another thread looks
        return None
