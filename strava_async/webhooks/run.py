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
        workers: handle all events but deauthorizations.
        deauthorizers: handle these; one.
        watch: warns of events that wait for a worker.
        binding: to its event loop.
        guard: of what is unfinished; None if there is no backlog.
        draining: whether the service ends.
        idle: set when only what is set aside is left.
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

    def look_after(self, pending: PendingEvent) -> None:
        """Watch how long events wait, where no worker is free for one like this."""
        pool = self.deauthorizers if pending.event.is_deauthorization else self.workers
        if pool.is_busy:
            self.watch.look()

    def leaves_to_backlog(self, reason: WaitReason | None, *, at_the_end: bool) -> bool:
        """Say whether an event that would be tried again is left for the next start, now that the service ends.

        Args:
            reason: what it waits for.
            at_the_end: whether it was attempted since the end began.
        """
        return self.guard is not None and (at_the_end or reason in (WaitReason.QUOTA, WaitReason.OWNER_TURN))
