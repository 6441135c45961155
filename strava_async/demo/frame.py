"""The state of a harvest to be shown: during it, and at its end. Nothing is drawn here."""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from strava_async.clock import Clock
from strava_async.demo.harvest import Kind, Progress
from strava_async.limiter.base import Limiter
from strava_async.quota.readings import Quota
from strava_async.quota.values import QuotaClass

NAME_WIDTH = 40  # columns: with what stands before it, less than 80
LISTED_FAILURES = 5  # the others are counted
RATE_SECONDS = 2.0  # the span of real time that the rate is taken over


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the emulator has counted.

    Attributes:
        requests: those that spend quota.
        refused: those among them that got a 429.
        renewals: access tokens issued for a refresh token.
    """

    requests: int
    refused: int
    renewals: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait for quota.

    Attributes:
        window: the meter without room, named as on ``Quota``.
        seconds: until it has room again, on Strava's clock.
        calls: how many wait.
    """

    window: str
    seconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A harvest at an instant.

    Attributes:
        now: epoch seconds on Strava's clock.
        speed: how much faster that clock goes.
        progress: how far the harvest is.
        quota: the four meters.
        waiting: None while no call waits for a window.
        traffic: what the emulator has counted.
        rate: requests per real second, of late.
    """

    now: float
    speed: float
    progress: Progress
    quota: Quota
    waiting: Waiting | None
    traffic: Traffic
    rate: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A harvest that has ended.

    Attributes:
        path: the file.
        stored: what is in it now, by table; ``no_streams`` counts activities of which Strava has none.
        size_bytes: how large it is.
        progress: what has come.
        traffic: what the emulator has counted.
        windows: how many windows were waited for.
        real_seconds: how long it took.
        virtual_seconds: how long it took on Strava's clock.
    """

    path: Path
    stored: dict[str, int]
    size_bytes: int
    progress: Progress
    traffic: Traffic
    windows: int
    real_seconds: float
    virtual_seconds: float


class Screen(Protocol):
    """Shows a harvest."""

    def say(self, text: str) -> None:
        """Show an event."""
        ...

    def show(self, frame: Frame) -> None:
        """Show the harvest as it is now; called several times a second."""
        ...

    def finish(self, outcome: Outcome) -> None:
        """Show the result."""
        ...

    def __enter__(self) -> Self:
        """Begin to show frames."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End showing frames; the last one stays."""
        ...


class Observer:
    """Observes a harvest.

    Args:
        progress: that of the harvest.
        limiter: that of the harvest.
        traffic: returns what the emulator has counted.
        clock: Strava's clock.
        speed: how much faster it goes than the machine's.
    """

    def __init__(
        self,
        progress: Progress,
        limiter: Limiter,
        traffic: Callable[[], Traffic],
        *,
        clock: Clock,
        speed: float,
    ) -> None:
        self._progress = progress
        self._limiter = limiter
        self._traffic = traffic
        self._clock = clock
        self._speed = speed
        self._marks: deque[tuple[float, int]] = deque()
        self._ends: set[float] = set()

    @property
    def windows(self) -> int:
        """How many windows were waited for."""
        return len(self._ends)

    def frame(self) -> Frame:
        """Return the state now."""
        quota, traffic, now = self._limiter.quota, self._traffic(), self._clock.time()
        return Frame(
            now=now,
            speed=self._speed,
            progress=self._progress,
            quota=quota,
            waiting=self._waiting(quota, now),
            traffic=traffic,
            rate=self._rate(traffic.requests, now / self._speed),
        )

    def _waiting(self, quota: Quota, now: float) -> Waiting | None:
        calls = self._progress.asking - quota.read_15min.reserved
        blocked = self._limiter.blocked(QuotaClass.READ)
        # While requests are in flight, they may still give back room; only without any is it a wait for the window.
        if blocked is None or calls <= 0 or quota.read_15min.reserved:
            return None
        self._ends.add(blocked.resume_at)
        return Waiting(blocked.window, max(0.0, blocked.resume_at - now), calls)

    def _rate(self, requests: int, now: float) -> float:
        self._marks.append((now, requests))
        while len(self._marks) > 2 and self._marks[1][0] <= now - RATE_SECONDS:
            self._marks.popleft()
        since, before = self._marks[0]
        return (requests - before) / (now - since) if now > since else 0.0


def on_the_clock(at: float) -> str:
    """Return an instant as the time of day in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def span(seconds: float) -> str:
    """Return a duration as ``4:12`` or ``11:04:12``."""
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun, such as ``1 call`` or ``2,000 calls``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def fits(path: Path) -> bool:
    """Say whether a file's name has room beside the figures; else it goes on a line of its own."""
    return len(str(path)) <= NAME_WIDTH


def fitted(text: str, columns: int) -> str:
    """Return a text whose lines end between words; a word that is longer than a line stays whole."""
    return textwrap.fill(text, max(columns, 1), break_long_words=False, break_on_hyphens=False)


def results(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return the result of a harvest, as rows of a name, a figure and a remark."""
    stored, progress, traffic = outcome.stored, outcome.progress, outcome.traffic
    details, streams = progress.parts[Kind.DETAIL], progress.parts[Kind.STREAMS]
    without = f"; {plural(stored['no_streams'], 'activity', 'activities')} without any" if stored["no_streams"] else ""
    return [
        ("activities", f"{stored['activities']:,}", f"{progress.new:,} new"),
        ("details", f"{stored['details']:,}", f"{details.added - details.empty:,} new"),
        ("stream sets", f"{stored['streams']:,}", f"{streams.added - streams.empty:,} new{without}"),
        ("requests", f"{traffic.requests:,}", f"429s: {traffic.refused}"),
        ("token renewals", f"{traffic.renewals}", ""),
        ("windows waited for", f"{outcome.windows}", ""),
        ("time", f"{outcome.real_seconds:.0f} s", f"{span(outcome.virtual_seconds)} on Strava's clock"),
        ("file", f"{outcome.size_bytes / 1e6:.1f} MB", str(outcome.path) if fits(outcome.path) else "named above"),
        *_missing(progress),
    ]


def _missing(progress: Progress) -> list[tuple[str, str, str]]:
    """Return what is missing, as rows; none if nothing is."""
    if not progress.missing:
        return []
    listed = [("", "", str(failure)) for failure in progress.failures[:LISTED_FAILURES]]
    others = progress.missing - len(listed)
    more = [("", "", f"and {others:,} more")] if others else []
    return [("missing", f"{progress.missing:,}", "the next run asks for it again"), *listed, *more]
