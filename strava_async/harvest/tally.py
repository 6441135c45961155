"""How far each kind is, of the athletes whose lists were read in a run: ``Tally``, for ``Progress``. Pure.

Rules:

- An athlete is counted when the list was read and before anything of it is fetched; and anew whenever a long run begins
  anew.
- From then on what is stored moves a resource from one count to another: from what is left, or what failed before, to
  what is held, what is not ready, or what failed.
- What is stored of an athlete who is not counted yet, or again of what is held, moves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from strava_async.harvest.agenda import Terms, is_due, wanted_kinds
from strava_async.harvest.base import Held, Resource, State
from strava_async.harvest.kinds import RULES, Kind
from strava_async.harvest.outcome import KindProgress


class _Place(Enum):
    """Where a resource that is wanted stands."""

    LEFT = "left"
    HELD = "held"
    PENDING = "pending"
    FAILED = "failed"


_PLACES = {
    State.STORED: _Place.HELD,
    State.NONE: _Place.HELD,
    State.PENDING: _Place.PENDING,
    State.FAILED: _Place.FAILED,
}


class AthleteTally:
    """What is wanted of one athlete."""

    def __init__(self) -> None:
        self.activities = 0
        self.gear_ids: set[str] = set()
        self.numbers: Counter[tuple[Kind, _Place]] = Counter()
        self.failed: set[tuple[Kind, str]] = set()

    def count(self, held: Iterable[Held], terms: Terms) -> None:
        """Add activities."""
        for each in held:
            self.activities += 1
            if each.activity.gear_id:
                self.gear_ids.add(each.activity.gear_id)
            for kind in wanted_kinds(each.activity, terms.plan):
                resource = each.resources.get(kind)
                due = is_due(kind, each.activity, resource, terms)
                self._place(kind, str(each.activity.id), resource, due)

    def count_others(self, athlete_id: int, known: Mapping[tuple[Kind, str], Resource], terms: Terms) -> None:
        """Add what is of no activity, when all activities are counted."""
        keys: Mapping[str, Collection[str]] = {"gear": self.gear_ids, "athlete": [str(athlete_id)], "activity": []}
        for kind in terms.plan.kinds:
            for key in keys[RULES[kind].belongs_to]:
                resource = known.get((kind, key))
                self._place(kind, key, resource, is_due(kind, None, resource, terms))

    def _place(self, kind: Kind, key: str, resource: Resource | None, is_due: bool) -> None:
        if resource is not None and resource.state == State.FAILED:
            self.failed.add((kind, key))
            place = _Place.FAILED
        else:
            place = _Place.LEFT if resource is None or is_due else _PLACES[resource.state]
        self.numbers[kind, place] += 1


class Tally:
    """The athletes of a run."""

    def __init__(self) -> None:
        self._athletes: dict[int, AthleteTally] = {}
        self._total: Counter[tuple[Kind, _Place]] = Counter()

    @property
    def athletes(self) -> int:
        """How many are counted."""
        return len(self._athletes)

    @property
    def activities(self) -> int:
        """How many they have."""
        return sum(each.activities for each in self._athletes.values())

    @property
    def kinds(self) -> dict[Kind, KindProgress]:
        """How far each kind is that is wanted of any of them."""
        found = {kind for (kind, _), count in self._total.items() if count}
        return {kind: self._kind(kind) for kind in Kind if kind in found}

    def set(self, athlete_id: int, athlete: AthleteTally) -> None:
        """Count an athlete, or count one anew."""
        before = self._athletes.get(athlete_id)
        if before is not None:
            self._total.subtract(before.numbers)
        self._athletes[athlete_id] = athlete
        self._total.update(athlete.numbers)

    def add(self, athlete_id: int, resource: Resource) -> None:
        """Note that a resource was stored."""
        athlete = self._athletes.get(athlete_id)
        if athlete is None:
            return
        name = (resource.kind, resource.key)
        before = _Place.FAILED if name in athlete.failed else _Place.LEFT
        after = _PLACES[resource.state]
        if athlete.numbers[resource.kind, before] <= 0:
            return
        (athlete.failed.add if after is _Place.FAILED else athlete.failed.discard)(name)
        for numbers in (athlete.numbers, self._total):
            numbers[resource.kind, before] -= 1
            numbers[resource.kind, after] += 1

    def remove(self, athlete_id: int) -> None:
        """Note that an activity was found to be gone when its detail was asked for."""
        athlete = self._athletes.get(athlete_id)
        if athlete is None or athlete.numbers[Kind.DETAIL, _Place.LEFT] <= 0:
            return
        athlete.activities -= 1
        for numbers in (athlete.numbers, self._total):
            numbers[Kind.DETAIL, _Place.LEFT] -= 1

    def _kind(self, kind: Kind) -> KindProgress:
        held, pending, failed = (self._total[kind, each] for each in (_Place.HELD, _Place.PENDING, _Place.FAILED))
        wanted = self._total[kind, _Place.LEFT] + held + pending + failed
        return KindProgress(wanted, held, pending, failed)
