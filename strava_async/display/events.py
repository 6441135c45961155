"""A harvest as JSON for machines, one event per line.

Each event is an object with ``event`` and ``at``, the instant; instants are epoch seconds. Fields may be added later.

============  ==========================================================================================================
event         its other fields
============  ==========================================================================================================
``message``   ``text``
``progress``  at most once a second, when something has changed. ``athletes``, ``athletes_total``, ``athletes_listed``
              (to do, all, and of how many the list was read), ``activities``, ``kinds`` (by kind: ``wanted``, ``held``,
              ``pending``, ``failed``), ``counts`` (``requests``, ``listed``, ``stored`` by kind, ``none``, ``pending``,
              ``gone``, ``failed``, ``purged``, all of this run), ``quota`` (by meter: ``limit``, ``usage``,
              ``reserved``, ``resets_at``)
``waiting``   a wait for quota has begun. ``window`` (the meter), ``until``, ``calls``, ``for_reserve``
``estimate``  ``requests``, ``done_at`` (null if it is never done), ``unlisted``, ``quota_is_known``
``failure``   ``athlete_id``, ``kind`` (null for the list, or for all of the athlete), ``key``, ``reason``
``end``       ``complete``, ``resume_at`` (null if there is none), ``quota_at`` (when there is quota again, if that has
              ended it; else null), ``counts``, and ``kinds`` as in ``progress``
============  ==========================================================================================================

A harvest that an error or a signal ended may lack the ``end``; the exit status tells.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

from strava_async.display.frame import Frame, Result
from strava_async.harvest.estimate import Estimate
from strava_async.harvest.kinds import Kind
from strava_async.harvest.outcome import Counts, KindProgress, Progress

PROGRESS_SECONDS = 1.0
_SAME_SECONDS = 60.0  # the end of a window becomes known more exactly with time


class EventScreen:
    """A ``Screen`` that writes events.

    Args:
        write: gets each line, without its end.
        now: tells epoch seconds, of events that come with no frame.
    """

    def __init__(self, write: Callable[[str], None], now: Callable[[], float]) -> None:
        self._write = write
        self._now = now
        self._progress: Progress | None = None
        self._progress_at = -math.inf
        self._waits_for: tuple[str, float] | None = None
        self._estimate: Estimate | None = None
        self._failed = 0

    def say(self, text: str) -> None:
        """Write a message."""
        self._event("message", self._now(), {"text": text})

    def show(self, frame: Frame) -> None:
        """Write what has changed since the last frame."""
        progress = frame.progress
        if progress is not None:
            self._show_failures(progress, frame.now)
            if progress is not self._progress and frame.elapsed >= self._progress_at + PROGRESS_SECONDS:
                self._progress, self._progress_at = progress, frame.elapsed
                self._event("progress", frame.now, progress_fields(progress, frame))
        if frame.estimate is not None and not _is_same(frame.estimate, self._estimate):
            self._estimate = frame.estimate
            self._event("estimate", frame.now, asdict(frame.estimate))
        self._show_wait(frame)

    def finish(self, result: Result) -> None:
        """Write the end."""
        outcome, progress = result.outcome, result.frame.progress
        fields = {"complete": outcome.complete, "resume_at": outcome.resume_at, "quota_at": outcome.quota_at}
        kinds: Mapping[Kind, KindProgress] = progress.kinds if progress is not None else {}
        done = {"counts": counts_fields(outcome.counts), "kinds": _kinds_fields(kinds)}
        self._event("end", result.frame.now, {**fields, **done})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def _show_failures(self, progress: Progress, now: float) -> None:
        # Of the oldest of very many at once only the number is known.
        new = min(progress.counts.failed - self._failed, len(progress.failures))
        self._failed = progress.counts.failed
        for failure in progress.failures[len(progress.failures) - new :]:
            self._event("failure", now, asdict(failure))

    def _show_wait(self, frame: Frame) -> None:
        waiting, before = frame.waiting, self._waits_for
        if waiting is None or (waiting.for_reserve and waiting.until - frame.now < _SAME_SECONDS):
            self._waits_for = None
            return
        self._waits_for = (waiting.window, waiting.until)
        if before is None or before[0] != waiting.window or abs(before[1] - waiting.until) >= _SAME_SECONDS:
            self._event("waiting", frame.now, asdict(waiting))

    def _event(self, name: str, at: float, fields: Mapping[str, Any]) -> None:
        self._write(json.dumps({"event": name, "at": round(at, 3), **fields}))


def _is_same(one: Estimate, other: Estimate | None) -> bool:
    """Say whether the second is the same estimate, as it was a few requests ago."""
    return other is not None and replace(one, requests=0) == replace(other, requests=0)


def progress_fields(progress: Progress, frame: Frame) -> dict[str, Any]:
    """Return the fields of a ``progress`` event."""
    return {
        "athletes": progress.athletes,
        "athletes_total": progress.athletes_total,
        "athletes_listed": progress.athletes_listed,
        "activities": progress.activities,
        "kinds": _kinds_fields(progress.kinds),
        "counts": counts_fields(progress.counts),
        "quota": asdict(frame.quota),
    }


def counts_fields(counts: Counts) -> dict[str, Any]:
    """Return what a run has done, as JSON can hold it."""
    return {**asdict(counts), "stored": {str(kind): count for kind, count in counts.stored.items()}}


def _kinds_fields(kinds: Mapping[Kind, KindProgress]) -> dict[str, Any]:
    return {str(kind): asdict(part) for kind, part in kinds.items()}
