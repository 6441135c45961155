"""The event loop that an object belongs to: one at a time.

What waits in one loop cannot be woken by another, and nothing here is made for two threads: used in a second loop, an
object would wait for ever. So that is an error at once. A loop that has ended wakes nobody either: what was left
waiting in it is forgotten, and the object belongs to the next loop that uses it.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

import sniffio

from strava_async.errors import InputError


class LoopBinding:
    """Remembers the event loop that an object belongs to.

    Args:
        what: the object, as an error names it; such as ``this rate limiter``.
    """

    __slots__ = ("_loop", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop: ref[Any] | None = None

    def enter(self) -> bool:
        """Bind the object to the running event loop, if it is not yet.

        Returns:
            whether it belonged to another loop, which has ended: what waits there is to be forgotten.

        Raises:
            InputError: it belongs to another event loop, which has not ended.
        """
        running = _running_loop()
        if self._loop is None:
            self._loop = ref(running)
            return False
        loop = self._loop()
        if loop is running:
            return False
        if loop is not None and not _has_ended(loop):
            raise InputError(
                f"{self._what} belongs to another event loop, which has not ended: make one for each loop and thread"
            )
        self._loop = ref(running)
        return True


def _running_loop() -> Any:
    if sniffio.current_async_library() == "asyncio":
        import asyncio  # not above: it is a third of what importing this package takes, and loaded here anyway

        return asyncio.get_running_loop()
    import trio

    return trio.lowlevel.current_trio_token()


def _has_ended(loop: Any) -> bool:
    """Say whether an asyncio loop is closed, or the ``trio.run`` of a token is over."""
    is_closed = getattr(loop, "is_closed", None)
    if is_closed is not None:
        return bool(is_closed())
    import trio

    try:
        loop.run_sync_soon(_nothing, idempotent=True)
    except trio.RunFinishedError:
        return True
    return False


def _nothing() -> None:
    pass
