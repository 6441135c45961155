"""The queue between the answer to Strava and the handler: bounded, in memory, drained at the end.

Rules:

- An event that was accepted is handled, however often Strava repeats it, and once: it is remembered for an hour.
- Events of one object form a **lane**. Only the first of a lane is under way, and it leaves the lane when it has ended:
  the others wait for it, also while it waits to be tried again. Lanes take turns at the workers.
- An event that waits to be tried again occupies no worker.
- At the end nothing is accepted any more. What is in the queue is handled, and an event that fails then is tried only
  once more, at once. What is not done within ``drain_seconds`` is cancelled, and its number logged.
- Cancelling the lifespan cancels everything at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from strava_async.clock import Clock
from strava_async.errors import InputError
from strava_async.fastapi.webhook_handling import Outcome, name_of
from strava_async.fastapi.webhook_lanes import Lane, Later
from strava_async.fastapi.webhook_retry import Job
from strava_async.fastapi.webhook_seen import Seen
from strava_async.webhooks import WebhookEvent

REMEMBERED_EVENTS = 100_000

Attempt = Callable[[Job, bool], Awaitable[Outcome | float]]

_logger = logging.getLogger("strava_async.webhooks")


class Offer(Enum):
    """What became of an event that came: accepted, known already, or turned away, to be sent again."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    TURNED_AWAY = "turned away"


@dataclass(slots=True)
class WebhookCounts:
    """What became of what came; ``accepted`` is the sum of ``handled``, ``dropped``, ``failed`` and ``waiting``.

    Attributes:
        refused: answered with 4xx: no event, not ours, or not known to be Strava's.
        turned_away: answered with 503: the queue was full, or not running.
        duplicates: answered with 200, and known already.
        accepted: answered with 200, and taken.
        handled: handled, without an error in the end.
        dropped: there was nothing to do: the athlete is not connected or the grant is dead, another process has it, or
            a deauthorization was false.
        failed: given up after an error, or cut off at the end; the log says why.
        waiting: not finished: in the queue, under way, or to be tried again.
    """

    refused: int = 0
    turned_away: int = 0
    duplicates: int = 0
    accepted: int = 0
    handled: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0


@dataclass(slots=True)
class _Run:
    """What belongs to one lifespan, and to its event loop."""

    ready: MemoryObjectSendStream[Lane]
    later: Later
    draining: bool = False
    idle: anyio.Event = field(default_factory=anyio.Event)


