"""The source of a model: the JSON as Strava sent it, decoded on first use."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Self

Step = str | int

_HALF = re.compile("[\ud800-\udfff]")


def utf8_safe(value: Any) -> Any:
    """Return a copy of a JSON value with U+FFFD in place of each unpaired surrogate, which UTF-8 cannot encode."""
    return json.loads(_HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False)))


class Body:
    """A JSON body. All models that were read from it share it.

    Args:
        text: the body as it came.

    Attributes:
        is_utf8_safe: whether all of its texts can be encoded as UTF-8; an unpaired surrogate cannot.
    """

    __slots__ = ("_text", "_value", "is_utf8_safe")

    def __init__(self, text: bytes) -> None:
        self._text: bytes | None = text
        self._value: Any = None
        self.is_utf8_safe = True

    @classmethod
    def of(cls, value: Any, *, is_utf8_safe: bool) -> Self:
        """Return the body of a value that is decoded already."""
        body = cls(b"")
        body._text, body._value, body.is_utf8_safe = None, value, is_utf8_safe
        return body

    def value(self) -> Any:
        """Return the body decoded."""
        text = self._text
        if text is not None:
            self._value = json.loads(text)
            self._text = None  # last: another thread may be reading it
        return self._value

    def at(self, path: Sequence[Step]) -> Any:
        """Return the value at a path in it."""
        found = self.value()
        for step in path:
            found = found[step]
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it does not change
