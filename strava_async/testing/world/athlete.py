"""The athlete's world: what the emulator serves, and the few ways to change it."""

from __future__ import annotations

import bisect
import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from strava_async.testing.world.additions import Additions, NewUpload
from strava_async.testing.world.plan.gear import GearInventory
from strava_async.testing.world.plan.people import Person
from strava_async.testing.world.plan.timezones import start_of
from strava_async.testing.world.record.sample_table import SampleTable, sample_table
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.record.stream_store import StreamStore
from strava_async.testing.world.record.streams import Streams
from strava_async.testing.world.routes.atlas import Atlas, Route
from strava_async.testing.world.routes.saved import SavedRoute, saved_routes
from strava_async.testing.world.segments.detail import detailed
from strava_async.testing.world.segments.efforts import efforts
from strava_async.testing.world.segments.index import Segment, SegmentIndex
from strava_async.testing.world.view import clubs, photos, social
from strava_async.testing.world.view import detail as details
from strava_async.testing.world.view.forms import apply_changes
from strava_async.testing.world.view.stats import athlete_stats
from strava_async.testing.world.view.zones import activity_zones

_SIMILAR = 12


@dataclass(eq=False)
class AthleteWorld:
    """Everything that the emulator knows of one athlete. Made by ``generate_athlete``.

    The dictionaries and lists are the world's own: read them, change them through the methods (``profile["weight"]``
    may be set). Methods with an ``activity_id`` raise ``KeyError`` for one that doesn't exist.

    Attributes:
        athlete_id: the athlete's id.
        profile: DetailedAthlete, as ``GET /athlete`` answers.
        summary_profile: SummaryAthlete, as a token answer carries it.
        zones: as ``GET /athlete/zones`` answers.
        gear: DetailedGear by id.
        activities: SummaryActivity, oldest first.
        segments: what the activities and saved routes pass, and which of it is starred.
    """

    athlete_id: int
    profile: Json = field(repr=False)
    summary_profile: Json = field(repr=False)
    zones: Json = field(repr=False)
    gear: dict[str, Json] = field(repr=False)
    activities: list[Json] = field(repr=False)
    _key: str = field(repr=False)
    _someone: Person = field(repr=False)
    _atlas: Atlas = field(repr=False)
    _inventory: GearInventory = field(repr=False)
    _stream_store: StreamStore = field(repr=False)
    _span: tuple[float, float] = field(repr=False)

    def __post_init__(self) -> None:
        self._by_id = {activity["id"]: activity for activity in self.activities}
        self._detail_fields: dict[int, Json] = {}
        self._added: set[int] = set()
        self._additions = Additions(
            self._key, self._someone, self._atlas, self._inventory, self._stream_store, self._span
        )
        self.segments = SegmentIndex(self.activities, self._stream_store.recording, self._saved_ways, self._span)
        joined = clubs.joined(self._someone.home, random.Random(f"{self._key}:clubs").randint(2, 4))
        self.profile |= {"clubs": joined, "postable_clubs_count": len(joined) - 1}
        self._update_gear()

    @functools.cached_property
    def routes(self) -> dict[int, SavedRoute]:
        """The routes that the athlete saved, by id, newest first."""
        return saved_routes(self._key, self._someone, self._atlas, now=self._span[1])

    def stats(self, now: float) -> Json:
        """Return the ActivityStats at ``now`` (Unix seconds), of the activities that everyone may see."""
        return athlete_stats(self.activities, now=now)

    def detail(self, activity_id: int) -> Json:
        """Return the DetailedActivity."""
        summary = self._by_id[activity_id]
        table = self._sample_table(activity_id)
        streams = self.streams(activity_id) or {}
        sources = details.Sources(
            table=table,
            track=streams["latlng"]["data"] if "latlng" in streams else (),
            recording=self._stream_store.recording(activity_id),
            gear=self.gear.get(summary["gear_id"]),
            similar=self._similar(activity_id),
            photos=photos.in_detail(self._key, summary),
            overrides=self._detail_fields.get(activity_id, {}),
            rare=None if activity_id in self._added else self._rng("odd", activity_id),
        )
        detail = details.detailed(self._rng("detail", activity_id), self._someone, summary, sources)
        self.segments.mark(effort["segment"] for effort in detail["segment_efforts"])
        return detail

    def segment(self, segment: Segment, *, now: float) -> Json:
        """Return the DetailedSegment at ``now`` (Unix seconds) without what it says of the athlete."""
        return detailed(segment, self.segments.passes(segment), self._someone, now=now)

    def segment_efforts(self, activity_id: int) -> list[Json]:
        """Return the efforts on segments, as the activity's detail shows them."""
        table, recording = self._sample_table(activity_id), self._stream_store.recording(activity_id)
        found = efforts(table, recording) if table and recording else []
        self.segments.mark(effort["segment"] for effort in found)
        return found

    def laps(self, activity_id: int) -> list[Json]:
        """Return the laps; none for a manual entry."""
        table = self._sample_table(activity_id)
        if table is None:
            return []
        return details.laps(self._someone, self._by_id[activity_id], table, self._stream_store.recording(activity_id))

    def activity_zones(self, activity_id: int) -> list[Json]:
        """Return how long the activity stayed in each zone, for each measurement that has zones."""
        table = self._sample_table(activity_id)
        return [] if table is None else activity_zones(table, self.zones)

    def streams(self, activity_id: int) -> Streams | None:
        """Return all streams by type; None for a manual entry. An hour's take some tens of milliseconds to make."""
        return self._stream_store.streams(self._by_id[activity_id]["id"])

    def comments(self, activity_id: int) -> list[Json]:
        """Return the comments, oldest first, without ``cursor``."""
        activity = self._by_id[activity_id]
        return social.comments(self._rng("comments", activity_id), self._someone, activity, now=self._span[1])

    def kudos(self, activity_id: int) -> list[Json]:
        """Return who gave kudos: first names and initials, no ids, as Strava does."""
        return social.kudos(self._rng("kudos", activity_id), self._someone, self._by_id[activity_id])

    def photos(self, activity_id: int, *, size: int) -> list[Json]:
        """Return the photos, the detail's first; ``size`` is the longest side that is wanted, in pixels."""
        return photos.photos(self._key, self._by_id[activity_id], size=size)

    def add_manual(self, fields: Mapping[str, Any], *, activity_id: int, now: float) -> Json:
        """Add the manual entry of ``POST /activities`` and return the DetailedActivity.

        Args:
            fields: the form: ``name``, ``sport_type`` (or ``type``), ``start_date_local``, ``elapsed_time`` (seconds),
                and optionally ``description``, ``distance`` (metres), ``trainer``, ``commute``.
            activity_id: a new id.
            now: Unix seconds; nothing may be in the future but a day (a wall clock may be ahead).

        Raises:
            ValueError: a field is missing or can't be read; the message is ``field: what is wrong``.
        """
        return self._add(*self._additions.manual(fields, activity_id=activity_id, now=now))

    def add_uploaded(self, upload: NewUpload, *, now: float) -> Json:
        """Add what an uploaded file holds and return the DetailedActivity.

        Args:
            upload: the file, after it was read.
            now: Unix seconds; an upload may start a day later, for clocks that are ahead.

        Raises:
            ValueError: it starts before 1970 or in the future.
        """
        return self._add(*self._additions.uploaded(upload, now=now))

    def add_recorded(
        self, *, activity_id: int, upload_id: int, name: str | None, sport_type: str, private: bool, now: float
    ) -> Json:
        """Add what a device has just recorded, invented and believable; return the DetailedActivity.

        Args:
            activity_id: a new id.
            upload_id: the upload's.
            name: None for one by the time of day.
            sport_type: Strava's, known or not.
            private: only the athlete may see it.
            now: Unix seconds; the activity ended a minute before.
        """
        upload = self._additions.just_recorded(
            activity_id=activity_id, upload_id=upload_id, name=name, sport_type=sport_type, now=now
        )
        detail = self.add_uploaded(upload, now=now)
        return self.update(activity_id, {"private": True}) if private else detail

    def remove(self, activity_id: int) -> None:
        """Remove an activity, as if it had never existed."""
        self.activities.remove(self._by_id.pop(activity_id))
        self._detail_fields.pop(activity_id, None)
        self._stream_store.remove(activity_id)
        self.segments.recount()
        self._update_gear()

    def update(self, activity_id: int, changes: Mapping[str, Any]) -> Json:
        """Apply the changes of ``PUT /activities/{id}`` or of the athlete and return the DetailedActivity.

        Args:
            activity_id: which.
            changes: ``name``, ``description``, ``sport_type`` or ``type``, ``gear_id`` (``"none"`` clears it),
                ``trainer``, ``commute``, ``hide_from_home``; ``private``, which no PUT changes; others, and values of a
                wrong type, change nothing.
        """
        overrides = apply_changes(self._by_id[activity_id], changes, self.gear)
        self._detail_fields[activity_id] = self._detail_fields.get(activity_id, {}) | overrides
        self._update_gear()
        return self.detail(activity_id)

    def _saved_ways(self) -> list[tuple[Route, str]]:
        return [(route.way, route.activity_type) for route in self.routes.values()]

    def _add(self, summary: Json, overrides: Json) -> Json:
        self._by_id[summary["id"]] = summary
        self._detail_fields[summary["id"]] = overrides
        self._added.add(summary["id"])
        bisect.insort(self.activities, summary, key=start_of)
        self._update_gear()
        return self.detail(summary["id"])

    def _update_gear(self) -> None:
        self._inventory.update_distances(self.activities)
        self.profile["bikes"] = self._inventory.summaries("b")
        self.profile["shoes"] = self._inventory.summaries("g")

    def _rng(self, purpose: str, activity_id: int) -> random.Random:
        return random.Random(f"{self._key}:{activity_id}:{purpose}")

    def _sample_table(self, activity_id: int) -> SampleTable | None:
        streams = self.streams(activity_id)
        return None if streams is None else sample_table(self._by_id[activity_id], streams)

    def _similar(self, activity_id: int) -> tuple[list[float], int] | None:
        ids = self._stream_store.same_course(activity_id)[-_SIMILAR:]
        if not ids or self._by_id[activity_id]["type"] not in ("Run", "Ride"):
            return None
        return [self._by_id[other]["average_speed"] for other in ids], len(ids) - 1
