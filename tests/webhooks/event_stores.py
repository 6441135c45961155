"""One test over each kind of ``EventStore``: in memory, in a file, on a Redis server.

A test asks for the fixture ``stores`` and makes its stores with it. Its clock is ``stores.clock``: that jumps only when
no thread and no server works for the test, and its ``quiet`` waits for that.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from strava_async._concurrency import threads
from strava_async.testing import FakeClock
from strava_async.webhooks import EventStore, MemoryEventStore, SqliteEventStore
from strava_async.webhooks.owners import Owners
from tests.redis_server import RedisServer, needs_redis

MUCH = 1_000_000
REAL_SECONDS = 0.0005  # a thread or a server needs the processor


class PatientClock(FakeClock):
    """One whose time jumps only when nothing outside the event loop works for the test.

    Args:
        is_busy: whether something does.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        super().__init__(is_busy=is_busy)
        self._line = anyio.Lock()

    async def quiet(self) -> None:
        """Wait until every task waits, and nothing works for one."""
        async with self._line:  # two would wait for each other's next look
            await self._wait_until_quiet()

    async def _wait_until_quiet(self) -> None:
        spins = 0
        while spins < 20:  # on asyncio a task that has just been woken seems to wait still
            await anyio.lowlevel.checkpoint()
            spins += 1
            if self.is_busy():
                spins = 0
                await anyio.sleep(REAL_SECONDS)
            elif spins == 20:
                await anyio.wait_all_tasks_blocked()
                spins *= not self.is_busy()

    async def _jump(self) -> None:
        while True:
            await self._somebody_sleeps()
            await self.quiet()
            if self.next_wake_at is not None:
                self.advance(self.next_wake_at - self.monotonic())


class Stores:
    """Makes stores of one kind, all of which are one where the kind has its events outside the process.

    Attributes:
        clock: theirs, and the test's.
        outlive: whether what they have outlives a run of the queue, so that a shutdown leaves to the next what it has
            not begun.
        many: of how many events a test of many is.
    """

    outlive = True
    many = 200

    def __init__(self) -> None:
        self.clock = PatientClock(self.is_busy)

    def is_busy(self) -> bool:
        """Return whether a store works outside the event loop."""
        return False

    def made(self, *, max_unfinished: int = MUCH, of_owner: int = MUCH) -> EventStore:
        """Return a store."""
        raise NotImplementedError


class InMemory(Stores):
    outlive = False
    many = 1_000

    def made(self, *, max_unfinished: int = MUCH, of_owner: int = MUCH) -> EventStore:
        owners = Owners(most_unfinished=of_owner)
        return MemoryEventStore(self.clock, max_unfinished=max_unfinished, owners=owners)


class InFile(Stores):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder / "events.sqlite"

    def is_busy(self) -> bool:
        return threads.busy() > 0

    def made(self, *, max_unfinished: int = MUCH, of_owner: int = MUCH) -> EventStore:
        return SqliteEventStore(
            self._path, max_unfinished=max_unfinished, max_unfinished_of_owner=of_owner, clock=self.clock
        )


@asynccontextmanager
async def on_redis(server: RedisServer) -> AsyncGenerator[Stores]:
    """Make stores on a server."""
    from strava_async.redis import RedisEventStore  # here: who has no extra has the other stores
    from tests.webhooks.test_redis_store import Counting

    async with Counting(port=server.port) as client:

        class OnRedis(Stores):
            def is_busy(self) -> bool:
                return Counting.under_way > 0

            def made(self, *, max_unfinished: int = MUCH, of_owner: int = MUCH) -> EventStore:
                return RedisEventStore(
                    client,
                    application="7",
                    max_unfinished=max_unfinished,
                    max_unfinished_of_owner=of_owner,
                    clock=self.clock,
                )

        yield OnRedis()


@pytest.fixture(scope="module", params=["memory", "file", pytest.param("redis", marks=needs_redis)])
def kind_of_store(request: pytest.FixtureRequest) -> str:
    """One kind after the other, with a server that a module's tests share."""
    kind: str = request.param
    if kind == "redis":
        request.getfixturevalue("server_of_module")
    return kind


@pytest.fixture
async def stores(
    request: pytest.FixtureRequest, kind_of_store: str, anyio_backend: str, tmp_path: Path
) -> AsyncGenerator[Stores]:
    """Stores of each kind, one after the other."""
    if kind_of_store == "memory":
        yield InMemory()
    elif kind_of_store == "file":
        yield InFile(tmp_path)
    else:
        assert anyio_backend == "asyncio", "RedisEventStore runs on asyncio (tests/conftest.py)"
        async with on_redis(request.getfixturevalue("redis_server")) as made:
            yield made
