"""One fast clock for many processes of a machine: they agree on an instant, what it is called, and the speed."""

from __future__ import annotations

from typing import NamedTuple

from strava_async.clock import SystemClock
from strava_async.testing.clock import FastClock


class AgreedTime(NamedTuple):
    """What the processes agree on.

    Attributes:
        speed: seconds of the agreed time in a second.
        start: Unix time at the epoch.
        epoch: a reading of ``SystemClock.monotonic``, which is the same in all processes of a machine.
    """

    speed: float
    start: float
    epoch: float

    @classmethod
    def from_now(cls, speed: float, start: float) -> AgreedTime:
        """Return the time that begins now."""
        return cls(speed, start, SystemClock.monotonic())

    def clock(self, skew: float = 0.0) -> FastClock:
        """Return a clock of this process, whose ``time`` is wrong by so many seconds."""
        passed = (SystemClock.monotonic() - self.epoch) * self.speed
        return FastClock(self.speed, start=self.start + passed + skew)
