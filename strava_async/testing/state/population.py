"""The emulator's athletes, made on first use."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from strava_async.testing.state.catalogue import Catalogue, body_cache
from strava_async.testing.world import AthleteWorld
from strava_async.testing.world.generate import KeptInventions, generate_summary_profile

# Finds an athlete's data by the athlete's id.
WorldOf = Callable[[int], AthleteWorld]

# Emulators whose clocks start at the same instant have the same athletes.
_INVENTIONS = KeptInventions()


class Population:
    """Athletes and their data.

    Args:
        ids: who there is.
        seed: of all their data.
        now: up to when they have been active; Unix seconds.
        years: how far back their activities reach.
        longest_seconds: about how long their longest activities are.
    """

    def __init__(
        self, ids: tuple[int, ...], *, seed: int, now: float, years: float, longest_seconds: float = math.inf
    ) -> None:
        self.ids = ids
        self._known = frozenset(ids)
        self._seed = seed
        self._now = now
        self._years = years
        self._longest_seconds = longest_seconds
        self._bodies = body_cache()
        self._worlds: dict[int, AthleteWorld] = {}
        self._catalogues: dict[int, Catalogue] = {}

    @classmethod
    def drawn(cls, count: int, *, seed: int, now: float, years: float, longest_seconds: float = math.inf) -> Population:
        """Return that many athletes, whose ids follow from the seed."""
        if count < 1:
            raise ValueError("an emulator has at least one athlete")
        ids = random.Random(f"athletes {seed}").sample(range(10_000_000, 100_000_000), count)
        return cls(tuple(ids), seed=seed, now=now, years=years, longest_seconds=longest_seconds)

    def world(self, athlete_id: int) -> AthleteWorld:
        """Return the data of an athlete; ``KeyError`` if there is none of that id."""
        world = self._worlds.get(athlete_id)
        if world is None:
            self._check(athlete_id)
            invention = _INVENTIONS.get(
                athlete_id,
                seed=self._seed,
                now=self._now,
                years=self._years,
                longest_seconds=self._longest_seconds,
            )
            world = self._worlds[athlete_id] = invention.world()
        return world

    def summary(self, athlete_id: int) -> dict[str, Any]:
        """Return the SummaryAthlete, without making years of activities: the person comes first in any world."""
        world = self._worlds.get(athlete_id)
        if world is not None:
            return world.summary_profile
        self._check(athlete_id)
        return generate_summary_profile(athlete_id, seed=self._seed, now=self._now, years=self._years)

    def names(self) -> Mapping[int, str]:
        """Return the names of all athletes by id."""
        profiles = {athlete_id: self.summary(athlete_id) for athlete_id in self.ids}
        return {athlete_id: f"{p['firstname']} {p['lastname']}" for athlete_id, p in profiles.items()}

    def catalogue(self, athlete_id: int) -> Catalogue:
        """Return an athlete's activities, ready to be served."""
        catalogue = self._catalogues.get(athlete_id)
        if catalogue is None:
            catalogue = self._catalogues[athlete_id] = Catalogue(self.world(athlete_id), self._bodies)
        return catalogue

    def owner_of(self, activity_id: int) -> int:
        """Return whose activity that is; ``KeyError`` if it belongs to no athlete that was used yet."""
        for athlete_id in self._worlds:
            if self.catalogue(athlete_id).find(activity_id, private=True) is not None:
                return athlete_id
        raise KeyError(f"unknown activity: {activity_id}")

    def refresh(self, athlete_id: int) -> None:
        """Forget the catalogue of an athlete, and all encoded bodies."""
        self._catalogues.pop(athlete_id, None)
        self._bodies.clear()

    def _check(self, athlete_id: int) -> None:
        if athlete_id not in self._known:
            raise KeyError(f"unknown athlete: {athlete_id}")
