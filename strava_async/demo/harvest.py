"""Everything of an athlete into a store: what is there is not asked for again.

::

    the list, page by page ──────────────► store
    what the store misses ──► callers ───► store
                              one call each; the limiter says when, and in which order

A call is done when its answer is stored. Whatever stops the harvest, the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import anyio

from strava_async.errors import NotFoundError
from strava_async.protocol import ApiV3

CALLERS = 50


class Kind(StrEnum):
    """What is asked for about one activity."""

    DETAIL = "detail"
    STREAMS = "streams"


PATHS = {Kind.DETAIL: "/activities/{id}", Kind.STREAMS: "/activities/{id}/streams"}
_STREAMS: dict[str, Any] = {
    "keys": ["time", "distance", "latlng", "altitude", "velocity_smooth", "heartrate", "cadence", "watts", "temp"],
    "key_by_type": True,
}
# Tried one after the other while the answer is 404. Streams come by distance unless told otherwise, so that an hour of
# yoga has none; by time it may have a heart rate.
PARAMETERS: dict[Kind, tuple[dict[str, Any], ...]] = {
    Kind.DETAIL: ({},),
    Kind.STREAMS: (_STREAMS, {**_STREAMS, "series_type": "time"}),
}


class Store(Protocol):
    """Where a harvest keeps things. What a method was given is kept for good when it returns."""

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
        """Keep an answer; None says that Strava has none."""
        ...


@dataclass(slots=True)
class Part:
    """How far the answers of one kind are.

    Attributes:
        wanted: how many are to be in the store in the end.
        kept: how many were there before.
        added: how many have come since.
        empty: those among the added of which Strava has none.
    """

    wanted: int = 0
    kept: int = 0
    added: int = 0
    empty: int = 0

    @property
    def done(self) -> int:
        """How many are in the store."""
        return self.kept + self.added


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
        asking: calls made and not answered: on their way, or waiting for quota.
    """

    listed: int = 0
    new: int = 0
    list_complete: bool = False
    parts: dict[Kind, Part] = field(default_factory=_parts)
    asking: int = 0


async def harvest(
    api: ApiV3,
    store: Store,
    athlete_id: int,
    *,
    before: float,
    newest: int,
    progress: Progress,
    callers: int = CALLERS,
) -> None:
    """Bring a store up to date: the whole list of activities; details and streams of the newest.

    Costs a request for every 200 activities, and one for every detail and stream set that the store lacks (two for a
    stream set that Strava does not have). Waits for quota as long as it takes.

    Args:
        api: asks as the athlete.
        store: where everything goes.
        athlete_id: whose activities they are.
        before: leaves out what starts later; epoch seconds. It keeps the pages from moving while they are read.
        newest: of how many activities details and streams are wanted.
        progress: is kept up to date.
        callers: how many calls may be on their way or waiting.

    Raises:
        StravaError: the first error that a call ends with; what was stored stays.
    """
    await _list_activities(api, store, before, progress)
    activity_ids = await store.newest(athlete_id, newest)
    lacking = {kind: await store.lacking(kind, activity_ids) for kind in Kind}
    for kind, part in progress.parts.items():
        part.wanted = len(activity_ids)
        part.kept = part.wanted - len(lacking[kind])
    await _fetch_all(api, store, _in_turn(activity_ids, lacking), progress, callers)


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
    progress.new += await store.add_activities(page)
    progress.listed += len(page)


def _in_turn(activity_ids: Sequence[int], lacking: dict[Kind, list[int]]) -> Iterator[tuple[Kind, int]]:
    """Yield what to ask for: the newest activity first, its detail before its streams."""
    wanted = {kind: set(ids) for kind, ids in lacking.items()}
    for activity_id in activity_ids:
        for kind in Kind:
            if activity_id in wanted[kind]:
                yield kind, activity_id


async def _fetch_all(
    api: ApiV3, store: Store, jobs: Iterator[tuple[Kind, int]], progress: Progress, callers: int
) -> None:
    """Let the callers share the jobs; the first error stops them all."""
    failed: list[Exception] = []

    async def call() -> None:
        try:
            for kind, activity_id in jobs:
                await _fetch(api, store, kind, activity_id, progress)
        except Exception as error:
            failed.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(call)
    if failed:
        raise failed[0]


async def _fetch(api: ApiV3, store: Store, kind: Kind, activity_id: int, progress: Progress) -> None:
    progress.asking += 1
    try:
        body = await _ask(api, kind, activity_id)
    finally:
        progress.asking -= 1
    with anyio.CancelScope(shield=True):  # the answer has cost quota: it is kept whatever stops us
        await store.add(kind, activity_id, body)
    part = progress.parts[kind]
    part.added += 1
    part.empty += body is None


async def _ask(api: ApiV3, kind: Kind, activity_id: int) -> dict[str, Any] | None:
    """Return the answer; None if Strava has none: a manual entry has no streams, a deleted activity nothing at all."""
    for parameters in PARAMETERS[kind]:
        try:
            answer: dict[str, Any] = await api.get(PATHS[kind], id=activity_id, **parameters)
        except NotFoundError:
            continue
        return answer
    return None