class EventQueue:
    """Takes events, and has workers handle them while its lifespan lasts.

    Attributes:
        counts: what became of the events.

    Args:
        attempt: tries to handle an event, given whether it is the last attempt; see ``Handling.attempt``.
        clock: by which events wait and are remembered.
        workers: how many are handled at the same time.
        max_queue: how many may be unfinished.
        drain_seconds: how long the end may take; None means as long as it takes.

    Raises:
        InputError: a number makes no sense.
    """

    def __init__(
        self, attempt: Attempt, *, clock: Clock, workers: int, max_queue: int, drain_seconds: float | None
    ) -> None:
        if workers < 1 or max_queue < 1:
            raise InputError("the queue of webhook events needs at least one worker, and room for one event")
        if drain_seconds is not None and not drain_seconds >= 0:
            raise InputError(f"drain_seconds is a number of seconds or None, not {drain_seconds}")
        self.counts = WebhookCounts()
        self._attempt = attempt
        self._clock = clock
        self._workers = workers
        self._max_queue = max_queue
        self._drain_seconds = drain_seconds
        self._seen = Seen(clock, max(REMEMBERED_EVENTS, 2 * max_queue))
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._run: _Run | None = None

    def offer(self, event: WebhookEvent) -> Offer:
        """Take an event, unless it is known or there is no room. Never waits."""
        run, counts, key = self._run, self.counts, event.key
        if run is not None and key in self._seen:
            counts.duplicates += 1
            return Offer.DUPLICATE
        if run is None or run.draining or counts.waiting >= self._max_queue:
            counts.turned_away += 1
            return Offer.TURNED_AWAY
        self._seen.add(key)
        counts.accepted += 1
        counts.waiting += 1
        lane = self._lanes.setdefault(_object(event), Lane())
        lane.append(Job(event, self._clock.time()))
        if len(lane) == 1:
            run.ready.send_nowait(lane)
        return Offer.ACCEPTED

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Have events handled as long as the block lasts, and then until none is left.

        Raises:
            InputError: it is running already.
        """
        if self._run is not None:
            raise InputError("these webhooks are running already: include their router once")
        failure: Exception | None = None
        ready, lanes = anyio.create_memory_object_stream[Lane](math.inf)
        run = self._run = _Run(ready, Later(self._clock, ready))
        with ready, lanes:
            try:
                async with anyio.create_task_group() as tasks:
                    for _ in range(self._workers):
                        tasks.start_soon(self._work, run, lanes)
                    tasks.start_soon(run.later.wake)
                    try:
                        yield
                    except Exception as error:  # raised below: the task group would wrap it
                        failure = error
                    await self._drain(run, tasks)
            finally:
                self._close()
        if failure is not None:
            raise failure

    async def _drain(self, run: _Run, tasks: TaskGroup) -> None:
        run.draining = True
        run.later.hurry()
        if self._drain_seconds is not None:
            tasks.start_soon(self._cut_off, self._drain_seconds, tasks)
        if self.counts.waiting:
            await run.idle.wait()
        tasks.cancel_scope.cancel()

    async def _cut_off(self, seconds: float, tasks: TaskGroup) -> None:
        await self._clock.sleep(seconds)
        tasks.cancel_scope.cancel()

    def _close(self) -> None:
        """Forget what is left, so that it is accepted if it comes again."""
        self._run = None
        left = [job.event for lane in self._lanes.values() for job in lane]
        self._lanes.clear()
        for event in left:
            self._seen.discard(event.key)
            if event.is_deauthorization:
                _logger.error("%s: cut off; on_disconnect may be left to be called", name_of(event))
        self.counts.failed += len(left)
        self.counts.waiting -= len(left)
        if left:
            _logger.error("%d webhook events were cut off at the end of the service", len(left))

    async def _work(self, run: _Run, lanes: MemoryObjectReceiveStream[Lane]) -> None:
        async for lane in lanes:
            result = await self._attempted(lane[0], run.draining)
            if isinstance(result, Outcome):
                self._finish(run, lane, result)
            else:
                run.later.add(lane, result)

    async def _attempted(self, job: Job, last: bool) -> Outcome | float:
        """Attempt it in a task of its own: a cancellation that is not ours ends the attempt, and no worker."""
        results: list[Outcome | float] = []

        async def attempt() -> None:
            try:
                results.append(await self._attempt(job, last))
            except Exception:
                _logger.exception("%s: failed", name_of(job.event))
                results.append(Outcome.FAILED)

        async with anyio.create_task_group() as alone:
            alone.start_soon(attempt)
        if not results:
            _logger.error("%s: failed, because what its handler waited for was cancelled", name_of(job.event))
            return Outcome.FAILED
        return results[0]

    def _finish(self, run: _Run, lane: Lane, outcome: Outcome) -> None:
        job = lane.popleft()
        if lane:
            run.ready.send_nowait(lane)
        else:
            del self._lanes[_object(job.event)]
        counts = self.counts
        counts.handled += outcome is Outcome.HANDLED
        counts.dropped += outcome is Outcome.DROPPED
        counts.failed += outcome is Outcome.FAILED
        counts.waiting -= 1
        if run.draining and not counts.waiting:
            run.idle.set()


def _object(event: WebhookEvent) -> tuple[str, int]:
    return event.object_type, event.object_id
