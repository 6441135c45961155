"""Work that is carried to its end although whoever asked for it is cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import sniffio

if TYPE_CHECKING:
    import asyncio


async def run_to_end(work: Callable[[], Awaitable[None]], after: Callable[[], None]) -> None:
    """Await ``work()``; cancelling the caller does not cancel it.

    On trio the caller stays until it is done, under a shielded scope, and is cancelled afterwards. On asyncio it leaves
    at once and the work goes on as a task of its own, because ``Task.cancel()`` passes through anyio's shields.

    Args:
        work: what to do.
        after: called when it has ended, however it ended, even if the event loop stopped before it began.
    """
    if sniffio.current_async_library() == "asyncio":
        import asyncio  # not above: it is a third of what importing this package takes, and loaded here anyway

        task = asyncio.ensure_future(work())
        task.add_done_callback(lambda _: after())
        _running.add(task)
        task.add_done_callback(_running.discard)
        await asyncio.shield(task)
    else:
        try:
            with anyio.CancelScope(shield=True):
                await work()
        finally:
            after()
        await anyio.lowlevel.checkpoint_if_cancelled()


# The event loop keeps only weak references to its tasks.
_running: set[asyncio.Future[None]] = set()
