"""Where a model came from: the JSON as Strava sent it, decoded when somebody asks for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Step = str | int


class Body:
    """A JSON body. All models that were read from it share it; it is decoded at the most once.

    Args:
        text: the body as it came.
    """

    __slots__ = ("_text", "_value")

    def __init__(self, text: bytes) -> None:
        self._text: bytes | None = text
        self._value: Any = None

    def value(self) -> Any:
        """Return the body decoded."""
        if self._text is not None:
            self._value = json.loads(self._text)
            self._text = None
        return self._value

    def at(self, path: Sequence[Step]) -> Any:
        """Return what stands at a place in it."""
        found = self.value()
        for step in path:
            found = found[step]
        return found
