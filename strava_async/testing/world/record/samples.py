"""The records of a device: the plain values that the rest of this package uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """One record of an uploaded file. Values missing from the file are None.

    Attributes:
        at: Unix seconds.
        latlng: degrees, WGS84.
        altitude: metres.
        distance: metres since the start; None computes it from the positions.
        heartrate: beats per minute.
        cadence: revolutions per minute (running: of one leg).
        watts: power.
        temp: degrees Celsius.
    """

    at: float
    latlng: tuple[float, float] | None = None
    altitude: float | None = None
    distance: float | None = None
    heartrate: int | None = None
    cadence: int | None = None
    watts: int | None = None
    temp: int | None = None
