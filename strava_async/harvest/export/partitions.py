"""Which partitions an athlete's activities make, and how one is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from strava_async.harvest.base import Activity, HarvestStore
from strava_async.harvest.export.base import KINDS, Writer, Written
from strava_async.harvest.export.folder import Folder
from strava_async.harvest.export.notes import Partition, Stat, Version, kinds_in, kinds_of, oldest_of
from strava_async.harvest.export.registry import in_folder
from strava_async.harvest.kinds import Kind
from strava_async.harvest.reading import BATCH, Batches

Open = Callable[[Sequence[str], int], Writer]
"""Returns a writer, given the paths of a partition's files, which do not exist, and the athlete's id."""

_LOOKED_AT = 500


@dataclass(slots=True)
class Found:
    """A partition as it would be written now.

    Attributes:
        after: the activity before its first one; None if that is the athlete's newest.
        last: its oldest activity.
        count: how many activities it has.
        version: stands for everything that would be in it.
    """

    after: Activity | None
    last: Activity
    count: int = 0
    version: Version = field(default_factory=Version)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a store has of an athlete for an export.

    Attributes:
        partitions: by key.
        held: the activities, and of each the kinds of which there may be a body.
    """

    partitions: dict[str, Found]
    held: dict[int, frozenset[Kind]]


async def surveyed(store: HarvestStore, athlete_id: int, key: Callable[[Activity], str]) -> Survey:
    """Read an athlete's list rows, and return what there is."""
    survey = Survey({}, {})
    last: Activity | None = None
    async for batch in Batches(store, athlete_id, (), size=_LOOKED_AT):
        for held in batch:
            found = survey.partitions.setdefault(key(held.activity), Found(last, held.activity))
            found.last = held.activity
            found.count += 1
            found.version.add(held)
            survey.held[held.activity.id] = kinds_of(held)
            last = held.activity
    return survey


class PartitionWriter:
    """Writes one partition after the other of an athlete.

    Args:
        store: where everything is.
        folder: of the export.
        athlete_id: whose.
        open_writer: makes what writes the files.
    """

    def __init__(self, store: HarvestStore, folder: Folder, athlete_id: int, open_writer: Open) -> None:
        self._store = store
        self._folder = folder
        self._athlete_id = athlete_id
        self._open = open_writer

    async def write(self, key: str, found: Found) -> tuple[Partition, int]:
        """Write a partition's files, and return what is noted of it, and how many files were removed.

        After an error, or if it is cancelled, the old ones are there, or the new ones; each is whole.
        """
        places = self._folder.layout.paths(self._athlete_id, key)
        files = {place: self._folder.new_path() for place in places}
        writer = self._open(list(files.values()), self._athlete_id)
        version, held, oldest = Version(), dict[int, tuple[Kind, ...]](), math.inf
        try:
            async for batch in Batches(self._store, self._athlete_id, KINDS, found.after, min(BATCH, found.count)):
                inside = [each for each in batch if self._folder.layout.key(each.activity) == key]
                await in_folder(self._folder, partial(writer.add, inside))
                for each in inside:
                    version.add(each)
                    held[each.activity.id] = kinds_in(each)
                    oldest = min(oldest, oldest_of(each))
                if _position(batch[-1].activity) <= _position(found.last):
                    break
            content, stats, removed = await in_folder(self._folder, partial(self._finish, writer, files))
        except BaseException:
            writer.abort()
            raise
        return Partition(version.text, oldest, held, stats, content), removed

    def _finish(self, writer: Writer, files: Mapping[str, str]) -> tuple[Written, dict[str, Stat], int]:
        content = writer.finish()
        return content, *self._folder.replace(files)


def _position(activity: Activity) -> tuple[float, int]:
    return activity.start, activity.id
