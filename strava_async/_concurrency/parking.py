"""Where a task waits until it is woken: an ``anyio.Event`` on any loop, a future on asyncio.

An event of asyncio carries a deque, 1.4 KB in all; ten thousand calls that wait for midnight each need one. The future
that it makes in the end anyway is a fifteenth of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Protocol

import anyio
import sniffio


class Spot(Protocol):
    """For one task, once. ``await spot`` waits to be woken."""

    def wake(self) -> None:
        """Wake the task; a second time has no effect."""
        ...

    def __await__(self) -> Generator[Any, Any, None]: ...


class _FutureSpot(asyncio.Future[None]):
    __slots__ = ()

    def wake(self) -> None:
        if not self.done():
            self.set_result(None)


class _EventSpot:
    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def wake(self) -> None:
        self._event.set()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._event.wait().__await__()


def park() -> Spot:
    """Return a spot on the running loop."""
    # Where sniffio would begin to look: trio names itself there, asyncio does not.
    return _EventSpot() if sniffio.thread_local.name == "trio" else _FutureSpot()
