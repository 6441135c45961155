"""Work that is carried to its end although whoever asked for it is cancelled, or the event loop ends.

What ends a loop cancels what runs in it: ``asyncio.run`` after a timeout, Ctrl-C or a failed task. Work that was begun
here is waited for then, at most ``END_SECONDS``. What cannot wait: a loop that is closed while tasks are pending, a
second Ctrl-C on asyncio, a process that is killed. Tasks of their own that stores or callbacks begin meanwhile end
with the loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

import anyio
import sniffio
from anyio.lowlevel import current_token

from strava_async._concurrency.shielded_work import current

T = TypeVar("T")

# One request to the token endpoint takes 20 s at the most; then its answer has to be kept.
END_SECONDS = 30.0


async def run_to_end(
    work: Callable[[], Awaitable[None]], after: Callable[[], None], *, seconds: float = END_SECONDS
) -> None:
    """Await ``work()``; neither cancelling the caller cancels it, nor the end of the event loop.

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
    """Let a part of such work be cancelled: a wait in which nothing is at stake.

    On trio it is cancelled with whoever asked for it, on asyncio with the event loop: there nobody waits for it before.
    Work inside of other work that is held goes on.
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
    """Let no further part of this work be ``cancellable``: from now on there is something to lose."""
    work = current.get()
    if work is not None:
        work.committed = True


@asynccontextmanager
async def after_waiting_for(lock: AbstractAsyncContextManager[object]) -> AsyncGenerator[None, None]:
    """Hold a lock for a part of such work; waiting for it is ``cancellable``, holding it is not."""
    async with AsyncExitStack() as stack:
        with cancellable():
            await stack.enter_async_context(lock)
        yield


async def carry_out(work: Callable[[], Awaitable[T]], after: Callable[[], None]) -> T:
    """Return what ``work()`` does, or raise what it raises; see ``run_to_end``.

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
