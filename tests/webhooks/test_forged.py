"""Forged events about a connected athlete, whose id is public: what they cost, and what happens to real ones."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from strava_async import Strava, TokenSet
from strava_async.fastapi import SqliteBacklog, WebhookRouter, webhook_router
from strava_async.testing import Emulator, MeterLimits
from strava_async.webhooks import WebhookEvent
from strava_async.webhooks.owners import MOST_UNFINISHED
from tests.webhooks.event_stores import Stores

pytestmark = pytest.mark.anyio

BASE = "https://strava.test"
SMALLEST = MeterLimits(overall_15min=200, overall_day=2000, read_15min=100, read_day=1000)


class World:
    """A service with an athlete, whose handler looks at each activity, over an emulated Strava."""

    def __init__(self, stores: Stores, **arguments: Any) -> None:
        self.clock = stores.clock
        self.store = stores.made(of_owner=MOST_UNFINISHED)
        self.emulator = Emulator(clock=self.clock, years=0.1, athletes=1, limits=SMALLEST)
        self.athlete_id = self.emulator.athlete_ids[0]
        self.arguments = arguments
        self.handled: list[int] = []

    async def start(self) -> Strava:
        strava = Strava(
            self.emulator.client_id,
            self.emulator.client_secret,
            http_client=httpx.AsyncClient(transport=httpx.ASGITransport(self.emulator.app)),
            clock=self.clock,
            api_url=f"{BASE}/api/v3",
            oauth_url=f"{BASE}/oauth",
        )
        granted = self.emulator.grant(expires_in=86_400 * 9)
        token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
        await strava.token_store.save(self.athlete_id, token)
        return strava

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[httpx.AsyncClient]:
        strava = await self.start()
        background = strava.with_options(max_wait=2)

        async def on_event(event: WebhookEvent) -> None:
            if event.aspect_type == "create":
                await background.api(event.owner_id).get("/activities/{id}", id=event.object_id)
            self.handled.append(event.object_id)

        arguments: dict[str, Any] = {"drain_seconds": 0, **self.arguments}
        if "backlog" not in arguments:
            arguments["events"] = self.store
        self.router: WebhookRouter = webhook_router(strava, verify_token="x", on_event=on_event, **arguments)
        app = Starlette(routes=self.router.routes, lifespan=self.router.lifespan_context)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://service.test") as client,
        ):
            yield client

    async def post(self, client: httpx.AsyncClient, number: int, **changes: Any) -> int:
        told = {"object_type": "activity", "object_id": number, "aspect_type": "create", "owner_id": self.athlete_id}
        event = {**told, "subscription_id": 1, "event_time": 1_767_693_600, "updates": {}, **changes}
        return (await client.post("/webhook", json=event)).status_code

    async def pass_by(self, seconds: float) -> None:
        """Let time pass in small steps, and each task do what is due."""
        for _ in range(0, int(seconds), 5):
            self.clock.advance(5)
            await self.quiet()

    async def quiet(self) -> None:
        """Wait until what can be done without time is done."""
        await self.clock.quiet()

    async def unfinished(self) -> int:
        stats = await self.store.stats()
        return stats.unfinished

    @property
    def reads(self) -> int:
        return sum("/activities/" in served.path for served in self.emulator.requests)


FORGED = range(9_000_000, 9_000_100)


async def test_a_hundred_forged_events_leave_most_of_the_quota_of_a_quarter_hour(stores: Stores) -> None:
    world = World(stores)
    async with world.serving() as client:
        for number in FORGED:
            assert await world.post(client, number) == 200
        assert await world.post(client, 1) == 503
        await world.quiet()
        await world.pass_by(890)
        assert 20 <= world.reads <= 40
        assert await world.unfinished() > 50


async def test_two_processes_over_one_store_spend_no_more_than_one(stores: Stores) -> None:
    if not stores.outlive:
        pytest.skip("each process has bounds of its own over its memory")
    world = World(stores)
    async with world.serving() as client, world.serving() as other:
        for number in FORGED:
            assert await world.post(other if number % 2 else client, number) == 200
        assert [await world.post(each, 1) for each in (client, other)] == [503, 503]
        await world.quiet()
        await world.pass_by(50)
        assert 3 <= world.reads <= 10 + 9


async def test_what_confirmed_an_athlete_could_be_forged_and_opens_no_gate(stores: Stores) -> None:
    world = World(stores)
    async with world.serving() as client:
        for number in (5, 6):
            await world.post(client, number, aspect_type="update")  # costs nothing, and is handled
        await world.quiet()
        assert sorted(world.handled) == [5, 6]
        for number in FORGED[:90]:
            await world.post(client, number)
        await world.quiet()
        await world.pass_by(600)
        assert world.reads <= 60


async def test_a_real_event_comes_through_among_forged_ones(stores: Stores) -> None:
    world = World(stores)
    async with world.serving() as client:
        for number in FORGED[:12]:
            await world.post(client, number)
        real = world.emulator.record_activity()
        assert await world.post(client, real) == 200
        await world.quiet()
        await world.pass_by(70)
        assert world.handled == [real]
        assert world.reads <= 10 + 9 + 3


async def test_more_real_events_than_have_a_turn_at_once_are_handled_without_time_passing(stores: Stores) -> None:
    world = World(stores)
    real = [world.emulator.record_activity() for _ in range(14)]
    async with world.serving() as client:
        for number in real:
            assert await world.post(client, number) == 200
        while len(world.handled) < len(real):
            await world.quiet()
        assert sorted(world.handled) == sorted(real)


@pytest.mark.filterwarnings("ignore:backlog is deprecated")
async def test_a_restart_brings_no_forged_events_back_all_at_once(stores: Stores, tmp_path: Path) -> None:
    world = World(stores)
    if not stores.outlive:
        world.arguments["backlog"] = SqliteBacklog(tmp_path / "webhooks.sqlite", clock=world.clock)
    async with world.serving() as client:
        for number in FORGED:
            await world.post(client, number)
        await world.quiet()
    kept = await world.unfinished() if stores.outlive else world.router.counts.kept
    before = world.reads
    assert kept >= 70
    world.clock.advance(900)
    async with world.serving() as client:
        await world.quiet()
        await world.pass_by(50)
        assert world.reads - before <= 10 + 9
