"""The queue between the answer to Strava and the handler: bounded, in memory, drained at shutdown.

Rules:

- An event that was accepted is handled once, however often Strava repeats it: its key is known for an hour.
- The number of unfinished events of one athlete is bounded (``owners``). There are at most two deauthorizations of one:
  a third replaces the second if nothing was done about that yet, because it asks Strava the same, later.
- Events of one object form a **lane** (``lanes``). Only the first of a lane is handled; the others wait until it is
  finished, also while it waits for a retry. Workers take lanes in turn.
- Deauthorizations have lanes and a worker of their own: a deletion waits for no ``on_event``.
- An event that waits for a retry occupies no worker.
- At shutdown no more events are accepted. All that are unfinished are held in the backlog at once, and leave it when
  they are settled: a process that is killed while it drains loses none. Queued events are handled; one that fails then
  is tried once more, at once, or with a backlog not at all if it lacks quota or its athlete's turn. What is not done
  within ``drain_seconds`` is cancelled. Cancelling the lifespan cancels everything at once.
- What is left then, or would be tried again, is kept with all that is behind it in its lane. The next start takes it
  before it accepts any event, and holds it in the backlog until it is settled. Without a backlog it is lost, and each
  event is logged.
- A run belongs to one event loop. Using it in another raises InputError; if its loop has ended without a shutdown, the
  next run continues with its events.

``MemoryEventStore`` has the events, ``WorkerPool`` claims them, this class decides what follows from an attempt, and
``Shutdown`` keeps what is left.
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
from strava_async.errors import InputError
from strava_async.webhooks.arguments import check_positive
from strava_async.webhooks.backlog import Backlog, check_backlog
from strava_async.webhooks.backlog_guard import BacklogGuard, run_to_the_end
from strava_async.webhooks.base import Appended, Claim
from strava_async.webhooks.counts import Offer, WebhookCounts
from strava_async.webhooks.event_store_memory import MemoryEventStore
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.handler_errors import event_label, must_propagate
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.pending import AttemptResult, Outcome, PendingEvent, Retry
from strava_async.webhooks.run import Run
from strava_async.webhooks.shutdown import Shutdown
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
        clock: times waits, and the memory of keys.
        workers: how many events are handled at the same time, besides one deauthorization.
        max_queue: how many events may be unfinished.
        drain_seconds: how long draining may take; None means as long as it takes.
        backlog: keeps what is unfinished at shutdown until the next start; None means that it is lost.
        owners: bounds the events of each athlete; shared with the handler.

    Raises:
        InputError: a number is out of its range, or the backlog lacks a method.
    """

    def __init__(
        self,
        attempt: Attempt,
        *,
        clock: Clock,
        workers: int,
        max_queue: int,
        drain_seconds: float | None,
        backlog: Backlog | None = None,
        owners: Owners | None = None,
        store: MemoryEventStore | None = None,
    ) -> None:
        check_positive("workers", workers)
        check_positive("max_queue", max_queue)
        if drain_seconds is not None and not drain_seconds >= 0:
            raise InputError(f"drain_seconds has to be a number of seconds from 0, or None, not {drain_seconds}")
        if backlog is not None:
            check_backlog(backlog)
        self.counts = WebhookCounts()
        self._attempt = attempt
        self._clock = clock
        self._workers = workers
        self._max_queue = max_queue
        self._drain_seconds = drain_seconds
        self._backlog = backlog
        self._owners = owners or Owners()
        self._store = store or MemoryEventStore(clock, max_unfinished=max_queue, owners=self._owners)
        self._shutdown = Shutdown(self.counts, self._store)
        self._log = ThrottledLog(clock)
        self._run: Run | None = None

    def oldest_waiting(self) -> float | None:
        """Return for how many seconds an event has waited for a worker, at most; None if none waits.

        Thread-safe.
        """
        ready_at = self._store.oldest_ready_at()
        return None if ready_at is None else max(self._clock.monotonic() - ready_at, 0.0)

    async def offer(self, event: WebhookEvent) -> Offer:
        """Store an event, unless it is known or a bound is reached.

        Raises:
            InputError: the queue is running in another event loop.
        """
        if self._current_run() is None:
            return self._reject("the router's lifespan is not running: was its app mounted?")
        counts = self.counts
        match await self._store.append(event):
            case Appended.STORED:
                counts.accepted += 1
                counts.waiting += 1
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
                return self._reject(f"the queue is full: {self._max_queue} are unfinished")
            case Appended.OWNER_FULL:
                why = f"as many as {self._owners.most_unfinished} of one athlete's are unfinished"
                return self._reject(why, f": those of {event.owner_id}")

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
            if run.guard is not None:
                await run_to_the_end(partial(run.guard.take, self._restore))
            async with anyio.create_task_group() as tasks:
                for pool in run.pools:
                    for _ in range(pool.size):
                        tasks.start_soon(pool.work)
                tasks.start_soon(self._store.run)
                tasks.start_soon(run.watch.run)
                if run.guard is not None:
                    tasks.start_soon(run.guard.work)
                try:
                    yield
                except Exception as error:  # raised below: the task group would wrap it
                    failure = error
                await self._drain(run, tasks)
        finally:
            await self._close(run)
        if failure is not None:
            raise failure

    def _current_run(self) -> Run | None:
        """Return the current run; None if there is none, or its event loop has ended."""
        if self._run is not None and self._run.binding.enter():
            self._run = None
        return self._run

    def _new_run(self) -> Run:
        """Return a run in this event loop, with the events of one whose loop ended without a shutdown."""

        async def handle(claim: Claim) -> None:
            await self._handle(run, claim)

        run = Run(
            workers=WorkerPool(self._store, self._workers, handle, deauthorizations=False),
            deauthorizers=WorkerPool(self._store, 1, handle, deauthorizations=True),
            watch=Watch(self._clock, self.oldest_waiting, self._why_busy),
            binding=LoopBinding("this router of webhooks"),
            guard=None if self._backlog is None else BacklogGuard(self._backlog, self._clock),
        )
        run.binding.enter()
        self._store.begin(run.watch_if_busy)
        return run

    def _reject(self, why: str = "", more: str = "") -> Offer:
        self.counts.turned_away += 1
        if why:
            self._log.log(logging.ERROR, why, f"a webhook event was rejected, {why}{more}")
        return Offer.REJECTED

    def _why_busy(self) -> str:
        return f"no worker is free for it, and {self.counts.waiting} are unfinished"

    def _restore(self, pending: PendingEvent) -> None:
        self._store.restore(pending)
        self.counts.accepted += 1
        self.counts.waiting += 1

    async def _drain(self, run: Run, tasks: TaskGroup) -> None:
        run.draining = True
        self._store.close(lambda pending: run.leaves_to_backlog(pending.waits_for, attempted_while_draining=False))
        self._check_idle(run)
        if run.guard is not None and not run.idle.is_set():
            run.guard.hold(self._store.unfinished)
        if self._drain_seconds is not None:
            tasks.start_soon(self._cut_off, self._drain_seconds, tasks)
        if not run.idle.is_set():
            await run.idle.wait()
        tasks.cancel_scope.cancel()

    async def _cut_off(self, seconds: float, tasks: TaskGroup) -> None:
        await self._clock.sleep(seconds)
        tasks.cancel_scope.cancel()

    async def _close(self, run: Run) -> None:
        """Keep what is left in the backlog, or forget it, so that it is accepted if Strava sends it again."""
        run.draining = True
        if self._run is not run:
            return  # its event loop ended without a shutdown, and another run has taken its events
        try:
            await self._shutdown.put_away(self._store.clear(), run.guard)
        finally:
            self._run = None

    async def _handle(self, run: Run, claim: Claim) -> None:
        """Attempt an event in a task of its own, so that a cancellation by the application's code ends no worker."""
        pending, began_draining, settled = claim.pending, run.draining, False
        run.watch_if_busy(pending)  # others may be ready, and this was the last free worker

        async def attempt() -> None:
            nonlocal settled
            try:
                result = await self._attempt(pending, began_draining and run.guard is None)
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
                await self._finish(run, claim, result)
            case Retry() if run.draining:
                if run.leaves_to_backlog(result.reason, attempted_while_draining=began_draining):
                    self._store.set_aside(claim)
                else:  # once more, at once
                    await self._store.retry(claim, 0)
            case Retry():
                claim.pending.waits_for = result.reason
                await self._store.retry(claim, result.seconds)
        self._check_idle(run)

    async def _finish(self, run: Run, claim: Claim, outcome: Outcome) -> None:
        confirmed = outcome is Outcome.HANDLED and not claim.pending.event.is_deauthorization
        await self._store.ack(claim, confirmed=confirmed)
        if run.guard is not None:
            run.guard.settle(claim.pending)
        counts = self.counts
        counts.handled += outcome is Outcome.HANDLED
        counts.dropped += outcome is Outcome.DROPPED
        counts.failed += outcome is Outcome.FAILED
        counts.waiting -= 1

    def _check_idle(self, run: Run) -> None:
        if run.draining and self._store.is_done:
            run.idle.set()
