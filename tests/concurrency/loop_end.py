"""The end of an event loop, from inside."""

import asyncio

import anyio
import anyio.lowlevel
import sniffio
from anyio.abc import TaskGroup


async def turns(count: int = 50) -> None:
    """Let other tasks run for so many turns of the event loop."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def end_everything_else(tasks: TaskGroup) -> None:
    """Cancel what runs beside this task, as the end of an event loop does, and give it some turns to end.

    Not for tests that share their event loop with a runner.
    """
    if sniffio.current_async_library() == "asyncio":
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    tasks.cancel_scope.cancel()
    with anyio.CancelScope(shield=True):
        await turns()
