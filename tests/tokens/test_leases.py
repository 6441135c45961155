"""A lock that expires while Strava is slow: no valid grant is called dead, and no disconnection is undone."""

import copy
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import cast

import anyio
import httpx
import pytest

from strava_async import InvalidGrantError, MemoryTokenStore, Strava, TokenSet, TokenStoreError
from strava_async.stores import ANY, AnyTokens
from strava_async.stores.adapter import adapted
from strava_async.testing import FakeClock
from strava_async.tokens.accounts import Accounts
from tests.stores.contract import FULL, LEAST
from tests.test_application import Setting

pytestmark = pytest.mark.anyio


class Lease:
    """Held until it is left, or has expired."""

    def __init__(self) -> None:
        self.is_held = True

    def held(self) -> bool:
        return self.is_held


class ExpiringStore(MemoryTokenStore):
    """A store whose lock is a lease that expires on request, whatever its holder is doing."""

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
        setting.store = self.store
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


async def test_who_lost_the_lock_does_not_call_a_valid_grant_dead(two: TwoProcesses) -> None:
    results: list[object] = []

    async def call() -> None:
        results.append((await two.slow.api(two.athlete_id).get("/athlete"))["id"])

    two.way.there = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await overtaken(two, tasks)
    assert results == [two.athlete_id]
    assert await kept_is_alive(two)


async def test_who_lost_the_lock_does_not_forget_a_valid_grant(two: TwoProcesses) -> None:
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


class Connecting(MemoryTokenStore):
    """A store in which another process saves a grant while the one before is being revoked."""

    later: TokenSet | None = None

    async def load(self, athlete_id: int) -> TokenSet | None:
        saved = await super().load(athlete_id)
        if self.later is not None:
            later, self.later = self.later, None
            await self.save(athlete_id, later)
        return saved


async def test_what_came_while_an_insufficient_grant_was_revoked_is_revoked_before_it_is_deleted() -> None:
    store, revoked = Connecting(), list[TokenSet | None]()
    await store.save(7, TokenSet("before", athlete_id=7))
    store.later = TokenSet("later", athlete_id=7)

    async def revoke(token: TokenSet | None) -> None:
        revoked.append(token)

    granted = TokenSet("granted", athlete_id=7)
    await Accounts(store, FakeClock()).delete(7, revoke, granted=granted)
    assert [token and str(token.access_token) for token in revoked] == ["granted", "later"]
    assert await store.load(7) is None


class ShortLease(MemoryTokenStore):
    """A store whose leases are always too short."""

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[Lease]:
        async with super().lock(athlete_id):
            lease = Lease()
            lease.is_held = False
            yield lease


async def dead_grant(store: MemoryTokenStore) -> AsyncIterator[Strava]:
    """Connect an athlete who then removes the application at Strava."""
    setting = Setting()
    setting.store = store
    await setting.connected(setting.marianne)
    setting.clock.advance(6 * 3600)
    setting.emulator.disconnect(setting.marianne)
    async with setting.http_client:
        yield setting.strava()


async def test_a_grant_is_not_called_invalid_without_a_lease_that_is_held() -> None:
    store = ShortLease()
    async for strava in dead_grant(store):
        (athlete_id,) = await store.athlete_ids()
        for ask in (strava.forget_if_revoked(athlete_id), strava.api(athlete_id).get("/athlete")):
            with pytest.raises(TokenStoreError, match="longer than 25 s"):
                await ask
        assert await store.athlete_ids() == [athlete_id]


class Overtaken(MemoryTokenStore):
    """A store in which the athlete is connected again just before the tokens of the dead grant are deleted."""

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        await self.save(athlete_id, FULL)
        return await super().delete(athlete_id, if_unchanged=if_unchanged)


async def test_only_the_tokens_of_the_invalid_grant_are_forgotten() -> None:
    store = Overtaken()
    async for strava in dead_grant(store):
        (athlete_id,) = await store.athlete_ids()
        assert await strava.forget_if_revoked(athlete_id) is False
        assert await store.load(athlete_id) == FULL


