"""Shielded work on trio: in a task of its own, under a shielded scope, while the caller waits.

The shield holds against scopes, but not against Ctrl-C: trio raises KeyboardInterrupt in the main task, wherever that
waits. So the main task waits for another one, whose frames are protected as well. At the end the caller gets the
KeyboardInterrupt as it would without a task group in between, and a SystemExit of the work too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import anyio
import trio

from strava_async._concurrency.shielded_work import Work, current


async def run(do: Callable[[], Awaitable[None]], after: Callable[[], None], seconds: float) -> None:
    """See ``shield.run_shielded``."""
    work = _ShieldedWork()
    failed: list[Exception] = []
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_bound, work, seconds)
            tasks.start_soon(_run_held, work, do, failed, tasks.cancel_scope)
    except BaseExceptionGroup as group:
        raise _alone(group) from None
    finally:
        after()
    await trio.lowlevel.checkpoint_if_cancelled()
    if failed:
        raise failed[0]


class _ShieldedWork(Work):
    __slots__ = ("scope",)

    def __init__(self) -> None:
        super().__init__()
        self.scope = trio.CancelScope(shield=True)

    def let_go(self) -> None:
        self.held = self.scope.shield = False

    def hold(self) -> None:
        self.held = self.scope.shield = True


@trio.lowlevel.enable_ki_protection
async def _run_held(
    work: _ShieldedWork, do: Callable[[], Awaitable[None]], failed: list[Exception], group: anyio.CancelScope
) -> None:
    current.set(work)  # the context is this task's own
    try:
        with work.scope:
            work.hold()
            await do()
    except Exception as error:
        failed.append(error)
    finally:
        work.ended = True
        group.cancel()


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the only exception of the group that is not a cancellation; the group, if there are several."""
    rest = group.split(trio.Cancelled)[1]
    while rest is not None and len(rest.exceptions) == 1:
        only = rest.exceptions[0]
        if not isinstance(only, BaseExceptionGroup):
            return only
        rest = cast(BaseExceptionGroup[BaseException], only)
    return group


async def _bound(work: _ShieldedWork, seconds: float) -> None:
    """Give the work so many seconds more when the caller is cancelled, and never more than the work around it has."""
    try:
        await trio.sleep_forever()
    finally:
        around = work.parent.scope.deadline if isinstance(work.parent, _ShieldedWork) else trio.current_time() + seconds
        work.scope.deadline = min(around, trio.current_time() + seconds)
