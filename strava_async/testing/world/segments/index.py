"""The segments along an athlete's roads, by id; the athlete's efforts; which ones are starred."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.atlas import Course, Route
from strava_async.testing.world.segments.effort_times import TimedEffort, passes
from strava_async.testing.world.segments.efforts import segment

RecordingOf = Callable[[int], Recording | None]
WaysOf = Callable[[], Iterable[tuple[Route, str]]]
Place = tuple[Route, tuple[int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A segment, and the span of the route that it is.

    Attributes:
        summary: SummarySegment; ``starred`` is as the athlete left it last.
        starred_at: since when it is starred, Unix seconds; None if it isn't.
    """

    route: Route
    span: tuple[int, int]
    summary: Json
    starred_at: float | None

    def rng(self, purpose: str) -> random.Random:
        """Return the random numbers for one purpose."""
        return random.Random(f"{self.summary['id']}:{purpose}")


class SegmentIndex:
    """The segments along the ways of an athlete's activities and saved routes: all that these name are here.

    Args:
        activities: the athlete's, oldest first; the list may grow. After something was taken out, call ``recount``.
        recording_of: gives an activity's recipe; None where it has none.
        saved: gives the ways of saved routes, each with the type of activity that its segments are for.
        span: the period covered; Unix seconds.
    """

    def __init__(
        self, activities: Sequence[Json], recording_of: RecordingOf, saved: WaysOf, span: tuple[float, float]
    ) -> None:
        self._activities = activities
        self._recording_of = recording_of
        self._saved = saved
        self._span = span
        self._routes: set[Route] = set()
        self._segments: dict[int, Segment] = {}
        self._passes: dict[int, list[TimedEffort]] = {}
        self._charted = -1  # how many activities the ones above include
        self._indexed = 0  # how many activities the next two include
        self._passed: dict[Place, list[tuple[Json, Recording, int]]] = {}
        self._ranked: dict[Place, list[TimedEffort]] = {}
        self._changed: dict[int, bool] = {}  # whether a segment is starred, where that has changed

    def all(self) -> dict[int, Segment]:
        """Return all segments by id."""
        if self._charted != len(self._activities):
            self._charted = len(self._activities)
            passed = [(course.route, recording.sport.type) for _, recording, course in self._on_course()]
            for route, activity_type in (*passed, *self._saved()):
                if route not in self._routes:
                    self._routes.add(route)
                    self._chart(route, activity_type)
        return self._segments

    def passes(self, of: Segment) -> list[TimedEffort]:
        """Return the efforts on a segment, the fastest first; of equal ones the oldest.

        The first time takes some milliseconds for each activity that goes there; see ``timing``.
        """
        passed, place = self._passed_there(of), (of.route, of.span)
        if place not in self._ranked:
            found = [self._passes_of(activity, recording)[number] for activity, recording, number in passed]
            self._ranked[place] = sorted(found, key=lambda effort: effort.elapsed_time)
        return self._ranked[place]

    def timing(self, of: Segment) -> Iterator[None]:
        """Do the slow part of ``passes`` in steps: one for each activity that is not timed yet."""
        for activity, recording, _ in self._passed_there(of):
            if activity["id"] not in self._passes:
                self._passes_of(activity, recording)
                yield

    def passed_by(self, of: Segment) -> list[int]:
        """Return the ids of the activities that pass a segment, oldest first."""
        return [activity["id"] for activity, _, _ in self._passed_there(of)]

    def star(self, segment_id: int, *, starred: bool, now: float) -> Segment:
        """Star a segment, or take the star away, and return it; one that is starred keeps its date."""
        known = self.all()[segment_id]
        since = known.starred_at if known.starred_at is not None else now
        changed = replace(known, summary=known.summary | {"starred": starred}, starred_at=since if starred else None)
        self._segments[segment_id] = changed
        self._changed[segment_id] = starred
        return changed

    def recount(self) -> None:
        """Read the list of activities again."""
        self._charted = self._indexed = -1

    def mark(self, summaries: Iterable[Json]) -> None:
        """Update ``starred`` in SummarySegments."""
        for summary in summaries:
            summary["starred"] = self._changed.get(summary["id"], summary["starred"])

    def _on_course(self) -> list[tuple[Json, Recording, Course]]:
        found = ((activity, self._recording_of(activity["id"])) for activity in self._activities)
        return [(activity, rec, rec.course) for activity, rec in found if rec is not None and rec.course is not None]

    def _passed_there(self, of: Segment) -> list[tuple[Json, Recording, int]]:
        """Return who passes a segment, and as number what of its segments."""
        if self._indexed != len(self._activities):
            self._indexed = len(self._activities)
            self._passed, self._ranked = {}, {}
            for activity, recording, course in self._on_course():
                for number, span in enumerate(course.spans()):
                    self._passed.setdefault((course.route, span), []).append((activity, recording, number))
        return self._passed.get((of.route, of.span), [])

    def _chart(self, route: Route, activity_type: str) -> None:
        for span in route.spans:
            summary = segment(route, span, activity_type)
            charted = Segment(route, span, summary, None)
            if summary["starred"]:
                charted = replace(charted, starred_at=charted.rng("star").uniform(*self._span))
            self._segments[summary["id"]] = charted

    def _passes_of(self, activity: Json, recording: Recording) -> list[TimedEffort]:
        known = self._passes.get(activity["id"])
        if known is None:
            known = self._passes[activity["id"]] = passes(activity, recording)
        return known
