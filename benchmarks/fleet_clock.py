"""One fast clock for many processes of a machine: slower while they send, faster while all of them wait for a turn."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from strava_async.clock import SystemClock

QUARTER_SECONDS = 900
WINDOWS = 20  # from there on the clock stays as fast as it is


class Pace(NamedTuple):
    """How fast a clock is.

    Attributes:
        speed: its seconds in a second, at the start and at the beginning of each quarter hour.
        busy: for so many of its seconds.
        idle_speed: the rest of the time; None means the same.
    """

    speed: float
    busy: float = 0.0
    idle_speed: float | None = None


class AgreedTime(NamedTuple):
    """What the processes agree on.

    Attributes:
        pace: a ``Pace``.
        start: Unix time at the epoch.
        epoch: a reading of ``SystemClock.monotonic``, which is the same in all processes of a machine.
    """

    pace: Pace
    start: float
    epoch: float

    @classmethod
    def parse(cls, pace: list[float | None], start: float, epoch: float) -> AgreedTime:
        """Return what was sent as JSON."""
        speed, busy, idle_speed = pace
        return cls(Pace(speed or 1.0, busy or 0.0, idle_speed), start, epoch)

    def clock(self, skew: float = 0.0) -> AgreedClock:
        """Return a clock of this process, whose ``time`` is wrong by so many seconds."""
        return AgreedClock(self, skew)


class AgreedClock:
    """A ``Clock`` that shows an agreed time.

    Args:
        agreed: the time.
        skew: what ``time`` is wrong by; seconds.
    """

    def __init__(self, agreed: AgreedTime, skew: float = 0.0) -> None:
        self._system = SystemClock()
        self._agreed = agreed
        self._skew = skew
        self._real, self._shown, self._speeds = _knots(agreed)

    def monotonic(self) -> float:
        """Return the agreed seconds since the epoch."""
        real = self._system.monotonic() - self._agreed.epoch
        knot = max(0, bisect_right(self._real, real) - 1)
        return self._shown[knot] + (real - self._real[knot]) * self._speeds[knot]

    def time(self) -> float:
        """Return the agreed Unix time, wrong by the skew."""
        return self._agreed.start + self.monotonic() + self._skew

    async def sleep(self, seconds: float) -> None:
        """Wait for that many agreed seconds."""
        until = self.monotonic() + max(seconds, 0.0)
        knot = max(0, bisect_right(self._shown, until) - 1)
        real = self._real[knot] + (until - self._shown[knot]) / self._speeds[knot]
        await self._system.sleep(self._agreed.epoch + real - self._system.monotonic())


def _knots(agreed: AgreedTime) -> tuple[list[float], list[float], list[float]]:
    """Return where the speed changes: seconds since the epoch, agreed seconds since then, and the speed from there."""
    speed, busy, idle_speed = agreed.pace
    turn = QUARTER_SECONDS - agreed.start % QUARTER_SECONDS
    turns = [0.0, *(turn + QUARTER_SECONDS * window for window in range(WINDOWS))]
    real, shown, speeds = [0.0], [0.0], [speed]
    for begin, end in zip(turns, turns[1:], strict=False):
        for at, next_speed in ((min(begin + busy, end), idle_speed or speed), (end, speed)):
            real.append(real[-1] + (at - shown[-1]) / speeds[-1])
            shown.append(at)
            speeds.append(next_speed)
    return real, shown, speeds
