"""Who holds events in a backlog's file: known by a random name, and alive as long as the lock of that name is held.

The system gives a lock up when its process is gone, however that ended; one that is stopped has it still. So nobody has
to guess by a clock whether a holder lives. A holder begins, and is looked for, in transactions that write to the file:
one at a time, among all processes.
"""

from __future__ import annotations

import re
import secrets

from strava_async.errors import EventStoreError
from strava_async.stores.file_lock import FileLock
from strava_async.stores.sqlite_shared import SharedFile

_PREFIX = "holder-"
_NAME = re.compile(r"[0-9a-f]{32}")


class Holder:
    """Holds events from ``begin`` to ``end``.

    Attributes:
        name: what its events are marked with; nobody else has it.
        keys: of the events that it holds.

    Args:
        file: the backlog's.
    """

    def __init__(self, file: SharedFile) -> None:
        self.name = secrets.token_hex(16)
        self.keys: set[str] = set()
        self._file = file
        self._lock: FileLock | None = None

    def begin(self) -> None:
        """Be alive, before an event is marked with the name."""
        self._lock = self._file.try_lock(_PREFIX + self.name)
        if self._lock is None:
            raise EventStoreError(f"a new lock in {self._file.path}-locks is not free: see who uses it")

    def end(self) -> None:
        """Let go of what is held; nothing happens if it has not begun."""
        if self._lock is not None:
            self._lock.release()


def is_alive(file: SharedFile, name: object) -> bool:
    """Say whether there is a holder of that name; whatever else stands in the file's place of a name is none."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return False
    lock = file.try_lock(_PREFIX + name)
    if lock is None:
        return True
    lock.release()
    return False


def clear_away(file: SharedFile) -> None:
    """Remove the lock files of those who were killed: their marks are gone from the file, or never were there."""
    for name in file.lock_names():
        if name.startswith(_PREFIX):
            is_alive(file, name.removeprefix(_PREFIX))
