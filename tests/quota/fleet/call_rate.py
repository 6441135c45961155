"""How often a process may call, whatever happens: the bound that ``quota.fleet.lease`` states, as a bucket."""

from __future__ import annotations

FOR_EACH_EVENT = 2  # what has happened is told at once, and confirmed once
SECONDS = 0.7  # between two calls of a process to which nothing happens
AT_ONCE = 6  # the first polls are sooner, and so are the first tries of a call that fails
_MOST = 200


class CallRate:
    """Counts the calls of a process against what happened to it.

    Args:
        now: monotonic.
    """

    def __init__(self, now: float) -> None:
        self._at = now
        self._left = float(AT_ONCE)
        self._left_by_events = 0

    def note_event(self) -> None:
        """Note an answer, a call that waits, a request that started, or a turn."""
        self._left_by_events = min(_MOST, self._left_by_events + FOR_EACH_EVENT)

    def count(self, now: float) -> None:
        """Count a call."""
        self._left = min(AT_ONCE, self._left + (now - self._at) / SECONDS)
        self._at = now
        if self._left_by_events:
            self._left_by_events -= 1
        else:
            self._left -= 1
        assert self._left >= 0, "a process asks all the time"
