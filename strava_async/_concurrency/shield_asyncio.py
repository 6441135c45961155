"""Shielded work on asyncio: a task of its own, which does not end with the others.

``asyncio.run``, and other ways to end a loop, cancel all of its tasks and wait until they are done. Such a sweep
reaches every ``await``: no scope shields from it. So the task itself refuses. A deliberate cancellation differs: scopes
and timeouts inside of the work cancel it from its own context, and a cancel scope outside of it passes its reason as
the message, which a sweep does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from strava_async._concurrency.shielded_work import Work, current


async def run(do: Callable[[], Awaitable[None]], after: Callable[[], None], seconds: float) -> None:
    """See ``shield.run_shielded``."""
    work = _SweptWork()
    task = _ShieldedTask(work, _begin(work, do), seconds)
    task.add_done_callback(lambda _: after())
    _keep(task)
    await asyncio.shield(task)


async def _begin(work: Work, do: Callable[[], Awaitable[None]]) -> None:
    current.set(work)  # the context is this task's own
    work.hold()
    try:
        await do()
    finally:
        work.ended = True


class _SweptWork(Work):
    __slots__ = ("swept",)

    def __init__(self) -> None:
        super().__init__()
        self.swept = False

    def let_go(self) -> None:
        self.held = False
        if self.swept and self.may_stop:
            self.held = True
            raise asyncio.CancelledError

    def hold(self) -> None:
        self.held = True


class _ShieldedTask(asyncio.Task[None]):
    """A task that a sweep over all tasks does not cancel, for so many seconds after the first."""

    def __init__(self, work: _SweptWork, coroutine: Coroutine[Any, Any, None], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._deadline: asyncio.TimerHandle | None = None
        self._overdue = False
        super().__init__(coroutine, loop=asyncio.get_running_loop(), name="strava_async: shielded work")
        self.add_done_callback(_forget_deadline)

    def cancel(self, msg: Any | None = None) -> bool:
        if not self._is_swept(msg):
            return super().cancel(msg)
        self._work.swept = True
        if self._deadline is None:
            self._deadline = self.get_loop().call_later(self._seconds, self._give_up)
        return False

    def forget_deadline(self) -> None:
        """Cancel the timer with the task."""
        if self._deadline is not None:
            self._deadline.cancel()

    def _is_swept(self, msg: object) -> bool:
        if self._overdue or self._work.may_stop or self.done() or self.get_loop().is_closed():
            return False
        return msg is None and current.get() is not self._work

    def _give_up(self) -> None:
        self._overdue = True
        self.cancel()


def _forget_deadline(task: asyncio.Task[None]) -> None:
    if isinstance(task, _ShieldedTask):
        task.forget_deadline()


def _keep(task: asyncio.Task[None]) -> None:
    """Refer to the task until it is done: its event loop does so weakly. Tasks of closed loops never will be."""
    _running.difference_update([left for left in _running if left.get_loop().is_closed()])
    _running.add(task)
    task.add_done_callback(_running.discard)


_running: set[asyncio.Task[None]] = set()
