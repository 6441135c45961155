"""One fast clock for many processes of a machine: slower while they send, faster while all of them wait for a turn."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import NamedTuple

from strava_async.clock import SystemClock

QUARTER_SECONDS = 900
WINDOWS = 20  # from there on the clock stays as fast as it is


class Pace(NamedTuple):
    """How fast a clock is.

    Attributes:
        speed: its seconds in a second, at the start and at the beginning of each quarter hour.
        busy: for so many of its seconds that is so.
        idle_speed: the rest of the time; None means the same.
    """

    speed: float
    busy: float = 0.0
    idle_speed: float | None = None


REAL = Pace(1.0)


class AgreedClock:
    """A ``Clock`` that processes of a machine agree on. It stands still until it is told when it began.

    Args:
        pace: how fast it is.
        start: Unix time at its beginning.
        skew: what ``time`` is wrong by in this process; seconds.
    """

    def __init__(self, pace: Pace, start: float, skew: float = 0.0) -> None:
        self._system = SystemClock()
        self._start = start + skew
        self._epoch = math.inf
        self._real, self._shown, self._speeds = _knots(pace, QUARTER_SECONDS - start % QUARTER_SECONDS)

    def begin(self, epoch: float) -> None:
        """Let it run.

        Args:
            epoch: its beginning, as ``SystemClock.monotonic`` has it, which is the same in all processes of a machine.
        """
        self._epoch = epoch

    def monotonic(self) -> float:
        """Return the seconds since its beginning."""
        real = max(0.0, self._system.monotonic() - self._epoch)
        knot = bisect_right(self._real, real) - 1
        return self._shown[knot] + (real - self._real[knot]) * self._speeds[knot]

    def time(self) -> float:
        """Return Unix time, wrong by the skew."""
        return self._start + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for that many of its seconds, as if it ran."""
        now, until = self.monotonic(), self.monotonic() + max(seconds, 0.0)
        await self._system.sleep(self._real_at(until) - self._real_at(now))

    def _real_at(self, shown: float) -> float:
        knot = bisect_right(self._shown, shown) - 1
        return self._real[knot] + (shown - self._shown[knot]) / self._speeds[knot]


def _knots(pace: Pace, turn: float) -> tuple[list[float], list[float], list[float]]:
    """Return where the speed changes: real seconds, those of the clock, and the speed from there.

    Args:
        pace: the speeds.
        turn: when the first quarter hour ends.
    """
    speed, busy, idle_speed = pace
    turns = [0.0, *(turn + QUARTER_SECONDS * window for window in range(WINDOWS))]
    real, shown, speeds = [0.0], [0.0], [speed]
    for begin, end in pairwise(turns):
        for at, next_speed in ((min(begin + busy, end), idle_speed or speed), (end, speed)):
            real.append(real[-1] + (at - shown[-1]) / speeds[-1])
            shown.append(at)
            speeds.append(next_speed)
    return real, shown, speeds
