"""What a store holds of an athlete, activity by activity: ``read_activities``. Makes no requests.

A batch of activities at a time is in memory, whatever the store holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeGuard

from strava_async._concurrency.threads import finish_in_thread
from strava_async._types import is_object
from strava_async.errors import InputError
from strava_async.harvest.base import Activity, HarvestStore, Held
from strava_async.harvest.fetch import plain_body
from strava_async.harvest.kinds import OF_ACTIVITIES, Kind
from strava_async.paging.async_only import AsyncOnly
from strava_async.request.json_values import decode

# A set of streams has about 500 KB of JSON, as Python's values ten times that.
BATCH = 8
_DEFAULT_KINDS = (Kind.DETAIL, Kind.STREAMS)


@dataclass(frozen=True, slots=True)
class StoredActivity:
    """An activity as a store holds it.

    Attributes:
        activity: what the harvest knows it by: its id, when it started.
        row: all fields of its list row.
        bodies: what else was asked for and is there, by kind: objects and lists as they came, decoded.
        unreadable: the kinds that are there, but not in a form that can be read.
    """

    activity: Activity
    row: Mapping[str, Any] = field(repr=False)
    bodies: Mapping[Kind, Any] = field(repr=False)
    unreadable: frozenset[Kind] = frozenset()

    @property
    def detail(self) -> Mapping[str, Any] | None:
        """What ``GET /activities/{id}`` returned; None if it is not there."""
        found = self.bodies.get(Kind.DETAIL)
        return found if is_object(found) else None

    @property
    def streams(self) -> Mapping[str, Any] | None:
        """The streams by type; None if there are none, or they are not there yet."""
        found = self.bodies.get(Kind.STREAMS)
        return found if is_object(found) else None

    def fields(self) -> dict[str, Any]:
        """Return what is known of it in one object: the list row, and what only the detail has.

        The row counts where both have a field: a change shows there first. Of the map each has its own polyline.
        """
        detail = self.detail or {}
        merged = {**detail, **self.row}
        if is_object(track := detail.get("map")):
            row_track = self.row.get("map")
            merged["map"] = {**track, **row_track} if is_object(row_track) else track
        if detail:
            merged["resource_state"] = detail.get("resource_state")
        return merged


def read_activities(
    store: HarvestStore, athlete_id: int, *, kinds: Collection[Kind] = _DEFAULT_KINDS
) -> AsyncIterator[StoredActivity]:
    """Return an iterator over what a store holds of an athlete, newest first.

    ::

        async for stored in read_activities(store, athlete_id):
            print(stored.row["name"], len(stored.streams or {}))

    What is written meanwhile may come or not; a harvest may be running. One iterator is for one task.

    Args:
        store: where it is.
        athlete_id: whose; of one who is not known there is nothing.
        kinds: what of each activity is read beside its list row. What is not read costs nothing.

    Raises:
        InputError: there is no such kind of activities.
        StoreError: while iterating: the store cannot be used.
    """
    return _Activities(Batches(store, athlete_id, checked_kinds(kinds)))


class Batches:
    """An iterator over an athlete's activities in batches, as they are stored.

    Args:
        store, athlete_id, after, kinds, size: as ``HarvestStore.scan`` has them.
    """

    def __init__(
        self,
        store: HarvestStore,
        athlete_id: int,
        kinds: Collection[Kind],
        after: Activity | None = None,
        size: int = BATCH,
    ) -> None:
        self._store = store
        self._athlete_id = athlete_id
        self._kinds = kinds
        self._after = after
        self._size = size

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Held]:
        batch = await self._store.scan(self._athlete_id, self._after, self._size, bodies=self._kinds)
        if not batch:
            raise StopAsyncIteration
        self._after = batch[-1].activity
        return batch


class _Activities(AsyncOnly):
    _ALL = "[... async for ...]"

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._activities = iter(list[StoredActivity]())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StoredActivity:
        while True:
            for stored in self._activities:
                return stored
            self._activities = iter(await finish_in_thread(partial(_decoded_all, await anext(self._batches))))


def checked_kinds(kinds: Collection[Kind]) -> tuple[Kind, ...]:
    """Return kinds of activities.

    Raises:
        InputError: there is another one.
    """
    if isinstance(kinds, str) or not set(kinds) <= set(OF_ACTIVITIES):
        raise InputError(f"kinds are some of {', '.join(OF_ACTIVITIES)}")
    return tuple(Kind(kind) for kind in kinds)


def decoded(held: Held) -> StoredActivity:
    """Return an activity that was read with its row and bodies. Takes milliseconds where it has streams."""
    row, is_readable = _value(held.row)
    bodies: dict[Kind, Any] = {}
    unreadable: set[Kind] = set()
    for kind, resource in held.resources.items():
        if resource.body is None:
            continue
        try:
            content = plain_body(resource)
        except Exception:  # not what it is said to be: others may write into the file
            content = b""
        value, is_value = _value(content)
        if is_value:
            bodies[kind] = value
        else:
            unreadable.add(kind)
    fields = row if is_readable and _is_row(row) else {"id": held.activity.id}
    return StoredActivity(held.activity, fields, bodies, frozenset(unreadable))


def _decoded_all(batch: Sequence[Held]) -> list[StoredActivity]:
    return [decoded(held) for held in batch]


def _is_row(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return is_object(value)


def _value(content: bytes | None) -> tuple[Any, bool]:
    try:
        return decode(content or b""), True
    except (ValueError, RecursionError):
        return None, False
