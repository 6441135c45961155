"""Time as the library sees it: something passed in, never asked of the system behind a caller's back."""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the library needs to know about time. All values are seconds."""

    def monotonic(self) -> float:
        """Return a reading that never goes back; only differences mean something."""
        ...

    def time(self) -> float:
        """Return Unix time as this machine believes it to be; it may be wrong, and may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for that long; at once, but still a checkpoint, if it is zero or negative."""
        ...


class SystemClock:
    """The clock of the machine, on whichever event loop is running."""

    def monotonic(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def time(self) -> float:
        """Return ``time.time()``."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait with the event loop's own timer."""
        await anyio.sleep(max(seconds, 0.0))
