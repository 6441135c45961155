"""The streams of one athlete's activities: made from recordings on demand, or stored as uploaded."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

from strava_async.testing.world.bounded_cache import BoundedCache
from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.streams import Streams, record
from strava_async.testing.world.routes.atlas import Course

_KEPT_SAMPLES = 40_000  # of one world: three long rides, or a dozen runs; unpacked, a thousand take some 0.4 MB
_KEPT_BYTES = 48 << 20  # of all worlds, packed: a thousand samples take some 60 kB

_PACKED: BoundedCache[bytes] = BoundedCache(_KEPT_BYTES, len)


def _unpacked(recording: Recording) -> Streams:
    """Return the streams of a recording in new lists. They are made once for all worlds of the same invention."""
    packed = _PACKED.get(recording, lambda: pickle.dumps(record(recording), protocol=pickle.HIGHEST_PROTOCOL))
    streams: Streams = pickle.loads(packed)
    return streams


class StreamStore:
    """The streams of one athlete's activities, made on demand; the last few are cached.

    Args:
        recordings: the recipes by activity id, oldest first.
    """

    def __init__(self, recordings: Mapping[int, Recording]) -> None:
        self._recordings: dict[int, Recording] = {}
        self._along: dict[Course, list[int]] = {}
        self._uploads: dict[int, Streams] = {}
        self._made: BoundedCache[Streams] = BoundedCache(_KEPT_SAMPLES, _sample_count)
        for activity_id, recording in recordings.items():
            self.add(activity_id, recording)

    def add(self, activity_id: int, recording: Recording) -> None:
        """Store a recipe."""
        self._recordings[activity_id] = recording
        if recording.course is not None:
            self._along.setdefault(recording.course, []).append(activity_id)

    def add_upload(self, activity_id: int, streams: Streams) -> None:
        """Store the streams of a file: they cannot be made again."""
        self._uploads[activity_id] = streams

    def remove(self, activity_id: int) -> None:
        """Remove an activity."""
        recording = self._recordings.pop(activity_id, None)
        if recording is not None and recording.course is not None:
            self._along[recording.course].remove(activity_id)
        self._uploads.pop(activity_id, None)
        self._made.remove(activity_id)

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
        recording = self._recordings.get(activity_id)
        return None if recording is None else self._made.get(activity_id, lambda: _unpacked(recording))


def _sample_count(streams: Streams) -> int:
    return len(streams["time"]["data"])
