"""What an error of SQLite or of the system means for the file that was to be used, and what to do about it."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Generator
from contextlib import contextmanager

from strava_async.errors import StoreError

_NO_ROOM = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})


@contextmanager
def explained(path: str, busy_timeout: float, kind: type[StoreError]) -> Generator[None]:
    """Return a context that turns errors of SQLite and of the system into sentences that say what to do.

    Args:
        path: the file.
        busy_timeout: how long another process's transaction was waited for; seconds.
        kind: what is raised in their place; they are its cause.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise kind(_sqlite_sentence(path, error, busy_timeout)) from error
    except OSError as error:
        raise kind(_system_sentence(path, error)) from error


def is_read_only(path: str) -> bool:
    """Return whether a file's file system is mounted read-only."""
    return sys.platform != "win32" and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _sqlite_sentence(path: str, error: sqlite3.Error, busy_timeout: float) -> str:
    # An error of Python's own module, such as a closed connection, has no code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process has locked {path} for more than {busy_timeout:g} s: end that process, or try again"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{path} is damaged or not a database: restore a backup, or name another file"
    if code == sqlite3.SQLITE_FULL:
        return _no_room(path)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        if not _can_open():
            return _too_many(path)
        return f"{path} cannot be opened for writing: check its permissions and those of its directory"
    name = getattr(error, "sqlite_errorname", "unknown")
    return f"{path} cannot be read or written ({name}): check its disk, the room on it and the user's disk quota"


def _can_open() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def _system_sentence(path: str, error: OSError) -> str:
    match error:
        case FileNotFoundError() if os.path.isdir(os.path.dirname(path)):
            return f"{path} was removed meanwhile: try again"
        case FileNotFoundError():
            return f"the directory {os.path.dirname(path)} does not exist: make it"
        case IsADirectoryError():
            return f"{path} is a directory: name a file in it"
        case NotADirectoryError():
            return f"{os.path.dirname(path)} is not a directory: name a file in one"
        case PermissionError():
            return f"no permission for {path}: check its permissions and those of its directory"
        case OSError(errno=number) if number in _NO_ROOM:
            return _no_room(path)
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return _too_many(path)
        case OSError(errno=errno.EROFS):
            return f"{path} is on a read-only file system: mount it for writing"
        case _:
            return f"{path} cannot be read or written ({error.strerror}): check its disk"


def _too_many(path: str) -> str:
    return f"{path} cannot be opened: too many files are open; raise the limit (ulimit -n)"


def _no_room(path: str) -> str:
    return f"the disk has no room for {path}, or the user's disk quota is used up: free some space"
