"""Looks at a harvest that runs: ``Observer``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from strava_async.clock import Clock
from strava_async.display.frame import Frame, Heading, Waiting
from strava_async.display.wording import meters_of
from strava_async.harvest.estimate import RESERVE, Estimate
from strava_async.harvest.outcome import Progress
from strava_async.limiter.base import Limiter
from strava_async.quota.readings import Meter, Quota
from strava_async.quota.reserve import DAY, QUARTER, seconds_left
from strava_async.quota.values import QuotaClass

_SHORT_SECONDS = 1.0  # nobody is told of a wait that is over when it is read


class Observer:
    """Observes a harvest. Its ``note_progress`` is what ``Harvest.run`` takes as ``on_progress``.

    Args:
        heading: what does not change.
        limiter: that of the harvest.
        clock: Strava's; None means the limiter's.
        real_time: tells seconds of real time; None means by that clock.
        reserve: the limiter's.
        note: returns one more line to be shown.

    Attributes:
        heading: see above.
        progress: the last that came.
    """

    def __init__(
        self,
        heading: Heading,
        limiter: Limiter,
        *,
        clock: Clock | None = None,
        real_time: Callable[[], float] | None = None,
        reserve: float = RESERVE,
        note: Callable[[], str] = lambda: "",
    ) -> None:
        self.heading = heading
        self.progress: Progress | None = None
        self._estimate: Estimate | None = None
        self._estimated_after = 0  # requests
        self._limiter = limiter
        self._clock = clock or limiter.clock
        self._real_time = real_time or self._clock.monotonic
        self._began_at = self._real_time()
        self._reserve = reserve
        self._note = note
        self._ends: set[float] = set()

    @property
    def windows(self) -> int:
        """How many windows were waited for."""
        return len(self._ends)

    def note_progress(self, progress: Progress) -> None:
        """Note how far it is."""
        self.progress = progress

    def note_estimate(self, estimate: Estimate) -> None:
        """Note what it will take from now on."""
        self._estimate, self._estimated_after = estimate, self._requests()

    def frame(self) -> Frame:
        """Return the state now."""
        quota, now = self._limiter.quota, self._clock.time()
        return Frame(
            heading=self.heading,
            now=now,
            elapsed=self._real_time() - self._began_at,
            progress=self.progress,
            quota=quota,
            waiting=self._waiting(quota, now),
            estimate=self._remaining(),
            note=self._note(),
        )

    def _requests(self) -> int:
        return 0 if self.progress is None else self.progress.counts.requests

    def _remaining(self) -> Estimate | None:
        """Return the estimate without what was done since."""
        estimate = self._estimate
        done = self._requests() - self._estimated_after
        if estimate is None or done <= 0:
            return estimate
        return replace(estimate, requests=max(0, estimate.requests - done))

    def _waiting(self, quota: Quota, now: float) -> Waiting | None:
        calls = self.progress.asking if self.progress is not None else 0
        if not calls:
            return None
        blocked = self._limiter.blocked(QuotaClass.READ)
        if blocked is not None:
            if blocked.awaits or blocked.resume_at - now < _SHORT_SECONDS:
                return None  # for an answer, and no window
            self._ends.add(blocked.resume_at)
            return Waiting(blocked.window, blocked.resume_at, calls)
        until, window = max((self._reserved_until(meter, name), name) for name, meter in meters_of(quota).items())
        return Waiting(window, until, calls, for_reserve=True) if until - now >= _SHORT_SECONDS else None

    def _reserved_until(self, meter: Meter, name: str) -> float:
        """Return when the reserve of a meter is smaller than what is left; epoch seconds."""
        if meter.limit is None or meter.remaining is None:
            return 0.0
        length = DAY if name.endswith("day") else QUARTER
        return meter.resets_at - seconds_left(length, self._reserve, meter.limit, meter.remaining, 0.0)
