"""A backlog as the queue uses it: it has its time, its errors end nothing, and both agree on what is unfinished.

Rules:

- What was taken stays in the backlog, held, until it is settled; so does what is held at the beginning of the end.
- One thing at a time, in order: what is settled while the others are put there is removed afterwards.
- What is settled is removed soon, in one write with all that was settled while the last one took place. What could not
  be removed is tried again with the next.
- What a thread is still at when the time is over stays held: it is free when this process is gone, and no earlier.
- An event counts as held from before the write on: who is cut off in it cannot know.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial

import anyio
from sniffio import current_async_library

from strava_async._concurrency.shield import run_to_end
from strava_async.clock import Clock
from strava_async.fastapi.webhook_handling import log_error
from strava_async.fastapi.webhook_kept import Backlog, KeptEvent
from strava_async.fastapi.webhook_retry import Held, Job

BACKLOG_SECONDS = 4.0

_logger = logging.getLogger("strava_async.webhooks")


class _Ended(Enum):
    """How an operation of a backlog ended. One that was cut off was done, or was not."""

    DONE = "done"
    FAILED = "failed"
    CUT_OFF = "cut off"


class Keeper:
    """What one run of a queue has in a backlog.

    Args:
        backlog: where events are kept.
        clock: by which it has its time.
    """

    def __init__(self, backlog: Backlog, clock: Clock) -> None:
        self._backlog = backlog
        self._clock = clock
        self._to_hold: list[Job] = []
        self._settled: set[str] = set()
        self._news = anyio.Event()

    @property
    def is_clear(self) -> bool:
        """Whether all that was settled is removed."""
        return not self._settled

    async def take(self, put: Callable[[Job], None]) -> None:
        """Hand over what is free, one by one."""

        async def take() -> None:
            for kept in await self._backlog.take():
                put(self._job(kept))

        await self._bounded(take, "no webhook events were taken back; what is kept stays for the next start")

    def hold(self, jobs: Sequence[Job]) -> None:
        """Have what is unfinished put into the backlog, while it is handled."""
        for job in jobs:
            if job.held is Held.NOT:
                job.held = Held.PERHAPS
        self._to_hold.extend(jobs)
        self._news.set()

    def settle(self, job: Job) -> None:
        """Have a job that is finished removed from the backlog, if it is there."""
        if job.held is not Held.NOT:
            self._settled.add(job.event.key)
            self._news.set()

    async def work(self) -> None:
        """Do what ``hold`` and ``settle`` ask for; never returns."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            await self._put_to_hold()
            await self._remove_settled(BACKLOG_SECONDS)

    async def close(self, left: Sequence[Job]) -> list[Job]:
        """Keep what is left for the next start, and remove what is settled. ``work`` has ended.

        Returns:
            what may be lost: it was not kept, and is not known to be held.
        """
        until = self._clock.monotonic() + BACKLOG_SECONDS
        # What is held is free when this process is gone, also where it cannot be made free now.
        unsure = [job for job in left if job.held is not Held.SURELY]
        kept = await self._write_last(self._backlog.keep, [job for job in left if not job.goes_on], until)
        held = kept and await self._write_last(self._backlog.hold, [job for job in unsure if job.goes_on], until)
        if held:  # else there is no time left to fail at this too
            await self._remove_settled(until - self._clock.monotonic())
        if self._settled:
            _logger.error("%d finished webhook events may be handled again after the next start", len(self._settled))
        return [job for job in unsure if not (held if job.goes_on else kept)]

    async def _write_last(
        self, write: Callable[[Sequence[KeptEvent]], Awaitable[None]], jobs: Sequence[Job], until: float
    ) -> bool:
        if not jobs:
            return True
        work = partial(write, [_kept(job) for job in jobs])
        ended = await self._bounded(work, "the webhook events could not be kept", until - self._clock.monotonic())
        return ended is _Ended.DONE

    async def _put_to_hold(self) -> None:
        jobs = [job for job in self._to_hold if job.event.key not in self._settled]
        self._to_hold.clear()
        if not jobs:
            return
        hold = partial(self._backlog.hold, [_kept(job) for job in jobs])
        failure = "the webhook events could not be put into the backlog at the beginning of the end"
        ended = await self._bounded(hold, failure)
        for job in jobs:
            if ended is _Ended.DONE:
                job.held = Held.SURELY
            elif ended is _Ended.FAILED and job.held is Held.PERHAPS:
                job.held = Held.NOT

    async def _remove_settled(self, seconds: float) -> None:
        keys = frozenset(self._settled)
        if not keys:
            return
        failure = f"{len(keys)} webhook events that are finished could not be removed from the backlog"
        if await self._bounded(partial(self._backlog.settle, keys), failure, seconds) is _Ended.DONE:
            self._settled -= keys

    def _job(self, kept: KeptEvent) -> Job:
        came_at = self._clock.monotonic() - max(self._clock.time() - kept.accepted_at, 0.0)
        return Job(
            kept.event,
            kept.accepted_at,
            came_at,
            kept.claimed,
            kept.forgotten,
            taken_back=True,
            held=Held.SURELY,
            failures=Counter(kept.failures),
        )

    async def _bounded(
        self, work: Callable[[], Awaitable[None]], failure: str, seconds: float = BACKLOG_SECONDS
    ) -> _Ended:
        ended = _Ended.CUT_OFF
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cut_off, tasks.cancel_scope, failure, seconds)
            try:
                await work()
                ended = _Ended.DONE
            except Exception as error:
                log_error(error, failure)
                ended = _Ended.FAILED
            tasks.cancel_scope.cancel()
        return ended

    async def _cut_off(self, scope: anyio.CancelScope, failure: str, seconds: float) -> None:
        try:
            await self._clock.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            if scope.cancel_called or current_async_library() != "asyncio":
                raise
            return  # the end of the loop stopped this task, and is not to stop its group: ``carry_out`` bounds it now
        _logger.error("%s: the backlog took longer than %g s", failure, BACKLOG_SECONDS)
        scope.cancel()


async def carry_out(work: Callable[[], Awaitable[None]]) -> None:
    """Await ``work()`` to its end, whatever is cancelled meanwhile, and although the event loop ends. Raises nothing.

    Unlike ``_shield.run_to_end``, it is waited for on asyncio too: what the backlog needs is closed afterwards.
    """
    ended = anyio.Event()
    try:
        await run_to_end(work, ended.set, seconds=BACKLOG_SECONDS)
    finally:
        with anyio.CancelScope(shield=True):
            while not ended.is_set():
                with suppress(anyio.get_cancelled_exc_class()):  # ``Task.cancel()`` passes through shields
                    await ended.wait()


def _kept(job: Job) -> KeptEvent:
    return KeptEvent(job.event, job.accepted_at, job.claimed, job.forgotten, dict(job.failures))
