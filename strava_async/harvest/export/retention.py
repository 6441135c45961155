"""What is deleted in a store is deleted in its exports. Makes no requests.

Rules:

- Of an athlete who is deleted everything is removed at once, even while an export is written: that removes what it
  writes afterwards itself.
- A partition in which something is that is too old, or not held any more, is written again from what is held now; or
  removed, if that is not possible. Others stay as they are: to bring an export up to date is to export again.
- An export whose folder is not there is left out, and looked for the next time.
- One that is being written is left out by ``withdraw``: the next one comes to it.
"""

from __future__ import annotations

from functools import partial

from strava_async.errors import InputError, StoreError
from strava_async.harvest.base import HarvestStore
from strava_async.harvest.export.athletes import AthleteExport
from strava_async.harvest.export.folder import Folder
from strava_async.harvest.export.notes import Partition
from strava_async.harvest.export.partitions import Open, Survey
from strava_async.harvest.export.registry import BusyExportError, exports_of, in_folder, locked
from strava_async.harvest.export.writers import writer_of


async def remove_athlete(store: HarvestStore, athlete_id: int) -> None:
    """Remove an athlete, who was deleted in a store, from all its exports.

    Raises:
        StoreError: a folder cannot be written; what could be removed elsewhere is.
    """
    failed: list[StoreError] = []
    for folder in await exports_of(store):
        try:
            await in_folder(folder, partial(_remove, folder, athlete_id))
        except StoreError as error:
            failed.append(error)
    if failed:
        raise failed[0]


async def withdraw(store: HarvestStore, older_than: float) -> None:
    """Remove from all exports of a store what came before an instant, and what is not held any more.

    Raises:
        StoreError: a folder cannot be written.
    """
    for folder in await exports_of(store):
        try:
            async with locked(folder):
                await _withdraw(store, folder, older_than)
        except BusyExportError:
            continue


async def _withdraw(store: HarvestStore, folder: Folder, older_than: float) -> None:
    athletes = AthleteExport(store, folder, _writer(folder))

    def is_due(survey: Survey, key: str, noted: Partition | None, is_intact: bool) -> bool:
        return noted is not None and (not is_intact or noted.is_stale(survey.held, older_than))

    for athlete_id in sorted(await in_folder(folder, folder.athletes)):
        if await store.state(athlete_id) is None:
            await athletes.remove(athlete_id)
        else:
            await athletes.write(athlete_id, is_due)


def _remove(folder: Folder, athlete_id: int) -> None:
    folder.remove_athlete(athlete_id)
    lock = folder.lock()  # which clears what an export that was killed has left
    if lock is not None:
        folder.clear()
        lock.release()


def _writer(folder: Folder) -> Open | None:
    try:
        return writer_of(folder.format)
    except InputError:  # what it needs is not installed here
        return None
