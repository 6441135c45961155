"""The application's own functions, sync or async."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple, Unpack, cast

import anyio.to_thread

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def call_back(function: Callable[[Unpack[Arguments]], Awaitable[T] | T], *args: *Arguments) -> T:
    """Call a function of the application, and return what it returns.

    An ``async`` function runs on the event loop. Any other runs in a thread, as a route of FastAPI does: it may block.
    If that returns something to await, as a lambda around an ``async`` function does, it is awaited on the loop.
    Cancelling waits for the thread to end.

    Raises:
        Exception: what the function raises.
    """

    def called() -> tuple[Awaitable[T] | T]:
        return (function(*args),)  # trio lets no bare coroutine out of a thread

    (result,) = called() if _is_async(function) else await anyio.to_thread.run_sync(called)
    return await cast(Awaitable[T], result) if inspect.isawaitable(result) else result


def _is_async(function: Callable[..., object]) -> bool:
    # An object with `async def __call__` is as good as a function.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
