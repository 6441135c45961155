"""An activity's streams as columns of samples: laps, splits, efforts and zones are cut from them."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from strava_async.testing.world.plan.timezones import iso, start_of
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.record.streams import Streams


@dataclass(frozen=True, slots=True)
class SampleTable:
    """The measurements of one activity, index by index. A list is empty if it wasn't measured.

    Attributes:
        moved: seconds spent moving until here.
    """

    activity: Json
    time: Sequence[int]
    moved: Sequence[int]
    distance: Sequence[float]
    altitude: Sequence[float]
    speed: Sequence[float]
    heartrate: Sequence[int]
    cadence: Sequence[int]
    watts: Sequence[int]
    grade: Sequence[float]

    @property
    def last(self) -> int:
        """The index of the last sample."""
        return len(self.time) - 1

    def cuts(self, metres: float) -> list[int]:
        """Return the indices at which each further ``metres`` are done, from 0 to the last."""
        cuts = [0]
        if self.distance:
            for k in range(1, int(self.distance[-1] // metres) + 1):
                at = bisect.bisect_left(self.distance, k * metres, cuts[-1] + 1)
                if at >= self.last:
                    break
                cuts.append(at)
        if self.last > 0:
            cuts.append(self.last)
        return cuts

    def metres(self, start: int, end: int) -> float:
        """Return the metres between two samples."""
        return round(self.distance[end] - self.distance[start], 1) if self.distance else 0.0

    def ascent(self, start: int, end: int) -> float:
        """Return the metres climbed between two samples."""
        part = self.altitude[start : end + 1]
        return round(sum(max(after - before, 0.0) for before, after in itertools.pairwise(part)), 1)

    def times(self, start: int, end: int) -> Json:
        """Return the keys that say when and how long."""
        begins = start_of(self.activity) + self.time[start]
        return {
            "elapsed_time": self.time[end] - self.time[start],
            "moving_time": self.moved[end] - self.moved[start],
            "start_date": iso(begins),
            "start_date_local": iso(begins + self.activity["utc_offset"]),
        }

    def sensors(self, start: int, end: int) -> Json:
        """Return the averages and maxima that laps and efforts carry."""
        part: Json = {}
        turning = [value for value in self.cadence[start : end + 1] if value]
        if turning:
            part["average_cadence"] = round(sum(turning) / len(turning), 1)
        part["device_watts"] = bool(self.watts)
        if self.watts:
            part["average_watts"] = round(mean(self.watts[start : end + 1]), 1)
        if self.heartrate:
            beats = self.heartrate[start : end + 1]
            part["average_heartrate"] = round(mean(beats), 1)
            part["max_heartrate"] = float(max(beats))
        return part

    def owners(self) -> Json:
        """Return the two references back that laps and efforts carry."""
        return {
            "activity": {
                "id": self.activity["id"],
                "visibility": self.activity["visibility"],
                "resource_state": 1,
            },
            "athlete": dict(self.activity["athlete"]),
        }


def mean(values: Sequence[float]) -> float:
    """Return the average; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def sample_table(activity: Json, streams: Streams) -> SampleTable:
    """Return the samples of an activity's streams."""

    def values(key: str) -> Sequence[float]:
        return streams[key]["data"] if key in streams else ()

    time: Sequence[int] = streams["time"]["data"]
    moving: Sequence[bool] = streams["moving"]["data"] if "moving" in streams else [True] * len(time)
    steps = [
        after - before if moves else 0
        for (before, after), moves in zip(itertools.pairwise(time), moving[1:], strict=True)
    ]
    return SampleTable(
        activity=activity,
        time=time,
        moved=list(itertools.accumulate(steps, initial=0)),
        distance=values("distance"),
        altitude=values("altitude"),
        speed=values("velocity_smooth"),
        heartrate=[int(value) for value in values("heartrate")],
        cadence=[int(value) for value in values("cadence")],
        watts=[int(value) for value in values("watts")],
        grade=values("grade_smooth"),
    )
