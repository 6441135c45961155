"""The queue between the answer to Strava and the handler: workers over a store of events.

Rules:

- An event that was accepted is handled once, however often Strava repeats it: its key is known for an hour.
- The number of unfinished events of one athlete is bounded (``owners``). There are at most two deauthorizations of one:
  a third replaces the second if nothing was done about that yet, because it asks Strava the same, later.
- Events of one object form a **lane** (``lanes``). Only the first of a lane is handled; the others wait until it is
  finished, also while it waits for a retry. Workers take lanes in turn.
- Deauthorizations have lanes and a worker of their own: a deletion waits for no ``on_event``.
- An event that waits for a retry occupies no worker.
- At shutdown the workers finish what they handle, and over a store in memory what is queued. What is not done within
  ``drain_seconds`` is cancelled. Cancelling the lifespan cancels everything at once.
- A run belongs to one event loop. Using it in another raises InputError; if its loop has ended without a shutdown, the
  next run continues with its events.

An ``EventStore`` has the events, ``WorkerPool`` claims them, this class decides what follows from an attempt. What is
different between a store in memory and one that outlives the process is in ``backend_memory`` and ``backend_shared``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio.abc import TaskGroup

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock
from strava_async.errors import EventStoreError, InputError
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.backend_memory import MemoryBackend
from strava_async.webhooks.backend_shared import SharedBackend
from strava_async.webhooks.backlog import Backlog, check_backlog
from strava_async.webhooks.base import Appended, Claim, EventStore, StoreStats, check_store
from strava_async.webhooks.counts import Offer, WebhookCounts
from strava_async.webhooks.event_store_memory import MemoryEventStore
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.handler_errors import event_label, must_propagate
from strava_async.webhooks.pending import AttemptResult, Outcome, PendingEvent, Retry
from strava_async.webhooks.run import Backend, Run
from strava_async.webhooks.throttled_log import ThrottledLog
from strava_async.webhooks.watch import Watch
from strava_async.webhooks.workers import WorkerPool

# With four more for the backlog it is under nine: a supervisor's grace period covers the server's requests too.
DRAIN_SECONDS = 4.0

Attempt = Callable[[PendingEvent, bool], Awaitable[AttemptResult]]

_logger = logging.getLogger("strava_async.webhooks")


class EventQueue:
    """Accepts events, and has workers handle them while it is running.

    Attributes:
        counts: how the events ended.

    Args:
        attempt: tries to handle an event, given whether it is the last attempt; see ``EventHandler.attempt``.
        store: where the events are.
        clock: times waits.
        workers: how many events are handled at the same time, besides one deauthorization.
        drain_seconds: how long draining may take; None means as long as it takes.
        backlog: keeps what is unfinished in memory at shutdown until the next start; None means that it is lost.

    Raises:
        InputError: a number is out of its range; the store or the backlog lacks a method; a store that keeps events
            itself was given a backlog.
    """

    def __init__(
        self,
        attempt: Attempt,
        store: EventStore,
        *,
        clock: Clock,
        workers: int,
        drain_seconds: float | None,
        backlog: Backlog | None = None,
    ) -> None:
        check_positive("workers", workers)
        if drain_seconds is not None and not drain_seconds >= 0:
            raise InputError(f"drain_seconds has to be a number of seconds from 0, or None, not {drain_seconds}")
        check_store(store)
        if backlog is not None:
            check_backlog(backlog)
        self.counts = WebhookCounts()
        self._attempt = attempt
        self._clock = clock
        self._workers = workers
        self._drain_seconds = drain_seconds
        self._backend: Backend
        if isinstance(store, MemoryEventStore):
            self._backend = MemoryBackend(store, backlog, clock, self.counts)
        elif backlog is None:
            self._backend = SharedBackend(store, clock)
        else:
            raise InputError("a store that keeps events itself needs no backlog: leave that out")
        self._log = ThrottledLog(clock)
        self._run: Run | None = None

    def oldest_waiting(self) -> float | None:
        """Return for how many seconds an event has waited for a worker, at most; None if none waits.

        Thread-safe. For a store that is not in memory it is that of the last look, some seconds ago.
        """
        stats = self.stats()
        return None if stats is None else stats.ready_seconds

    def stats(self) -> StoreStats | None:
        """Return what the store has; None if that is not known: it is away, or the queue is not running.

        Thread-safe, and asks no server or file: for a store that is not in memory it is that of the last look, up to a
        quarter of a minute ago.
        """
        return self._backend.stats()

    @property
    def is_away(self) -> bool:
        """Whether the store cannot be used, as far as the last call has shown. Thread-safe."""
        return self._backend.is_away

    async def offer(self, event: WebhookEvent) -> Offer:
        """Store an event, unless it is known or a bound is reached.

        Raises:
            InputError: the queue is running in another event loop.
        """
        if self._current_run() is None:
            return self._reject("the router's lifespan is not running: was its app mounted?")
        counts = self.counts
        try:
            appended = await self._backend.append(event)
        except EventStoreError:
            return self._reject()  # the backend has logged it
        match appended:
            case Appended.STORED:
                counts.accepted += 1
                counts.waiting += self._backend.counts_waiting
                return Offer.ACCEPTED
            case Appended.SUPERSEDED:
                counts.accepted += 1
                counts.dropped += 1
                return Offer.ACCEPTED
            case Appended.DUPLICATE:
                counts.duplicates += 1
                return Offer.DUPLICATE
            case Appended.CLOSED:
                return self._reject()  # a normal shutdown: Strava sends it again, to the next process
            case Appended.QUEUE_FULL:
                return self._reject("the queue is full")
            case Appended.OWNER_FULL:
                return self._reject("as many of one athlete's are unfinished as may be", f": those of {event.owner_id}")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Handle events as long as the block lasts; then drain.

        Raises:
            InputError: it is already running, in this event loop or another.
        """
        if self._current_run() is not None:
            raise InputError("these webhooks are running already: include their router once")
        failure: Exception | None = None
        run = self._run = self._new_run()
        try:
            async with self._backend.running(run), anyio.create_task_group() as tasks:
                for pool in run.pools:
                    for _ in range(pool.size):
                        tasks.start_soon(pool.work)
                tasks.start_soon(self._backend.work)
                tasks.start_soon(run.watch.run)
                try:
                    yield
                except Exception as error:  # raised below: the task group would wrap it
                    failure = error
                await self._drain(run, tasks)
        finally:
            run.draining = True
            if self._run is run:  # else its loop ended without a shutdown, and another run has its events
                self._run = None
                self.counts.waiting *= self._backend.counts_waiting  # what was claimed was given back
        if failure is not None:
            raise failure

    def _current_run(self) -> Run | None:
        """Return the current run; None if there is none, or its event loop has ended."""
        if self._run is not None and self._run.binding.enter():
            self._run = None
        return self._run

    def _new_run(self) -> Run:
        """Return a run in this event loop."""

        async def handle(claim: Claim) -> None:
            await self._handle(run, claim)

        def pool(size: int, *, deauthorizations: bool) -> WorkerPool:
            return WorkerPool(partial(self._backend.claim, deauthorizations=deauthorizations), size, handle)

        run = Run(
            workers=pool(self._workers, deauthorizations=False),
            deauthorizers=pool(1, deauthorizations=True),
            watch=Watch(self._clock, self.oldest_waiting, self._why_busy),
            binding=LoopBinding("this router of webhooks"),
        )
        run.binding.enter()
        return run

    def _reject(self, why: str = "", more: str = "") -> Offer:
        self.counts.turned_away += 1
        if why:
            self._log.log(logging.ERROR, why, f"a webhook event was rejected, {why}{more}")
        return Offer.REJECTED

    def _why_busy(self) -> str:
        return f"no worker is free for it, and {self.counts.waiting} are unfinished"

    async def _drain(self, run: Run, tasks: TaskGroup) -> None:
        run.draining = True
        if self._drain_seconds is not None:
            tasks.start_soon(self._cut_off, self._drain_seconds, tasks)
        await self._backend.drain(run)
        self._check_idle(run)
        if not run.idle.is_set():
            await run.idle.wait()
        tasks.cancel_scope.cancel()

    async def _cut_off(self, seconds: float, tasks: TaskGroup) -> None:
        await self._clock.sleep(seconds)
        tasks.cancel_scope.cancel()

    async def _handle(self, run: Run, claim: Claim) -> None:
        """Attempt an event in a task of its own, so that a cancellation by the application's code ends no worker."""
        pending, began_draining, settled = claim.pending, run.draining, False
        self.counts.waiting += not self._backend.counts_waiting
        run.watch_if_busy(pending)  # others may be ready, and this was the last free worker

        async def attempt() -> None:
            nonlocal settled
            try:
                is_last = self._backend.is_last(attempted_while_draining=began_draining)
                result = await self._attempt(pending, is_last)
            except BaseException as error:  # a panic of an extension in Rust is not an Exception
                if (passed_on := must_propagate(error, SystemExit)) is not None:
                    raise passed_on from None
                _logger.exception("%s: failed", event_label(pending.event))
                result = Outcome.FAILED
            # Set with no await since the attempt: a cancellation must not keep a handled event for the next start.
            settled = True
            await self._settle(run, claim, result, began_draining)

        async with anyio.create_task_group() as alone:
            alone.start_soon(attempt)
        if not settled:
            text = "%s: failed, because what its handler waited for was cancelled"
            _logger.error(text, event_label(pending.event))
            await self._settle(run, claim, Outcome.FAILED, began_draining)

    async def _settle(self, run: Run, claim: Claim, result: AttemptResult, began_draining: bool) -> None:
        """Apply the result of an attempt; see the table in ``pending``."""
        match result:
            case Outcome():
                await self._finish(claim, result)
            case Retry():
                claim.pending.waits_for = result.reason
                is_done = await self._backend.retry(claim, result, attempted_while_draining=began_draining)
                self.counts.waiting -= not self._backend.counts_waiting
                self.counts.taken_over += not is_done
        self._check_idle(run)

    async def _finish(self, claim: Claim, outcome: Outcome) -> None:
        confirmed = outcome is Outcome.HANDLED and not claim.pending.event.is_deauthorization
        is_done = await self._backend.ack(claim, confirmed=confirmed)
        counts = self.counts
        counts.waiting -= 1
        if not is_done:
            counts.taken_over += 1
            return
        counts.handled += outcome is Outcome.HANDLED
        counts.dropped += outcome is Outcome.DROPPED
        counts.failed += outcome is Outcome.FAILED

    def _check_idle(self, run: Run) -> None:
        if run.draining and self._backend.is_idle:
            run.idle.set()
