"""The store of webhook events in memory: the contract, and what only a store in memory does."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from strava_async.testing import FakeClock
from strava_async.webhooks import Appended, MemoryEventStore, PendingEvent
from strava_async.webhooks.owners import Owners
from tests.webhooks.contract import (
    LEASE,
    MAX_OF_AN_OWNER,
    MAX_UNFINISHED,
    EventStoreContract,
    claimed,
    event,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(store: MemoryEventStore) -> AsyncGenerator[MemoryEventStore]:
    async with store.running():
        yield store


def made(clock: FakeClock, owners: Owners | None = None) -> MemoryEventStore:
    return MemoryEventStore(
        clock, max_unfinished=MAX_UNFINISHED, owners=owners or Owners(most_unfinished=MAX_OF_AN_OWNER)
    )


class TestMemoryEventStore(EventStoreContract):
    @asynccontextmanager
    async def opened_twice(self, clock: FakeClock) -> AsyncGenerator[tuple[MemoryEventStore, MemoryEventStore]]:
        store = made(clock)
        async with store.running():
            yield store, store

    async def test_a_lease_may_be_without_end(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            claim = await self.one(store, math.inf)
            await self.pass_time(clock, 365 * 86_400.0)
            assert await self.claimed(store) == []
            assert await store.ack(claim)


async def test_nothing_is_stored_before_the_beginning_and_after_the_end() -> None:
    store = made(FakeClock())
    assert await store.append(event()) is Appended.CLOSED
    async with running(store):
        await store.append(event(1))
        store.close(lambda _: False)
        assert await store.append(event(1)) is Appended.DUPLICATE
        assert await store.append(event(2)) is Appended.CLOSED


async def test_what_a_backlog_brings_takes_no_room_and_is_known() -> None:
    clock = FakeClock()
    async with running(made(clock)) as store:
        for number in range(MAX_UNFINISHED):
            store.restore(PendingEvent(event(1 + number, owner_id=8 + number), 0.0, 0.0, restored=True))
        assert await store.append(event(1, owner_id=8)) is Appended.DUPLICATE
        for number in range(MAX_UNFINISHED):
            assert await store.append(event(9, owner_id=20 + number)) is Appended.STORED
        assert await store.append(event(9, owner_id=30)) is Appended.QUEUE_FULL
        [claim] = await claimed(store, 1)  # one of the backlog's
        await store.ack(claim)
        assert await store.append(event(9, owner_id=30)) is Appended.QUEUE_FULL


async def test_when_it_is_closed_what_waits_is_ready_or_set_aside_with_its_lane() -> None:
    clock = FakeClock()
    async with running(made(clock)) as store:
        for what in (event(1), event(2, 1), event(2, 2)):
            await store.append(what)
        for claim in await claimed(store):
            await store.retry(claim, 30)
        store.close(lambda pending: pending.event.object_id == 2)
        [claim] = await claimed(store)
        assert claim.pending.event == event(1)
        assert not store.is_done
        await store.ack(claim)
        assert store.is_done
        clock.advance(60)
        assert await claimed(store) == []
        assert [pending.event for pending in store.clear()] == [event(2, 1), event(2, 2)]


async def test_a_claimed_event_that_is_set_aside_is_nobodys() -> None:
    clock = FakeClock()
    async with running(made(clock)) as store:
        await store.append(event())
        [claim] = await claimed(store)
        store.set_aside(claim)
        assert store.is_done
        assert not await store.ack(claim)
        clock.advance(LEASE)
        assert await claimed(store) == []


async def test_what_a_run_left_is_ready_in_the_next() -> None:
    store = made(FakeClock())
    async with running(store):
        await store.append(event(1))
        await store.append(event(2))
        await claimed(store, 1)
    async with running(store):
        assert sorted(claim.pending.event.object_id for claim in await claimed(store)) == [1, 2]


async def test_what_a_backlog_brought_to_one_run_makes_no_room_in_the_next() -> None:
    store = made(FakeClock())
    async with running(store):
        store.restore(PendingEvent(event(), 0.0, 0.0, restored=True))
        store.clear()
    async with running(store):
        answers = [await store.append(event(2, owner_id=8 + number)) for number in range(MAX_UNFINISHED + 1)]
        assert answers == [Appended.STORED] * MAX_UNFINISHED + [Appended.QUEUE_FULL]
