"""Shielded work: it completes even if its caller is cancelled, or the event loop ends.

An event loop that ends cancels its tasks: ``asyncio.run`` after a timeout, Ctrl-C or a failed task. Then it waits for
shielded work, at most ``END_SECONDS``. Nothing waits when a loop is closed while tasks are pending, after a second
Ctrl-C on asyncio, or when the process is killed. Tasks that stores or callbacks start meanwhile end with the loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

import anyio
import sniffio

from strava_async._concurrency.shielded_work import current

T = TypeVar("T")

# A renewal takes 25 s at the most, attempts included; then its answer has to be saved.
END_SECONDS = 30.0


async def run_shielded(
    work: Callable[[], Awaitable[None]], after: Callable[[], None], *, seconds: float = END_SECONDS
) -> None:
    """Await ``work()``, which is cancelled neither with its caller nor by the end of the event loop.

    On trio the caller stays until it is done, and is cancelled afterwards. On asyncio it leaves at once, and the work
    goes on as a task of its own, because ``Task.cancel()`` passes through shields.

    Args:
        work: what to do.
        after: called when it has ended, however it ended, even if the event loop stopped before it began.
        seconds: how long it may take after the event loop began to end, or on trio after the caller was cancelled.
    """
    if sniffio.current_async_library() == "asyncio":
        # Not above: asyncio is a third of what importing this package takes, and loaded here anyway.
        from strava_async._concurrency import shield_asyncio

        await shield_asyncio.run(work, after, seconds)
    else:
        from strava_async._concurrency import shield_trio

        await shield_trio.run(work, after, seconds)


@contextmanager
def cancellable() -> Generator[None, None, None]:
    """Let a part of shielded work be cancelled: a wait in which nothing can be lost.

    On trio it is cancelled with its caller, on asyncio with the event loop: there the caller does not wait for it. Work
    inside of other shielded work goes on if that does.
    """
    work = current.get()
    if work is None or work.ended or work.committed or not work.held:
        yield
        return
    work.let_go()
    try:
        yield
    finally:
        work.hold()


def commit() -> None:
    """Make the rest of this shielded work uncancellable: from now on there is something to lose."""
    work = current.get()
    if work is not None:
        work.committed = True


@asynccontextmanager
async def hold_lock(lock: AbstractAsyncContextManager[T]) -> AsyncGenerator[T]:
    """Hold a lock for a part of shielded work, and yield what it yields.

    Waiting for it is ``cancellable``, holding it is not.
    """
    async with AsyncExitStack() as stack:
        with cancellable():
            entered = await stack.enter_async_context(lock)
        yield entered


async def call_shielded(work: Callable[[], Awaitable[T]], after: Callable[[], None]) -> T:
    """Return what shielded work returns, or raise what it raises; see ``run_shielded``.

    Args:
        work: what to do.
        after: see ``run_shielded``.
    """
    results: list[T] = []
    errors: list[Exception] = []

    async def noted() -> None:
        try:
            results.append(await work())
        except Exception as error:
            errors.append(error)

    await run_shielded(noted, after)
    if errors:
        raise errors[0]
    return results[0]


class InFlight:
    """What is in flight, so that closing can wait for it; what an ended event loop has left does not count."""

    def __init__(self) -> None:
        self._ends: set[tuple[object, anyio.Event]] = set()

    def begin(self) -> Callable[[], None]:
        """Note that something begins; return a function to call at its end."""
        entry = (_running_loop(), anyio.Event())
        self._ends.add(entry)

        def end() -> None:
            self._ends.discard(entry)
            entry[1].set()

        return end

    async def wait_idle(self) -> None:
        """Wait until nothing is in flight."""
        loop = _running_loop()
        while ends := [end for token, end in self._ends if token == loop]:
            await ends[0].wait()


def _running_loop() -> object:
    from anyio.lowlevel import current_token  # not above: it is loaded by the first request anyway

    return current_token()
