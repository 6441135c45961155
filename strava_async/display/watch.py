"""Keeps a screen up to date while a harvest runs: ``shown``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from strava_async._concurrency.task_group import TaskGroup
from strava_async.clock import Clock, SystemClock
from strava_async.display.frame import Screen
from strava_async.display.observer import Observer
from strava_async.errors import StravaError
from strava_async.harvest.estimate import Estimate
from strava_async.quota.values import QUARTER_SECONDS

FRAME_SECONDS = 0.1
Ask = Callable[[], Awaitable[Estimate]]
_LEAST_SECONDS = 1.0
_SHARE = 20  # of the time that passes, estimating takes one part in so many


@asynccontextmanager
async def shown(
    observer: Observer,
    screen: Screen,
    *,
    estimate: Ask | None = None,
    seconds: float = FRAME_SECONDS,
    real_clock: Clock | None = None,
) -> AsyncGenerator[None]:
    """Return a context in which a harvest is shown, and its last frame stays. Errors are raised as they are.

    Args:
        observer: observes the harvest.
        screen: shows it.
        estimate: returns what the harvest will take. Called when something has come, when all lists were read, in each
            quarter hour of Strava's clock, and when the quota becomes known or changes. All that is held is looked at
            each time.
        seconds: between two frames.
        real_clock: waits for the next frame; None means the machine's.
    """
    clock = real_clock or SystemClock()
    with screen:
        async with TaskGroup() as tasks:
            tasks.start_soon(_draw, observer, screen, clock, seconds)
            if estimate is not None:
                tasks.start_soon(_keep_estimating, observer, estimate, clock, seconds)
            yield
            tasks.cancel_scope.cancel()
        screen.show(observer.frame())


async def _draw(observer: Observer, screen: Screen, clock: Clock, seconds: float) -> None:
    while True:
        screen.show(observer.frame())
        await clock.sleep(seconds)


async def _keep_estimating(observer: Observer, ask: Ask, clock: Clock, seconds: float) -> None:
    known: object = None
    next_at = 0.0
    while True:
        frame = observer.frame()
        progress = frame.progress
        began_at = clock.monotonic()
        if progress is None or began_at < next_at:  # before anything has come, the quota is not known
            await clock.sleep(seconds)
            continue
        listed = progress.athletes_listed >= progress.athletes_total
        due = (listed, frame.now // QUARTER_SECONDS, frame.quota.read_day.limit)
        if due != known:
            known = due
            with suppress(StravaError):  # the harvest itself will say so
                observer.note_estimate(await ask())
        next_at = began_at + max(_LEAST_SECONDS, _SHARE * (clock.monotonic() - began_at))
