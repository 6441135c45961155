"""The activities of one athlete, sorted and encoded once, ready to be served many times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from strava_async.testing.http.responses import EncodedBody, json_bytes
from strava_async.testing.world import AthleteWorld, start_of
from strava_async.testing.world.bounded_cache import BoundedCache

KEPT_BODY_BYTES = 128 << 20

BodyCache = BoundedCache[EncodedBody]
"""EncodedBody bodies by key, up to a number of bytes."""


def body_cache(limit_bytes: int = KEPT_BODY_BYTES) -> BodyCache:
    """Return an empty cache of bodies."""
    return BodyCache(limit_bytes, lambda body: len(body.plain))


class _View:
    """Activities by start, oldest first."""

    def __init__(self, activities: list[dict[str, Any]]) -> None:
        rows = sorted((start_of(activity), activity["id"]) for activity in activities)
        self.starts = [start for start, _ in rows]
        self.ids = [activity_id for _, activity_id in rows]

    def between(self, after: float | None, before: float | None) -> tuple[int, int]:
        """Return the bounds of the activities that start later than ``after`` and earlier than ``before``."""
        low = 0 if after is None else bisect_right(self.starts, after)
        high = len(self.starts) if before is None else bisect_left(self.starts, before)
        return low, max(low, high)


class Catalogue:
    """The activities of one athlete.

    Args:
        world: where they come from.
        bodies: the cache of encoded bodies; may be shared.
    """

    def __init__(self, world: AthleteWorld, bodies: BodyCache) -> None:
        self.world = world
        self._bodies = bodies
        self._version = 0
        self._touched: Counter[int] = Counter()
        self._encoded: dict[int, bytes] = {}
        self.refresh()

    def refresh(self, changed: int | None = None) -> None:
        """Rebuild the order after an activity was added or changed."""
        activities = self.world.activities
        self._by_id: dict[int, dict[str, Any]] = {activity["id"]: activity for activity in activities}
        self._everything = _View(activities)
        self._shared = _View([activity for activity in activities if not is_private(activity)])
        self._version += 1  # of all bodies: a detail shows its gear's distance, which other activities change
        if changed is not None:
            self._encoded.pop(changed, None)

    def remove(self, activity_id: int) -> None:
        """Delete an activity."""
        self.world.remove(activity_id)
        self.refresh(activity_id)

    def touch(self, activity_ids: Iterable[int]) -> None:
        """Invalidate the bodies of these activities, whose summaries have not changed."""
        self._touched.update(activity_ids)

    def find(self, activity_id: int, *, private: bool) -> dict[str, Any] | None:
        """Return the summary of an activity; None if there is none, or if it is private and ``private`` is false."""
        activity = self._by_id.get(activity_id)
        return None if activity is None or (is_private(activity) and not private) else activity

    def summary(self, activity_id: int) -> dict[str, Any]:
        """Return the summary of an activity; ``KeyError`` if there is none of that id."""
        return self._by_id[activity_id]

    def page(
        self, *, after: float | None, before: float | None, private: bool, skip: int, count: int, oldest_first: bool
    ) -> EncodedBody:
        """Return ``count`` summaries as a JSON array, after skipping ``skip`` of them."""
        view = self._everything if private else self._shared
        low, high = view.between(after, before)
        if oldest_first:
            ids = view.ids[min(low + skip, high) : min(low + skip + count, high)]
        else:
            ids = view.ids[max(high - skip - count, low) : max(high - skip, low)][::-1]
        return EncodedBody(b"[" + b",".join(self._summary(activity_id) for activity_id in ids) + b"]")

    def body(self, activity_id: int, kind: tuple[Any, ...], make: Callable[[], Any]) -> EncodedBody:
        """Return a body that belongs to an activity, encoded once as long as nothing changes and the cache has room."""
        return self._bodies.get(self._key(activity_id, kind), lambda: EncodedBody(json_bytes(make())))

    def has_body(self, activity_id: int, kind: tuple[Any, ...]) -> bool:
        """Return whether such a body is cached; if not, making it takes time."""
        return self._key(activity_id, kind) in self._bodies

    def _key(self, activity_id: int, kind: tuple[Any, ...]) -> tuple[Any, ...]:
        return activity_id, self._version, self._touched[activity_id], *kind

    def _summary(self, activity_id: int) -> bytes:
        encoded = self._encoded.get(activity_id)
        if encoded is None:
            encoded = self._encoded[activity_id] = json_bytes(self._by_id[activity_id])
        return encoded


def is_private(activity: dict[str, Any]) -> bool:
    """Say whether only the athlete may see it ("Only You")."""
    return bool(activity.get("private")) or activity.get("visibility") == "only_me"


CatalogueOf = Callable[[int, float], Catalogue]
"""Finds an athlete's catalogue: by the athlete's id, at an instant."""
