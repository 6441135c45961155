"""Frames of a harvest to be shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

from strava_async.display.frame import Frame, Heading, Waiting
from strava_async.harvest import Counts, Estimate, Failure, Kind, KindProgress, Progress
from strava_async.quota.readings import Meter, Quota

NOON = 1_780_315_200.0  # 2026-06-01 12:00:00 UTC
NOW = NOON - 252.0
HEADING = Heading("harvest", "rides.sqlite", UTC)
COUNTS = Counts(
    requests=812,
    listed=1_202,
    stored={Kind.DETAIL: 700, Kind.STREAMS: 98},
    none=3,
    pending=2,
    gone=0,
    failed=0,
    purged=0,
)
KINDS = {Kind.DETAIL: KindProgress(1_202, 700), Kind.STREAMS: KindProgress(1_180, 98, pending=2)}
SPENT, FRESH = Meter(200, 200, 0, NOON), Meter(None, None, 0, NOON + 43_200.0)
QUOTA = Quota(read_15min=SPENT, read_day=Meter(2_000, 812, 4, NOON + 43_200.0), overall_15min=SPENT, overall_day=FRESH)
WAITING = Waiting("read_15min", NOON, 20)
ESTIMATE = Estimate(1_590, NOON + 7_200.0, 0, True)


def counts(**changes: Any) -> Counts:
    return replace(COUNTS, **changes)


def progress(**changes: Any) -> Progress:
    given: dict[str, Any] = {
        "athletes_total": 3,
        "athletes_listed": 3,
        "activities": 1_202,
        "kinds": KINDS,
        "asking": 20,
    }
    return Progress(**{"counts": COUNTS, "athletes": 2, **given, **changes})


def frame(*, heading: Heading = HEADING, elapsed: float = 0.0, now: float = NOW, **changes: Any) -> Frame:
    fields = {"quota": QUOTA, "waiting": None, "estimate": ESTIMATE, "note": ""}
    chosen = {name: changes.pop(name, value) for name, value in fields.items()}
    return Frame(heading=heading, now=now, elapsed=elapsed, progress=progress(**changes), **chosen)


def failure(reason: str, number: int = 1) -> Failure:
    return Failure(7, Kind.DETAIL, str(number), reason)
