"""One run of a queue of webhook events: what belongs to one lifespan, and to its event loop."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.webhooks.backlog_guard import BacklogGuard
from strava_async.webhooks.pending import PendingEvent, WaitReason
from strava_async.webhooks.watch import Watch
from strava_async.webhooks.workers import WorkerPool


@dataclass(slots=True)
class Run:
    """What belongs to one lifespan, and to its event loop.

    Attributes:
        workers: for all events but deauthorizations.
        deauthorizers: one worker, for these.
        watch: warns if events wait long for a worker.
        binding: to its event loop.
        guard: keeps unfinished events in the backlog; None if there is none.
        draining: whether the shutdown has begun.
        idle: set during the shutdown, when only events that are set aside are left.
    """

    workers: WorkerPool
    deauthorizers: WorkerPool
    watch: Watch
    binding: LoopBinding
    guard: BacklogGuard | None
    draining: bool = False
    idle: anyio.Event = field(default_factory=anyio.Event)

    @property
    def pools(self) -> tuple[WorkerPool, WorkerPool]:
        """All workers."""
        return self.workers, self.deauthorizers

    def watch_if_busy(self, pending: PendingEvent) -> None:
        """Let ``watch`` check how long events wait, if no worker is free for this one."""
        pool = self.deauthorizers if pending.event.is_deauthorization else self.workers
        if pool.is_busy:
            self.watch.wake()

    def leaves_to_backlog(self, reason: WaitReason | None, *, attempted_while_draining: bool) -> bool:
        """Say whether an event that is to be tried again is left for the next start; for the shutdown.

        Args:
            reason: what it waits for.
            attempted_while_draining: whether its last attempt began after the shutdown did.
        """
        return self.guard is not None and (
            attempted_while_draining or reason in (WaitReason.QUOTA, WaitReason.OWNER_TURN)
        )
