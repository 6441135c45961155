"""Activities that are added to a finished world: entered by hand, uploaded as a file, or just recorded by a device."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strava_async.testing.world.plan.activities import ActivityFactory
from strava_async.testing.world.plan.gear import GearInventory
from strava_async.testing.world.plan.habits import PlannedActivity
from strava_async.testing.world.plan.names import default_title
from strava_async.testing.world.plan.people import Person
from strava_async.testing.world.plan.sports import Sport, sport_named
from strava_async.testing.world.plan.timezones import DAY
from strava_async.testing.world.record.recording import Recording
from strava_async.testing.world.record.samples import Json, Sample
from strava_async.testing.world.record.stream_store import StreamStore
from strava_async.testing.world.record.uploaded import streams_of, with_streams
from strava_async.testing.world.routes.atlas import Atlas
from strava_async.testing.world.view.forms import read_manual
from strava_async.testing.world.view.summaries import Facts, summarize

_UPLOAD_SECONDS = 2_400.0  # how long an activity is whose file cannot be read here
_DEVICE_SECONDS = 60  # from the end of an activity until the device has uploaded it
_COUNTS = ("achievement_count", "pr_count", "kudos_count", "comment_count", "total_photo_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """An uploaded file, after it was read.

    Attributes:
        activity_id: a new id.
        upload_id: the upload's.
        sport_type: Strava's, known or not.
        start_at: Unix seconds; the samples' own time only says how far they are apart.
        name: None or empty for one by the time of day.
        samples: in any order; None or none at all (a file that cannot be read here) invents a believable activity.
        external_id: as given with the upload; so are the others.
    """

    activity_id: int
    upload_id: int
    sport_type: str
    start_at: float
    name: str | None = None
    samples: Sequence[Sample] | None = None
    external_id: str | None = None
    description: str | None = None
    trainer: bool = False
    commute: bool = False


@dataclass(frozen=True, eq=False)
class Additions:
    """Makes the SummaryActivity of an activity that is added to a world, and stores its streams.

    Attributes:
        key: the seed of all random values.
        streams: where the streams, or the recipes of them, are stored.
        span: from when to when the athlete was active when the world was made; Unix seconds.
    """

    key: str
    someone: Person
    atlas: Atlas
    inventory: GearInventory
    streams: StreamStore
    span: tuple[float, float]

    def manual(self, fields: Mapping[str, Any], *, activity_id: int, now: float) -> tuple[Json, Json]:
        """Return the summary of a manual entry, and what its detail adds. See ``AthleteWorld.add_manual``."""
        entry = read_manual(fields)
        zone = self.someone.home.zone
        at = zone.at_wall(entry.wall)
        if at > now + DAY:
            raise ValueError("start_date_local: in the future")
        facts = Facts(
            athlete_id=self.someone.athlete_id,
            activity_id=activity_id,
            name=entry.name,
            sport=entry.sport,
            start_at=at,
            zone=zone,
            metres=entry.metres,
            moving_seconds=entry.seconds,
            elapsed_seconds=entry.seconds,
            trainer=entry.trainer,
            commute=entry.commute,
            manual=True,
            gear_id=self.inventory.default(entry.sport),
        )
        return summarize(facts), {"description": entry.description}

    def uploaded(self, upload: NewUpload, *, now: float) -> tuple[Json, Json]:
        """Return the summary of an upload, and what its detail adds. See ``AthleteWorld.add_uploaded``."""
        if not 0 <= upload.start_at <= now + DAY:
            raise ValueError("start: out of range")
        sport = sport_named(upload.sport_type)
        summary = self._read(upload, upload.samples, sport) if upload.samples else self._invented(upload, sport)
        wall = upload.start_at + self.someone.home.zone.offset_at(upload.start_at)
        summary |= {
            "name": upload.name or default_title(upload.sport_type, wall % DAY / 3600),
            "upload_id": upload.upload_id,
            "upload_id_str": str(upload.upload_id),
            "external_id": upload.external_id,
            "trainer": upload.trainer,
            "commute": upload.commute,
            "gear_id": self.inventory.default(sport),
        }
        return summary, {"description": upload.description}

    def just_recorded(
        self, *, activity_id: int, upload_id: int, name: str | None, sport_type: str, now: float
    ) -> NewUpload:
        """Return the upload of a device, of an activity that ended a minute before ``now``."""
        draft, _ = self._recorded(sport_named(sport_type), activity_id, now)  # says how long it will be
        return NewUpload(
            activity_id=activity_id,
            upload_id=upload_id,
            name=name,
            sport_type=sport_type,
            start_at=int(now) - draft["elapsed_time"] - _DEVICE_SECONDS,
            external_id=f"recorded-{activity_id}.fit",
        )

    def _read(self, upload: NewUpload, samples: Sequence[Sample], sport: Sport) -> Json:
        zone = self.someone.home.zone
        streams = streams_of(samples)
        self.streams.add_upload(upload.activity_id, streams)
        empty = Facts(
            athlete_id=self.someone.athlete_id,
            activity_id=upload.activity_id,
            name="",
            sport=sport,
            start_at=upload.start_at,
            zone=zone,
            metres=0.0,
            moving_seconds=0,
            elapsed_seconds=0,
            workout_type=sport.workout_type,
            upload_id=upload.upload_id,
        )
        return summarize(with_streams(empty, streams, zone))

    def _invented(self, upload: NewUpload, sport: Sport) -> Json:
        summary, recording = self._recorded(sport, upload.activity_id, upload.start_at)
        self.streams.add(upload.activity_id, recording)
        return summary | dict.fromkeys(_COUNTS, 0) | {"visibility": "everyone", "private": False, "athlete_count": 1}

    def _recorded(self, sport: Sport, activity_id: int, at: float) -> tuple[Json, Recording]:
        since, now = self.span
        rng = random.Random(f"{self.key}:{activity_id}:upload")
        factory = ActivityFactory(rng, self.key, self.someone, self.atlas, self.inventory, since=since, now=now)
        home = self.someone.home
        metres = sport.speed * _UPLOAD_SECONDS if sport.metres else 0.0
        planned = PlannedActivity(sport, home, at + home.zone.offset_at(at), metres=metres, seconds=_UPLOAD_SECONDS)
        return factory.record(planned, activity_id, at)
