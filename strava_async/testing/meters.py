"""Strava's four meters, counted as Strava counts.

Rules:

- A request adds one to each meter of its class: a read to all four, an upload to the two overall ones.
- A request is refused when a meter of its class was full before it. It is counted all the same.
- Windows are the natural quarter hours and days of UTC; at a boundary a meter starts again at zero.

Written apart from ``strava_async.quota`` on purpose: the referee does not share code with a player.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

QUARTER_SECONDS = 900
DAY_SECONDS = 86_400

RateClass = Literal["read", "upload"]


@dataclass(frozen=True, slots=True)
class MeterLimits:
    """How many requests fit in each window. The defaults are those of a new application."""

    overall_15min: int = 200
    overall_day: int = 2_000
    read_15min: int = 100
    read_day: int = 1_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the meters say of one request.

    Attributes:
        accepted: whether the request may be served.
        exceeded: for a refused one, the budget that broke: ``overall`` or ``read``; else None.
        headers: the four rate-limit fields as they stand after this request.
    """

    accepted: bool
    exceeded: Literal["overall", "read"] | None
    headers: dict[str, str]


class Meters:
    """The counters of one application. ``limits`` may be replaced at any time."""

    def __init__(self, limits: MeterLimits | None = None) -> None:
        self.limits = limits or MeterLimits()
        self._quarter = -1
        self._day = -1
        self._overall_15min = self._overall_day = self._read_15min = self._read_day = 0

    def count(self, rate_class: RateClass, now: float) -> Verdict:
        """Count one request that arrived at ``now`` (Unix seconds) and say whether it fits."""
        self._turn(now)
        limits = self.limits
        overall_full = self._overall_15min >= limits.overall_15min or self._overall_day >= limits.overall_day
        read_full = rate_class == "read" and (
            self._read_15min >= limits.read_15min or self._read_day >= limits.read_day
        )
        self._overall_15min += 1
        self._overall_day += 1
        if rate_class == "read":
            self._read_15min += 1
            self._read_day += 1
        exceeded: Literal["overall", "read"] | None = "overall" if overall_full else "read" if read_full else None
        return Verdict(exceeded is None, exceeded, self._headers())

    def usage(self, now: float) -> dict[str, int]:
        """Return the four counters at ``now``, by the names that ``Quota`` has for them."""
        self._turn(now)
        return {
            "read_15min": self._read_15min,
            "read_day": self._read_day,
            "overall_15min": self._overall_15min,
            "overall_day": self._overall_day,
        }

    def _turn(self, now: float) -> None:
        quarter, day = int(now // QUARTER_SECONDS), int(now // DAY_SECONDS)
        if quarter != self._quarter:
            self._quarter = quarter
            self._overall_15min = self._read_15min = 0
        if day != self._day:
            self._day = day
            self._overall_day = self._read_day = 0

    def _headers(self) -> dict[str, str]:
        limits = self.limits
        return {
            "X-RateLimit-Limit": f"{limits.overall_15min},{limits.overall_day}",
            "X-RateLimit-Usage": f"{self._overall_15min},{self._overall_day}",
            "X-ReadRateLimit-Limit": f"{limits.read_15min},{limits.read_day}",
            "X-ReadRateLimit-Usage": f"{self._read_15min},{self._read_day}",
        }