class Forgetful(MemoryTokenStore):
    """A store that does not find what it has returned."""

    async def load(self, athlete_id: int) -> TokenSet | None:
        token = await super().load(athlete_id)
        return token and replace(token, scope=token.scope | {"read_all"})


async def test_a_store_that_never_finds_what_it_returned_is_an_error_and_not_a_loop(two: TwoProcesses) -> None:
    store = Forgetful()
    token = await two.store.load(two.athlete_id)
    assert token is not None
    await store.save(two.athlete_id, token)
    strava = two.setting.strava(token_store=store)
    with pytest.raises(TokenStoreError, match="has to compare"):
        await strava.api(two.athlete_id).get("/athlete")
    with pytest.raises(TokenStoreError, match="were replaced"):
        await strava.disconnect(two.athlete_id)
    with pytest.raises(TokenStoreError, match="has to compare"):
        await strava.end_sessions(two.athlete_id)


# A store of five methods


class FiveMethods:
    """A store as it was before it could compare: no more than the five methods."""

    def __init__(self) -> None:
        self._store = MemoryTokenStore()
        self.load, self.athlete_ids = self._store.load, self._store.athlete_ids

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        await self._store.save(athlete_id, token)

    async def delete(self, athlete_id: int) -> None:
        await self._store.delete(athlete_id)

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[None]:
        async with self._store.lock(athlete_id):
            yield


async def test_a_store_of_five_methods_goes_on_working() -> None:
    setting, store = Setting(), FiveMethods()
    async with setting.http_client:
        strava = setting.strava(token_store=store)
        assert strava.token_store is store
        athlete_id = (await strava.connect(await setting.code(strava))).athlete_id
        first = await store.load(athlete_id)
        setting.clock.advance(6 * 3600)
        await strava.api(athlete_id).get("/athlete")
        second = await store.load(athlete_id)
        assert first != second
        await strava.end_sessions(athlete_id)
        assert await strava.generation(athlete_id) != (first and first.generation)
        assert await strava.forget_if_revoked(athlete_id) is False
        assert await strava.athlete_ids() == [athlete_id]
        setting.emulator.disconnect(athlete_id)
        assert await strava.forget_if_revoked(athlete_id) is True
        await strava.connect(await setting.code(strava))
        await strava.disconnect(athlete_id)
        assert await strava.athlete_ids() == []


async def test_a_store_of_five_methods_is_compared_with_before_it_is_written_to() -> None:
    inner = FiveMethods()
    store = adapted(inner)
    assert await store.save(7, FULL, replacing=LEAST) is False
    assert await store.save(7, FULL, replacing=None) is True
    assert await store.save(7, LEAST, replacing=None) is False
    assert await store.delete(7, if_unchanged=LEAST) is False
    assert await inner.load(7) == FULL
    await store.save(9, FULL)
    assert [each async for each in store.iter_athlete_ids(after=7)] == [9]
    async with store.lock(7) as lease:
        assert lease.held()
    assert not lease.held()
    assert await store.delete(7, if_unchanged=FULL) is True
    assert await store.athlete_ids() == [9]


async def test_what_a_store_can_do_is_used() -> None:
    inner = ExpiringStore()
    store = adapted(inner)
    async with store.lock(7) as lease:
        assert isinstance(lease, Lease)
        inner.expire()
        assert not lease.held()
    assert await store.save(7, FULL, replacing=LEAST) is False
    assert await store.delete(7) is False


class Paging(MemoryTokenStore):
    """A store that holds something open while its athletes are iterated over."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    async def iter_athlete_ids(self, *, after: int = 0) -> AsyncGenerator[int]:
        self.is_open = True
        try:
            for athlete_id in sorted(self._tokens):
                yield athlete_id
        finally:
            self.is_open = False


async def test_closing_the_iteration_over_athletes_closes_that_of_the_store() -> None:
    store = Paging()
    await store.save(7, FULL)
    async with aclosing(cast("AsyncGenerator[int]", adapted(store).iter_athlete_ids())) as athlete_ids:
        assert await anext(athlete_ids) == 7
        assert store.is_open
    assert not store.is_open
