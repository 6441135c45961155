"""JSON bodies (RFC 8259) to Python's values: the same ones, whether orjson is installed or not.

The standard library sets what they are. Where orjson refuses a text, the standard library is asked: it takes NaN and
the infinities, numbers beyond a double, half a surrogate pair, UTF-16 and a byte order mark. What both take they read
alike (a name that comes twice has its last value), with one exception: integers of more than 64 bits, which orjson
turns into floats. Where one can be, orjson is not asked.

What is left: how deep values may be nested depends on the decoder (orjson: 1,024) and on the interpreter.
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

# 2**64 - 1 has 20 digits, and -2**63 a sign and 19: what is shorter fits.
_LONG_CHARACTERS = 20
_LONG_RUN = b"0" * _LONG_CHARACTERS
_SIGN_OR_DIGIT = bytes(ord("0") if byte in b"-0123456789" else ord(".") for byte in range(256))
# What stands around an integer; around a part of a text or of a fraction stands something else.
_BEFORE, _BEHIND = b",:[ \t\r\n", b",]} \t\r\n"
_WINDOW_BYTES = 1 << 20
# Each costs a microsecond; ids and numbers of telephones in texts are some.
_MOST_RUNS = 1_000


def decode(body: bytes) -> Any:
    """Return the value that a JSON text stands for.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return decode_by(_fast_loads, body)


def decode_by(fast_loads: Callable[[bytes], Any] | None, body: bytes) -> Any:
    """Return what ``decode`` does, with a decoder for all texts that it reads as the standard library does."""
    if fast_loads is not None and not may_hold_long_integers(body):
        try:
            return fast_loads(body)
        except ValueError:
            pass
    return json.loads(body)


def may_hold_long_integers(body: bytes) -> bool:
    """Say whether there is an integer in it that may not fit into 64 bits; in a text there may be what looks like one.

    Costs a quarter of what orjson takes. A search with ``re`` alone takes longer than orjson.
    """
    looked_at = 0
    for start in range(0, len(body), _WINDOW_BYTES):
        # A run that goes beyond the window by more than this is long enough in it.
        shape = body[start : start + _WINDOW_BYTES + _LONG_CHARACTERS].translate(_SIGN_OR_DIGIT)
        at = shape.find(_LONG_RUN)
        while at >= 0:
            looked_at += 1
            end = shape.find(b".", at)
            before, behind = body[max(0, start + at - 1) : start + at], body[start + end : start + end + 1]
            if looked_at > _MOST_RUNS or (before in _BEFORE and (end < 0 or behind in _BEHIND)):
                return True
            at = shape.find(_LONG_RUN, end) if end >= 0 else -1
    return False
