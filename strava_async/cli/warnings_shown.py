"""What the library logs while a command draws: shown by the screen, where it does not break the drawing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

_LOGGER = logging.getLogger("strava_async")


class _Shown(logging.Handler):
    """Hands on the messages of warnings.

    Args:
        say: shows one.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message."""
        try:
            self._say(record.getMessage())
        except Exception:
            self.handleError(record)


@contextmanager
def warnings_shown(say: Callable[[str], None]) -> Generator[None]:
    """Return a context in which warnings of the library are shown.

    Without a handler Python would write them to stderr, in the middle of a drawing.
    """
    handler = _Shown(say)
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
