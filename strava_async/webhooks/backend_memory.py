"""A queue over a store in memory, with a backlog or without one: ``MemoryBackend``.

Rules:

- At shutdown no more events are accepted. All that are unfinished are held in the backlog at once, and leave it when
  they are settled: a process that is killed while it drains loses none. Queued events are handled; one that fails then
  is tried once more, at once, or with a backlog not at all if it lacks quota or its athlete's turn.
- What is left then, or would be tried again, is kept with all that is behind it in its lane. The next start takes it
  before it accepts any event, and holds it in the backlog until it is settled. Without a backlog it is lost, and each
  event is logged.
- If the event loop of a run ends without a shutdown, the next run continues with its events.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio

from strava_async.clock import Clock
from strava_async.webhooks.backlog import Backlog
from strava_async.webhooks.backlog_guard import BacklogGuard, run_to_the_end
from strava_async.webhooks.base import Appended, Claim, StoreStats
from strava_async.webhooks.counts import WebhookCounts
from strava_async.webhooks.event_store_memory import MemoryEventStore
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import PendingEvent, Retry, WaitReason
from strava_async.webhooks.run import Run
from strava_async.webhooks.shutdown import Shutdown


class MemoryBackend:
    """See ``run.Backend``.

    Args:
        store: where the events are.
        backlog: keeps what is unfinished at shutdown until the next start; None means that it is lost.
        clock: times the operations of the backlog.
        counts: updated.
    """

    counts_waiting = True
    is_away = False

    def __init__(self, store: MemoryEventStore, backlog: Backlog | None, clock: Clock, counts: WebhookCounts) -> None:
        self._store = store
        self._backlog = backlog
        self._clock = clock
        self._counts = counts
        self._shutdown = Shutdown(counts, store)
        self._guard: BacklogGuard | None = None
        self._run: Run | None = None

    @asynccontextmanager
    async def running(self, run: Run) -> AsyncGenerator[None]:
        """See ``run.Backend``."""
        self._store.begin(run.watch_if_busy)
        guard = self._guard = None if self._backlog is None else BacklogGuard(self._backlog, self._clock)
        self._run = run
        try:
            if guard is not None:
                await run_to_the_end(partial(guard.take, self._restore))
            yield
        finally:
            if self._run is run:  # else its loop ended without a shutdown, and another run has its events
                await self._shutdown.put_away(self._store.clear(), guard)

    async def work(self) -> None:
        """See ``run.Backend``."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._store.run)
            if self._guard is not None:
                tasks.start_soon(self._guard.work)

    async def append(self, event: WebhookEvent) -> Appended:
        """See ``run.Backend``."""
        return await self._store.append(event)

    async def claim(self, n: int, *, deauthorizations: bool) -> Sequence[Claim]:
        """See ``run.Backend``."""
        # Without end: no other process can claim from the memory of this one.
        return await self._store.claim(n, math.inf, deauthorizations=deauthorizations)

    async def ack(self, claim: Claim, *, confirmed: bool) -> bool:
        """See ``run.Backend``."""
        is_done = await self._store.ack(claim, confirmed=confirmed)
        if self._guard is not None:
            self._guard.settle(claim.pending)
        return is_done

    async def retry(self, claim: Claim, again: Retry, *, attempted_while_draining: bool) -> bool:
        """See ``run.Backend``."""
        if not self._store.is_closed:
            return await self._store.retry(claim, again.seconds)
        if not self._leaves_to_backlog(again.reason, attempted_while_draining=attempted_while_draining):
            return await self._store.retry(claim, 0)  # once more, at once
        self._store.set_aside(claim)
        return True

    def is_last(self, *, attempted_while_draining: bool) -> bool:
        """See ``run.Backend``."""
        return attempted_while_draining and self._guard is None

    async def drain(self, run: Run) -> None:
        """See ``run.Backend``."""
        self._store.close(self._is_left_to_backlog)
        if self._guard is not None and not self.is_idle:
            self._guard.hold(self._store.unfinished)

    @property
    def is_idle(self) -> bool:
        """See ``run.Backend``."""
        return self._store.is_done

    def stats(self) -> StoreStats:
        """See ``run.Backend``."""
        return self._store.look()

    def _restore(self, pending: PendingEvent) -> None:
        self._store.restore(pending)
        self._counts.accepted += 1
        self._counts.waiting += 1

    def _is_left_to_backlog(self, pending: PendingEvent) -> bool:
        return self._leaves_to_backlog(pending.waits_for, attempted_while_draining=False)

    def _leaves_to_backlog(self, reason: WaitReason | None, *, attempted_while_draining: bool) -> bool:
        """Say whether an event that is to be tried again is left for the next start; for the shutdown.

        Args:
            reason: what it waits for.
            attempted_while_draining: whether its last attempt began after the shutdown did.
        """
        return self._guard is not None and (
            attempted_while_draining or reason in (WaitReason.QUOTA, WaitReason.OWNER_TURN)
        )
