"""Fetch everything of an athlete into a store, except what is there.

::

    the list, page by page ──────────────► store
    what the store misses ──► callers ───► store
                              one call each; the limiter says when, and in which order

A call is done when its result is stored. Whatever stops the harvest, the next one continues from there. What cannot
be fetched is noted, and does not stop the rest; see ``failures``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from typing import Any, Protocol, cast

import anyio

from strava_async._concurrency.task_group import TaskGroup
from strava_async.demo.failures import AGAIN, IN_A_ROW, Failure, NoNotes, Notes, Row, concerns_one, printable, usable
from strava_async.errors import DecodeError, NotFoundError, StravaError
from strava_async.protocol import ApiV3

CALLERS = 50


class Kind(StrEnum):
    """What is fetched of one activity."""

    DETAIL = "detail"
    STREAMS = "streams"


Item = tuple[Kind, int]
ByKind = dict[Kind, list[int]]

PATHS = {Kind.DETAIL: "/activities/{id}", Kind.STREAMS: "/activities/{id}/streams"}
_STREAMS: dict[str, Any] = {
    "keys": ["time", "distance", "latlng", "altitude", "velocity_smooth", "heartrate", "cadence", "watts", "temp"],
    "key_by_type": True,
}
# Tried in order while the response is 404. Streams come by distance by default, so that an hour of yoga has none; by
# time it may have a heart rate.
PARAMETERS: dict[Kind, tuple[dict[str, Any], ...]] = {
    Kind.DETAIL: ({},),
    Kind.STREAMS: (_STREAMS, {**_STREAMS, "series_type": "time"}),
}


class Store(Protocol):
    """Where a harvest keeps things. What a method was given is durable when it returns."""

    async def add_activities(self, activities: Sequence[dict[str, Any]]) -> int:
        """Keep summaries, newer ones in place of older ones; return how many activities were not known before."""
        ...

    async def newest(self, athlete_id: int, count: int) -> list[int]:
        """Return the ids of an athlete's newest activities, the newest first."""
        ...

    async def lacking(self, kind: Kind, activity_ids: Sequence[int]) -> list[int]:
        """Return those of the activities of which this was never stored, in the same order."""
        ...

    async def add(self, kind: Kind, activity_id: int, body: dict[str, Any] | None) -> None:
        """Keep a result; None says that Strava has none."""
        ...


@dataclass(slots=True)
class Part:
    """The progress of one kind.

    Attributes:
        wanted: how many are to be in the store in the end.
        kept: how many were there before.
        added: how many have come since.
        empty: those among the added of which Strava has none.
        failed: how many could not be fetched.
    """

    wanted: int = 0
    kept: int = 0
    added: int = 0
    empty: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """How many are in the store."""
        return self.kept + self.added

    @property
    def missing(self) -> int:
        """How many are not."""
        return self.wanted - self.done


def _parts() -> dict[Kind, Part]:
    return {kind: Part() for kind in Kind}


@dataclass(slots=True)
class Progress:
    """How far a harvest is. It counts what is stored.

    Attributes:
        listed: activities on the list.
        new: those among them that the store did not know.
        list_complete: whether the list has come to its end.
        parts: how far details and streams are.
        asking: calls in progress: in flight, or waiting for quota.
        failures: what could not be fetched.
        unreadable: entries of the list that could not be stored.
    """

    listed: int = 0
    new: int = 0
    list_complete: bool = False
    parts: dict[Kind, Part] = field(default_factory=_parts)
    asking: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])
    unreadable: int = 0

    @property
    def missing(self) -> int:
        """How much of what was wanted is not stored; once the harvest has ended, what the next one asks for again."""
        return self.unreadable + sum(part.missing for part in self.parts.values())


async def harvest(
    api: ApiV3,
    store: Store,
    athlete_id: int,
    *,
    before: float,
    newest: int,
    progress: Progress,
    callers: int = CALLERS,
    notes: Notes | None = None,
) -> None:
    """Bring a store up to date: the whole list of activities; details and streams of the newest.

    Costs a request for every 200 activities, and one for every detail and stream set that the store lacks (two for a
    stream set that Strava does not have). Waits for quota as long as it takes. It may end with something missing:
    ``progress`` says what, and why.

    Args:
        api: makes the requests, as the athlete.
        store: where everything goes.
        athlete_id: whose activities they are.
        before: leaves out what starts later; epoch seconds. It keeps the pages from moving while they are read.
        newest: of how many activities details and streams are wanted.
        progress: is kept up to date.
        callers: how many calls may be in flight or waiting.
        notes: of what failed, in this harvest and earlier ones; None keeps none.

    Raises:
        StravaError: the list cannot be fetched; the grant, the quota or the application is at fault; or one call after
            the other fails. What was stored stays.
    """
    notes = notes or NoNotes()
    await _list_activities(api, store, before, progress)
    activity_ids = await store.newest(athlete_id, newest)
    lacking = {kind: await store.lacking(kind, activity_ids) for kind in Kind}
    failed = {kind: await notes.failed(kind) for kind in Kind}
    for kind, part in progress.parts.items():
        part.wanted = len(activity_ids)
        part.kept = part.wanted - len(lacking[kind])
    calls = _Calls(api, store, notes, progress)
    await calls.run(_first_tries(activity_ids, lacking, failed), callers, in_a_row=IN_A_ROW)
    had = len(progress.failures)
    again = takewhile(lambda _: len(progress.failures) < had + AGAIN, _retries(lacking, failed))
    await calls.run(again, min(callers, AGAIN))


