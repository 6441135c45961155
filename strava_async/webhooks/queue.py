"""The queue between the answer to Strava and the handler: bounded, in memory, drained at the end.

Rules:

- An event that was accepted is handled, however often Strava repeats it, and once: its key is known for an hour.
- Of one athlete a bounded number is unfinished (``owners``), and two deauthorizations: a third takes the place of the
  second if nothing was done about that yet, because what it asks of Strava is the same, and later.
- Events of one object form a **lane** (``lanes``). Only the first of a lane is under way, and the others wait until it
  is finished, also while it waits to be tried again. Lanes take turns at the workers.
- Deauthorizations have lanes and a worker of their own: a deletion waits for no ``on_event``.
- An event that waits to be tried again occupies no worker.
- At the end nothing is accepted any more. All that is unfinished goes to the backlog at once, held, and what is settled
  leaves it: a process that is killed while it drains loses nothing. What is in the queue is handled, and an event that
  fails then is tried only once more, at once; with a backlog not even that where quota is what it lacks, or its
  athlete's turn. What is not done within ``drain_seconds`` is cancelled. Cancelling the lifespan cancels everything at
  once.
- What is left then, or would have been tried again, is kept with all that is behind it in its lane. The next start
  takes it back before it accepts anything, and holds it in the backlog until it is settled. Without a backlog it is
  lost, and named in the log.
- A run belongs to one event loop. To use it in another is an error at once; if its loop has ended too early, the next
  run goes on with what it had.

What is where: the ``MemoryEventStore`` has the events, ``WorkerPool`` claims them, this class says what follows from
an attempt, and ``Shutdown`` what becomes of the rest.
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

# With four more for the backlog it is under nine: what supervisors grant is for the server's requests too.
DRAIN_SECONDS = 4.0

Attempt = Callable[[PendingEvent, bool], Awaitable[AttemptResult]]

_logger = logging.getLogger("strava_async.webhooks")


class EventQueue:
    """Accepts events, and has workers handle them while its lifespan lasts.

    Attributes:
        counts: what became of the events.

    Args:
        attempt: tries to handle an event, given whether it is the last attempt; see ``EventHandler.attempt``.
        clock: by which events wait and are remembered.
        workers: how many are handled at the same time, beside one deauthorization.
        max_queue: how many may be unfinished.
        drain_seconds: how long the end may take; None means as long as it takes.
        backlog: keeps what is unfinished at the end until the next start; None loses it.
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
        self._store = MemoryEventStore(clock, max_unfinished=max_queue, owners=self._owners)
        self._shutdown = Shutdown(self.counts, self._store)
        self._log = ThrottledLog(clock)
        self._run: Run | None = None

    def oldest_waiting(self) -> float | None:
        """Return for how many seconds the event has waited that waits longest for a worker; None if none does.

        Callable from any thread.
        """
        ready_at = self._store.oldest_ready_at()
        return None if ready_at is None else max(self._clock.monotonic() - ready_at, 0.0)

    async def offer(self, event: WebhookEvent) -> Offer:
        """Store an event, unless it is known or there is no room.

        Raises:
            InputError: this runs in another event loop.
        """
        if self._living_run() is None:
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
                return self._reject()  # nothing is wrong: the next process has it when it comes again
            case Appended.QUEUE_FULL:
                return self._reject(f"the queue is full: {self._max_queue} are unfinished")
            case Appended.OWNER_FULL:
                why = f"as many as {self._owners.most_unfinished} of one athlete's are unfinished"
                return self._reject(why, f": those of {event.owner_id}")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Have events handled as long as the block lasts, and then until none is left.

        Raises:
            InputError: it is running already, in this event loop or in another.
        """
        if self._living_run() is not None:
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

    def _living_run(self) -> Run | None:
        """Return the run that there is; one whose event loop has ended does not count."""
        if self._run is not None and self._run.binding.enter():
            self._run = None
        return self._run

    def _new_run(self) -> Run:
        """Return a run in this event loop, with what a loop that ended too early has left."""

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
        self._store.begin(run.look_after)
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
        self._store.close(lambda pending: run.leaves_to_backlog(pending.waits_for, at_the_end=False))
        self._look_for_the_end(run)
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
        """Keep what is left, or forget it, so that it is accepted if it comes again."""
        run.draining = True
        if self._run is not run:
            return  # its event loop has ended long ago: what it had is another run's now
        try:
            await self._shutdown.put_away(self._store.clear(), run.guard)
        finally:
            self._run = None

    async def _handle(self, run: Run, claim: Claim) -> None:
        """Attempt it in a task of its own: a cancellation that is not ours ends the attempt, and no worker."""
        pending, at_the_end, settled = claim.pending, run.draining, False
        run.look_after(pending)  # there may be others, for which this worker was the last

        async def attempt() -> None:
            nonlocal settled
            try:
                result = await self._attempt(pending, at_the_end and run.guard is None)
            except BaseException as error:  # a panic of an extension in Rust is not an Exception
                if (passed_on := must_propagate(error, SystemExit)) is not None:
                    raise passed_on from None
                _logger.exception("%s: failed", event_label(pending.event))
                result = Outcome.FAILED
            # Here, where no cancellation comes between: what was handled is not kept.
            settled = True
            await self._settle(run, claim, result, at_the_end)

        async with anyio.create_task_group() as alone:
            alone.start_soon(attempt)
        if not settled:
            text = "%s: failed, because what its handler waited for was cancelled"
            _logger.error(text, event_label(pending.event))
            await self._settle(run, claim, Outcome.FAILED, at_the_end)

    async def _settle(self, run: Run, claim: Claim, result: AttemptResult, at_the_end: bool) -> None:
        """Do what follows from an attempt; see the table in ``pending``."""
        match result:
            case Outcome():
                await self._finish(run, claim, result)
            case Retry() if run.draining:
                if run.leaves_to_backlog(result.reason, at_the_end=at_the_end):
                    self._store.set_aside(claim)
                else:  # once more, at once
                    await self._store.retry(claim, self._clock.time())
            case Retry():
                claim.pending.waits_for = result.reason
                await self._store.retry(claim, self._clock.time() + result.seconds)
        self._look_for_the_end(run)

    async def _finish(self, run: Run, claim: Claim, outcome: Outcome) -> None:
        await self._store.ack(claim)
        if run.guard is not None:
            run.guard.settle(claim.pending)
        counts = self.counts
        counts.handled += outcome is Outcome.HANDLED
        counts.dropped += outcome is Outcome.DROPPED
        counts.failed += outcome is Outcome.FAILED
        counts.waiting -= 1

    def _look_for_the_end(self, run: Run) -> None:
        if run.draining and self._store.is_done:
            run.idle.set()
