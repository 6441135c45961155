"""Time, as the library reads it: from a clock that is passed in."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the library needs to know about time. All values are seconds."""

    def monotonic(self) -> float:
        """Return a reading that never goes back; only differences mean something.

        It should run on while the machine sleeps. Where it does not, the limiter sees ``time`` jump, and asks Strava.
        """
        ...

    def time(self) -> float:
        """Return this machine's Unix time; it may be wrong, and may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for that long; zero or less is a checkpoint."""
        ...


def _boot_clock() -> Callable[[], float]:
    """Return the monotonic clock of this system that runs on while the machine is suspended."""
    # On Linux and macOS time.monotonic() stands still then. Elsewhere it runs on, or there is nothing better.
    name = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC_RAW"}.get(sys.platform, "")
    number = getattr(time, name, None)
    if number is None:
        return time.monotonic
    read = partial(time.clock_gettime, number)
    try:
        read()
    except OSError:
        return time.monotonic
    return read


class SystemClock:
    """The clock of the machine, on the event loop that is running.

    Its ``monotonic()`` counts the seconds of a suspended machine too, where the system does.
    """

    monotonic = staticmethod(_boot_clock())

    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Wait with the event loop's own timer."""
        await anyio.sleep(max(seconds, 0.0))
