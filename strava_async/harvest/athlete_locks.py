"""Who harvests which athlete of a directory: one file for all these locks, so that a thousand cost one open file.

Rules:

- A lock is on one byte of the file, at the athlete's id; the file is empty. The operating system releases it when its
  process ends, however it ends.
- Such locks are a process's: it would get what it has, and loses all when it closes any copy of the file. So the file
  is open once in a process, and what is held is known here.
- A forked child does not hold its parent's locks.
"""

from __future__ import annotations

import os
import sys
import threading

from strava_async.stores.private_files import make_open_file_private

NAME = "athletes.lock"

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int, at: int) -> bool:
        os.lseek(fd, at, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int, at: int) -> None:
        os.lseek(fd, at, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(fd: int, at: int) -> bool:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
        except (BlockingIOError, PermissionError):  # which of the two depends on the system
            return False
        return True

    def _unlock(fd: int, at: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, at)


class AthleteLock:
    """A lock that is held.

    Args:
        file: where.
        athlete_id: whose.
    """

    def __init__(self, file: _LockFile, athlete_id: int) -> None:
        self._file = file
        self._athlete_id = athlete_id

    def held(self) -> bool:
        """Return whether it is still held."""
        return self._athlete_id in self._file.held

    def release(self) -> None:
        """Release it; nothing happens if it is not held."""
        with _mutex:
            self._file.release(self._athlete_id)


def try_acquire(directory: str, athlete_id: int) -> AthleteLock | None:
    """Take the lock of an athlete if it is free; None if it is held, be it by this process.

    Args:
        directory: where the athletes' files are.
        athlete_id: whose.

    Raises:
        OSError: the file cannot be made or locked.
    """
    path = os.path.join(os.path.realpath(directory), NAME)
    with _mutex:
        file = _files.get(path)
        if file is None or not file.is_at(path):
            file = _files[path] = _LockFile(path)
        return AthleteLock(file, athlete_id) if file.try_acquire(athlete_id) else None


class _LockFile:
    def __init__(self, path: str) -> None:
        self.held: set[int] = set()
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        make_open_file_private(self._fd)

    def is_at(self, path: str) -> bool:
        """Say whether the path still names this file."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(path, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def try_acquire(self, athlete_id: int) -> bool:
        if athlete_id in self.held:
            return False
        if _try_lock(self._fd, athlete_id):
            self.held.add(athlete_id)
        self._close_if_idle()
        return athlete_id in self.held

    def release(self, athlete_id: int) -> None:
        if athlete_id in self.held:
            self.held.discard(athlete_id)
            _unlock(self._fd, athlete_id)
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self.held:
            os.close(self._fd)
            if _files.get(self._path) is self:
                del _files[self._path]

    def forget(self) -> None:
        """Close the copy of a forked child: its parent's locks stay as they are."""
        self.held.clear()
        os.close(self._fd)


_files: dict[str, _LockFile] = {}
_mutex = threading.Lock()


def _forget_all() -> None:
    global _mutex
    _mutex = threading.Lock()
    while _files:
        _files.popitem()[1].forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_all)
