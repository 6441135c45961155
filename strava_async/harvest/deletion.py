"""Deleting what a store holds, and the same in its exports. Makes no requests."""

from __future__ import annotations

from strava_async.harvest.base import HarvestStore
from strava_async.harvest.export.retention import remove_athlete, withdraw


async def delete_athlete(store: HarvestStore, athlete_id: int) -> int:
    """Delete everything of an athlete; return how many activities and resources that were.

    Raises:
        StoreError: the store or an export cannot be written.
    """
    held = await store.counts(athlete_id)
    await store.delete_athlete(athlete_id)
    await remove_athlete(store, athlete_id)
    return held.activities + sum(held.resources.values())


async def delete_older(store: HarvestStore, instant: float) -> int:
    """Delete what came before an instant, and the traces of what was deleted before; return how many that were.

    Raises:
        StoreError: as in ``delete_athlete``.
    """
    deleted = await store.purge(instant)
    await withdraw(store, instant)
    return deleted
