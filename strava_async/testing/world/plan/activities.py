"""From a planned activity to a recorded one: its summary, and the recipe of its streams."""

from __future__ import annotations

import math
import random
from typing import Any

from strava_async.testing.world.plan.devices import BAND, OLD_WATCH, PHONE, TRAINER, WATCH, Device
from strava_async.testing.world.plan.gear import GearInventory
from strava_async.testing.world.plan.habits import PlannedActivity
from strava_async.testing.world.plan.names import title
from strava_async.testing.world.plan.people import CIRCLE, Person
from strava_async.testing.world.plan.timezones import DAY
from strava_async.testing.world.record.recording import Recording, node_track
from strava_async.testing.world.record.samples import Json
from strava_async.testing.world.routes.atlas import Atlas, Course
from strava_async.testing.world.routes.polyline import encode
from strava_async.testing.world.view.rare_values import with_rare_values
from strava_async.testing.world.view.summaries import Facts, Power, summarize

_FIRST_ID, _FIRST_ID_AT, _IDS_PER_SECOND = 8_600_000_000, 1_200_000_000, 30  # beyond 2**33
_UPLOADS_AHEAD = 1_083_000_000
_VISIBILITIES = ("everyone", "followers_only", "only_me")


def activity_id_at(at: float, athlete_id: int) -> int:
    """Return a believable id of an activity that starts at ``at``: greater than 2**33 and rising with time."""
    return _FIRST_ID + int(at - _FIRST_ID_AT) * _IDS_PER_SECOND + athlete_id % _IDS_PER_SECOND


def start_at(planned: PlannedActivity) -> float:
    """Return when a planned activity starts, as Strava shows it: a hidden start is one second past local midnight.

    Source:
        https://developers.strava.com/docs/changelog/ (2024-07-03)
    """
    wall = planned.wall // DAY * DAY + 1 if planned.occasion == "hidden" else planned.wall
    return planned.place.zone.at_wall(wall)


