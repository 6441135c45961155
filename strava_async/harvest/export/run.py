"""``export``: writes what a harvest's store holds into files that other programs read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from strava_async.errors import InputError
from strava_async.harvest.base import HarvestStore
from strava_async.harvest.export.athletes import AthleteExport
from strava_async.harvest.export.base import Exported, Format
from strava_async.harvest.export.registry import checked_folder, in_folder, writing
from strava_async.harvest.export.writers import writer_of


async def export(
    store: HarvestStore,
    folder: str | os.PathLike[str],
    *,
    to: Format | str,
    athlete_ids: Iterable[int] | None = None,
) -> Exported:
    """Write what a store holds into a folder. Makes no requests; a harvest may be running.

    ==========  ======================================================================================
    parquet     ``activities/athlete_id=7/year=2026/part-0.parquet``, and ``streams/...`` with an
                activity in each row and lists of samples (GeoParquet). Needs the extra ``parquet``.
    csv         ``activities/athlete_id=7/year=2026/activities.csv``, safe to open in a spreadsheet.
    jsonl       ``activities/athlete_id=7/year=2026/activities.jsonl`` with all fields of an activity
                in each line, and ``streams/.../streams.jsonl`` with its streams as they came.
    geojson     ``tracks/athlete_id=7/tracks.geojson``, a FeatureCollection.
    gpx         ``tracks/athlete_id=7/year=2026/123.gpx``, a file for each activity.
    ==========  ======================================================================================

    A year is that of the start in UTC. A file is replaced as a whole, so that a reader has the old one or the new one.
    What has not changed since the last export into the folder is left; what is not held any more is removed, of
    athletes who are not named too. Memory does not grow with the store. Files are for this user alone.

    The store knows its exports from then on: what ``Harvest.purge``, ``follow`` or ``run`` delete is deleted from them,
    too. Files are unlinked; what they held is overwritten when the disk needs the space.

    Args:
        store: what to export.
        folder: made if it is not there. Other files in it stay.
        to: the format; a folder has one.
        athlete_ids: whose; None means every athlete who is held.

    Returns:
        what is in the export of these athletes, and what was written.

    Raises:
        InputError: an athlete is not held, the format is unknown or needs a package that is not installed, or the
            folder has something else in it. Nothing was written.
        StoreError: the store or the folder cannot be used, or another export writes into it: it says who.
    """
    target = checked_folder(folder, to)
    open_writer = writer_of(target.format)
    held = set(await store.athlete_ids())
    ids = sorted(held if athlete_ids is None else set(athlete_ids))
    for athlete_id in ids:
        if athlete_id not in held:
            raise InputError(f"nothing is held of athlete {athlete_id}: harvest it first")
    async with writing(store, target):
        athletes = AthleteExport(store, target, open_writer)
        for athlete_id in sorted(await in_folder(target, target.athletes)):
            if athlete_id not in held and await store.state(athlete_id) is None:
                await athletes.remove(athlete_id)
        for athlete_id in ids:
            await athletes.write(athlete_id)
        return replace(athletes.outcome, athletes=len(ids))
