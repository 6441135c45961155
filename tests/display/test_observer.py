"""What an observer sees of a harvest, and what keeps a screen up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pytest

from strava_async import RateLimiter, Unlimited
from strava_async.display.frame import Frame, Heading, Result
from strava_async.display.observer import Observer
from strava_async.display.watch import shown
from strava_async.errors import StoreError
from strava_async.harvest import Estimate, Harvest, Kind, Plan
from strava_async.testing import FakeClock, MeterLimits
from tests.display.frames import ESTIMATE, HEADING, NOON, counts, progress
from tests.harvest.world import World

pytestmark = pytest.mark.anyio


class Screen:
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.is_open = False

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def show(self, frame: Frame) -> None:
        assert self.is_open
        self.frames.append(frame)

    def finish(self, result: Result) -> None:
        raise AssertionError(result)

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open = False


async def test_a_harvest_is_shown_with_its_waits_and_its_estimate(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.08, limits=MeterLimits(read_15min=3, overall_15min=6))
    assert len(world.activities()) > 6  # asked for at once: so some wait, however fast time goes
    screen = Screen()
    async with world.strava() as strava:
        harvest = Harvest(strava, world.store, keep=None, plan=Plan(streams=False))
        observer = Observer(HEADING, strava.rate_limiter)
        assert observer.frame().progress is None
        async with shown(observer, screen, estimate=harvest.estimate, seconds=5.0, real_clock=world.clock):
            outcome = await harvest.run(on_progress=observer.note_progress)
    assert outcome.complete
    waits = {each.waiting.window for each in screen.frames if each.waiting is not None}
    assert waits == {"read_15min"}
    last = screen.frames[-1]
    assert last.progress is not None
    assert last.progress.kinds[Kind.DETAIL].held == len(world.activities())
    assert last.waiting is None
    assert last.estimate is not None
    assert last.estimate.quota_is_known
    assert not screen.is_open


async def test_an_estimate_shrinks_with_what_is_done() -> None:
    observer = Observer(HEADING, Unlimited())
    observer.note_progress(progress(counts=counts(requests=100)))
    observer.note_estimate(ESTIMATE)
    observer.note_progress(progress(counts=counts(requests=150)))
    estimate = observer.frame().estimate
    assert estimate is not None
    assert (estimate.requests, estimate.done_at) == (ESTIMATE.requests - 50, ESTIMATE.done_at)
    observer.note_progress(progress(counts=counts(requests=9_000)))
    estimate = observer.frame().estimate
    assert estimate is not None
    assert estimate.requests == 0


async def test_an_observer_of_an_unlimited_harvest_sees_nobody_wait() -> None:
    observer = Observer(HEADING, Unlimited())
    observer.note_progress(progress(asking=5))
    assert observer.frame().waiting is None
    assert observer.windows == 0


async def test_windows_that_were_waited_for_are_counted_once() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock=clock, reserve=0.0)
    observer = Observer(Heading("demo", "h.sqlite"), limiter, reserve=0.0, note=lambda: "208 requests")
    observer.note_progress(progress(asking=5))
    headers = {"X-ReadRateLimit-Limit": "2,1000", "X-ReadRateLimit-Usage": "2,2"}
    (await limiter.acquire()).settle(200, headers)
    frame = observer.frame()
    assert (frame.waiting is not None and frame.waiting.window, frame.note) == ("read_15min", "208 requests")
    assert frame.waiting is not None
    assert frame.waiting.calls == 5
    assert observer.frame().waiting == frame.waiting
    assert observer.windows == 1
    observer.note_progress(progress(asking=0))
    assert observer.frame().waiting is None


async def test_what_is_left_to_others_is_waited_for() -> None:
    clock = FakeClock(start=NOON, wall_offset=0.0)
    limiter = RateLimiter(clock=clock, reserve=0.5)
    observer = Observer(HEADING, limiter, reserve=0.5)
    observer.note_progress(progress(asking=5))
    headers = {
        "X-RateLimit-Limit": "200,2000",
        "X-RateLimit-Usage": "1,1",
        "X-ReadRateLimit-Limit": "100,1000",
        "X-ReadRateLimit-Usage": "70,70",
    }
    (await limiter.acquire()).settle(200, headers)
    waiting = observer.frame().waiting
    assert waiting is not None
    assert (waiting.window, waiting.for_reserve, waiting.calls) == ("read_15min", True, 5)
    assert waiting.until == NOON + 900 * (1 - 30 / 50)
    clock.advance(400.0)
    assert observer.frame().waiting is None


async def test_an_estimate_that_fails_is_left_out_and_errors_come_out_as_they_are() -> None:
    async def estimate() -> Estimate:
        raise StoreError("no")

    async def fail() -> None:
        async with shown(Observer(HEADING, Unlimited(clock=clock)), screen, estimate=estimate, real_clock=clock):
            await clock.sleep(30.0)
            raise ZeroDivisionError

    clock, screen = FakeClock(), Screen()
    async with clock.autojump():
        with pytest.raises(ZeroDivisionError):
            await fail()
    assert len(screen.frames) > 100
    assert all(frame.estimate is None for frame in screen.frames)
