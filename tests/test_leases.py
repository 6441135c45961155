"""A lock that expires while Strava is slow: no living grant is called dead, and no disconnection is undone."""

import copy
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from strava_async import InvalidGrantError, MemoryTokenStore, Strava
from tests.test_application import Setting

pytestmark = pytest.mark.anyio


class Lease:
    """Held until it is left, or has expired."""

    def __init__(self) -> None:
        self.is_held = True

    def held(self) -> bool:
        return self.is_held


class ExpiringStore(MemoryTokenStore):
    """A store whose lock is a lease that expires when told so, whatever its holder is doing."""

    def __init__(self) -> None:
        super().__init__()
        self._lease: Lease | None = None
        self._released = anyio.Event()

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[Lease]:
        while self._lease is not None:
            await self._released.wait()
        lease = self._lease = Lease()
        try:
            yield lease
        finally:
            if self._lease is lease:
                self.expire()

    def expire(self) -> None:
        assert self._lease is not None
        self._lease.is_held, self._lease = False, None
        self._released.set()
        self._released = anyio.Event()


class SlowWay(httpx.ASGITransport):
    """A way to the emulator on which requests about tokens can be held up, and so can their answers."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting.emulator.app)
        self.there, self.back = anyio.Event(), anyio.Event()
        self.there.set()
        self.back.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/oauth/"):
            return await super().handle_async_request(request)
        await self.there.wait()
        response = await super().handle_async_request(request)
        await self.back.wait()
        return response


class TwoProcesses:
    """An athlete whose access token has expired, and two processes over one store.

    Attributes:
        slow: the first process; its requests can be held up on ``way``.
        other: the second; its requests can be held up on ``other_way``.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting, self.store, self.athlete_id = setting, ExpiringStore(), setting.marianne
        setting.store = self.store  # type: ignore[assignment]
        self.way, self.other_way = SlowWay(setting), SlowWay(setting)
        self.slow, self.other = self._process(self.way), self._process(self.other_way)

    def _process(self, way: SlowWay) -> Strava:
        own = copy.copy(self.setting)
        own.http_client = httpx.AsyncClient(transport=way)
        return own.strava()


@pytest.fixture
async def two() -> AsyncIterator[TwoProcesses]:
    setting = Setting()
    made = TwoProcesses(setting)
    await setting.connected(setting.marianne)
    setting.clock.advance(6 * 3600)
    async with setting.http_client:
        yield made


async def kept_is_alive(two: TwoProcesses) -> bool:
    return await two.setting.is_alive(await two.store.load(two.athlete_id))


async def overtaken(two: TwoProcesses, tasks: anyio.abc.TaskGroup) -> None:
    """Let the other process take the lock over and renew, while the request of the slow one is on its way."""
    await anyio.wait_all_tasks_blocked()
    two.store.expire()
    two.other_way.back = anyio.Event()
    tasks.start_soon(two.other.api(two.athlete_id).get, "/athlete")
    await anyio.wait_all_tasks_blocked()
    two.way.there.set()  # with the refresh token that was good until a moment ago
    await anyio.wait_all_tasks_blocked()
    two.other_way.back.set()


async def test_who_lost_the_lock_does_not_call_a_living_grant_dead(two: TwoProcesses) -> None:
    results: list[object] = []

    async def call() -> None:
        results.append((await two.slow.api(two.athlete_id).get("/athlete"))["id"])

    two.way.there = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await overtaken(two, tasks)
    assert results == [two.athlete_id]
    assert await kept_is_alive(two)


async def test_who_lost_the_lock_does_not_forget_a_living_grant(two: TwoProcesses) -> None:
    results: list[bool] = []

    async def ask() -> None:
        results.append(await two.slow.forget_if_revoked(two.athlete_id))

    two.way.there = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await overtaken(two, tasks)
    assert results == [False]
    assert await kept_is_alive(two)


async def test_a_late_answer_does_not_undo_a_disconnection(two: TwoProcesses) -> None:
    errors: list[InvalidGrantError] = []

    async def call() -> None:
        with pytest.raises(InvalidGrantError, match="not connected") as caught:
            await two.slow.api(two.athlete_id).get("/athlete")
        errors.append(caught.value)

    two.way.back = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        two.store.expire()
        await two.other.disconnect(two.athlete_id)
        two.way.back.set()
    assert len(errors) == 1
    assert await two.store.load(two.athlete_id) is None
    await two.slow.aclose()
    assert await two.store.load(two.athlete_id) is None


async def test_a_late_answer_does_not_replace_a_grant_that_came_meanwhile(two: TwoProcesses) -> None:
    two.way.back = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(two.slow.api(two.athlete_id).get, "/athlete")
        await anyio.wait_all_tasks_blocked()
        two.store.expire()
        await two.other.disconnect(two.athlete_id)
        await two.other.connect(await two.setting.code(two.other))
        two.way.back.set()
    assert await kept_is_alive(two)
    assert two.slow.api(two.athlete_id).access_token == two.other.api(two.athlete_id).access_token


async def test_a_late_disconnection_revokes_what_was_renewed_meanwhile(two: TwoProcesses) -> None:
    two.way.there = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(two.slow.disconnect, two.athlete_id)
        await anyio.wait_all_tasks_blocked()
        two.store.expire()
        await two.other.api(two.athlete_id).get("/athlete")
        renewed = await two.store.load(two.athlete_id)
        two.way.there.set()
    assert await two.store.load(two.athlete_id) is None
    assert not await two.setting.is_alive(renewed)
