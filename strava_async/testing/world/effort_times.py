"""How fast an activity passed its segments, found without making its streams: a personal record needs many activities.

``motion.way`` looks the distance up for the samples it is given, whichever they are. So a few, evenly spread, tell
between which two each segment begins and ends, and the ones in between tell the rest: the same indices that the full
streams give.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from strava_async.testing.world.motion import Timeline, timeline, way
from strava_async.testing.world.recording import Recording
from strava_async.testing.world.samples import Json
from strava_async.testing.world.segments import edges, effort_id
from strava_async.testing.world.timezones import iso, start_of

_STEP = 16  # samples from one that is looked up first to the next


@dataclass(frozen=True, slots=True)
class Pass:
    """One activity on one segment.

    Attributes:
        number: which of the activity's efforts, counted from 0.
        start_index, end_index: the samples it begins and ends with.
        after: seconds from the activity's start to the effort's.
        elapsed_time: seconds.
        distance: metres.
    """

    activity: Json
    number: int
    start_index: int
    end_index: int
    after: int
    elapsed_time: int
    distance: float

    @property
    def id(self) -> int:
        """The effort's id."""
        return effort_id(self.activity["id"], self.number)

    @property
    def start_at(self) -> float:
        """When it begins; Unix seconds."""
        return start_of(self.activity) + self.after

    @property
    def start_date(self) -> str:
        """When it begins, as Strava writes it."""
        return iso(self.start_at)

    @property
    def start_date_local(self) -> str:
        """The clock on the wall then, as Strava writes it."""
        return iso(self.wall)

    @property
    def wall(self) -> float:
        """Seconds since 1970-01-01 on the wall."""
        offset: float = self.activity["utc_offset"]
        return self.start_at + offset


def passes(activity: Json, recording: Recording) -> list[Pass]:
    """Return an activity's efforts in the order of passing. Takes some milliseconds."""
    course = recording.course
    if course is None or not course.spans():
        return []
    line = timeline(recording)
    last = len(line.time) - 1
    metres = [edge for pair in edges(course, recording.metres) for edge in pair]
    indices, done = _places(recording, line, metres)
    ends = [(min(start, last - 1), min(end, last)) for start, end in zip(indices[::2], indices[1::2], strict=True)]
    return [
        Pass(
            activity=activity,
            number=number,
            start_index=start,
            end_index=end,
            after=line.time[start],
            elapsed_time=line.time[end] - line.time[start],
            distance=round(done[end] - done[start], 1),
        )
        for number, (start, end) in enumerate(ends)
    ]


def _places(recording: Recording, line: Timeline, metres: Sequence[float]) -> tuple[list[int], dict[int, float]]:
    """Return for each distance the first sample that has come as far (past the last if none has), and what is done.

    The second is the metres done at the samples around, by index, and at the last two.
    """
    last = len(line.time) - 1
    coarse = _distances(recording, line, {*range(0, last, _STEP), last})
    places, done = list(coarse), list(coarse.values())
    ranges: list[range] = []
    for target in metres:
        i = bisect.bisect_left(done, target)
        ranges.append(range(places[i - 1] if i else 0, (places[i] if i < len(places) else last) + 1))
    fine = _distances(recording, line, {last - 1, last}.union(*ranges))
    indices = [
        span.start + bisect.bisect_left([fine[i] for i in span], target)
        for span, target in zip(ranges, metres, strict=True)
    ]
    return indices, fine


def _distances(recording: Recording, line: Timeline, samples: set[int]) -> dict[int, float]:
    """Return the metres done at some samples, by index, in rising order."""
    chosen = sorted(samples)
    where = way(
        recording,
        Timeline(
            time=[line.time[i] for i in chosen],
            moving=[line.moving[i] for i in chosen],
            moved=[line.moved[i] for i in chosen],
        ),
    )
    return {} if where is None else dict(zip(chosen, where.distance, strict=True))
