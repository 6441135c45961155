"""Calls of a store or a backlog that may hang, bounded in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from sniffio import current_async_library

from strava_async._concurrency.task_group import TaskGroup
from strava_async.clock import Clock
from strava_async.errors import EventStoreError

T = TypeVar("T")


async def time_is_over(clock: Clock, seconds: float, scope: anyio.CancelScope) -> bool:
    """Return True after that many seconds, for a task that then cancels ``scope``, the one of its group."""
    try:
        await clock.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        if scope.cancel_called or current_async_library() != "asyncio":
            raise
        # The end of the loop cancelled this task. It must not cancel its group: shielded work has a bound of its own.
        return False
    return True


async def call_within(clock: Clock, seconds: float, what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call returns.

    Raises:
        EventStoreError: it took longer, and was cancelled.
    """
    results: list[T] = []

    async def cut_off() -> None:
        if await time_is_over(clock, seconds, tasks.cancel_scope):
            tasks.cancel_scope.cancel()

    async with TaskGroup() as tasks:
        tasks.start_soon(cut_off)
        results.append(await call())
        tasks.cancel_scope.cancel()
    if not results:
        raise EventStoreError(f"{what} took longer than {seconds:g} s: see whether the store of the events is busy")
    return results[0]
