"""The queue between the answer to Strava and the handler: bounded, in memory, drained at the end.

Rules:

- An event that was accepted is handled, however often Strava repeats it, and once: it is remembered for an hour.
- Of one athlete a bounded number is unfinished (``webhook_owners``), and two deauthorizations: a third takes the place
  of the second if nothing was done about that yet, because what it asks of Strava is the same, and later.
- Events of one object form a **lane**. Only the first of a lane is under way, and it leaves the lane when it has ended:
  the others wait for it, also while it waits to be tried again. Lanes take turns at the workers.
- Deauthorizations have lanes and a worker of their own: to delete waits for no ``on_event``.
- An event that waits to be tried again occupies no worker.
- At the end nothing is accepted any more. All that is unfinished goes to the backlog at once, held, and what is settled
  leaves it: who is killed while he drains loses nothing. What is in the queue is handled, and an event that fails then
  is tried only once more, at once; with a backlog not even that where quota is what it lacks, or its athlete's turn.
  What is not done within ``drain_seconds`` is cancelled. Cancelling the lifespan cancels everything at once.
- What is left then, or would have been tried again, is kept with all that is behind it in its lane. The next start
  takes it back before it accepts anything, and holds it in the backlog until it is settled. Without a backlog it is
  lost, and named in the log.
- A run belongs to one event loop. Used in another one, that is an error at once; if its loop has ended before it could,
  the next run goes on with what it had.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.fastapi.webhook_counts import Offer, WebhookCounts
from strava_async.fastapi.webhook_end import End
from strava_async.fastapi.webhook_handling import Outcome, name_of
from strava_async.fastapi.webhook_keeper import Keeper, carry_out
from strava_async.fastapi.webhook_kept import Backlog, check_backlog
from strava_async.fastapi.webhook_lanes import Lane, Later, Turns
from strava_async.fastapi.webhook_log import RareLog
from strava_async.fastapi.webhook_owners import Owners
from strava_async.fastapi.webhook_retry import Job, passing
from strava_async.fastapi.webhook_run import Run
from strava_async.fastapi.webhook_seen import Seen
from strava_async.fastapi.webhook_unfinished import Unfinished
from strava_async.fastapi.webhook_watch import Watch
from strava_async.webhooks import WebhookEvent

REMEMBERED_EVENTS = 100_000
# With four more for the backlog it is under nine: what supervisors grant is for the server's requests too.
DRAIN_SECONDS = 4.0

Attempt = Callable[[Job, bool], Awaitable[Outcome | float]]

_logger = logging.getLogger("strava_async.webhooks")


class EventQueue:
    """Takes events, and has workers handle them while its lifespan lasts.

    Attributes:
        counts: what became of the events.

    Args:
        attempt: tries to handle an event, given whether it is the last attempt; see ``Handling.attempt``.
        clock: by which events wait and are remembered.
        workers: how many are handled at the same time, beside one deauthorization.
        max_queue: how many may be unfinished.
        drain_seconds: how long the end may take; None means as long as it takes.
        backlog: keeps what is unfinished at the end until the next start; None loses it.
        owners: the books of the athletes that events are about.

    Raises:
        InputError: a number makes no sense, or the backlog is none.
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
            raise InputError(f"drain_seconds is a number of seconds or None, not {drain_seconds}")
        if backlog is not None:
            check_backlog(backlog)
        self.counts = WebhookCounts()
        self._attempt = attempt
        self._clock = clock
        self._workers = workers
        self._max_queue = max_queue
        self._drain_seconds = drain_seconds
        self._backlog = backlog
        self._seen = Seen(clock, max(REMEMBERED_EVENTS, 2 * max_queue))
        self._end = End(self.counts, self._seen)
        self._log = RareLog(clock)
        self._owners = owners or Owners()
        self._unfinished = Unfinished(self._owners)
        self._run: Run | None = None

    def oldest_waiting(self) -> float | None:
        """Return for how many seconds the event has waited that waits longest for a worker; None if none does.

        Callable from any thread.
        """
        ready_at = self._unfinished.oldest_ready_at()
        return None if ready_at is None else max(self._clock.monotonic() - ready_at, 0.0)

    def offer(self, event: WebhookEvent) -> Offer:
        """Take an event, unless it is known or there is no room. Never waits.

        Raises:
            InputError: this runs in another event loop.
        """
        run, counts, key = self._living_run(), self.counts, event.key
        if run is not None and key in self._seen:
            counts.duplicates += 1
            return Offer.DUPLICATE
        if run is None:
            return self._turn_away("the router's lifespan is not running: was its app mounted?")
        if run.draining:
            return self._turn_away()  # nothing is wrong: the next process has it when it comes again
        job = Job(event, self._clock.time(), self._clock.monotonic())
        if self._unfinished.supersede(job):
            self._seen.add(key)
            counts.accepted += 1
            counts.dropped += 1
            return Offer.ACCEPTED
        if counts.waiting - run.taken_back >= self._max_queue:
            return self._turn_away(f"the queue is full: {self._max_queue} are unfinished")
        if not self._unfinished.has_room(event):
            why = f"as many as {self._owners.most_unfinished} of one athlete's are unfinished"
            return self._turn_away(why, f": those of {event.owner_id}")
        self._enqueue(run, key, job)
        return Offer.ACCEPTED

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Have events handled as long as the block lasts, and then until none is left.

        Raises:
            InputError: it is running already, in this event loop or in another.
        """
        if self._living_run() is not None:
            raise InputError("these webhooks are running already: include their router once")
        failure: Exception | None = None
        turns = Turns(self._clock)
        run = self._run = self._new_run(turns)
        with closing(turns):
            try:
                if run.keeper is not None:
                    await carry_out(partial(run.keeper.take, partial(self._take_back, run)))
                async with anyio.create_task_group() as tasks:
                    for _ in range(self._workers):
                        tasks.start_soon(self._work, run, turns.events)
                    tasks.start_soon(self._work, run, turns.deauthorizations)
                    tasks.start_soon(run.later.wake)
                    tasks.start_soon(run.watch.run)
                    if run.keeper is not None:
                        tasks.start_soon(run.keeper.work)
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
        """Return the run that there is; one whose event loop has ended is none."""
        if self._run is not None and self._run.binding.enter():
            self._run = None
        return self._run

    def _new_run(self, turns: Turns) -> Run:
        """Return a run in this event loop, with what a loop that ended too early has left."""
        later = Later(self._clock, lambda lane: run.ready(lane))
        watch = Watch(self._clock, self.oldest_waiting, self._why_busy)
        keeper = None if self._backlog is None else Keeper(self._backlog, self._clock)
        run = Run(self._workers, turns, later, watch, LoopBinding("this router of webhooks"), keeper)
        run.binding.enter()
        for lane in self._unfinished.lanes:
            turns.add(lane)
            run.taken_back += sum(job.taken_back for job in lane)
        return run

    def _turn_away(self, why: str = "", more: str = "") -> Offer:
        self.counts.turned_away += 1
        if why:
            self._log.say(logging.ERROR, why, f"a webhook event was turned away, {why}{more}")
        return Offer.TURNED_AWAY

    def _enqueue(self, run: Run, key: str, job: Job) -> None:
        self._seen.add(key)
        self.counts.accepted += 1
        self.counts.waiting += 1
        lane = self._unfinished.add(job)
        if lane is not None:
            run.ready(lane)

    def _why_busy(self) -> str:
        return f"no worker is free for it, and {self.counts.waiting} are unfinished"

    def _take_back(self, run: Run, job: Job) -> None:
        self._enqueue(run, job.event.key, job)
        run.taken_back += 1  # they take no room from what Strava sends

    async def _drain(self, run: Run, tasks: TaskGroup) -> None:
        run.draining = True
        for lane in run.later.release():
            self._end_lane(run, lane, tried=False)
        self._look_for_the_end(run)
        if run.keeper is not None and not run.idle.is_set():
            run.keeper.hold(self._unfinished.jobs)
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
        left = self._unfinished.clear()
        try:
            await self._end.put_away(left, run.keeper)
        finally:
            self._run = None

    async def _work(self, run: Run, lanes: MemoryObjectReceiveStream[Lane]) -> None:
        async for lane in lanes:
            is_deauthorization = lane[0].event.is_deauthorization
            run.busy[is_deauthorization] += 1
            run.look_after(lane[0])
            await self._handle(run, lane)
            run.busy[is_deauthorization] -= 1

    async def _handle(self, run: Run, lane: Lane) -> None:
        """Attempt it in a task of its own: a cancellation that is not ours ends the attempt, and no worker."""
        job, at_the_end, settled = lane[0], run.draining, False
        job.ready_at = None

        async def attempt() -> None:
            nonlocal settled
            try:
                result = await self._attempt(job, at_the_end and run.keeper is None)
            except BaseException as error:  # a panic of an extension in Rust is none of Exception
                if (passed_on := passing(error, SystemExit)) is not None:
                    raise passed_on from None
                _logger.exception("%s: failed", name_of(job.event))
                result = Outcome.FAILED
            # Here, where no cancellation comes between: what was handled is not kept.
            settled = True
            self._settle(run, lane, result, at_the_end)

        async with anyio.create_task_group() as alone:
            alone.start_soon(attempt)
        if not settled:
            _logger.error("%s: failed, because what its handler waited for was cancelled", name_of(job.event))
            self._settle(run, lane, Outcome.FAILED, at_the_end)

    def _settle(self, run: Run, lane: Lane, result: Outcome | float, at_the_end: bool) -> None:
        owner_id = lane[0].event.owner_id
        if isinstance(result, Outcome):
            self._finish(run, lane, result)
            if self._owners.take_lifted(owner_id):
                run.later.hasten(owner_id)
        elif run.draining:
            self._end_lane(run, lane, tried=at_the_end)
        else:
            run.later.add(lane, result)
        self._look_for_the_end(run)

    def _end_lane(self, run: Run, lane: Lane, *, tried: bool) -> None:
        """Have the first event of a lane tried once more, at once; or set the lane aside for the backlog."""
        if run.keeper is not None and (tried or lane[0].out_of_quota or lane[0].standing.waits):
            run.set_aside += len(lane)
        else:
            run.ready(lane)

    def _finish(self, run: Run, lane: Lane, outcome: Outcome) -> None:
        job = self._unfinished.finish(lane)
        if lane:
            run.ready(lane)
        if run.keeper is not None:
            run.keeper.settle(job)
        counts = self.counts
        counts.handled += outcome is Outcome.HANDLED
        counts.dropped += outcome is Outcome.DROPPED
        counts.failed += outcome is Outcome.FAILED
        counts.waiting -= 1
        run.taken_back -= job.taken_back

    def _look_for_the_end(self, run: Run) -> None:
        if run.draining and self.counts.waiting == run.set_aside:
            run.idle.set()


def check_positive(name: str, number: object) -> None:
    """Raise InputError unless it is an int above zero."""
    if type(number) is not int or number < 1:  # True is an int to Python
        raise InputError(f"{name} is an int, and positive")
