"""A harvest as lines of text, for a log, a pipe or a terminal that cannot draw.

Rules:

- One line in a minute. A wait is told of when it begins, and then four times an hour.
- What stands in a line does not move: a program that looks at it takes ``events`` in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from strava_async.display.frame import Frame, Result, Row, Waiting
from strava_async.display.wording import (
    aligned,
    clock_time,
    done_text,
    fits,
    meters_of,
    noun,
    plural,
    printable,
    results,
    wait_text,
)
from strava_async.harvest.outcome import Progress

LINE_SECONDS = 60.0
WAIT_SECONDS = 900.0


class PlainScreen:
    """A ``Screen`` that writes a line for each minute.

    Args:
        write: gets each line, without its end.
        seconds: of real time between two lines.
        wait_seconds: the same while it waits for the same window.
    """

    def __init__(
        self, write: Callable[[str], None], *, seconds: float = LINE_SECONDS, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._write = write
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._written_at = -math.inf
        self._wait: Waiting | None = None

    def say(self, text: str) -> None:
        """Write an event."""
        self._write(printable(text))

    def show(self, frame: Frame) -> None:
        """Write a line if it is time for one."""
        if frame.progress is None:
            return
        wait = frame.waiting if frame.waiting is not None and _is_long(frame.waiting, frame.now) else None
        is_known = wait is not None and self._wait is not None and _is_same(wait, self._wait)
        seconds = self._wait_seconds if is_known else self._seconds
        if frame.elapsed >= self._written_at + seconds or (wait is not None and not is_known):
            self._written_at = frame.elapsed
            self._write(line(frame, frame.progress))
        self._wait = wait

    def finish(self, result: Result) -> None:
        """Write the results."""
        place = printable(result.frame.heading.place)
        last = [Row("kept in", "", place)] if fits(place) else []
        for text in aligned([*results(result), *last]):
            self._write(text)
        if not fits(place):
            self._write(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: lines stay where they are."""


def _is_long(waiting: Waiting, now: float) -> bool:
    return not waiting.for_reserve and waiting.until - now >= LINE_SECONDS


def _is_same(one: Waiting, other: Waiting) -> bool:
    """Say whether two are for the same window, whose end becomes known more exactly with time."""
    return one.window == other.window and abs(one.until - other.until) < LINE_SECONDS


def line(frame: Frame, progress: Progress) -> str:
    """Return a frame in one line."""
    parts = [f"athletes {progress.athletes_total - progress.athletes}/{progress.athletes_total}"]
    if progress.athletes_listed < progress.athletes_total:
        parts.append(f"{plural(progress.counts.listed, 'activity', 'activities')} listed")
    parts += [f"{noun(kind)} {part.held}/{part.wanted}" for kind, part in progress.kinds.items()]
    for name, meter in meters_of(frame.quota).items():
        if meter.limit and meter.usage is not None and name.startswith("read"):
            parts.append(f"{name} {meter.usage}/{meter.limit}")
    if progress.counts.failed:
        parts.append(f"{progress.counts.failed} failed")
    if frame.waiting is not None:
        parts.append(wait_text(frame.waiting, frame))
    if frame.note:
        parts.append(printable(frame.note))
    done = ": ".join(text for text in done_text(frame) if text)
    return f"{clock_time(frame.now, frame.heading.zone)} {', '.join(parts)}; {done}"
