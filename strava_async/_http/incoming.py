"""What is kept of a reply as it arrives: some header fields, and so much of its body."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

from strava_async._hidden import Hidden
from strava_async.errors import DecodeError
from strava_async.request.reply import MAX_BODY_BYTES, REPLY_FIELDS

_FIELDS = frozenset(name.encode() for name in REPLY_FIELDS)
_NOTHING = Hidden(b"")


class Collected:
    """The body of a reply as it arrives.

    Args:
        path: of the request, for the error.
    """

    __slots__ = ("_collected", "_first", "_path", "_size")

    def __init__(self, path: str) -> None:
        self._path = path
        self._first = _NOTHING
        self._collected: BytesIO | None = None
        self._size = 0

    def add(self, chunk: bytes) -> bool:
        """Keep the next bytes; say whether there were any. No caller keeps them in a variable: they may be tokens.

        Raises:
            DecodeError: together they are more than anything that Strava sends.
        """
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            del chunk
            raise DecodeError(f"the body of {self._path} is larger than {MAX_BODY_BYTES >> 20} MB", path=self._path)
        if self._size == len(chunk):
            self._first = Hidden(chunk)
            return bool(chunk)
        if self._collected is None:
            # Not a list of them: chunks of a byte or two, as many as may come, would take gigabytes.
            self._collected = BytesIO()
        self._collected.write(chunk)
        return bool(chunk)

    def joined(self) -> bytes:
        """Return all of it."""
        if self._collected is None:
            return self._first.reveal()
        return b"".join((self._first.reveal(), self._collected.getbuffer()))


def fields_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the header fields that matter, by lower-case name; those that came more than once joined by commas."""
    fields: dict[str, str] = {}
    for name, value in raw:
        lowered = name.lower()
        if lowered in _FIELDS:
            key, text = lowered.decode("ascii"), value.decode("latin-1")
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields
