"""Files and folders of an export on the disk. Everything blocks, and raises OSError."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from strava_async.harvest.export.notes import Stat


def replace_text(path: str, text: str) -> None:
    """Write a file for this user alone, beside it and brought to the disk, and move it to its place."""
    new = f"{path}.new"
    with open(new, "w", encoding="utf-8", opener=_private) as file:
        file.write(text)
    sync(new)
    os.replace(new, path)


def stat_of(path: str) -> Stat:
    """Return by what a file is known again."""
    found = os.stat(path, follow_symlinks=False)
    return found.st_size, found.st_mtime_ns, found.st_ino


def sync(path: str) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if sys.platform == "win32" and os.path.isdir(path):
        return  # no folder can be opened there
    fd = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def listed(path: str) -> list[str]:
    """Return the names in a folder; none, if there is no folder."""
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def names_below(path: str, before: str = "") -> Iterator[str]:
    """Yield the names of files in a folder and in those in it, one level deep; no links."""
    try:
        with os.scandir(path) as entries:
            found = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            if not before:
                yield from names_below(entry.path, f"{entry.name}/")
        else:
            yield before + entry.name


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
