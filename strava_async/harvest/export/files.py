"""Text files of an export's partition, made when there is something to be in them."""

from __future__ import annotations

import json
import os
from typing import Any, TextIO


class NewFile:
    """A file for this user alone, in UTF-8, which the first ``write`` makes. All methods block.

    Args:
        path: where it is to be.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: TextIO | None = None

    @property
    def is_made(self) -> bool:
        """Whether there is something in it."""
        return self._file is not None

    def write(self, text: str) -> None:
        """Write a text; of a lone surrogate a question mark."""
        if self._file is None:
            fd = open_private_file(self._path)
            self._file = os.fdopen(fd, "w", encoding="utf-8", errors="replace", newline="")
        self._file.write(text)

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()


def open_private_file(path: str) -> int:
    """Make a file that only its user may access, and return it, opened for writing.

    Raises:
        OSError: it cannot be made, or is there.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def json_text(value: Any) -> str:
    """Return a value as JSON on one line; NaN and infinities, which JSON does not have, are null.

    Raises:
        RecursionError: it is nested too deeply.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return json.dumps(finite, ensure_ascii=False, separators=(",", ":"))
