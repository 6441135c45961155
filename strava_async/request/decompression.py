"""Content codings (RFC 9110 §8.4), undone in steps and within bounds. Pure: no I/O, no state.

Rules:

- No more comes out than a limit, of all codings of a body together: one inside another is how a bomb gets past a limit
  that each of them has for itself.
- A step takes some milliseconds at the most, whatever the body, and the first is over in a fraction of one if little
  came. The time of all is linear in what goes in and comes out.
- gzip: all of its members count (RFC 1952 §2.2). Zeros behind them are padding. What else stands behind a whole member
  and does not begin like another is no part of the body, and is left out, as browsers and urllib3 do.
- deflate: with or without the zlib frame; servers disagree whether it belongs to it.
- Nothing stays nothing, whatever it is said to be packed with.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator
from io import BytesIO
from typing import TypeVar

# Of one step: what comes out, of the first less, and what goes in.
FIRST_STEP_BYTES = 1 << 16
STEP_BYTES = 1 << 19
PORTION_BYTES = 1 << 18
MOST_CODINGS = 4
# A member costs some microseconds, however little is in it.
MOST_MEMBERS = 4_096

_IDENTITY = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})
_DEFLATE = "deflate"
# What an Accept-Encoding asks for.
ACCEPTED = "gzip, deflate"
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
GZIP_MAGIC = b"\x1f\x8b"
# Only these are named in an error: what else stands in the field may be anything, a secret too.
_REGISTERED = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"})

Result = TypeVar("Result")


class UnpackError(ValueError):
    """The body cannot be unpacked; the message says why, and shows nothing of the body."""


class TooLargeError(UnpackError):
    """More would come out than may."""


def unpacking(body: bytes, content_encoding: str, limit_bytes: int) -> Generator[None, None, bytes]:
    """Unpack a body; yields between the steps, and returns what comes out.

    Args:
        body: as it came.
        content_encoding: the field's value; several codings are undone from the last to the first.
        limit_bytes: how much may come out, of all codings together.

    Raises:
        TooLargeError: more would come out.
        UnpackError: a coding is unknown, there are too many, or the body is damaged or cut off.
    """
    codings = [coding for part in content_encoding.lower().split(",") if (coding := part.strip()) not in _IDENTITY]
    if len(codings) > MOST_CODINGS:
        raise UnpackError(f"it is packed {len(codings)} times over")
    left = limit_bytes
    for coding in reversed(codings):
        if not body:
            break
        try:
            body = yield from _inflating(body, _window_bits(coding, body), left)
        except zlib.error:
            raise UnpackError(f"it is no {coding}, or is damaged") from None
        left -= len(body)
    return body


def unpacked(body: bytes, content_encoding: str, limit_bytes: int) -> bytes:
    """Return what ``unpacking`` does, in one go."""
    return finished(unpacking(body, content_encoding, limit_bytes))


def finished(steps: Generator[None, None, Result]) -> Result:
    """Take all the steps, and return what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def accepted(accept_encoding: str) -> str:
    """Return an Accept-Encoding without the codings that are not undone here."""
    entries = [entry.strip() for entry in accept_encoding.split(",")]
    known = {"identity", *_GZIP, _DEFLATE}
    kept = [entry for entry in entries if entry.lower().partition(";")[0].rstrip() in known]
    return accept_encoding if kept == entries else ", ".join(kept) or "identity"


def _window_bits(coding: str, body: bytes) -> int:
    if coding in _GZIP:
        return _GZIP_BITS
    if coding == _DEFLATE:
        # RFC 1950 §2.2: the method is 8, and the first two bytes are a multiple of 31.
        framed = body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
        return _ZLIB_BITS if framed else _RAW_BITS
    raise UnpackError(f"it is packed with {coding if coding in _REGISTERED else 'an unknown coding'}")


def _inflating(packed: bytes, window_bits: int, most: int) -> Generator[None, None, bytes]:
    plain = BytesIO()  # of all that can grow, what gives its bytes away without a copy
    at = 0
    for _ in range(MOST_MEMBERS):
        at = yield from _inflating_member(packed, at, window_bits, plain, most)
        while packed.startswith(b"\0", at):
            portion = packed[at : at + PORTION_BYTES]
            at += len(portion) - len(portion.lstrip(b"\0"))
            yield
        if window_bits != _GZIP_BITS or not packed.startswith(GZIP_MAGIC, at):
            return plain.getvalue()
        yield
    raise UnpackError(f"it has more than {MOST_MEMBERS} members")


def _inflating_member(
    packed: bytes, at: int, window_bits: int, plain: BytesIO, most: int
) -> Generator[None, None, int]:
    """Append what is in a member to ``plain``, and return where it ends."""
    inflater = zlib.decompressobj(window_bits)
    while True:
        portion = inflater.unconsumed_tail
        if not portion:
            portion = packed[at : at + PORTION_BYTES]
            at += len(portion)
        room = min(STEP_BYTES if plain.tell() else FIRST_STEP_BYTES, most - plain.tell() + 1)
        came = inflater.decompress(portion, room)
        plain.write(came)
        if plain.tell() > most:
            raise TooLargeError(f"more than {most} bytes come out of it")
        if inflater.eof:
            return at - len(inflater.unused_data)
        if not portion and len(came) < room:
            raise UnpackError("it is cut off")
        yield
