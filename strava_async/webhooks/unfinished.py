"""The webhook events that are not finished: in lanes, and bounded for each athlete."""

from __future__ import annotations

from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.lanes import Lane, LaneKey, lane_key
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.pending import PendingEvent


class Unfinished:
    """Keeps the lanes, and counts the events of each athlete in them.

    Args:
        owners: counts them. A deauthorization is not counted: there are two of an athlete at most.
    """

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._lanes: dict[LaneKey, Lane] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def lanes(self) -> list[Lane]:
        """The lanes. Callable from any thread, where a lane may have become empty since."""
        return list(self._lanes.values())

    @property
    def events(self) -> list[PendingEvent]:
        """All events."""
        return [pending for lane in self.lanes for pending in lane.events]

    def has_room(self, event: WebhookEvent) -> bool:
        """Say whether there may be one more of the event's athlete."""
        return event.is_deauthorization or self._owners.has_room(event.owner_id)

    def add(self, pending: PendingEvent) -> Lane | None:
        """Add an event at the end of its lane; return the lane if it is the first."""
        if not pending.event.is_deauthorization:
            self._owners.enter(pending.event.owner_id)
        key = lane_key(pending.event)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        lane.events.append(pending)
        self._count += 1
        return lane if len(lane.events) == 1 else None

    def supersede(self, pending: PendingEvent) -> bool:
        """Let a deauthorization replace one of the same athlete's that waits behind another, if there is one."""
        if not pending.event.is_deauthorization:
            return False
        lane = self._lanes.get(lane_key(pending.event))
        if lane is None or len(lane.events) < 2 or not lane.events[-1].is_untouched:
            return False
        lane.events[-1] = pending
        return True

    def finish(self, lane: Lane) -> PendingEvent:
        """Take the first event out of its lane; return it."""
        pending = lane.events.popleft()
        if not lane.events:
            del self._lanes[lane.key]
        self._leave(pending)
        return pending

    def clear(self) -> list[PendingEvent]:
        """Take out all events; return them."""
        left = self.events
        for lane in self.lanes:
            lane.events.clear()
        self._lanes.clear()
        for pending in left:
            self._leave(pending)
        return left

    def oldest_ready_at(self) -> float | None:
        """Return since when the event waits that waits longest for a worker; None if none does. From any thread."""
        ready_at = [first.ready_at for first in map(_first, self.lanes) if first is not None]
        return min((at for at in ready_at if at is not None), default=None)

    def _leave(self, pending: PendingEvent) -> None:
        self._count -= 1
        if not pending.event.is_deauthorization:
            self._owners.leave(pending.event.owner_id)


def _first(lane: Lane) -> PendingEvent | None:
    try:
        return lane.events[0]
    except IndexError:  # it was finished while another thread looks
        return None
