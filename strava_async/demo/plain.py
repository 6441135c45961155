"""A harvest as lines of text, for a log, a pipe or a terminal that cannot draw."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from strava_async.demo.frame import Frame, Outcome, Waiting, fits, on_the_clock, plural, results, span
from strava_async.demo.harvest import Kind, Progress

STEP = 25  # answers between two lines


class PlainScreen:
    """A ``Screen`` that writes a line for each change.

    Args:
        write: gets each line, without its end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._stored = 0
        self._listed = False
        self._window: str | None = None

    def say(self, text: str) -> None:
        """Write an event."""
        self._write(text)

    def show(self, frame: Frame) -> None:
        """Write about what has changed since the last frame."""
        progress, time = frame.progress, on_the_clock(frame.now)
        if progress.list_complete and not self._listed:
            self._listed = True
            self._write(f"{time} {progress.listed:,} activities on the list, {progress.new:,} new")
        stored = sum(part.added for part in progress.parts.values())
        if stored >= self._stored + STEP or (stored > self._stored and stored == _to_come(progress)):
            self._stored = stored
            self._write(f"{time} {_counts(progress)}, {frame.rate:.0f} requests/s")
        self._report_wait(frame.waiting, time)

    def _report_wait(self, waiting: Waiting | None, time: str) -> None:
        window = None if waiting is None else waiting.window
        if window == self._window:
            return
        self._window = window
        if waiting is None:
            self._write(f"{time} the next window has begun")
        else:
            calls = f"{plural(waiting.calls, 'call')} waiting"
            self._write(f"{time} {waiting.window} is spent: next window in {span(waiting.seconds)}, {calls}")

    def finish(self, outcome: Outcome) -> None:
        """Write the results."""
        if not fits(outcome.path):
            self._write(str(outcome.path))
        for name, figure, remark in results(outcome):
            self._write(f"  {name:<20}{figure:>8}  {remark}".rstrip())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: lines stay where they are."""


def _to_come(progress: Progress) -> int:
    return sum(part.wanted - part.kept - part.failed for part in progress.parts.values())


def _counts(progress: Progress) -> str:
    details, streams = progress.parts[Kind.DETAIL], progress.parts[Kind.STREAMS]
    return f"details {details.done}/{details.wanted}, stream sets {streams.done}/{streams.wanted}"
