"""A clock for limiters whose calls leave the event loop, or the process."""

from __future__ import annotations

from typing import Protocol

from strava_async.testing.clock import FakeClock


class _Calling(Protocol):
    @property
    def is_calling(self) -> bool: ...


class PatientClock(FakeClock):
    """A clock that does not jump while one of the limiters is at its meeting place: that takes no time here."""

    def __init__(self, start: float) -> None:
        self.limiters: list[_Calling] = []
        super().__init__(start, is_busy=lambda: any(limiter.is_calling for limiter in self.limiters))
