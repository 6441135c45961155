"""One run of a queue of webhook events: what belongs to one lifespan, and to its event loop."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import anyio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.fastapi.webhook_keeper import Keeper
from strava_async.fastapi.webhook_lanes import Lane, Later, Turns
from strava_async.fastapi.webhook_retry import Job
from strava_async.fastapi.webhook_watch import Watch


@dataclass(slots=True)
class Run:
    """What belongs to one lifespan, and to its event loop.

    Attributes:
        workers: how many handle events, beside one for deauthorizations.
        turns: lanes whose turn it is.
        later: lanes that wait to be tried again.
        watch: looks after those that wait for a worker.
        binding: to its event loop.
        keeper: of what is unfinished; None if there is no backlog.
        draining: whether it ends.
        idle: set when only what is set aside is left.
        set_aside: how many events are left for the backlog.
        taken_back: how many events of the backlog are unfinished.
        busy: how many workers are; those of deauthorizations by themselves.
    """

    workers: int
    turns: Turns
    later: Later
    watch: Watch
    binding: LoopBinding
    keeper: Keeper | None
    draining: bool = False
    idle: anyio.Event = field(default_factory=anyio.Event)
    set_aside: int = 0
    taken_back: int = 0
    busy: Counter[bool] = field(default_factory=Counter[bool])

    def ready(self, lane: Lane) -> None:
        """Let a lane have its turn."""
        self.turns.add(lane)
        self.look_after(lane[0])

    def look_after(self, job: Job) -> None:
        """Have an eye on what waits, where none of the workers is free."""
        is_deauthorization = job.event.is_deauthorization
        if self.busy[is_deauthorization] >= (1 if is_deauthorization else self.workers):
            self.watch.look()
