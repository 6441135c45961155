"""The application's own functions, sync or async."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple, Unpack, cast

import anyio
import anyio.to_thread

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def call_back(
    function: Callable[[Unpack[Arguments]], Awaitable[T] | T],
    *args: *Arguments,
    abandon_on_cancel: bool = False,
    limiter: anyio.CapacityLimiter | None = None,
) -> T:
    """Call a function of the application, and return what it returns.

    An ``async`` function runs on the event loop. Any other runs in a thread, as a route of FastAPI does: it may block.
    If that returns something to await, as a lambda around an ``async`` function does, it is awaited on the loop.

    Args:
        function: what to call.
        *args: what to call it with.
        abandon_on_cancel: whether a cancelled caller abandons the thread; otherwise it waits for its end.
        limiter: bounds the threads; None means the one that FastAPI's routes share.

    Raises:
        Exception: what the function raises.
    """

    def called() -> tuple[Awaitable[T] | T]:
        return (function(*args),)  # trio refuses a bare coroutine as the result of a thread

    (result,) = (
        called()
        if is_async(function)
        else await anyio.to_thread.run_sync(called, abandon_on_cancel=abandon_on_cancel, limiter=limiter)
    )
    return await cast(Awaitable[T], result) if inspect.isawaitable(result) else result


def is_async(function: Callable[..., object]) -> bool:
    """Return whether it runs on the event loop: an ``async`` function, or an object whose ``__call__`` is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