class ActivityFactory:
    """Makes the activities of one athlete from the training plan.

    Args:
        rng: decides everything that the plan leaves open.
        key: the seed of data made later.
        since, now: the period covered, Unix seconds.
    """

    def __init__(
        self,
        rng: random.Random,
        key: str,
        someone: Person,
        atlas: Atlas,
        inventory: GearInventory,
        *,
        since: float,
        now: float,
    ) -> None:
        self._rng = rng
        self._key = key
        self._someone = someone
        self._atlas = atlas
        self._inventory = inventory
        self._since = since
        self._span = max(now - since, DAY)
        self._rare = random.Random(f"{key}:odd")

    def make(self, planned: PlannedActivity) -> tuple[Json, Recording | None]:
        """Return the summary and the recipe of the streams; a manual entry has none."""
        at = start_at(planned)
        activity_id = activity_id_at(at, self._someone.athlete_id)
        if planned.sport.sport_type != "Rowing" and planned.occasion == "" and self._rng.random() < 0.012:
            return with_rare_values(self._rare, self._manual(planned, activity_id, at)), None
        summary, recording = self.record(planned, activity_id, at)
        return with_rare_values(self._rare, summary), recording

    def record(self, planned: PlannedActivity, activity_id: int, at: float) -> tuple[Json, Recording]:
        """Return the summary and the recipe of the streams of a planned activity that a device recorded."""
        device = self._device(planned, at)
        recording = self._recording(planned, activity_id, at, device)
        return self._summary(planned, activity_id, at, recording, device), recording

    def _recording(self, planned: PlannedActivity, activity_id: int, at: float, device: Device) -> Recording:
        rng, sport = self._rng, planned.sport
        key = f"{self._key}:{activity_id}"
        course = self._course(planned) if sport.family else None
        pool = rng.choice((25, 25, 50)) if sport.sport_type == "Swim" else 0
        metres = self._metres(planned, course, pool)
        moving = int(metres / self._speed(planned, course, metres, at)) if metres else int(planned.seconds)
        speed = metres / moving
        watts = self._watts(planned, at)
        return Recording(
            key=key,
            sport=sport,
            metres=metres,
            moving_seconds=moving,
            elapsed_seconds=moving + self._standing(planned, moving),
            top_speed=round(speed * sport.top * rng.uniform(0.92, 1.12), 3),
            course=course,
            barometer=round(rng.gauss(0.0, 6.0), 1),
            heartrate=self._heartrate(planned) if rng.random() < device.heartrate else None,
            cadence=round(sport.cadence * rng.gauss(1.0, 0.02), 1) if sport.cadence and device.cadence else None,
            watts=watts,
            temp=self._temp(planned, at) if device.temp and sport.temp else None,
            pool=pool,
            device=device.name,
        )

    def _device(self, planned: PlannedActivity, at: float) -> Device:
        if planned.sport.sport_type == "VirtualRide":
            return TRAINER
        if self._rng.random() < 0.03:
            return PHONE
        age = self._age(at)
        return BAND if age < 0.14 else OLD_WATCH if age < 0.5 else WATCH

    def _age(self, at: float) -> float:
        """Return the share of the period that has passed: 0 at its start, 1 now."""
        return min(max((at - self._since) / self._span, 0.0), 1.0)

    def _course(self, planned: PlannedActivity) -> Course:
        if planned.occasion == "race":
            return Course(self._atlas.routes(planned.place, "race")[0])
        return self._atlas.course(self._rng, planned.place, planned.sport.family or "run", planned.metres)

    def _metres(self, planned: PlannedActivity, course: Course | None, pool: int) -> float:
        if pool:
            return float(planned.metres // pool * pool)
        length = course.length * self._rng.uniform(0.996, 1.006) if course else planned.metres
        return round(length, 1)

    def _speed(self, planned: PlannedActivity, course: Course | None, metres: float, at: float) -> float:
        form = 1.0 + 0.05 * self._age(at) + 0.03 * math.sin(math.tau * at / (365.25 * DAY))
        hills = math.exp(-planned.sport.hill * 0.9 * course.ascent / metres) if course else 1.0
        mood = {"race": 1.09, "workout": 1.07, "long": 0.96}.get(planned.occasion, 1.0)
        return planned.sport.speed * self._someone.ability * form * hills * mood * self._rng.gauss(1.0, 0.035)

    def _standing(self, planned: PlannedActivity, moving: int) -> int:
        rng, idle = self._rng, planned.sport.idle
        if planned.occasion == "race":
            return rng.randint(0, 60)
        return int(rng.expovariate(1 / (idle * moving))) if idle and rng.random() < 0.8 else 0

    def _heartrate(self, planned: PlannedActivity) -> tuple[float, int]:
        rng, most = self._rng, self._someone.max_heartrate
        extra = {"race": 0.13, "workout": 0.05, "long": -0.03}.get(planned.occasion, 0.0)
        average = round(self._someone.heartrate_at(planned.sport.effort + extra + rng.gauss(0.0, 0.035)), 1)
        return average, min(most, int(average + rng.uniform(11, 27)))

    def _watts(self, planned: PlannedActivity, at: float) -> tuple[float, int] | None:
        rng, sport = self._rng, planned.sport.sport_type
        metered = sport in ("VirtualRide", "Rowing") or (sport == "Ride" and self._age(at) > 0.3)
        if not metered or planned.occasion == "commute" or not self._someone.cycles:
            return None
        average = round(self._someone.ftp * rng.uniform(0.6, 0.78), 1)
        return average, int(average * rng.uniform(1.7, 3.6))

    def _temp(self, planned: PlannedActivity, at: float) -> int:
        """Warmer in July, colder up high; a watch on a wrist adds some."""
        season = math.cos(math.tau * (at / DAY - 200) / 365.25)
        outdoors = 15 + 11 * season - planned.place.altitude / 400 if planned.sport.family else 22
        return round(outdoors + self._rng.gauss(4.0, 3.0))

    def _summary(
        self, planned: PlannedActivity, activity_id: int, at: float, recording: Recording, device: Device
    ) -> Json:
        rng, sport, course = self._rng, planned.sport, recording.course
        track = node_track(recording.key, course) if course else []
        visibility = rng.choices(_VISIBILITIES, (86, 9, 5))[0]
        achievements = rng.randint(0, len(course.spans())) if course and rng.random() < 0.6 else 0
        return summarize(
            Facts(
                athlete_id=self._someone.athlete_id,
                activity_id=activity_id,
                name=self._title(planned),
                sport=sport,
                start_at=at,
                zone=planned.place.zone,
                metres=recording.metres,
                moving_seconds=recording.moving_seconds,
                elapsed_seconds=recording.elapsed_seconds,
                ascent=float(round(course.ascent)) if course else 0,
                top_speed=recording.top_speed if recording.metres else 0,
                workout_type=self._workout_type(planned),
                polyline=encode(track),
                start=track[0] if track else None,
                end=track[-1] if track else None,
                trainer=sport.sport_type in ("VirtualRide", "Rowing"),
                commute=planned.occasion == "commute",
                visibility=visibility,
                gear_id=self._inventory.choose(sport, recording.metres),
                cadence=recording.cadence,
                temp=recording.temp,
                power=self._power(recording),
                heartrate=(recording.heartrate[0], float(recording.heartrate[1])) if recording.heartrate else None,
                elevation=_elevation(recording),
                upload_id=activity_id + _UPLOADS_AHEAD + rng.randint(0, 9_999),
                external_id=self._external_id(device),
                suffer_score=self._suffering(recording),
                achievements=achievements,
                **self._reactions(planned, visibility, achievements),
            )
        )

    def _reactions(self, planned: PlannedActivity, visibility: str, achievements: int) -> dict[str, Any]:
        rng, hidden = self._rng, visibility == "only_me"
        return {
            "prs": rng.randint(0, achievements),
            "kudos": 0 if hidden else self._applause(planned),
            "comments": 0 if hidden or rng.random() < 0.7 else rng.randint(1, 5),
            "athletes": rng.randint(30, 400) if planned.occasion == "race" else rng.choice((1, 1, 1, 1, 2, 3)),
            "photos": rng.randint(1, 4) if rng.random() < 0.15 else 0,
            "accepted_tag": rng.random() < 0.01,
        }

    def _title(self, planned: PlannedActivity) -> str:
        return title(
            self._rng, planned.sport.sport_type, planned.occasion, planned.wall % DAY / 3600, planned.place.town
        )

    def _workout_type(self, planned: PlannedActivity) -> int | None:
        """Races are 1 and 11, long runs 2, workouts 3 and 12; an ordinary one is 0 or 10, or null."""
        ordinary = planned.sport.workout_type or 0
        if planned.occasion in ("race", "workout"):
            return ordinary + {"race": 1, "workout": 3 if ordinary == 0 else 2}[planned.occasion]
        if planned.occasion == "long" and ordinary == 0 and self._rng.random() < 0.5:
            return 2
        return None if self._rng.random() < 0.11 else ordinary

    def _power(self, recording: Recording) -> Power | None:
        if recording.watts is not None:
            average, highest = recording.watts
            return Power(average=average, highest=highest, weighted=round(average * self._rng.uniform(1.02, 1.15)))
        if recording.sport.sport_type == "Ride" and recording.course:
            return Power(average=round(self._someone.ftp * self._rng.uniform(0.45, 0.6), 1))
        return None

    def _external_id(self, device: Device) -> str:
        number = self._rng.getrandbits(48)
        return device.external_id.format(n=number % 10**10, hex=f"{number:032x}")

    def _suffering(self, recording: Recording) -> float | None:
        if recording.heartrate is None:
            return None
        low, high = self._someone.rest_heartrate, self._someone.max_heartrate
        effort = (recording.heartrate[0] - low) / (high - low)
        return float(round(270 * effort**2 * recording.moving_seconds / 3600))

    def _applause(self, planned: PlannedActivity) -> int:
        return self._rng.randint(25, CIRCLE) if planned.occasion == "race" else int(self._rng.triangular(0, 22, 6))

    def _manual(self, planned: PlannedActivity, activity_id: int, at: float) -> Json:
        rng, sport = self._rng, planned.sport
        metres = float(round(planned.metres, -2))
        seconds = int((metres / sport.speed if metres else planned.seconds) // 60 * 60)
        return summarize(
            Facts(
                athlete_id=self._someone.athlete_id,
                activity_id=activity_id,
                name=self._title(planned),
                sport=sport,
                start_at=at,
                zone=planned.place.zone,
                metres=metres,
                moving_seconds=seconds,
                elapsed_seconds=seconds,
                workout_type=None,
                manual=True,
                gear_id=self._inventory.choose(sport, metres),
                kudos=rng.randint(0, 6),
            )
        )


def _elevation(recording: Recording) -> tuple[float, float] | None:
    """Return the highest and the lowest altitude, in metres, as wrong as the barometer."""
    altitudes = recording.course.altitudes if recording.course else ()
    if not altitudes:
        return None
    return round(max(altitudes) + recording.barometer, 1), round(min(altitudes) + recording.barometer, 1)
