"""Where the streams come from: recipes for what was invented, lists for what was uploaded."""

from __future__ import annotations

import functools
import pickle
from collections import OrderedDict
from collections.abc import Mapping

from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.streams import Streams, record
from strava_async.testing.world.routes.atlas import Course

_KEPT = 4  # a long ride's streams are several megabytes
_KEPT_PACKED = 64  # packed they are a fourth of that


@functools.lru_cache(maxsize=_KEPT_PACKED)
def _packed(recording: Recording) -> bytes:
    """Make the streams of a recording, once for all worlds that are made from it; who unpacks them has lists of own."""
    return pickle.dumps(record(recording), protocol=pickle.HIGHEST_PROTOCOL)


class Shelf:
    """The streams of one athlete's activities, made when asked; the last few are kept.

    Args:
        recordings: the recipes by activity id, oldest first.
    """

    def __init__(self, recordings: Mapping[int, Recording]) -> None:
        self._recordings: dict[int, Recording] = {}
        self._along: dict[Course, list[int]] = {}
        self._uploads: dict[int, Streams] = {}
        self._made: OrderedDict[int, Streams] = OrderedDict()
        for activity_id, recording in recordings.items():
            self.add(activity_id, recording)

    def add(self, activity_id: int, recording: Recording) -> None:
        """Keep a recipe."""
        self._recordings[activity_id] = recording
        if recording.course is not None:
            self._along.setdefault(recording.course, []).append(activity_id)

    def add_upload(self, activity_id: int, streams: Streams) -> None:
        """Keep the streams of a file: nothing could make them again."""
        self._uploads[activity_id] = streams

    def remove(self, activity_id: int) -> None:
        """Forget an activity."""
        recording = self._recordings.pop(activity_id, None)
        if recording is not None and recording.course is not None:
            self._along[recording.course].remove(activity_id)
        self._uploads.pop(activity_id, None)
        self._made.pop(activity_id, None)

    def recording(self, activity_id: int) -> Recording | None:
        """Return the recipe; None for uploads and manual entries."""
        return self._recordings.get(activity_id)

    def same_course(self, activity_id: int) -> list[int]:
        """Return the activities along the same course up to this one, oldest first; none without a course."""
        recording = self._recordings.get(activity_id)
        if recording is None or recording.course is None:
            return []
        ids = self._along[recording.course]
        return ids[: ids.index(activity_id) + 1]

    def streams(self, activity_id: int) -> Streams | None:
        """Return all streams by type; None if there are none."""
        if activity_id in self._uploads:
            return self._uploads[activity_id]
        if activity_id in self._made:
            self._made.move_to_end(activity_id)
            return self._made[activity_id]
        recording = self._recordings.get(activity_id)
        if recording is None:
            return None
        made: Streams = pickle.loads(_packed(recording))
        self._made[activity_id] = made
        if len(self._made) > _KEPT:
            self._made.popitem(last=False)
        return made
