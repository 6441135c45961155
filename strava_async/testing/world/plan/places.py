"""Where athletes live and where they go on holiday: real towns, invented hills."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from strava_async.testing.world.plan.timezones import Zone

METRES_PER_DEGREE = 111_320.0

_NEW_YORK = Zone("America/New_York", -18_000, "us")
_DENVER = Zone("America/Denver", -25_200, "us")
_PARIS = Zone("Europe/Paris", 3_600, "eu")
_BERLIN = Zone("Europe/Berlin", 3_600, "eu")


@dataclass(frozen=True, slots=True)
class Place:
    """A town and the country around it.

    Attributes:
        lat, lng: the middle, in degrees.
        altitude: of the middle, in metres.
        relief: how far the hills rise and the valleys fall, in metres.
    """

    town: str
    state: str
    country: str
    lat: float
    lng: float
    altitude: float
    relief: float
    zone: Zone


HOMES = (
    Place("Portland", "Maine", "United States", 43.6591, -70.2568, 22.0, 26.0, _NEW_YORK),
    Place("Ithaca", "New York", "United States", 42.4440, -76.5019, 165.0, 70.0, _NEW_YORK),
    Place("Fort Collins", "Colorado", "United States", 40.5853, -105.0844, 1525.0, 48.0, _DENVER),
    Place(
        "Bend", "Oregon", "United States", 44.0582, -121.3153, 1104.0, 55.0, Zone("America/Los_Angeles", -28_800, "us")
    ),
    Place("Bristol", "England", "United Kingdom", 51.4545, -2.5879, 38.0, 40.0, Zone("Europe/London", 0, "eu")),
    Place("Tübingen", "Baden-Württemberg", "Germany", 48.5216, 9.0576, 341.0, 60.0, _BERLIN),
    Place("Annecy", "Haute-Savoie", "France", 45.8992, 6.1294, 452.0, 75.0, _PARIS),
    Place("Girona", "Catalunya", "Spain", 41.9794, 2.8214, 76.0, 58.0, Zone("Europe/Madrid", 3_600, "eu")),
)

HOLIDAYS = (
    Place("Puerto de la Cruz", "Canarias", "Spain", 28.4090, -16.5450, 210.0, 110.0, Zone("Atlantic/Canary", 0, "eu")),
    Place("Moab", "Utah", "United States", 38.5733, -109.5498, 1227.0, 80.0, _DENVER),
    Place(
        "St. John's", "Newfoundland", "Canada", 47.5615, -52.7126, 60.0, 45.0, Zone("America/St_Johns", -12_600, "us")
    ),
    Place("Bolzano", "Südtirol", "Italy", 46.4983, 11.3548, 420.0, 120.0, Zone("Europe/Rome", 3_600, "eu")),
    Place("Pokhara", "Gandaki", "Nepal", 28.2096, 83.9856, 920.0, 125.0, Zone("Asia/Kathmandu", 20_700)),
    Place("Nikkō", "Tochigi", "Japan", 36.7199, 139.6982, 640.0, 95.0, Zone("Asia/Tokyo", 32_400)),
    Place("Cuenca", "Azuay", "Ecuador", -2.9001, -79.0059, 2560.0, 90.0, Zone("America/Guayaquil", -18_000)),
    Place("Reykjavík", "", "Iceland", 64.1466, -21.9426, 30.0, 40.0, Zone("Atlantic/Reykjavik", 0)),
)


@functools.lru_cache(maxsize=32)
def terrain(place: Place) -> Callable[[float, float], float]:
    """Return the altitude as a function of the metres east and north of a town's middle: a sum of long waves."""
    rng = random.Random(f"terrain:{place.town}")
    waves: list[tuple[float, float, float, float]] = []
    for length, share in ((9_200.0, 0.50), (4_400.0, 0.26), (2_100.0, 0.13), (1_100.0, 0.07)):
        heading = rng.uniform(0.0, math.tau)
        number = math.tau / (length * rng.uniform(0.85, 1.15))
        waves.append(
            (number * math.cos(heading), number * math.sin(heading), rng.uniform(0, math.tau), share * place.relief)
        )
    (ax, ay, ap, ah), (bx, by, bp, bh), (cx, cy, cp, ch), (dx, dy, dp, dh) = waves
    sin = math.sin
    base = place.altitude

    def altitude(east: float, north: float) -> float:
        return (
            base
            + ah * sin(ax * east + ay * north + ap)
            + bh * sin(bx * east + by * north + bp)
            + ch * sin(cx * east + cy * north + cp)
            + dh * sin(dx * east + dy * north + dp)
        )

    return altitude
