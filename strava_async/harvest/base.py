"""What a harvest keeps, as plain values, and the Protocol of what keeps it: ``HarvestStore``.

An athlete has a list of activities, each with its list row; and resources, such as the detail of an activity. Instants
are epoch seconds, by the machine's clock as far as Strava's answers do not contradict it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from strava_async.harvest.kinds import Kind
from strava_async.harvest.list_state import AthleteState, Walk
from strava_async.harvest.runs import Run

GZIP = "gzip"


class State(StrEnum):
    """What is known of a resource: ``NONE`` is that Strava has none, ``PENDING`` that it is not ready yet."""

    STORED = "stored"
    NONE = "none"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Resource:
    """What came of asking for something.

    Attributes:
        kind: what it is.
        key: the id of the activity, of the gear, or of the athlete, as text.
        state: what is known of it. A failure keeps the body that came before.
        fetched_at: when the body came, or was found to be none; of a failure without a body, when it failed.
        stamp: of the list row that it was fetched for; see ``kinds``.
        status: the HTTP status; 0 where there was no answer.
        retry_at: when to ask again at the earliest; None where a change or age decides.
        tries: failures, or answers that it is not ready, since it last came.
        reason: of the failure.
        body: the JSON as it came, in ``coding``; None if there is none, or if it was not asked for.
        coding: ``gzip``, or empty.
    """

    kind: Kind
    key: str
    state: State
    fetched_at: float
    stamp: str = ""
    status: int = 200
    retry_at: float | None = None
    tries: int = 0
    reason: str = ""
    body: bytes | None = field(default=None, repr=False)
    coding: str = ""


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity, by its list row.

    Attributes:
        id: its id.
        start: when it started.
        sport_type: Strava's name for the sport.
        gear_id: the bike or shoes; empty if none.
        has_distance: whether it covers a distance.
        stamps: see ``kinds``.
        empty: the kinds of which the row says that there is nothing.
    """

    id: int
    start: float
    sport_type: str
    gear_id: str
    has_distance: bool
    stamps: Mapping[Kind, str]
    empty: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Row:
    """A list row to be kept: the activity, and all of Strava's fields."""

    activity: Activity
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """An activity that is held, and what is known of its resources.

    Attributes:
        activity: by its list row.
        resources: by kind.
        row: the list row as JSON; None if it was not asked for.
        listed_at: when it came; 0 if it was not asked for.
    """

    activity: Activity
    resources: Mapping[Kind, Resource]
    row: bytes | None = field(default=None, repr=False)
    listed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Changes:
    """What is written together, for one athlete: all of it, or nothing.

    Attributes:
        athlete_id: whose.
        state: how far the list is now; ``checks`` and ``is_list_due`` of it are not written.
        rows: of the list; seen by the walk ``seen_in``, unless that is 0.
        listed_at: when the rows came.
        seen_in: see ``rows``.
        ended: the walk that came to its end: activities in its range that it has not seen are to be checked.
        resources: in place of those with the same kind and key. One without a body keeps the body that is there if its
            state is failed.
        is_list_begun: whether a complete reading of the list has begun, so that it is due no more.
        check: activities to be checked because of events, which anybody can send: 20 a day, and of more the list is
            due. One that waits for its check already does not count.
        day: of those events, in days since 1970.
        checked: activities that are not to be checked any more.
        gone: activities to be deleted, with everything of them.
    """

    athlete_id: int
    state: AthleteState | None = None
    rows: Sequence[Row] = ()
    listed_at: float = 0.0
    seen_in: int = 0
    ended: Walk | None = None
    resources: Sequence[Resource] = ()
    is_list_begun: bool = False
    check: Sequence[int] = ()
    day: int = 0
    checked: Sequence[int] = ()
    gone: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """What a store holds.

    Attributes:
        athletes: how many.
        activities: how many.
        resources: how many of each kind and state.
        oldest: when the oldest of it came; None if it holds nothing.
    """

    athletes: int
    activities: int
    resources: Mapping[tuple[Kind, State], int]
    oldest: float | None

    def of(self, kind: Kind, state: State = State.STORED) -> int:
        """Return how many there are of a kind."""
        return self.resources.get((kind, state), 0)


class HarvestStore(Protocol):
    """Keeps what a harvest fetches. ``tests/harvest/contract.py`` of the project tests one.

    Rules:

    - When ``write`` has returned, what it was given survives the process, however that ends.
    - What belongs to an athlete is written only between ``add_athlete`` and ``delete_athlete``: a request that was in
      flight when the athlete was deleted leaves nothing. Nor does one about an activity that was deleted meanwhile.
    - One harvest at a time: see ``hold``. Whoever does not hold it may still read, check and delete.
    """

    def hold(self, athlete_id: int) -> AbstractAsyncContextManager[None]:
        """Return a context in which nobody else harvests this athlete, be it with this store or another one.

        Raises:
            StoreError: somebody does; it says who.
        """
        ...

    async def add_athlete(self, athlete_id: int) -> AthleteState:
        """Return how far an athlete's list is; who is not known is known from now on."""
        ...

    async def state(self, athlete_id: int) -> AthleteState | None:
        """Return how far an athlete's list is; None for one who is not known."""
        ...

    async def write(self, *changes: Changes) -> None:
        """Write, in this order; nothing happens for an athlete who is not known.

        Many are written together, for several athletes. After an error some of them may be written, and each is
        written once more by itself.
        """
        ...

    async def scan(
        self, athlete_id: int, after: Activity | None, limit: int, *, bodies: Collection[Kind] | None = None
    ) -> list[Held]:
        """Return an athlete's activities, newest first, those that come after one of them, with their resources.

        Args:
            athlete_id: whose.
            after: that one; None begins with the newest.
            limit: how many.
            bodies: None leaves out all JSON. Else list rows have theirs, and resources of these kinds.
        """
        ...

    async def resources(
        self, athlete_id: int, *, kinds: Sequence[Kind] | None = None, state: State | None = None, limit: int = 1000
    ) -> list[Resource]:
        """Return an athlete's resources without their bodies: the fewest tries first, and of these the oldest."""
        ...

    async def read(self, athlete_id: int, kind: Kind, key: int | str) -> Resource | None:
        """Return a resource with its body; None if it was never asked for."""
        ...

    async def athlete_ids(self) -> list[int]:
        """Return the athletes that are known, in ascending order."""
        ...

    async def counts(self, athlete_id: int | None = None, *, before: float | None = None) -> StoreCounts:
        """Return what is held of one athlete, or of all; with ``before`` what came before that instant."""
        ...

    async def settings(self) -> dict[str, str]:
        """Return what was set, by name: for all athletes together. Deleting an athlete, and purging, leave it."""
        ...

    async def set_setting(self, name: str, value: str | None) -> None:
        """Set what ``settings`` returns under a name; None deletes it."""
        ...

    async def begin_run(self, began_at: float) -> int:
        """Note that a run has begun; return a number for ``end_run``."""
        ...

    async def end_run(self, number: int, run: Run) -> None:
        """Note how a run has ended."""
        ...

    async def runs(self) -> list[Run]:
        """Return the last 100 runs, the last one first. Deleting an athlete, and purging, leave them."""
        ...

    async def delete_athlete(self, athlete_id: int) -> None:
        """Delete everything of an athlete, so that no byte of it is left in a file."""
        ...

    async def purge(self, older_than: float) -> int:
        """Delete what came before that instant, and with an activity all that is of it.

        No byte is left of that in a file, nor of what was deleted before.

        Returns:
            how many activities and resources were deleted.
        """
        ...
