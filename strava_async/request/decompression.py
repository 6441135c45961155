"""Content codings (RFC 9110 §8.4), decoded in steps and within bounds. Pure: no I/O, no state.

Rules:

- The limit is for the output of all codings of a body together: nested ones are how a bomb passes a limit that each
  coding has for itself.
- A step takes some milliseconds at most, whatever the body, and the first a fraction of one if the body is small. The
  total time is linear in input and output.
- gzip: all of its members count (RFC 1952 §2.2). Zeros after them are padding. Anything else after a complete member
  that does not begin like another is not part of the body, and is dropped, as browsers and urllib3 do.
- deflate: with or without the zlib frame; servers disagree whether it is part of it.
- An empty body stays empty, whatever its coding.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator
from io import BytesIO
from typing import TypeVar

# Per step: the output, which is less in the first one, and the input.
FIRST_STEP_BYTES = 1 << 16
STEP_BYTES = 1 << 19
PORTION_BYTES = 1 << 18
MAX_CODINGS = 4
# A member costs some microseconds, however little is in it.
MAX_MEMBERS = 4_096

_IDENTITY = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})
_DEFLATE = "deflate"
# What is requested in Accept-Encoding.
ACCEPTED = "gzip, deflate"
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
GZIP_MAGIC = b"\x1f\x8b"
# Only these are named in an error: anything else in the field may be a secret.
_REGISTERED = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"})

Result = TypeVar("Result")


class DecompressionError(ValueError):
    """The body cannot be decompressed; the message says why, and shows nothing of the body."""


class TooLargeError(DecompressionError):
    """The output would exceed the limit."""


def decompressing(body: bytes, content_encoding: str, limit_bytes: int) -> Generator[None, None, bytes]:
    """Decompress a body; yields between the steps, and returns the output.

    Args:
        body: as it came.
        content_encoding: the field's value; several codings are undone from the last to the first.
        limit_bytes: the maximal size of the output, of all codings together.

    Raises:
        TooLargeError: the output would be larger.
        DecompressionError: a coding is unknown, there are too many, or the body is damaged or truncated.
    """
    codings = [coding for part in content_encoding.lower().split(",") if (coding := part.strip()) not in _IDENTITY]
    if len(codings) > MAX_CODINGS:
        raise DecompressionError(f"it is compressed {len(codings)} times over")
    left = limit_bytes
    for coding in reversed(codings):
        if not body:
            break
        try:
            body = yield from _inflating(body, _window_bits(coding, body), left)
        except zlib.error:
            raise DecompressionError(f"it is not {coding}, or is damaged") from None
        left -= len(body)
    return body


def decompressed(body: bytes, content_encoding: str, limit_bytes: int) -> bytes:
    """Do what ``decompressing`` does, in one go."""
    return finished(decompressing(body, content_encoding, limit_bytes))


def finished(steps: Generator[None, None, Result]) -> Result:
    """Take all the steps, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def accepted(accept_encoding: str) -> str:
    """Return an Accept-Encoding without the codings that are not supported here."""
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
    raise DecompressionError(f"it is compressed with {coding if coding in _REGISTERED else 'an unknown coding'}")


def _inflating(compressed: bytes, window_bits: int, most: int) -> Generator[None, None, bytes]:
    plain = BytesIO()  # of all growing buffers, the one that returns its bytes without a copy
    at = 0
    for _ in range(MAX_MEMBERS):
        at = yield from _inflating_member(compressed, at, window_bits, plain, most)
        while compressed.startswith(b"\0", at):
            portion = compressed[at : at + PORTION_BYTES]
            at += len(portion) - len(portion.lstrip(b"\0"))
            yield
        if window_bits != _GZIP_BITS or not compressed.startswith(GZIP_MAGIC, at):
            return plain.getvalue()
        yield
    raise DecompressionError(f"it has more than {MAX_MEMBERS} members")


def _inflating_member(
    compressed: bytes, at: int, window_bits: int, plain: BytesIO, most: int
) -> Generator[None, None, int]:
    """Append the content of a member to ``plain``, and return where the member ends."""
    inflater = zlib.decompressobj(window_bits)
    while True:
        portion = inflater.unconsumed_tail
        if not portion:
            portion = compressed[at : at + PORTION_BYTES]
            at += len(portion)
        room = min(STEP_BYTES if plain.tell() else FIRST_STEP_BYTES, most - plain.tell() + 1)
        came = inflater.decompress(portion, room)
        plain.write(came)
        if plain.tell() > most:
            raise TooLargeError(f"it decompresses to more than {most} bytes")
        if inflater.eof:
            return at - len(inflater.unused_data)
        if not portion and len(came) < room:
            raise DecompressionError("it is truncated")
        yield
