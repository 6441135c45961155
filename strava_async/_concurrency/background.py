"""A task that belongs to the event loop, and to no caller: it ends by itself, or with the loop.

Neither a cancel scope around the code that starts it nor its context variables reach it. The loop cancels it at its
end, and waits for what it does then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol

import sniffio


class Background(Protocol):
    """A task under way."""

    def is_cancelled(self) -> bool:
        """Return whether the loop has cancelled it, also where a scope of the task's own has swallowed that."""
        ...


def start_background(function: Callable[[], Coroutine[Any, Any, None]], name: str) -> Background:
    """Start a task in the running event loop. Keep the result as long as the task should live.

    Args:
        function: what it does; it must not raise, cancellation apart.
        name: of the task.
    """
    if sniffio.thread_local.name == "trio":
        import trio

        trio.lowlevel.spawn_system_task(function, name=name)
        return _OfTrio()
    asyncio = sys.modules["asyncio"]  # to import it is a third of what importing this package takes
    return _OfAsyncio(asyncio.get_running_loop().create_task(function(), name=name, context=Context()))


class _OfTrio:
    def is_cancelled(self) -> bool:
        return False  # trio cancels every wait from then on


class _OfAsyncio:
    def __init__(self, task: Any) -> None:
        self._task = task

    def is_cancelled(self) -> bool:
        return bool(self._task.cancelling())
