"""How fast an activity passed its segments, found without making its streams: a personal record needs many activities.

The distance of any one sample follows from the seconds spent moving until there. So the sample at which a segment
starts is found by binary search: it is the same one as in the full streams.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from strava_async.testing.world.plan.timezones import iso, start_of
from strava_async.testing.world.record.motion import Progress, Timeline, progress, timeline
from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.segments.efforts import edges, effort_id


@dataclass(frozen=True, slots=True)
class TimedEffort:
    """One activity on one segment.

    Attributes:
        number: which of the activity's efforts, counted from 0.
        start_index, end_index: its first and last sample.
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
        """Its local start time, as Strava writes it."""
        return iso(self.wall)

    @property
    def wall(self) -> float:
        """Its local start time, in seconds since 1970-01-01."""
        offset: float = self.activity["utc_offset"]
        return self.start_at + offset


def passes(activity: Json, recording: Recording) -> list[TimedEffort]:
    """Return an activity's efforts in the order of passing. Takes a few milliseconds."""
    course = recording.course
    if course is None or not course.spans():
        return []
    line, made = timeline(recording), progress(recording, course)
    last = len(line.time) - 1
    found: list[TimedEffort] = []
    for number, (begins, ends) in enumerate(edges(course, recording.metres)):
        start = min(_first_beyond(line, made, begins), last - 1)
        end = min(_first_beyond(line, made, ends), last)
        found.append(
            TimedEffort(
                activity=activity,
                number=number,
                start_index=start,
                end_index=end,
                after=line.time[start],
                elapsed_time=line.time[end] - line.time[start],
                distance=round(made.metres_after(line.moved[end]) - made.metres_after(line.moved[start]), 1),
            )
        )
    return found


def _first_beyond(line: Timeline, made: Progress, metres: float) -> int:
    """Return the first sample that has come as far; one past the last if none has."""
    return bisect.bisect_left(line.moved, metres, key=made.metres_after)
