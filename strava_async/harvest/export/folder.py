"""The folder of an export: whose it is, who writes into it, and how its files are replaced. Everything blocks.

Rules:

- ``.strava-async`` in it says that it is an export, of which store and in which format. Nothing is removed but what an
  export writes: by the names that it gives. What else is there stays.
- A file is written in ``.strava-async``, brought to the disk, and moved over the old one: readers see one or the other.
- Files are for their user alone; folders that are made are too.
- No symbolic link is followed below the folder.
- What is removed is unlinked. That leaves its bytes on the disk until something else is written there; nobody finds
  them by way of the file system.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from strava_async._types import is_object
from strava_async.errors import InputError, StoreError
from strava_async.harvest.export.base import Format
from strava_async.harvest.export.disk import listed, names_below, replace_text, stat_of, sync
from strava_async.harvest.export.layouts import LAYOUTS, TOPS, athlete_folder
from strava_async.harvest.export.notes import Notes, Stat, read_notes, write_notes
from strava_async.stores.file_lock import FileLock
from strava_async.stores.private_files import make_private_directories
from strava_async.tracks.texts import clean

OWN = ".strava-async"
_VERSION = 1
_ATTEMPTS = 3
_ATHLETE = re.compile(r"athlete_id=([0-9]{1,19})")
_NOTES = re.compile(r"([0-9]{1,19})\.json")


@dataclass(frozen=True, slots=True)
class Marker:
    """What a folder says about the export in it.

    Attributes:
        export_id: made when the export was first written; its store knows it.
        format: what it is written as.
    """

    export_id: str
    format: Format


class Folder:
    """The folder of an export. Methods raise OSError.

    Args:
        path: absolute.
        kind: what it is written as.

    Attributes:
        path: see above; without symbolic links.
        format: the kind.
        layout: where what is.
    """

    def __init__(self, path: str, kind: Format) -> None:
        self.path = os.path.realpath(path)
        self.layout = LAYOUTS[kind]
        self.format = kind
        self._own = os.path.join(self.path, OWN)
        self._new = os.path.join(self._own, "new")
        self._count = 0

    # Whose it is

    def marker(self) -> Marker | None:
        """Return what it says; None if it is no export.

        Raises:
            StoreError: a later version wrote it.
        """
        try:
            with open(os.path.join(self._own, "export.json"), encoding="utf-8") as file:
                found: Any = json.load(file)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        if not is_object(found) or not isinstance(found.get("export"), str):
            return None
        try:
            if found.get("version") == _VERSION:
                return Marker(found["export"], Format(str(found.get("format"))))
        except ValueError:
            pass
        raise StoreError(f"{self.path} was written by a newer version: use that, or name another folder")

    def check_free(self) -> None:
        """Make sure that an export may be begun here.

        Raises:
            InputError: something is here that has the names that it would give.
        """
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise InputError(f"{self.path} is a file: name a folder")
        for top in sorted(TOPS):
            if os.path.lexists(os.path.join(self.path, top)):
                raise InputError(f"{self.path} has {top} in it, which no export wrote: name another folder")

    def mark(self, export_id: str) -> None:
        """Make it an export."""
        marker = {"program": "strava-async", "version": _VERSION, "export": export_id, "format": self.format}
        replace_text(os.path.join(self._own, "export.json"), json.dumps(marker))

    # Who writes into it

    def lock(self) -> FileLock | None:
        """Take the right to write into it; return None if another has it."""
        make_private_directories(self._own)
        lock = FileLock(os.path.join(self._own, "lock"))
        if not lock.try_acquire():
            return None
        try:
            self.clear()
            make_private_directories(self._new)
            program = os.path.basename(sys.argv[0]) or "python"
            replace_text(os.path.join(self._own, "holder.json"), json.dumps([os.getpid(), program]))
        except BaseException:
            lock.release()
            raise
        return lock

    def clear(self) -> None:
        """Remove what an export that was killed left unfinished."""
        shutil.rmtree(self._new, ignore_errors=True)

    def holder(self) -> str:
        """Return who writes into it."""
        try:
            with open(os.path.join(self._own, "holder.json"), encoding="utf-8") as file:
                pid, program = json.load(file)
            return f"process {int(pid)} ({clean(str(program))})"
        except (OSError, ValueError, TypeError):
            return "another process"

    # Files

    def new_path(self) -> str:
        """Return the path of a file to be written, which is moved to its place by ``replace``."""
        self._count += 1
        return os.path.join(self._new, str(self._count))

    def replace(self, files: Mapping[str, str]) -> tuple[dict[str, Stat], int]:
        """Move files that were written to their places, and remove those of which there is no new one.

        Args:
            files: the paths of the new ones, by those of their places below the folder.

        Returns:
            what they are now, and how many were removed.
        """
        stats: dict[str, Stat] = {}
        removed = 0
        for place, new in files.items():
            if not os.path.exists(new):
                removed += self.remove([place])
                continue
            sync(new)
            stats[place] = self._moved(new, place)
        return stats, removed

    def are_intact(self, files: Mapping[str, Stat]) -> bool:
        """Return whether files are what they were when they were written."""
        try:
            return all(stat_of(os.path.join(self.path, place)) == stat for place, stat in files.items())
        except OSError:
            return False

    def remove(self, places: Sequence[str]) -> int:
        """Remove files, and folders that are empty then; return how many files."""
        count = 0
        for place in places:
            if self._is_ours(place):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.path, place))
                    count += 1
            self._remove_empty(os.path.dirname(place))
        return count

    def files_of(self, athlete_id: int) -> set[str]:
        """Return the places of an athlete's files that an export wrote."""
        return {
            f"{folder}/{name}"
            for folder in (athlete_folder(top, athlete_id) for top in self.layout.tops)
            if self._is_ours(f"{folder}/")
            for name in names_below(os.path.join(self.path, folder))
            if self.layout.files.fullmatch(name)
        }

    # Athletes

    def athletes(self) -> set[int]:
        """Return the athletes of whom something may be in it."""
        found = {
            int(match[1])
            for top in self.layout.tops
            for name in listed(os.path.join(self.path, top))
            if (match := _ATHLETE.fullmatch(name))
        }
        notes = listed(os.path.join(self._own, "athletes"))
        return found | {int(match[1]) for name in notes if (match := _NOTES.fullmatch(name))}

    def remove_athlete(self, athlete_id: int) -> int:
        """Remove everything of an athlete; return how many files."""
        count = self.remove(sorted(self.files_of(athlete_id)))
        with suppress(FileNotFoundError):
            os.unlink(self._notes_path(athlete_id))
        return count

    def notes(self, athlete_id: int) -> Notes:
        """Return what is noted of an athlete; nothing, if that is damaged."""
        try:
            with open(self._notes_path(athlete_id), encoding="utf-8") as file:
                return read_notes(file.read())
        except (FileNotFoundError, UnicodeDecodeError):
            return {}

    def save_notes(self, athlete_id: int, notes: Notes) -> None:
        """Note what is in which file."""
        make_private_directories(os.path.join(self._own, "athletes"))
        replace_text(self._notes_path(athlete_id), write_notes(notes))

    def _notes_path(self, athlete_id: int) -> str:
        return os.path.join(self._own, "athletes", f"{athlete_id}.json")

    def _moved(self, new: str, place: str) -> Stat:
        path = os.path.join(self.path, place)
        for _ in range(_ATTEMPTS):  # an athlete who is deleted meanwhile takes the folder along
            make_private_directories(os.path.dirname(path))
            if not self._is_ours(place):
                raise StoreError(f"a folder above {path} is a symbolic link: remove it")
            with suppress(FileNotFoundError):
                os.replace(new, path)
                stat = stat_of(path)
                sync(os.path.dirname(path))
                return stat
        raise FileNotFoundError(path)

    def _is_ours(self, place: str) -> bool:
        """Return whether no symbolic link leads elsewhere on the way to a place."""
        folder = os.path.dirname(os.path.join(self.path, place))
        return os.path.realpath(folder) == folder

    def _remove_empty(self, folder: str) -> None:
        while folder:
            try:
                os.rmdir(os.path.join(self.path, folder))
            except OSError:  # there is something in it, or it is none
                return
            folder = os.path.dirname(folder)
