"""What was seen lately, such as the events that were accepted: Strava repeats what was not answered in time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from strava_async.clock import Clock

REMEMBERED_SECONDS = 3600.0


class Seen:
    """The keys of the last hour, or of another time.

    Args:
        clock: by which they are forgotten.
        most: how many are remembered; the oldest give way.
        seconds: how long they are remembered.
    """

    def __init__(self, clock: Clock, most: int, seconds: float = REMEMBERED_SECONDS) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._at: OrderedDict[Hashable, float] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        self._forget()
        return key in self._at

    def at(self, key: Hashable) -> float | None:
        """Return when a key was seen, on the monotonic clock; None if it was not lately."""
        self._forget()
        return self._at.get(key)

    def add(self, key: Hashable, at: float | None = None) -> None:
        """Remember a key; ``at`` is when it was seen, None means now."""
        self._at[key] = self._clock.monotonic() if at is None else at
        self._forget()

    def discard(self, key: Hashable) -> None:
        """Forget a key."""
        self._at.pop(key, None)

    def _forget(self) -> None:
        oldest_at = self._clock.monotonic() - self._seconds
        while self._at and (len(self._at) > self._most or next(iter(self._at.values())) <= oldest_at):
            self._at.popitem(last=False)
