"""A lock of the operating system: across processes, and released when its holder ends, however it ends.

Rules:

- The lock is on a file of its own, which is removed by its holder before it is released, so none is left.
- A file may be removed while another process waits for it. So after locking, the path must still name the same file,
  or the lock is void and is taken again.
- A waiter polls: a blocked ``flock`` cannot be cancelled. All calls are made on the event loop; they take
  microseconds, and no cancellation can come between locking and knowing of it.
- A forked child does not hold its parent's locks. Its copies of the files are closed, so that they do not outlive the
  parent.
- A lock that an event loop left held when it ended is released for the next waiter in this process.
- The file can reserve room on the disk for what its holder is going to write: see ``reserve_room``.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.errors import InputError
from strava_async.stores.private_files import make_open_file_private, make_private

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

    def _release(fd: int, path: str) -> None:
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

    def _release(fd: int, path: str) -> None:
        # In this order: a process that locks a file which is no longer at the path tries again.
        with suppress(OSError):
            if _is_at(fd, path):
                os.unlink(path)
        os.close(fd)


class FileLock:
    """One holder at a time of all that name the same file. ``async with`` waits for it, as long as it takes.

    Waiting can be cancelled; bound it with ``anyio.fail_after``. Waiters enter in no particular order. An object
    serves one holder: make one for each.

    Args:
        path: the file; it exists only while the lock is held or tried. Its directory is made (mode 0700) if there is
            none, and left.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._loop: LoopBinding | None = None  # of the task that entered; a lock that was taken without a loop has none

    def try_acquire(self) -> bool:
        """Take the lock if it is free, and return whether it was.

        Raises:
            InputError: this object holds it already.
            OSError: the file cannot be made or locked.
        """
        if self in _held:
            raise InputError("this lock is held already: make one object for each holder")
        directory = os.path.dirname(self._path) or os.curdir
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            make_private(directory)  # as far as that is possible: nothing is kept in it
        fd = self._open()
        if fd is None:
            return False
        try:
            if _try_lock(fd) and _is_at(fd, self._path):
                make_open_file_private(fd)
                _held[self] = fd
                _holders[self._path] = self
        finally:
            if self not in _held:
                os.close(fd)
        return self in _held

    def held(self) -> bool:
        """Return whether the lock is still held: it was not released, and its file is still at the path."""
        fd = _held.get(self)
        try:
            return fd is not None and _is_at(fd, self._path)
        except OSError:
            return False

    def release(self) -> None:
        """Release the lock and remove its file; nothing happens if it is not held."""
        fd = self._forget()
        if fd is not None:
            _release(fd, self._path)

    def reserve_room(self, size: int) -> None:
        """Reserve so many bytes of the disk while the lock is held, until ``free_room``. Blocks for less than a ms.

        Raises:
            OSError: there is no room, or the quota of the user is used up.
        """
        fd = _held.get(self)
        if fd is not None:
            os.lseek(fd, 0, os.SEEK_SET)
            left = memoryview(os.urandom(size))  # a file system that compresses would reserve no room for zeros
            while left:
                left = left[os.write(fd, left) :]

    def free_room(self) -> None:
        """Free the bytes that ``reserve_room`` holds, for what is written next."""
        fd = _held.get(self)
        if fd is not None:
            os.ftruncate(fd, 0)

    async def __aenter__(self) -> Self:
        self._loop = LoopBinding("this lock")
        self._loop.enter()
        pause = FIRST_PAUSE_SECONDS
        while not self.try_acquire():
            holder = _holders.get(self._path)
            if holder is None or not holder.release_if_abandoned():
                await anyio.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int | None:
        try:
            # A symbolic link there would make this lock, and create, a file elsewhere.
            return os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except PermissionError:
            if sys.platform == "win32":
                return None  # another is removing it
            raise

    def close_copy(self) -> None:
        """Forget the lock, in a forked child: the parent's stays as it is."""
        fd = self._forget()
        if fd is not None:
            os.close(fd)

    def release_if_abandoned(self) -> bool:
        """Release the lock if the event loop that it was taken in has ended, and return whether that is so."""
        try:
            abandoned = self._loop is not None and self._loop.enter()
        except InputError:  # that loop has not ended
            return False
        if abandoned:
            self.release()
        return abandoned

    def _forget(self) -> int | None:
        fd = _held.pop(self, None)  # in one step: of two threads that come, one gets it
        if fd is not None and _holders.get(self._path) is self:
            _holders.pop(self._path, None)
        return fd


def _is_at(fd: int, path: str) -> bool:
    """Return whether the path names this open file."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


# The open file of each lock that is held. It keeps a lock whose holder dropped it: only then is its file closed.
_held: dict[FileLock, int] = {}
_holders: dict[str, FileLock] = {}


def _close_copies() -> None:
    for lock in list(_held):
        lock.close_copy()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_copies)
