"""A backlog as the queue uses it: bounded in time, never raising, and in step with what is unfinished.

Rules:

- What was taken stays in the backlog, held, until it is settled; so does what is held when the shutdown begins.
- One operation at a time, in order: what is settled during ``hold`` is removed after it.
- Settled events are removed soon, in one write for all that were settled during the last one. What could not be removed
  is removed with the next.
- What a thread is still working on when the time is over stays held: it is free when this process has ended, and no
  earlier.
- The state of an event is ``UNCERTAIN`` from before the write until its result is known: a write that is cut off may
  have been done.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial

import anyio

from strava_async._concurrency.shield import run_shielded
from strava_async.clock import Clock
from strava_async.webhooks.backlog import Backlog, PersistedEvent
from strava_async.webhooks.bounded import time_is_over
from strava_async.webhooks.handler_errors import log_error
from strava_async.webhooks.owners import Standing
from strava_async.webhooks.pending import BacklogState, PendingEvent

BACKLOG_SECONDS = 4.0

_logger = logging.getLogger("strava_async.webhooks")


class _WriteResult(Enum):
    """How an operation of a backlog ended. One that was cut off may have been done."""

    DONE = "done"
    FAILED = "failed"
    CUT_OFF = "cut off"


class BacklogGuard:
    """The events that one run of a queue has in a backlog.

    Args:
        backlog: where events are kept.
        clock: times its operations.
    """

    def __init__(self, backlog: Backlog, clock: Clock) -> None:
        self._backlog = backlog
        self._clock = clock
        self._to_hold: list[PendingEvent] = []
        self._settled: set[str] = set()
        self._has_work = anyio.Event()

    @property
    def is_clear(self) -> bool:
        """Whether all that was settled is removed."""
        return not self._settled

    async def take(self, restore: Callable[[PendingEvent], None]) -> None:
        """Take what is free, and pass the events to ``restore`` one by one."""

        async def take() -> None:
            for persisted in await self._backlog.take():
                restore(self._pending(persisted))

        await self._bounded(take, "no webhook events were taken back; what is kept stays for the next start")

    def hold(self, events: Sequence[PendingEvent]) -> None:
        """Let ``work`` add unfinished events to the backlog, while they are handled."""
        for pending in events:
            if pending.backlog_state is BacklogState.ABSENT:
                pending.backlog_state = BacklogState.UNCERTAIN
        self._to_hold.extend(events)
        self._has_work.set()

    def settle(self, pending: PendingEvent) -> None:
        """Let ``work`` remove a finished event from the backlog, if it is there."""
        if pending.backlog_state is not BacklogState.ABSENT:
            self._settled.add(pending.event.key)
            self._has_work.set()

    async def work(self) -> None:
        """Write what ``hold`` and ``settle`` have noted; never returns."""
        while True:
            await self._has_work.wait()
            self._has_work = anyio.Event()
            await self._put_to_hold()
            await self._remove_settled(BACKLOG_SECONDS)

    async def close(self, left: Sequence[PendingEvent]) -> list[PendingEvent]:
        """Keep what is left for the next start, and remove what is settled. ``work`` has ended.

        Returns:
            what may be lost: it was not kept, and is not known to be held.
        """
        until = self._clock.monotonic() + BACKLOG_SECONDS
        # What is held becomes free when this process has ended, even if it cannot be freed now.
        unsure = [pending for pending in left if pending.backlog_state is not BacklogState.STORED]
        ended = [pending for pending in left if not pending.runs_on]
        running_on = [pending for pending in unsure if pending.runs_on]
        kept = await self._write_last(self._backlog.keep, ended, until)
        held = kept and await self._write_last(self._backlog.hold, running_on, until)
        if held:  # else the backlog is broken or slow, and the time is better spent ending
            await self._remove_settled(until - self._clock.monotonic())
        if self._settled:
            _logger.error("%d finished webhook events may be handled again after the next start", len(self._settled))
        return [pending for pending in unsure if not (held if pending.runs_on else kept)]

    async def _write_last(
        self, write: Callable[[Sequence[PersistedEvent]], Awaitable[None]], events: Sequence[PendingEvent], until: float
    ) -> bool:
        if not events:
            return True
        work = partial(write, [PersistedEvent.of(pending) for pending in events])
        ended = await self._bounded(work, "the webhook events could not be kept", until - self._clock.monotonic())
        return ended is _WriteResult.DONE

    async def _put_to_hold(self) -> None:
        events = [pending for pending in self._to_hold if pending.event.key not in self._settled]
        self._to_hold.clear()
        if not events:
            return
        hold = partial(self._backlog.hold, [PersistedEvent.of(pending) for pending in events])
        failure = "the webhook events could not be put into the backlog when the shutdown began"
        ended = await self._bounded(hold, failure)
        for pending in events:
            if ended is _WriteResult.DONE:
                pending.backlog_state = BacklogState.STORED
            elif ended is _WriteResult.FAILED and pending.backlog_state is BacklogState.UNCERTAIN:
                pending.backlog_state = BacklogState.ABSENT

    async def _remove_settled(self, seconds: float) -> None:
        keys = frozenset(self._settled)
        if not keys:
            return
        failure = f"{len(keys)} webhook events that are finished could not be removed from the backlog"
        if await self._bounded(partial(self._backlog.settle, keys), failure, seconds) is _WriteResult.DONE:
            self._settled -= keys

    def _pending(self, persisted: PersistedEvent) -> PendingEvent:
        pending = persisted.pending(self._clock)
        # The bounds of its athlete begin anew in this process: so does its part in them, or a 404 would not count.
        pending.standing = Standing()
        pending.restored, pending.backlog_state = True, BacklogState.STORED
        return pending

    async def _bounded(
        self, work: Callable[[], Awaitable[None]], failure: str, seconds: float = BACKLOG_SECONDS
    ) -> _WriteResult:
        ended = _WriteResult.CUT_OFF
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cut_off, tasks.cancel_scope, failure, seconds)
            try:
                await work()
                ended = _WriteResult.DONE
            except Exception as error:
                log_error(error, failure)
                ended = _WriteResult.FAILED
            tasks.cancel_scope.cancel()
        return ended

    async def _cut_off(self, scope: anyio.CancelScope, failure: str, seconds: float) -> None:
        if await time_is_over(self._clock, seconds, scope):
            _logger.error("%s: the backlog took longer than %g s", failure, BACKLOG_SECONDS)
            scope.cancel()


async def run_to_the_end(work: Callable[[], Awaitable[None]]) -> None:
    """Await ``work()`` to its end, whatever is cancelled meanwhile, even if the event loop ends. Raises nothing.

    Unlike ``shield.run_shielded`` it waits on asyncio too: the caller closes what the backlog needs.
    """
    ended = anyio.Event()
    try:
        await run_shielded(work, ended.set, seconds=BACKLOG_SECONDS)
    finally:
        with anyio.CancelScope(shield=True):
            while not ended.is_set():
                with suppress(anyio.get_cancelled_exc_class()):  # ``Task.cancel()`` passes through shields
                    await ended.wait()
