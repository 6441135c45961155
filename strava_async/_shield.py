"""Work that is carried to its end although whoever asked for it is cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.lowlevel
import sniffio
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

# The scope that shields the work, on trio.
_scope: ContextVar[anyio.CancelScope | None] = ContextVar("scope of work that is carried to its end", default=None)


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
            with anyio.CancelScope(shield=True) as scope:
                mark = _scope.set(scope)
                try:
                    await work()
                finally:
                    _scope.reset(mark)
        finally:
            after()
        await anyio.lowlevel.checkpoint_if_cancelled()


@contextmanager
def cancellable() -> Generator[None, None, None]:
    """Let a part of such work be cancelled with whoever asked for it on trio: a wait in which nothing is begun yet.

    On asyncio nothing changes: there nobody waits for the work to end.
    """
    scope = _scope.get()
    if scope is None:
        yield
        return
    scope.shield = False
    try:
        yield
    finally:
        scope.shield = True


@asynccontextmanager
async def after_waiting_for(lock: AbstractAsyncContextManager[object]) -> AsyncGenerator[None, None]:
    """Hold a lock for a part of such work; waiting for it is ``cancellable``, holding it is not."""
    async with AsyncExitStack() as stack:
        with cancellable():
            await stack.enter_async_context(lock)
        yield


async def carry_out(work: Callable[[], Awaitable[T]], after: Callable[[], None]) -> T:
    """Return what ``work()`` does, or raise what it raises; cancelling the caller does not cancel it.

    Args:
        work: what to do.
        after: see ``run_to_end``.
    """
    results: list[T] = []
    errors: list[Exception] = []

    async def noted() -> None:
        try:
            results.append(await work())
        except Exception as error:
            errors.append(error)

    await run_to_end(noted, after)
    if errors:
        raise errors[0]
    return results[0]


class UnderWay:
    """Things under way, so that closing can wait for them; those of an event loop that is gone do not count."""

    def __init__(self) -> None:
        self._ends: set[tuple[object, anyio.Event]] = set()

    def begin(self) -> Callable[[], None]:
        """Note that something begins; return what is to be called at its end."""
        entry = (current_token(), anyio.Event())
        self._ends.add(entry)

        def end() -> None:
            self._ends.discard(entry)
            entry[1].set()

        return end

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        loop = current_token()
        while ends := [end for token, end in self._ends if token == loop]:
            await ends[0].wait()


# The event loop keeps only weak references to its tasks.
_running: set[asyncio.Future[None]] = set()
