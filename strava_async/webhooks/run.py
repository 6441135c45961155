"""One run of a queue of webhook events, and what it needs of the store behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.webhooks.base import Appended, Claim, StoreStats
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import PendingEvent, Retry
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
        draining: whether the shutdown has begun.
        idle: set during the shutdown, when nothing is left to be done.
    """

    workers: WorkerPool
    deauthorizers: WorkerPool
    watch: Watch
    binding: LoopBinding
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


class Backend(Protocol):
    """A store as the queue uses it, in one run after the other: ``MemoryBackend`` or ``SharedBackend``.

    None of the methods raises an error of the store but ``append``, and each is bounded in time but ``claim``.

    Attributes:
        counts_waiting: whether what was accepted is this process' to finish; else what it has claimed is.
    """

    counts_waiting: bool

    @property
    def is_away(self) -> bool:
        """Whether the last call of the store has failed. Thread-safe."""
        ...

    def running(self, run: Run) -> AbstractAsyncContextManager[None]:
        """Return a context for a run.

        When it begins, what an earlier run has left is there. When it ends, what is unfinished is put away, even if
        that is cancelled.
        """
        ...

    async def work(self) -> None:
        """Do what has to be done meanwhile; never returns."""
        ...

    async def append(self, event: WebhookEvent) -> Appended:
        """See ``EventStore``."""
        ...

    async def claim(self, n: int, *, deauthorizations: bool) -> Sequence[Claim]:
        """Claim events that are due; wait until there is one."""
        ...

    async def ack(self, claim: Claim, *, confirmed: bool) -> bool:
        """See ``EventStore``."""
        ...

    async def retry(self, claim: Claim, again: Retry, *, attempted_while_draining: bool) -> bool:
        """Let an event be tried again; see ``EventStore``."""
        ...

    def is_last(self, *, attempted_while_draining: bool) -> bool:
        """Say whether an attempt that begins now is the event's last."""
        ...

    async def drain(self, run: Run) -> None:
        """Begin the shutdown."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether the shutdown need not wait any more."""
        ...

    def stats(self) -> StoreStats | None:
        """Return what the store has, as last seen; None if that is not known. Asks no server or file. Thread-safe."""
        ...
