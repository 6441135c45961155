"""A bounded set whose members expire."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from strava_async.clock import Clock

HOUR_SECONDS = 3600.0


class TtlSet:
    """A set of keys, each of which expires some time after it was added.

    Args:
        clock: by which they expire.
        max_size: how many there are at most; the oldest are dropped.
        seconds: how long each stays.
    """

    def __init__(self, clock: Clock, max_size: int, seconds: float = HOUR_SECONDS) -> None:
        self._clock = clock
        self._max_size = max_size
        self._seconds = seconds
        self._at: OrderedDict[Hashable, float] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        self._expire()
        return key in self._at

    def added_at(self, key: Hashable) -> float | None:
        """Return when a key was added, on the monotonic clock; None if it is not in the set."""
        self._expire()
        return self._at.get(key)

    def add(self, key: Hashable, at: float | None = None) -> None:
        """Add a key; ``at`` is since when it counts as added, None means now."""
        self._at[key] = self._clock.monotonic() if at is None else at
        self._expire()

    def discard(self, key: Hashable) -> None:
        """Remove a key if it is there."""
        self._at.pop(key, None)

    def _expire(self) -> None:
        oldest_at = self._clock.monotonic() - self._seconds
        while self._at and (len(self._at) > self._max_size or next(iter(self._at.values())) <= oldest_at):
            self._at.popitem(last=False)
