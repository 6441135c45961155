"""What limiters that share a quota do for each other, wherever they meet."""

from __future__ import annotations

import anyio

from strava_async.limiter.shared import SharedLimiter
from strava_async.testing import FakeClock
from tests.limiter.contract import answer


async def get_what_is_given_back(
    one: SharedLimiter, other: SharedLimiter, clock: FakeClock, *, seconds: float = 3.0, in_thread: bool = False
) -> None:
    """Let a call of one limiter wait for the last unit, which the other has and gives back: it gets that in time."""
    (await one.acquire()).settle(200, answer(clock, 98, 98))
    async with clock.autojump() as tasks:
        held = [await one.acquire() for _ in range(2)]
        got: list[float] = []

        async def wait() -> None:
            await other.acquire()
            got.append(clock.monotonic())

        tasks.start_soon(wait)
        await clock.sleep(5.0)
        assert not got
        if in_thread:
            await anyio.to_thread.run_sync(held[0].release)
        else:
            held[0].release()
        released_at = clock.monotonic()
        while not got:
            await clock.sleep(0.1)
    assert got[0] - released_at <= seconds
