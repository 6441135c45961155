"""The cookies of a request, read as browsers write them.

Rules:

- Only space and tab are trimmed. To browsers every other character is a part of the name: a neighbouring host may plant
  a cookie that is called byte 0xA0 and then ``__Host-...``, which a parser that trims more takes for the real one.
- A repeated name has no value: one of the two was planted, and nothing says which.
- A field that came in parts is one field.

Source:
    RFC 6265bis §5.6 and §4.1.3 (cookie name prefixes), RFC 9113 §8.2.3.
"""

from __future__ import annotations

import re

from starlette.requests import HTTPConnection

_ESCAPED = re.compile(r"\\(?:([0-3][0-7]{2})|(.))")


def own_name(name: str, *, secure: bool) -> str:
    """Return the name for a cookie that on https only this host can set; it needs Secure and ``Path=/``."""
    return f"__Host-{name}" if secure else name


def cookies_of(connection: HTTPConnection) -> dict[str, str]:
    """Return the values of the cookies by name, in the order of the request; a repeated name is left out.

    In place of ``connection.cookies``. Text is Latin-1; quotes around a value are taken off.
    """
    fields = [value for name, value in connection.scope["headers"] if name == b"cookie"]
    found: dict[str, str] = {}
    twice: set[str] = set()
    for pair in b";".join(fields).decode("latin-1").split(";"):
        name, is_pair, value = pair.partition("=")
        name = name.strip(" \t")
        if name in found:
            twice.add(name)
        elif is_pair:
            found[name] = _unquoted(value.strip(" \t"))
    return {name: value for name, value in found.items() if name not in twice} if twice else found


def _unquoted(value: str) -> str:
    """Undo what ``http.cookies`` does to a value that has other characters than a cookie may have."""
    if len(value) < 2 or not value[0] == value[-1] == '"':
        return value
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
