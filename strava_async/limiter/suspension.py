"""Whether the machine slept: then its wall clock is ahead of the monotonic one, where that stands still meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from strava_async.clock import Clock

_SLEPT_SECONDS = 5.0  # by which the wall clock has to be ahead; less is a correction


class SuspensionWatch:
    """Reads the monotonic clock, and compares it with the wall clock at each reading.

    Args:
        clock: has both.
        on_sleep: gets the seconds that the monotonic clock has missed, and its reading now.
    """

    __slots__ = ("_clock", "_on_sleep", "_wall_ahead")

    def __init__(self, clock: Clock, on_sleep: Callable[[float, float], object]) -> None:
        self._clock = clock
        self._on_sleep = on_sleep
        self._wall_ahead = clock.time() - clock.monotonic()

    def now(self) -> float:
        """Return the monotonic instant."""
        now = self._clock.monotonic()
        before, self._wall_ahead = self._wall_ahead, self._clock.time() - now
        return now if self._wall_ahead - before <= _SLEPT_SECONDS else self._compare_again(before)

    def _compare_again(self, before: float) -> float:
        # This thread may have stood still between the two readings.
        now = self._clock.monotonic()
        self._wall_ahead = self._clock.time() - now
        gained = self._wall_ahead - before
        if gained > _SLEPT_SECONDS:
            self._on_sleep(gained, now)
        return now
