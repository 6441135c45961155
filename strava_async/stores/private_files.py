"""Files and directories that only their user may access: how they are made so, and what happens where they are not.

Rules:

- What this library creates is private, whatever the umask: files 0600, directories 0700.
- A mode that was widened later is corrected if the file is this user's. Kubernetes' ``fsGroup`` widens that of every
  file of a volume each time it is mounted.
- Where that is impossible (another user's file, a read-only file system, one that ignores modes such as vfat, SMB or
  WSL's), the file is refused, unless its content is encrypted or the caller accepts it. What is accepted is logged
  once.
- No link is followed. A database is never opened for it: closing it would drop all locks that this process has on it
  (POSIX); Linux' ``O_PATH`` does not, and names the very file that was checked.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from strava_async.errors import StoreError

OTHERS = 0o077

_logger = logging.getLogger("strava_async.stores")


def make_private(path: str) -> str | None:
    """Make a file or a directory inaccessible to all other users.

    Returns:
        None if no other user may read or write it, or if there is none; else why that cannot be changed.
    """
    if sys.platform == "win32":
        return None
    try:
        found = os.lstat(path)
        if not is_open_to_others(found):
            return None
        if stat.S_ISLNK(found.st_mode):
            return "it is a symbolic link"
        if found.st_uid != os.geteuid():
            return "it belongs to another user"
        _change_mode(path, found)
        return "its file system ignores modes" if is_open_to_others(os.lstat(path)) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{error.strerror}"


def make_open_file_private(fd: int) -> str | None:
    """Do and return the same for an open file."""
    if sys.platform == "win32":
        return None
    found = os.fstat(fd)
    if not is_open_to_others(found):
        return None
    if found.st_uid != os.geteuid():
        return "it belongs to another user"
    try:
        os.fchmod(fd, 0o600)
    except OSError as error:
        return f"{error.strerror}"
    return "its file system ignores modes" if is_open_to_others(os.fstat(fd)) else None


def make_private_directories(path: str) -> None:
    """Make a directory, and what is missing above it, for this user alone; what is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing: list[str] = []
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        with suppress(FileExistsError):  # made meanwhile; what is not a directory is an error below
            os.mkdir(each, 0o700)
    if missing and not os.path.isdir(missing[0]):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), missing[0])


def is_open_to_others(found: os.stat_result) -> bool:
    """Return whether other users may read or write it."""
    return sys.platform != "win32" and bool(found.st_mode & OTHERS)


def remedy(path: str) -> str:
    """Return what the owner of a file can do by hand."""
    return f"chmod 600 {shlex.quote(path)}"


class Privacy:
    """The rule for one database, which is logged only once.

    Args:
        private: False leaves modes as they are, and accepts what they are.
        kind: what is raised for a file that is refused.
        make_private: makes a file inaccessible to others, and returns why it could not.
    """

    def __init__(
        self, private: bool, kind: type[StoreError], make_private: Callable[[str], str | None] = make_private
    ) -> None:
        self._private = private
        self._kind = kind
        self._make_private = make_private
        self._unlogged = threading.Lock()  # the first to acquire it logs

    def enforce(self, path: str, companions: Iterable[str], is_encrypted: Callable[[], bool]) -> None:
        """Make files private, or accept what they are, or refuse them.

        Args:
            path: the database.
            companions: files beside it, which need not be there. SQLite gives them the database's mode: those of one
                that is accepted as it is stay as they are too.
            is_encrypted: returns whether all that it holds is encrypted.

        Raises:
            StoreError: others may read or write one of them.
        """
        reason = self._reason(path)
        if reason is None:
            reason = next(filter(None, [self._reason(companion) for companion in companions]), None)
        if reason is None:
            return
        if self._private and not is_encrypted():
            raise self._kind(
                f"other users may read or write {path}, and that cannot be changed ({reason}): {remedy(path)} as its "
                "owner, or keep it on another disk, or encrypt it (key=...), or accept it (private=False)"
            )
        if self._unlogged.acquire(blocking=False):
            accepted = "private=False accepts it" if not self._private else "what it holds is encrypted"
            _logger.warning("other users may read or write %s (%s): %s", path, reason, accepted)

    def _reason(self, path: str) -> str | None:
        if self._private:
            return self._make_private(path)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return f"its mode is {stat.S_IMODE(found.st_mode):o}" if is_open_to_others(found) else None


def _change_mode(path: str, found: os.stat_result) -> None:
    mode = found.st_mode & (0o7700 if stat.S_ISDIR(found.st_mode) else 0o600)
    if sys.platform == "linux":
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not os.path.samestat(os.fstat(fd), found):
                raise OSError(0, "it was replaced meanwhile")
            os.chmod(f"/proc/self/fd/{fd}", mode)
            return
        except FileNotFoundError:
            pass  # there is no /proc here
        finally:
            os.close(fd)
    os.chmod(path, mode, follow_symlinks=os.chmod not in os.supports_follow_symlinks)
