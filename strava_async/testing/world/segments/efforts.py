"""The segments on an athlete's routes, and the efforts of one activity on them."""

from __future__ import annotations

import bisect
import random

from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.sample_table import SampleTable
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.atlas import Course, Route

_EFFORTS_PER_ACTIVITY = 200
_KNOWN_PLACES = 19
_NAMES = (
    "{town} Wall",
    "Old Mill Sprint",
    "Bridge to Church",
    "Cemetery Road Climb",
    "River Path (north)",
    "Don't look back",
    "Last lamp post",
    "Reservoir ½ lap",
    "Zig & Zag",
    "Chemin des vignes",
)


def segment(route: Route, span: tuple[int, int], activity_type: str) -> Json:
    """Return the SummarySegment of a span of a route: the same for each activity that passes it.

    Of some Strava does not know where they are: city, state and country are null (one of 19 in a recording).
    """
    start, end = span
    rng = random.Random(f"{route.key}:{start}:{end}")
    metres = route.along[end] - route.along[start]
    heights = route.altitude[start : end + 1]
    grade = 100 * (heights[-1] - heights[0]) / metres
    climb = metres * grade if grade > 3 else 0.0
    place = route.place
    summary: Json = {
        "id": 1_000_000 + rng.getrandbits(34),
        "resource_state": 2,
        "name": rng.choice(_NAMES).format(town=place.town),
        "activity_type": activity_type,
        "distance": round(metres, 1),
        "average_grade": round(grade, 1),
        "maximum_grade": round(grade + rng.uniform(1, 6), 1),
        "elevation_high": round(max(heights), 1),
        "elevation_low": round(min(heights), 1),
        "start_latlng": [round(route.lat[start], 6), round(route.lng[start], 6)],
        "end_latlng": [round(route.lat[end], 6), round(route.lng[end], 6)],
        "elevation_profile": None,
        "elevation_profiles": None,
        "climb_category": bisect.bisect_right((8_000, 16_000, 32_000, 64_000, 80_000), climb),
        "city": place.town,
        "state": place.state,
        "country": place.country,
        "private": False,
        "hazardous": rng.random() < 0.03,
        "starred": rng.random() < 0.1,
    }
    nowhere = dict.fromkeys(("city", "state", "country")) if summary["id"] % _KNOWN_PLACES == 0 else {}
    return summary | nowhere | {"private": rng.random() < 0.03}


def effort_id(activity_id: int, number: int) -> int:
    """Return the id of an activity's effort on the segment that it passes as number ``number``, counted from 0."""
    return activity_id * _EFFORTS_PER_ACTIVITY + number


def activity_of(effort: int) -> tuple[int, int]:
    """Return what ``effort_id`` was made from."""
    return divmod(effort, _EFFORTS_PER_ACTIVITY)


def edges(course: Course, metres: float) -> list[tuple[float, float]]:
    """Return where the segments that a course passes begin and end, in metres done, if it measured ``metres``."""
    along, scale = course.route.along, metres / course.length
    return [(along[start] * scale, along[end] * scale) for start, end in course.spans()]


def efforts(table: SampleTable, recording: Recording) -> list[Json]:
    """Return the efforts on the segments passed.

    Achievements and records are as many as the summary says, on the first segments passed. They are not reckoned from
    the times of other activities, so ``pr_rank`` may contradict the order of an athlete's efforts: the list of
    activities counts them, and would have to time every activity to know.
    """
    course = recording.course
    if course is None or not table.distance:
        return []
    activity = table.activity
    found: list[Json] = []
    passed = zip(course.spans(), edges(course, recording.metres), strict=True)
    for number, (span, (begins, ends)) in enumerate(passed):
        start = min(bisect.bisect_left(table.distance, begins), table.last - 1)
        end = min(bisect.bisect_left(table.distance, ends), table.last)
        rank = _rank(number, activity)
        shown = segment(course.route, span, recording.sport.type)
        found.append(
            {
                "id": effort_id(activity["id"], number),
                "resource_state": 2,
                "name": shown["name"],
                **table.owners(),
                **table.times(start, end),
                "distance": table.metres(start, end),
                "start_index": start,
                "end_index": end,
                **table.sensors(start, end),
                "segment": shown,
                "pr_rank": rank,
                "achievements": [{"type_id": 3, "type": "pr", "rank": rank}] if rank else [],
                "visibility": activity["visibility"],
                "kom_rank": None,
                "hidden": number % 11 == 10,
            }
        )
    return found


def _rank(number: int, activity: Json) -> int | None:
    if number < activity["pr_count"]:
        return 1
    return 2 + number % 2 if number < activity["achievement_count"] else None
