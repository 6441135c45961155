"""Which webhook events were accepted lately: Strava repeats what was not answered in time."""

from __future__ import annotations

from collections import OrderedDict

from strava_async.clock import Clock

REMEMBERED_SECONDS = 3600.0


class Seen:
    """The keys of the events of the last hour.

    Args:
        clock: by which they are forgotten.
        most: how many are remembered; the oldest give way.
    """

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._at: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        self._forget()
        return key in self._at

    def add(self, key: str) -> None:
        """Remember a key."""
        self._at[key] = self._clock.monotonic()
        self._forget()

    def discard(self, key: str) -> None:
        """Forget a key."""
        self._at.pop(key, None)

    def _forget(self) -> None:
        oldest_at = self._clock.monotonic() - REMEMBERED_SECONDS
        while self._at and (len(self._at) > self._most or next(iter(self._at.values())) <= oldest_at):
            self._at.popitem(last=False)
