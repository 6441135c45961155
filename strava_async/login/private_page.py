"""A page on this machine that leads a browser to an address which no other user of the machine may see.

Rules:

- Command lines can be read by every user, and browsers are started with the address on theirs. So they are started with
  that of a file instead, which its user alone can read (0600), and which leads on.
- The file is removed when the block has ended; a process that is killed leaves it.
- A browser in a snap reads only what is in its user's home and not hidden there; so where snaps are installed the file
  is there, else where temporary files are. One that flatpak starts gets any file.
- The page tells nobody where it was, and nothing in the address becomes markup.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from strava_async.errors import InputError
from strava_async.stores.private_files import make_open_file_private

SNAPS = "/var/lib/snapd"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>On to Strava</title>
</head>
<body><p><a href="{url}">On to Strava</a></p></body>
</html>
"""


@contextmanager
def private_page(url: str, directories: Iterable[str] | None = None) -> Generator[str, None, None]:
    """Keep a page that leads on, as long as the block lasts.

    Args:
        url: where to; an absolute one.
        directories: where the file may be; the first that will do is taken. None takes ``page_directories``.

    Yields:
        the address of the file.

    Raises:
        InputError: a file for this user alone can be written in none of them.
    """
    path = _written(_PAGE.format(url=html.escape(url)), page_directories() if directories is None else directories)
    try:
        yield Path(path).as_uri()
    finally:
        with suppress(OSError):
            os.unlink(path)


def page_directories(snaps: str = SNAPS) -> list[str]:
    """Return where a browser of this machine can read a file, the best first."""
    in_home = [os.path.expanduser("~")] if os.path.isdir(snaps) else []
    with suppress(OSError):  # there is none
        return [*in_home, tempfile.gettempdir()]
    return in_home


def _written(text: str, directories: Iterable[str]) -> str:
    for directory in directories:
        with suppress(OSError):
            fd, path = tempfile.mkstemp(".html", "strava-login-", os.path.abspath(directory))
            try:
                with open(fd, "w", encoding="utf-8") as file:
                    if make_open_file_private(fd) is None:
                        file.write(text)
                        file.close()
                        return path
            except OSError:
                os.unlink(path)
                raise
            os.unlink(path)
    raise InputError("no file for this user alone can be written here, which would lead a browser to Strava's page")
