"""One clock for the processes of a harvest: faster than the machine's, and moved forward while all of them wait."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from strava_async.clock import SystemClock

_NUMBERS = struct.Struct("=d")
_POLL_SECONDS = 0.02


class SharedClock:
    """A ``Clock`` that processes of a machine share by a file, which says how far it was moved.

    Args:
        path: the file; see ``make``.
        epoch: its beginning, as ``SystemClock.monotonic`` has it, which is the same in all processes of a machine.
        start: Unix time at its beginning.
        speed: its seconds in a second.
    """

    def __init__(self, path: str, epoch: float, start: float, speed: float) -> None:
        self._system = SystemClock()
        self._epoch, self._start, self._speed = epoch, start, speed
        self._sleepers: dict[object, float] = {}
        with open(path, "r+b") as file:
            self._moved = mmap.mmap(file.fileno(), _NUMBERS.size)

    @staticmethod
    def make(path: Path) -> None:
        """Make the file."""
        path.write_bytes(_NUMBERS.pack(0.0))

    def monotonic(self) -> float:
        """Return the seconds since its beginning."""
        (moved,) = _NUMBERS.unpack_from(self._moved)
        return float(moved) + (self._system.monotonic() - self._epoch) * self._speed

    def time(self) -> float:
        """Return Unix time."""
        return self._start + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for that many of its seconds."""
        if seconds <= 0:
            await self._system.sleep(0)
            return
        sleeper, until = object(), self.monotonic() + seconds
        self._sleepers[sleeper] = until
        try:
            while (left := until - self.monotonic()) > 0:
                await self._system.sleep(min(left / self._speed, _POLL_SECONDS))
        finally:
            del self._sleepers[sleeper]

    def move_to_next(self) -> None:
        """Move it forward to the end of the first wait of this process, for all processes."""
        left = min(self._sleepers.values(), default=0.0) - self.monotonic()
        if left > 0:
            self.move(left)

    def move(self, seconds: float) -> None:
        """Move it forward, for all processes; one at a time."""
        (moved,) = _NUMBERS.unpack_from(self._moved)
        _NUMBERS.pack_into(self._moved, 0, moved + seconds)
