"""The holders of events in a backlog's file: each has a random name, and is alive while it holds the lock of that name.

The system releases a lock when its process has ended, however it ended; a process that is only stopped keeps it. So no
clock decides whether a holder is alive. Holders begin, and are looked up, in transactions that write to the file: one
at a time, among all processes.
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
        name: marks its events; unique.
        keys: those of the events that it holds.

    Args:
        file: the backlog's.
    """

    def __init__(self, file: SharedFile) -> None:
        self.name = secrets.token_hex(16)
        self.keys: set[str] = set()
        self._file = file
        self._lock: FileLock | None = None

    def begin(self) -> None:
        """Take the lock, before an event is marked with the name."""
        self._lock = self._file.try_lock(_PREFIX + self.name)
        if self._lock is None:
            raise EventStoreError(f"a new lock in {self._file.path}-locks is not free: see who uses it")

    def end(self) -> None:
        """Release the lock; does nothing if it was not taken."""
        if self._lock is not None:
            self._lock.release()


def is_alive(file: SharedFile, name: object) -> bool:
    """Say whether a holder of that name is alive; False for a value that is no name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return False
    lock = file.try_lock(_PREFIX + name)
    if lock is None:
        return True
    lock.release()
    return False


def remove_stale_locks(file: SharedFile) -> None:
    """Remove the lock files of holders that were killed, whose marks are no longer in the file, or never were."""
    for name in file.lock_names():
        if name.startswith(_PREFIX):
            is_alive(file, name.removeprefix(_PREFIX))  # taking and releasing a free lock removes its file
