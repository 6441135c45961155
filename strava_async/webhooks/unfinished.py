"""The unfinished webhook events of a store in memory, in lanes and counted for each athlete."""

from __future__ import annotations

from strava_async.webhooks.base import EventState, StoredEvent, StoreStats
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.lanes import Lane, LaneKey, LaneState, lane_key
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.pending import PendingEvent

_STATES = {
    LaneState.READY: EventState.READY,
    LaneState.CLAIMED: EventState.CLAIMED,
    LaneState.DELAYED: EventState.DELAYED,
    LaneState.SET_ASIDE: EventState.DELAYED,
}


class Unfinished:
    """Keeps the lanes, and counts the events of each athlete in them.

    Args:
        owners: counts them. Deauthorizations are not counted: an athlete has two at most.
    """

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._lanes: dict[LaneKey, Lane] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def lanes(self) -> list[Lane]:
        """The lanes. Thread-safe; in another thread a lane may be empty already."""
        return list(self._lanes.values())

    @property
    def events(self) -> list[PendingEvent]:
        """All events."""
        return [pending for lane in self.lanes for pending in lane.events]

    def has_room(self, event: WebhookEvent) -> bool:
        """Say whether the event's athlete may have one more."""
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
        """Replace a deauthorization of the same athlete that waits behind another; return whether that was done."""
        if not pending.event.is_deauthorization:
            return False
        lane = self._lanes.get(lane_key(pending.event))
        if lane is None or len(lane.events) < 2 or not lane.events[-1].is_untouched:
            return False
        lane.events[-1] = pending
        return True

    def remove(self, lane: Lane, position: int = 0) -> PendingEvent:
        """Remove the event at a position of a lane; return it."""
        pending = lane.events[position]
        del lane.events[position]
        if not lane.events:
            del self._lanes[lane.key]
        self._leave(pending)
        return pending

    def find(self, key: str) -> tuple[Lane, int] | None:
        """Return the lane of the event with this key, and its position there; None if there is none."""
        for lane in self.lanes:
            for position, pending in enumerate(lane.events):
                if pending.event.key == key:
                    return lane, position
        return None

    def clear(self) -> list[PendingEvent]:
        """Remove all events; return them."""
        left = self.events
        for lane in self.lanes:
            lane.events.clear()
        self._lanes.clear()
        for pending in left:
            self._leave(pending)
        return left

    def oldest_ready_at(self) -> float | None:
        """Return since when a worker is needed, on the monotonic clock; None if no event is ready. Thread-safe."""
        ready_at = [first.ready_at for first in map(_first, self.lanes) if first is not None]
        return min((at for at in ready_at if at is not None), default=None)

    def stats(self, now: float) -> StoreStats:
        """Return how many there are, and since when; ``now`` is on the monotonic clock. Thread-safe."""
        ready_at, lanes = self.oldest_ready_at(), self.lanes
        came_at = min((first.came_at for first in map(_first, lanes) if first is not None), default=None)
        return StoreStats(
            unfinished=len(self),
            claimed=sum(lane.state is LaneState.CLAIMED for lane in lanes),
            oldest_seconds=None if came_at is None else max(now - came_at, 0.0),
            ready_seconds=None if ready_at is None else max(now - ready_at, 0.0),
        )

    def listed(self, now: float) -> list[StoredEvent]:
        """Return all events for who looks after them, the oldest first; ``now`` is on the monotonic clock."""
        listed = [_stored(lane, position, now) for lane in self.lanes for position in range(len(lane.events))]
        return sorted(listed, key=lambda stored: -stored.age_seconds)

    def _leave(self, pending: PendingEvent) -> None:
        self._count -= 1
        if not pending.event.is_deauthorization:
            self._owners.leave(pending.event.owner_id)


def _first(lane: Lane) -> PendingEvent | None:
    try:
        return lane.events[0]
    except IndexError:  # finished meanwhile, in the event loop's thread
        return None


def _stored(lane: Lane, position: int, now: float) -> StoredEvent:
    pending = lane.events[position]
    is_delayed = position == 0 and lane.state is LaneState.DELAYED
    return StoredEvent(
        event=pending.event,
        state=_STATES[lane.state] if position == 0 else EventState.BEHIND,
        age_seconds=now - pending.came_at,
        due_seconds=max(lane.due_at - now, 0.0) if is_delayed else None,
        waits_for=pending.waits_for if is_delayed else None,
        failures=dict(pending.failures),
        error=pending.error,
    )
