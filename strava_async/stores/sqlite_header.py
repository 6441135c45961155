"""What stands at the beginning of an SQLite file that is in use, read without SQLite.

SQLite itself would take it from the WAL, and not see what a stranger has written into the file. A descriptor of a file
is closed when this process has no connection to it any more: that drops all locks it has on the file (POSIX).
"""

from __future__ import annotations

import os
import threading


class Header:
    """The beginning of an open file, read without SQLite, which would take it from the WAL.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        with _opening:
            # Without waiting for who writes into it, if it is a pipe: what it is, is checked later.
            fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
            found = os.fstat(fd)
            self._key = (found.st_dev, found.st_ino)
            # All are kept until the last is closed, in all threads.
            _descriptors.setdefault(self._key, []).append(fd)
            _users[self._key] = _users.get(self._key, 0) + 1
        self._fd = fd

    def is_of(self, found: os.stat_result) -> bool:
        """Return whether it is this file's."""
        return self._key == (found.st_dev, found.st_ino)

    def time(self) -> tuple[int, int]:
        """Return its size, and when it was last written to."""
        return time_of(os.fstat(self._fd))

    def application_id(self) -> int | None:
        """Return SQLite's mark for whose file it is; None if it is no file of SQLite's."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        header = os.read(self._fd, 100)
        return int.from_bytes(header[68:72], "big") if header.startswith(b"SQLite format 3\0") else None

    def close(self) -> None:
        """Close it, if no other connection of this process is to the same file."""
        with _opening:
            _users[self._key] -= 1
            if not _users[self._key]:
                del _users[self._key]
                for fd in _descriptors.pop(self._key):
                    os.close(fd)


_opening = threading.Lock()
_descriptors: dict[tuple[int, int], list[int]] = {}
_users: dict[tuple[int, int], int] = {}


def time_of(found: os.stat_result) -> tuple[int, int]:
    """Return what changes when a file is written to."""
    return found.st_size, found.st_mtime_ns
