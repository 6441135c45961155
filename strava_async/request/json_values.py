"""JSON bodies (RFC 8259) to Python's values: the same values, whether orjson is installed or not.

The standard library defines them. A text that orjson refuses is decoded by the standard library, which accepts NaN and
the infinities, numbers beyond a double, unpaired surrogates, UTF-16 and a byte order mark. What both accept they read
alike (of a duplicate name the last value counts), with one exception: integers of more than 64 bits, which orjson turns
into floats. A body that may hold one is not decoded by orjson.

One difference remains: how deep values may be nested depends on the decoder (orjson: 1,024) and on the interpreter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

try:
    import orjson
except ImportError:
    _fast_loads: Callable[[bytes], Any] | None = None
else:
    _fast_loads = orjson.loads

# 2**64 - 1 has 20 digits, and -2**63 a sign and 19: anything shorter fits.
_LONG_CHARACTERS = 20
_LONG_RUN = b"0" * _LONG_CHARACTERS
_SIGN_OR_DIGIT = bytes(ord("0") if byte in b"-0123456789" else ord(".") for byte in range(256))
# The bytes around an integer; those around a part of a text or of a fraction are others.
_BEFORE, _AFTER = b",:[ \t\r\n", b",]} \t\r\n"
_WINDOW_BYTES = 1 << 20
# Each costs a microsecond; ids and phone numbers in texts are such runs.
_MAX_RUNS = 1_000


def decode(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return decode_by(_fast_loads, body)


def decode_by(fast_loads: Callable[[bytes], Any] | None, body: bytes) -> Any:
    """Do what ``decode`` does, with a decoder for the texts that it reads as the standard library does."""
    if fast_loads is not None and not may_hold_long_integers(body):
        try:
            return fast_loads(body)
        except ValueError:
            pass
    return json.loads(body)


def may_hold_long_integers(body: bytes) -> bool:
    """Say whether it may hold an integer of more than 64 bits; a text that looks like one counts too.

    Costs a quarter of the time of orjson. A search with ``re`` alone takes longer than orjson.
    """
    looked_at = 0
    for start in range(0, len(body), _WINDOW_BYTES):
        # A run that exceeds the window by more than this is long enough inside of it.
        shape = body[start : start + _WINDOW_BYTES + _LONG_CHARACTERS].translate(_SIGN_OR_DIGIT)
        at = shape.find(_LONG_RUN)
        while at >= 0:
            looked_at += 1
            end = shape.find(b".", at)
            before, after = body[max(0, start + at - 1) : start + at], body[start + end : start + end + 1]
            if looked_at > _MAX_RUNS or (before in _BEFORE and (end < 0 or after in _AFTER)):
                return True
            at = shape.find(_LONG_RUN, end) if end >= 0 else -1
    return False
