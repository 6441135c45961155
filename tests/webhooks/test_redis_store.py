"""The store of webhook events on Redis: the contract, on a real server."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from strava_async.redis import RedisEventStore
from strava_async.testing import FakeClock
from tests.redis_server import RedisServer, needs_redis
from tests.webhooks.contract import MAX_OF_AN_OWNER, MAX_UNFINISHED, EventStoreContract, Store

pytestmark = [pytest.mark.anyio, needs_redis]

BOUNDS = {"max_unfinished": MAX_UNFINISHED, "max_unfinished_of_owner": MAX_OF_AN_OWNER}


class Counting(Redis):
    """Counts the calls that are under way."""

    under_way = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        Counting.under_way += 1
        try:
            return await super().execute_command(*args, **options)
        finally:
            Counting.under_way -= 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestRedisEventStore(EventStoreContract):
    @pytest.fixture(autouse=True)
    def given(self, redis_server: RedisServer) -> None:
        self.server = redis_server

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @asynccontextmanager
    async def opened_twice(self, clock: FakeClock) -> AsyncGenerator[tuple[Store, Store]]:
        async with Counting(port=self.server.port) as first, Counting(port=self.server.port) as second:
            one, other = (RedisEventStore(each, application="7", clock=clock, **BOUNDS) for each in (first, second))
            async with one.running(), other.running():
                yield one, other

    async def quiet(self) -> None:
        while True:
            await anyio.wait_all_tasks_blocked()
            if not Counting.under_way:
                return
