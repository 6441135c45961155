"""A task group from which an error comes out as it is, and not in an ``ExceptionGroup``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVarTuple

import anyio
import anyio.lowlevel

Arguments = TypeVarTuple("Arguments")


class TaskGroup:
    """A task group whose first error is raised at the end of its block, as it is.

    The first ``Exception`` of a task or of the block cancels all the rest, and is raised when the last task has ended;
    later errors are dropped. What is not an ``Exception``, such as KeyboardInterrupt, is left to anyio's group, which
    may wrap it.
    """

    def __init__(self) -> None:
        self._group = anyio.create_task_group()
        self._error: Exception | None = None

    @property
    def cancel_scope(self) -> anyio.CancelScope:
        """The scope of all of it; cancelling it ends the block without an error."""
        return self._group.cancel_scope

    def start_soon(self, function: Callable[[*Arguments], Awaitable[object]], *args: *Arguments) -> None:
        """Start a task."""
        self._group.start_soon(self._run, function, args)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        is_own = False
        if isinstance(error, Exception):
            self._fail(error)
            is_own = self._error is error
            kind = error = trace = None  # the group below would wrap it
        swallowed = await self._group.__aexit__(kind, error, trace)
        failed, self._error = self._error, None
        if failed is None:
            return swallowed
        if is_own:
            return False
        # The error of a task keeps its context, which is not the cancellation that it has caused. Python sets that
        # where it is raised, which is undone below, and again where a coroutine ends that was resumed by throwing the
        # cancellation into it. So this one is resumed once more.
        await anyio.lowlevel.cancel_shielded_checkpoint()
        context = failed.__context__
        try:
            raise failed
        finally:
            failed.__context__ = context
            del failed, context  # or the frame, the traceback and the error would keep each other

    async def _run(self, function: Callable[[*Arguments], Awaitable[object]], args: tuple[*Arguments]) -> None:
        try:
            await function(*args)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._group.cancel_scope.cancel()
