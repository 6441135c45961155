"""How many requests of a harvest are under way at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async.errors import InputError
from strava_async.harvest import Harvest
from tests.harvest.world import World

pytestmark = pytest.mark.anyio


class Counting:
    """Counts the requests that an application serves at once.

    Args:
        app: serves them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.most = 0
        self._app = app
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await self._app(scope, receive, send)
        finally:
            self._now -= 1


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_requests_are_under_way_than_wanted(tmp_path: Path, concurrency: int) -> None:
    world = World(tmp_path / "h.sqlite", athletes=5, years=0.03, latency_seconds=1.0)
    world.emulator.app = app = Counting(world.emulator.app)
    async with world.strava() as strava:
        assert (await Harvest(strava, world.store, keep=None, concurrency=concurrency).run()).complete
    assert min(concurrency, 2) <= app.most <= concurrency


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, None])
async def test_a_concurrency_that_is_none_is_an_input_error(tmp_path: Path, concurrency: Any) -> None:
    world = World(tmp_path / "h.sqlite", years=0.01)
    async with world.strava() as strava:
        with pytest.raises(InputError, match="concurrency is a whole number"):
            Harvest(strava, world.store, keep=None, concurrency=concurrency)
