"""A lock that the system keeps: across processes, and given up when its holder dies, however it dies.

Rules:

- The lock is on a file of its own. Whoever gives it up removes the file while holding it, so none is left lying about.
- A file that was removed while somebody waited for it locks nobody out: after locking, the path must still name the
  same file, else the lock is worth nothing and is tried for anew.
- A waiter polls: a blocked ``flock`` cannot be cancelled. All calls are made on the event loop; they take
  microseconds, and no cancellation can come between locking and knowing of it.
- A forked child does not hold its parent's locks. Its copies of the files are closed, so that they do not outlive the
  parent.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from types import TracebackType
from weakref import WeakSet

import anyio

from strava_async.errors import InputError

FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.1

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _give_up(fd: int, path: str) -> None:
        # An open file cannot be removed there: if another has opened it meanwhile, that one removes it.
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
        os.close(fd)
        with suppress(OSError):
            os.unlink(path)

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _give_up(fd: int, path: str) -> None:
        # In this order: whoever locks a file that is not at the path any more tries anew.
        with suppress(OSError):
            if _is_at(fd, path):
                os.unlink(path)
        os.close(fd)


class FileLock:
    """One holder at a time of all that name the same file. ``async with`` waits for it, as long as it takes.

    Waiting can be cancelled; bound it with ``anyio.fail_after``. Waiters come in in no particular order. An object
    serves one holder: make one for each.

    Args:
        path: the file; it is there only while somebody holds or tries. Its directory is made (mode 0700) if there is
            none, and left.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free, and say whether it was.

        Raises:
            InputError: this object holds it already.
            OSError: the file cannot be made or locked.
        """
        if self._fd is not None:
            raise InputError("this lock is held: make one object for each holder")
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(self._path) or os.curdir, 0o700)
        fd = self._open()
        if fd is None:
            return False
        try:
            if _try_lock(fd) and _is_at(fd, self._path):
                self._fd = fd
                _held.add(self)
        finally:
            if self._fd is None:
                os.close(fd)
        return self._fd is not None

    def release(self) -> None:
        """Give the lock up and remove its file; nothing happens if it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            _held.discard(self)
            _give_up(fd, self._path)

    async def __aenter__(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self.try_acquire():
            await anyio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int | None:
        try:
            # A link that somebody put there would have us lock, and make, a file elsewhere.
            return os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except PermissionError:
            if sys.platform == "win32":
                return None  # another is removing it
            raise

    def close_copy(self) -> None:
        """Forget the lock, in a forked child: the parent's stays as it is."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _is_at(fd: int, path: str) -> bool:
    """Say whether the path names this open file."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


_held: WeakSet[FileLock] = WeakSet()


def _close_copies() -> None:
    for lock in list(_held):
        lock.close_copy()
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_copies)
