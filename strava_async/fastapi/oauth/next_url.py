"""Where to go after a login: a URL that anybody may have put into a link.

Rules:

- Only a path of this site is accepted: one ``/`` and then anything but a second one. Browsers take a backslash for a
  slash and drop tabs and line breaks before they look, so neither these nor any other white space or control character
  may be in it.
- ``//`` may not be in the path at all, and nothing of all this may come out when the path is decoded, but a space. To a
  browser ``/%2fevil.test`` and ``/%09/evil.test`` are paths; but servers that normalise paths have redirected them to
  ``//evil.test``. In a query they are harmless.

Source:
    https://url.spec.whatwg.org/#url-parsing and CWE-601.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MAX_NEXT_BYTES = 512


def safe_next(value: object, default: str = "/") -> str:
    """Return the value if it is a path of this site, with or without query and fragment; else the default.

    Never raises.

    Args:
        value: what came with a request; at most 512 bytes of UTF-8.
        default: what to return instead of anything else; it is trusted.
    """
    return value if isinstance(value, str) and _is_path_here(value) else default


def _is_path_here(value: str) -> bool:
    # isprintable is False for line breaks, tabs, exotic spaces, and halves of surrogate pairs, which cannot be encoded.
    if not value.startswith("/") or not value.isprintable() or len(value.encode()) > MAX_NEXT_BYTES:
        return False
    if " " in value or "\\" in value:
        return False
    path = re.split(r"[?#]", value, maxsplit=1)[0]
    decoded = unquote(path)
    return decoded.isprintable() and "\\" not in decoded and "//" not in decoded