async def _list_activities(api: ApiV3, store: Store, before: float, progress: Progress) -> None:
    page: list[dict[str, Any]] = []
    async for activity in api.paginate("/athlete/activities", before=int(before), per_page=200, prefetch=3):
        page.append(activity)
        if len(page) == 200:
            await _keep(store, page, progress)
            page = []
    await _keep(store, page, progress)
    progress.list_complete = True


async def _keep(store: Store, page: Sequence[dict[str, Any]], progress: Progress) -> None:
    good, bad = usable(page)
    added = await store.add_activities(good)  # before ``new`` is read: others may add to it meanwhile
    progress.new += added
    progress.listed += len(page)
    progress.unreadable += len(bad)
    progress.failures += bad


def _first_tries(activity_ids: Sequence[int], lacking: ByKind, failed: ByKind) -> Iterator[Item]:
    """Yield what to fetch for the first time: the newest activity first, its detail before its streams."""
    wanted = {kind: set(ids) - set(failed[kind]) for kind, ids in lacking.items()}
    for activity_id in activity_ids:
        for kind in Kind:
            if activity_id in wanted[kind]:
                yield kind, activity_id


def _retries(lacking: ByKind, failed: ByKind) -> Iterator[Item]:
    """Yield what to fetch although it failed before."""
    for kind, ids in lacking.items():
        wanted = set(ids)
        yield from ((kind, activity_id) for activity_id in failed[kind] if activity_id in wanted)


class _Calls:
    """The calls of a harvest."""

    def __init__(self, api: ApiV3, store: Store, notes: Notes, progress: Progress) -> None:
        self._api = api
        self._store = store
        self._notes = notes
        self._progress = progress

    async def run(self, items: Iterator[Item], callers: int, *, in_a_row: float = math.inf) -> None:
        """Let callers share the items. An error that is not about one item stops them all; so do that many in a row."""
        numbered, row = enumerate(items), Row(in_a_row)

        async def call() -> None:
            for number, (kind, activity_id) in numbered:
                await self._try(kind, activity_id, number, row)

        async with TaskGroup() as tasks:
            for _ in range(callers):
                tasks.start_soon(call)

    async def _try(self, kind: Kind, activity_id: int, number: int, row: Row) -> None:
        try:
            body = await self._answer(kind, activity_id)
        except StravaError as error:
            if row.full or not concerns_one(error):
                raise
            row.add(number)
            await self._note(Failure(kind, activity_id, printable(str(error))), kind, activity_id)
            if row.full:
                raise
        else:
            await self._keep(kind, activity_id, body)

    async def _answer(self, kind: Kind, activity_id: int) -> dict[str, Any] | None:
        self._progress.asking += 1
        try:
            return await _ask(self._api, kind, activity_id)
        finally:
            self._progress.asking -= 1

    async def _keep(self, kind: Kind, activity_id: int, body: dict[str, Any] | None) -> None:
        with anyio.CancelScope(shield=True):  # the response has cost quota: it is kept whatever stops us
            await self._store.add(kind, activity_id, body)
        part = self._progress.parts[kind]
        part.added += 1
        part.empty += body is None

    async def _note(self, failure: Failure, kind: Kind, activity_id: int) -> None:
        with anyio.CancelScope(shield=True):
            await self._notes.note_failure(kind, activity_id, failure.reason)
        self._progress.failures.append(failure)
        self._progress.parts[kind].failed += 1


async def _ask(api: ApiV3, kind: Kind, activity_id: int) -> dict[str, Any] | None:
    """Return the result; None if Strava has none: a manual entry has no streams, a deleted activity nothing at all."""
    for parameters in PARAMETERS[kind]:
        try:
            answer: object = await api.get(PATHS[kind], id=activity_id, **parameters)
        except NotFoundError:
            continue
        if not isinstance(answer, dict) or not answer:
            path = PATHS[kind].format(id=activity_id)
            raise DecodeError(f"{path} answered without the {kind} of an activity", path=path)
        return cast("dict[str, Any]", answer)
    return None
