"""An export as JSON lines: an activity in each, with all fields; and its streams as they came, in another file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from strava_async.harvest.base import Held
from strava_async.harvest.export.base import Written
from strava_async.harvest.export.columns import instant, instant_text
from strava_async.harvest.export.files import NewFile, json_text
from strava_async.harvest.reading import decoded


class JsonlWriter:
    """See ``Writer``."""

    def __init__(self, paths: Sequence[str], athlete_id: int) -> None:
        self._activities, self._streams = map(NewFile, paths)
        self._written = Written()

    def add(self, activities: Sequence[Held]) -> None:
        """See ``Writer``."""
        for held in activities:
            stored = decoded(held)
            number = held.activity.id
            is_readable = self._line(self._activities, stored.fields(), {"id": number})
            unreadable = len(stored.unreadable) + (not is_readable)
            streams, start = stored.streams, instant_text(instant(held.activity.start))
            if streams:
                is_readable = self._line(self._streams, {"id": number, "start": start, "streams": streams}, None)
                unreadable += not is_readable
            has_streams = bool(streams and is_readable)
            self._written += Written(activities=1, streams=has_streams, unreadable=unreadable)

    def finish(self) -> Written:
        """See ``Writer``."""
        self.abort()
        return self._written

    def abort(self) -> None:
        """See ``Writer``."""
        self._activities.close()
        self._streams.close()

    def _line(self, file: NewFile, value: Mapping[str, Any], instead: Mapping[str, Any] | None) -> bool:
        """Write a value, or another where it cannot be written; return whether it could."""
        try:
            text = json_text(value)
        except RecursionError:
            if instead is not None:
                file.write(json_text(instead) + "\n")
            return False
        file.write(text + "\n")
        return True
