"""What strangers wrote, such as an activity's name, for files that programs and people read. Pure."""

from __future__ import annotations

import re

# Control characters, what UTF-8 or XML cannot hold, and what turns the order of the text around it.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]+")
MAX_LENGTH = 32_767
"""As many characters as a cell of a spreadsheet holds."""


def clean(text: str) -> str:
    """Return a text on one line: each run of unwanted characters is a space."""
    return _UNWANTED.sub(" ", text[:MAX_LENGTH])


def encodable(text: str) -> str:
    """Return a text as it is, but for lone surrogates, which UTF-8 does not have."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
