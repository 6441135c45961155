"""What athletes record with, and what each device leaves out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """What an athlete records with, and what it leaves out."""

    name: str
    external_id: str
    cadence: bool = True
    temp: bool = True
    heartrate: float = 0.95


PHONE = Device("Strava iPhone App", "{hex}-activity.fit", cadence=False, temp=False, heartrate=0.25)
BAND = Device("Fitbit Charge", "{n:011}.tcx", cadence=False, temp=False, heartrate=0.95)
OLD_WATCH = Device("Garmin Forerunner 245", "garmin_push_{n:010}")
WATCH = Device("Garmin Forerunner 965", "garmin_ping_{n:012}")
TRAINER = Device("Zwift", "zwift-activity-{n:016}.fit", temp=False)
