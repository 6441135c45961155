"""A service of webhook events for tests, as a process that can be killed: ``python -m tests.webhooks.event_service``.

Arguments: the store (``module:factory``, called with a clock), then what the factory is called with, and the file in
which handlers write ``<object> <event time>`` when they have handled an event. Events come as lines ``<object> <event
time>`` on stdin; each that was accepted, or is known, is repeated on stdout.
"""

import os
import sys
import time
from importlib import import_module

import anyio
import anyio.to_thread

from strava_async.webhooks import EventStore, SqliteEventStore, WebhookEvent
from strava_async.webhooks.counts import Offer
from strava_async.webhooks.pending import AttemptResult, Outcome, PendingEvent
from strava_async.webhooks.queue import EventQueue

SPEED = 10.0


class HurriedClock:
    """Ten times as fast as the machine's, and the same in every process: a lease takes three seconds."""

    def monotonic(self) -> float:
        return time.monotonic() * SPEED

    def time(self) -> float:
        return time.time() * SPEED

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(seconds, 0.0) / SPEED)


def in_a_file(clock: HurriedClock, path: str) -> EventStore:
    return SqliteEventStore(path, clock=clock, max_unfinished_of_owner=10_000)


async def serve(factory: str, place: str, log: str) -> None:
    module, _, name = factory.partition(":")
    clock = HurriedClock()
    store: EventStore = getattr(import_module(module), name)(clock, place)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def attempt(pending: PendingEvent, is_last: bool) -> AttemptResult:
        await anyio.sleep(0.002)
        os.write(written, b"%d %d\n" % (pending.event.object_id, pending.event.event_time))
        return Outcome.HANDLED

    queue = EventQueue(attempt, store, clock=clock, workers=4, drain_seconds=10)

    async def offer(number: int, at: int) -> None:
        event = WebhookEvent("activity", number, "update", 7, 9, at)
        if await queue.offer(event) is not Offer.REJECTED:
            print(number, at, flush=True)

    async with queue.running(), anyio.create_task_group() as tasks:
        while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            tasks.start_soon(offer, *map(int, line.split()))


if __name__ == "__main__":
    anyio.run(serve, *sys.argv[1:4])
