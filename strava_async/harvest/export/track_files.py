"""An export of tracks: GeoJSON, a FeatureCollection of an athlete's; and GPX, a file for each activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from strava_async.harvest.base import Held
from strava_async.harvest.export.base import Written
from strava_async.harvest.export.columns import COLUMNS, instant, instant_text, values_of
from strava_async.harvest.export.files import NewFile, json_text
from strava_async.harvest.reading import decoded
from strava_async.tracks.geojson import bbox, feature
from strava_async.tracks.gpx import gpx_parts
from strava_async.tracks.lines import Bounds, track_of
from strava_async.tracks.samples import read_samples

_SHOWN = ("name", "sport_type", "distance", "moving_time", "elapsed_time", "total_elevation_gain")


class GeoJsonWriter:
    """See ``Writer``."""

    def __init__(self, paths: Sequence[str], athlete_id: int) -> None:
        self._file = NewFile(paths[0])
        self._athlete_id = athlete_id
        self._bounds: Bounds | None = None
        self._written = Written()

    def add(self, activities: Sequence[Held]) -> None:
        """See ``Writer``."""
        for held in activities:
            stored = decoded(held)
            samples = read_samples(stored.streams)
            track = track_of(samples)
            values, odd = values_of(held.activity, stored.fields())
            odd += samples.unreadable + len(stored.unreadable)
            if track is None:
                self._written += Written(without_track=1, unreadable=odd)
                continue
            shown = feature(track, self._properties(values), held.activity.id)
            self._file.write(",\n" if self._file.is_made else '{"type":"FeatureCollection","features":[\n')
            self._file.write(json_text(shown))
            self._bounds = track.bounds if self._bounds is None else self._bounds | track.bounds
            self._written += Written(activities=1, streams=1, unreadable=odd)

    def finish(self) -> Written:
        """See ``Writer``."""
        if self._bounds is not None:
            self._file.write(f'\n],"bbox":{json_text(bbox(self._bounds))}}}\n')
        self._file.close()
        return self._written

    def abort(self) -> None:
        """See ``Writer``."""
        self._file.close()

    def _properties(self, values: Sequence[Any]) -> Mapping[str, Any]:
        found = dict(zip((column.name for column in COLUMNS), values, strict=True))
        shown = {name: found[name] for name in _SHOWN}
        return {"athlete_id": self._athlete_id, "start": instant_text(found["start"]), **shown}


class GpxWriter:
    """See ``Writer``: a partition is one activity."""

    def __init__(self, paths: Sequence[str], athlete_id: int) -> None:
        self._file = NewFile(paths[0])
        self._written = Written()

    def add(self, activities: Sequence[Held]) -> None:
        """See ``Writer``."""
        for held in activities:
            stored = decoded(held)
            samples = read_samples(stored.streams)
            odd = samples.unreadable + len(stored.unreadable)
            if track_of(samples) is None:
                self._written += Written(without_track=1, unreadable=odd)
                continue
            name = stored.row.get("name")
            for part in gpx_parts(
                samples,
                name=name if isinstance(name, str) else "",
                sport_type=held.activity.sport_type,
                start=instant(held.activity.start),
            ):
                self._file.write(part)
            self._written += Written(activities=1, streams=1, unreadable=odd)

    def finish(self) -> Written:
        """See ``Writer``."""
        self._file.close()
        return self._written

    def abort(self) -> None:
        """See ``Writer``."""
        self._file.close()
