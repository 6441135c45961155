"""Bodies of the media type ``multipart/form-data``, a part at a time. Pure: reads the files that it is given, no more.

Rules (RFC 7578, and the WHATWG's "multipart/form-data encoding algorithm", which browsers follow):

- Names of fields and of files are UTF-8, with ``"``, CR and LF as ``%22``, ``%0D`` and ``%0A``.
- A part with a file name is ``application/octet-stream`` where nothing else is said; one without says nothing.
- The length is known beforehand if that of each file is, and then it is kept: the rest of a file that grows is left
  out, and one that shrinks is an error. The length of pipes, and of what else cannot be rewound, is not known.
- No file is larger than ``MAX_FILE_BYTES``; what has no end, such as a device, is refused there.

A file is given as httpx takes it: text, bytes, a binary file object, or a tuple of a file name and one of those, with a
media type and further header fields where they are wanted. What can be rewound is sent from its beginning.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from strava_async.errors import InputError

# What is read of a file, and in memory of it, at a time.
CHUNK_BYTES = 64 * 1024
# Of one file: far more than Strava takes, far less than memory.
MAX_FILE_BYTES = 512 * 1024 * 1024
_BINARY = "application/octet-stream"


class Multipart:
    """A body of fields and files.

    Args:
        fields: names and values.
        files: what is given by name, as a mapping or as pairs.
        boundary: between the parts; what the files do not hold.
        limit_bytes: how large each file may be.

    Attributes:
        content_type: the media type, with the boundary.
        content_length: the bytes of the whole; None if that is not known beforehand.
        is_in_memory: whether all of it is; else to take the next piece may mean to wait for a disk or a pipe.

    Raises:
        InputError: something cannot be sent as a file.
    """

    def __init__(
        self, fields: Mapping[str, str], files: Any, boundary: str, *, limit_bytes: int = MAX_FILE_BYTES
    ) -> None:
        files = given_files(files)
        parts = [_field(name, value) for name, value in fields.items()] + [_file(name, value) for name, value in files]
        self._limit_bytes = limit_bytes
        for part in parts:
            part.check(part.size or 0, limit_bytes)
        self._parts = [(_begin(boundary, part), part) for part in parts]
        self._end = f"--{boundary}--\r\n".encode()
        self.is_in_memory = all(isinstance(part.content, bytes | io.BytesIO) for part in parts)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        sizes = [None if part.size is None else len(head) + part.size + 2 for head, part in self._parts]
        known = [size for size in sizes if size is not None]
        self.content_length = len(self._end) + sum(known) if len(known) == len(sizes) else None

    def chunks(self) -> Iterator[bytes]:
        """Return the body in pieces of about ``CHUNK_BYTES``.

        Raises:
            InputError: a file cannot be read, gives text, is too large, or ends before the length that it had.
        """
        for head, part in self._parts:
            yield head
            yield from part.chunks(self._limit_bytes)
            yield b"\r\n"
        yield self._end


@dataclass(frozen=True, slots=True)
class _Part:
    """A part: its header fields, and a content of a size that is None where it is not known."""

    fields: Mapping[str, str]
    content: Any
    size: int | None
    name: str

    def check(self, size: int, limit_bytes: int) -> None:
        """Raise InputError for more than there may be."""
        if size > limit_bytes:
            raise InputError(f"the file {self.name!r} is larger than {limit_bytes >> 20} MB: Strava takes 25 MB")

    def chunks(self, limit_bytes: int) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            yield from _pieces(self.content)
            return
        _rewind(self.content)
        left, came = self.size, 0
        while True:
            # Where nothing is left it is read once more: a file that reports progress learns that all was read.
            chunk = _read(self.content, CHUNK_BYTES if not left else min(left, CHUNK_BYTES), self.name)[:left]
            if not chunk and left:
                raise InputError(f"the file {self.name!r} ended {left} bytes before the length that it had")
            if not chunk:
                return
            left = None if left is None else left - len(chunk)
            came += len(chunk)
            self.check(came, limit_bytes)
            yield chunk


def _field(name: str, value: str) -> _Part:
    content = value.encode("utf-8")
    return _Part({"Content-Disposition": f'form-data; name="{_quoted(name)}"'}, content, len(content), name)


def _file(name: str, given: Any) -> _Part:
    """Return the part of a file that is given in any of the forms that httpx takes."""
    filename, content, media_type, more = _entry(name, given if type(given) is tuple else (_name_of(given), given))
    if isinstance(content, str):
        content = _utf_8(content)
    if isinstance(content, io.TextIOBase) or not (isinstance(content, bytes) or hasattr(content, "read")):
        raise InputError(f"the file {name!r} is bytes, text, or a file opened in binary mode")
    if getattr(content, "closed", False) is True:
        raise InputError(f"the file {name!r} is closed")
    disposition = f'form-data; name="{_quoted(name)}"'
    if filename:
        disposition += f'; filename="{_quoted(str(filename))}"'
    fields = _header_fields(name, more)
    if media_type is None and filename and "content-type" not in map(str.lower, fields):
        media_type = _BINARY
    if media_type is not None:
        fields |= _header_fields(name, {"Content-Type": media_type})
    return _Part({"Content-Disposition": disposition, **fields}, content, _size_of(content), name)


def _entry(name: str, given: Any) -> tuple[Any, Any, Any, Any]:
    entry: list[Any] = list(given)
    if not 2 <= len(entry) <= 4:
        raise InputError(f"the file {name!r} is a tuple of 2 to 4: name, content, media type, header fields")
    filename, content, media_type, more = entry + [None] * (4 - len(entry))
    return filename, content, media_type, more


def given_files(files: Any) -> list[tuple[str, Any]]:
    """Return names and files as pairs, whether they are given as such or as a mapping.

    Raises:
        InputError: they are neither.
    """
    # To iterate over a file would read it.
    is_one = isinstance(files, str | bytes | bytearray) or hasattr(files, "read")
    kind = type(files).__name__
    entries: Any = cast("Mapping[str, Any]", files).items() if isinstance(files, Mapping) else files
    if is_one or not hasattr(entries, "__iter__"):
        raise InputError(f"files are given by name, as {{'file': ...}}: not as a {kind}")
    pairs: list[tuple[str, Any]] = []
    for entry in entries:
        pair: list[Any] = list(cast("Iterable[Any]", entry)) if isinstance(entry, tuple | list) else []
        if len(pair) != 2 or not isinstance(pair[0], str):
            raise InputError("files are pairs of a name, which is a text, and a file")
        pairs.append((pair[0], pair[1]))
    return pairs


def _header_fields(name: str, given: Any) -> dict[str, str]:
    try:
        fields: dict[str, str] = {str(key): str(value) for key, value in dict(given or {}).items()}
    except (TypeError, ValueError):
        raise InputError(f"the header fields of the file {name!r} are no mapping") from None
    if any(character in text for pair in fields.items() for text in pair for character in "\r\n\0"):
        raise InputError(f"a header field of the file {name!r} holds a line break")
    return fields


def _name_of(content: Any) -> str:
    name = getattr(content, "name", None)
    return name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else "upload"


def _begin(boundary: str, part: _Part) -> bytes:
    lines = [f"--{boundary}", *(f"{name}: {value}" for name, value in part.fields.items()), "", ""]
    return _utf_8("\r\n".join(lines))


def _utf_8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("the name or text of a file holds half a surrogate pair, which UTF-8 cannot encode") from None


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _size_of(content: Any) -> int | None:
    """Return how many bytes there are from the beginning; None if that is not known.

    Devices and the files of /proc say 0, whatever they give; an empty file may as well be read to find that out.
    """
    if isinstance(content, bytes):
        return len(content)
    try:
        size: int = content.seek(0, io.SEEK_END)
        content.seek(0)
    except (OSError, AttributeError, ValueError):
        return None
    return size or None


def _rewind(content: Any) -> None:
    with suppress(OSError, AttributeError, ValueError):  # it is sent from where it is
        content.seek(0)


def _read(content: Any, size: int, name: str) -> bytes:
    try:
        chunk = content.read(size)
    except OSError as error:
        raise InputError(f"the file {name!r} cannot be read: {error}") from error
    if not isinstance(chunk, bytes):
        raise InputError(f"the file {name!r} gives {type(chunk).__name__}, not bytes: open it in binary mode")
    return chunk


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
