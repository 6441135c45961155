"""The callers of a run: so many requests are under way at once, each for the athlete whose turn it is."""

from __future__ import annotations

from strava_async._concurrency.task_group import TaskGroup
from strava_async.harvest.lane import Lane
from strava_async.harvest.list_state import Walk
from strava_async.harvest.session import Session
from strava_async.harvest.turns import Turns

CALLERS = 20


async def share(session: Session, lanes: dict[int, Lane], callers: int) -> None:
    """Let so many callers share the athletes' tasks, until there are none."""
    turns = Turns(list(lanes.values()))

    async def call() -> None:
        while (lane := await turns.next()) is not None:
            task = None if session.stopped else await lane.take()
            if task is None or not session.may_begin():
                turns.leave()
                if not session.stopped:
                    del lanes[lane.athlete_id]
                continue
            is_alone = isinstance(task, Walk)
            if not is_alone:
                turns.back(lane)
            await lane.do(task)
            if is_alone:
                turns.back(lane)

    async with TaskGroup() as tasks:
        for _ in range(callers):
            tasks.start_soon(call)
