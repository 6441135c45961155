"""A lock that the system keeps: across processes, and given up when its holder dies, however it dies.

Rules:

- The lock is on a file of its own. Whoever gives it up removes the file while holding it, so none is left lying about.
- A file that was removed while somebody waited for it locks nobody out: after locking, the path must still name the
  same file, else the lock is worth nothing and is tried for anew.
- A waiter polls: a blocked ``flock`` cannot be cancelled. All calls are made on the event loop; they take
  microseconds, and no cancellation can come between locking and knowing of it.
- A forked child does not hold its parent's locks. Its copies of the files are closed, so that they do not outlive the
  parent.
- A lock that was left held in an event loop that has ended is given up for whoever waits for it in this process.
- The file can hold a place on the disk for what its holder is going to write: see ``keep_room``.
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
        self._loop: LoopBinding | None = None  # of whoever entered; a lock that was taken without a loop has none

    def try_acquire(self) -> bool:
        """Take the lock if it is free, and say whether it was.

        Raises:
            InputError: this object holds it already.
            OSError: the file cannot be made or locked.
        """
        if self in _held:
            raise InputError("this lock is held: make one object for each holder")
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

    def release(self) -> None:
        """Give the lock up and remove its file; nothing happens if it is not held."""
        fd = self._forget()
        if fd is not None:
            _give_up(fd, self._path)

    def keep_room(self, size: int) -> None:
        """Hold that many bytes of the disk while the lock is held, until ``give_room``. Blocks for a fraction of a ms.

        Raises:
            OSError: there is no room, or the quota of the user is used up.
        """
        fd = _held.get(self)
        if fd is not None:
            os.lseek(fd, 0, os.SEEK_SET)
            left = memoryview(os.urandom(size))  # a file system that compresses would keep no room for zeros
            while left:
                left = left[os.write(fd, left) :]

    def give_room(self) -> None:
        """Let go of the bytes that ``keep_room`` holds: something else takes their place now."""
        fd = _held.get(self)
        if fd is not None:
            os.ftruncate(fd, 0)

    async def __aenter__(self) -> Self:
        self._loop = LoopBinding("this lock")
        self._loop.enter()
        pause = FIRST_PAUSE_SECONDS
        while not self.try_acquire():
            holder = _holders.get(self._path)
            if holder is None or not holder.give_up_if_forsaken():
                await anyio.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        return self

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
        fd = self._forget()
        if fd is not None:
            os.close(fd)

    def give_up_if_forsaken(self) -> bool:
        """Give the lock up, if the event loop that it was taken in has ended, and say whether that is so."""
        try:
            forsaken = self._loop is not None and self._loop.enter()
        except InputError:  # that loop lives
            return False
        if forsaken:
            self.release()
        return forsaken

    def _forget(self) -> int | None:
        fd = _held.pop(self, None)  # in one step: of two threads that come, one gets it
        if fd is not None and _holders.get(self._path) is self:
            _holders.pop(self._path, None)
        return fd


def _is_at(fd: int, path: str) -> bool:
    """Say whether the path names this open file."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


# The open file of each lock that is held. A lock that its holder dropped is in it still: nobody else closes the file.
_held: dict[FileLock, int] = {}
_holders: dict[str, FileLock] = {}


def _close_copies() -> None:
    for lock in list(_held):
        lock.close_copy()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_copies)
