"""Bicycles and shoes: bought, worn, retired; their distances are the sums of the activities'."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable

from strava_async.testing.world.plan.people import Person
from strava_async.testing.world.plan.sports import Sport
from strava_async.testing.world.record.samples import Json

_SHOES = (
    ("Brookfield", "Pacer 4"),
    ("Altamont", "Glide"),
    ("Kestrel", "Daily ST"),
    ("Montegrande", "Ridge GTX"),
    ("Volare", "Elite 2"),
)
_BIKES = (
    ("Falkner", "Gran Turismo", 3, 7.8, "Ride"),
    ("Boulder & Sons", "Hardtail 29", 1, 12.4, "MountainBikeRide"),
    ("Oldroyd", "Winter", 2, 10.9, "VirtualRide"),
)
_WORDS = (None, None, "Marathon shoes.", "")
_SHOE_LIFE = 680_000.0  # metres


class GearInventory:
    """Everything that one athlete owns.

    Attributes:
        gear: DetailedGear by id.

    Args:
        rng: decides which shoes are worn.
        someone: the owner.
    """

    def __init__(self, rng: random.Random, someone: Person) -> None:
        self.gear: dict[str, Json] = {}
        self._rng = rng
        self._metres_per_unit = someone.metres_per_unit
        self._number = 4_000_000 + 1_000 * (someone.athlete_id % 9_000)
        self._worn: dict[str, float] = {}
        self._bikes = {bike[-1]: self._buy_bike(*bike) for bike in _BIKES} if someone.cycles else {}
        self._pair = [self._buy_shoes(), self._buy_shoes()]

    def copy(self) -> GearInventory:
        """Return an independent copy."""
        twin = copy.copy(self)
        twin.gear = {gear_id: dict(item) for gear_id, item in self.gear.items()}
        twin._rng = random.Random()
        twin._rng.setstate(self._rng.getstate())
        twin._worn, twin._bikes, twin._pair = dict(self._worn), dict(self._bikes), list(self._pair)
        return twin

    def choose(self, sport: Sport, metres: float) -> str | None:
        """Return the id of the gear for an activity, and wear it; None if there is none, or none was noted."""
        if sport.gear == "none" or self._rng.random() < 0.04:
            return None
        if sport.gear == "bike":
            return self._bikes.get(sport.sport_type, self._bikes.get("Ride"))
        which = 0 if self._rng.random() < 0.6 else 1
        shoe = self._pair[which]
        self._worn[shoe] += metres
        if self._worn[shoe] > _SHOE_LIFE:
            self.gear[shoe]["retired"] = True
            self._pair[which] = self._buy_shoes()
        return shoe

    def default(self, sport: Sport) -> str | None:
        """Return the gear that Strava assigns automatically: the bike of the sport, the newer pair of shoes."""
        if sport.gear == "bike":
            return self._bikes.get(sport.sport_type, self._bikes.get("Ride"))
        return self._pair[1] if sport.gear == "shoe" else None

    def update_distances(self, activities: Iterable[Json]) -> None:
        """Set every distance to the sum over these activities."""
        totals = dict.fromkeys(self.gear, 0.0)
        for activity in activities:
            if activity["gear_id"] in totals:
                totals[activity["gear_id"]] += activity["distance"]
        for gear_id, metres in totals.items():
            self.gear[gear_id]["distance"] = round(metres)  # a whole number, as Strava sends it
            self.gear[gear_id]["converted_distance"] = round(metres / self._metres_per_unit, 1)

    def summaries(self, event: str) -> list[Json]:
        """Return SummaryGear of the bikes (``b``) or shoes (``g``) that aren't retired, as the profile lists them."""
        return [summary(item) for key, item in self.gear.items() if key.startswith(event) and not item["retired"]]

    def _buy_bike(self, brand: str, model: str, frame_type: int, weight: float, sport_type: str) -> str:
        self._number += 17
        gear_id = f"b{self._number}"
        self.gear[gear_id] = _common(gear_id, sport_type == "Ride", f"{brand} {model}", brand, brand, model) | {
            "frame_type": frame_type,
            "description": "" if frame_type < 3 else "For dry roads & Sundays.",
            "weight": weight,
        }
        return gear_id

    def _buy_shoes(self) -> str:
        self._number += 31
        gear_id = f"g{self._number}"
        brand, model = _SHOES[len(self._worn) % len(_SHOES)]
        nickname = None if len(self._worn) % 3 == 0 else ""
        self._worn[gear_id] = 0.0
        self.gear[gear_id] = _common(gear_id, len(self._worn) == 1, f"{brand} {model}", nickname, brand, model) | {
            "description": _WORDS[len(self._worn) % len(_WORDS)],
            "notification_distance": 0 if len(self._worn) % 2 == 0 else 600,
        }
        return gear_id


def _common(gear_id: str, primary: bool, name: str, nickname: str | None, brand: str, model: str) -> Json:
    return {
        "id": gear_id,
        "primary": primary,
        "name": name,
        "nickname": nickname,
        "resource_state": 3,
        "retired": False,
        "distance": 0,
        "converted_distance": 0.0,
        "brand_name": brand,
        "model_name": model,
    }


_SUMMARY_KEYS = ("id", "primary", "name", "nickname", "resource_state", "retired", "distance", "converted_distance")


def summary(gear: Json) -> Json:
    """Return the SummaryGear of a DetailedGear."""
    return {key: gear[key] for key in _SUMMARY_KEYS} | {"resource_state": 2}
