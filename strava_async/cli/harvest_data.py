"""Where a harvest is kept: ``--data FILE`` or ``--data-dir DIR``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from strava_async.cli.places import expanded
from strava_async.cli.terminal import UsageError
from strava_async.errors import InputError
from strava_async.harvest.store_sqlite import SqliteHarvestStore


@dataclass(frozen=True, slots=True)
class Data:
    """The file or the directory, as it was given.

    Attributes:
        file: one file for all athletes.
        directory: a directory with a file for each.
    """

    file: Path | None = None
    directory: Path | None = None

    @property
    def path(self) -> Path:
        """Where it is."""
        if self.file is not None:
            return expanded(self.file, "--data")
        return expanded(self.directory or Path(), "--data-dir")

    def store(self) -> SqliteHarvestStore:
        """Return the store. Nothing is made.

        Raises:
            UsageError: neither or both are given, or it cannot be one.
        """
        if (self.file is None) == (self.directory is None):
            raise UsageError(
                "say where the harvest is kept: --data FILE, or --data-dir DIR with a file for each athlete"
            )
        path = self.path
        if path.is_dir() != (self.file is None) and path.exists():
            raise UsageError(
                f"{path} is {'a directory: give --data-dir' if self.file else 'no directory: give --data'}"
            )
        try:
            return SqliteHarvestStore(path) if self.file is not None else SqliteHarvestStore(directory=path)
        except InputError as error:
            raise UsageError(str(error)) from None

    def existing_store(self) -> SqliteHarvestStore:
        """Return a store that is there already.

        Raises:
            InputError: nothing is there.
            UsageError: as in ``store``.
        """
        store = self.store()
        if not self.path.exists():
            raise InputError(f"there is no harvest in {self.path}: strava-async harvest makes one")
        return store
