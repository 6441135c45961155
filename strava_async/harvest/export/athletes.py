"""An athlete's part of an export: written where it has changed, and removed where nothing is held any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import anyio

from strava_async.harvest.base import HarvestStore
from strava_async.harvest.export.base import Exported
from strava_async.harvest.export.folder import Folder
from strava_async.harvest.export.notes import Partition, Stat
from strava_async.harvest.export.partitions import Open, PartitionWriter, Survey, surveyed
from strava_async.harvest.export.registry import in_folder

_NOTED_TOGETHER = 200  # activities

IsDue = Callable[[Survey, str, Partition | None, bool], bool]
"""Says whether a partition is to be written: by what is held, its key, what is noted, and whether its files are
intact."""


def has_changed(survey: Survey, key: str, noted: Partition | None, is_intact: bool) -> bool:
    """Say whether a partition is not what it would be now."""
    return noted is None or not is_intact or noted.version != survey.partitions[key].version.text


class AthleteExport:
    """Writes and removes athletes of an export, whose folder is locked.

    Args:
        store: where everything is.
        folder: of the export.
        open_writer: makes what writes the files; None if nothing can be written: then it is removed instead.

    Attributes:
        outcome: what it has done.
    """

    def __init__(self, store: HarvestStore, folder: Folder, open_writer: Open | None) -> None:
        self._store = store
        self._folder = folder
        self._open = open_writer
        self.outcome = Exported(folder.path, folder.format)

    async def remove(self, athlete_id: int) -> None:
        """Remove everything of an athlete."""
        self._add(removed=await in_folder(self._folder, partial(self._folder.remove_athlete, athlete_id)))

    async def write(self, athlete_id: int, is_due: IsDue = has_changed) -> None:
        """Write those partitions of an athlete that are due, and remove those of which nothing is held any more.

        Args:
            athlete_id: whose.
            is_due: decides. A partition that is neither due nor noted is removed.
        """
        survey = await surveyed(self._store, athlete_id, self._folder.layout.key)
        before = await in_folder(self._folder, partial(self._folder.notes, athlete_id))
        notes = {key: partition for key, partition in before.items() if key in survey.partitions}
        try:
            unsaved = 0
            for key, found in survey.partitions.items():
                unsaved += found.count if await self._partition(athlete_id, survey, key, notes, is_due) else 0
                if unsaved >= _NOTED_TOGETHER:  # an export that is killed goes on from there
                    await in_folder(self._folder, partial(self._folder.save_notes, athlete_id, notes))
                    unsaved = 0
            await self._remove_others(athlete_id, notes)
        finally:
            with anyio.CancelScope(shield=True):
                if notes != before:
                    await in_folder(self._folder, partial(self._folder.save_notes, athlete_id, notes))
        # The athlete may have been deleted meanwhile, and its files before these were written.
        if await self._store.state(athlete_id) is None:
            await self.remove(athlete_id)
            return
        for partition in notes.values():
            self.outcome = replace(self.outcome, content=self.outcome.content + partition.content)

    async def _partition(
        self, athlete_id: int, survey: Survey, key: str, notes: dict[str, Partition], is_due: IsDue
    ) -> bool:
        """Write a partition if it is due, and return whether it was."""
        noted = notes.get(key)
        files: Mapping[str, Stat] = {} if noted is None else noted.files
        is_intact = await in_folder(self._folder, partial(self._folder.are_intact, files))
        if not is_due(survey, key, noted, is_intact):
            self._add(kept=len(files))
            return False
        notes.pop(key, None)  # until it is written: what is not noted is removed, or written again
        if self._open is not None:
            writer = PartitionWriter(self._store, self._folder, athlete_id, self._open)
            notes[key], removed = await writer.write(key, survey.partitions[key])
            self._add(written=len(notes[key].files), removed=removed)
        return True

    async def _remove_others(self, athlete_id: int, notes: dict[str, Partition]) -> None:
        wanted = {place for partition in notes.values() for place in partition.files}

        def work() -> int:
            return self._folder.remove(sorted(self._folder.files_of(athlete_id) - wanted))

        self._add(removed=await in_folder(self._folder, work))

    def _add(self, *, written: int = 0, kept: int = 0, removed: int = 0) -> None:
        self.outcome = replace(
            self.outcome,
            files_written=self.outcome.files_written + written,
            files_kept=self.outcome.files_kept + kept,
            files_removed=self.outcome.files_removed + removed,
        )
