"""What every EventStore does. Derive a class ``Test...`` from ``EventStoreContract`` and override ``opened_twice``.

``opened_twice`` yields two instances of one store, as two processes have them, in which five events may be unfinished,
and three of one athlete; both are ``running``. A store that belongs to one process yields one instance twice.

Its time is ``clock``, which stands still unless a test advances it: a store that polls for the events of other
processes is woken by its own ``append``. A store that works in threads or over a network overrides ``quiet`` too: it
waits until all calls that can end have ended.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import anyio
import anyio.lowlevel
import pytest

from strava_async.testing import FakeClock
from strava_async.webhooks import (
    Appended,
    Claim,
    EventAdmin,
    EventState,
    EventStore,
    StoredEvent,
    StoreStats,
    WaitReason,
    WebhookEvent,
)
from strava_async.webhooks.owners import NOT_FOUND_BEFORE_DOUBT, TURN_SECONDS, TURNS, Standing
from strava_async.webhooks.pending import GrantState


class Store(EventStore, EventAdmin, Protocol):
    """Both sides of a store."""


Quiet = Callable[[], Awaitable[None]]

LEASE = 60.0
MAX_UNFINISHED, MAX_OF_AN_OWNER = 5, 3
HOUR = 3600.0


def event(number: int = 1, at: int = 1, *, owner_id: int = 7) -> WebhookEvent:
    return WebhookEvent("activity", number, "update", owner_id, 9, at, {"title": f"läuft {at}"})


def removed(at: int = 1, owner_id: int = 7) -> WebhookEvent:
    return WebhookEvent("athlete", owner_id, "update", owner_id, 9, at, {"authorized": "false"})


def events_of(claims: list[Claim]) -> list[WebhookEvent]:
    return [claim.pending.event for claim in claims]


async def claimed(
    store: EventStore,
    n: int = 9,
    lease: float = LEASE,
    *,
    deauthorizations: bool = False,
    quiet: Quiet = anyio.wait_all_tasks_blocked,
) -> list[Claim]:
    """Return what can be claimed now; nothing if ``claim`` would wait."""
    claims: list[Claim] = []

    async def claim() -> None:
        claims.extend(await store.claim(n, lease, deauthorizations=deauthorizations))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(claim)
        await quiet()
        tasks.cancel_scope.cancel()
    return claims


@pytest.mark.anyio
class EventStoreContract:
    def opened_twice(self, clock: FakeClock) -> AbstractAsyncContextManager[tuple[Store, Store]]:
        raise NotImplementedError("override it")

    @asynccontextmanager
    async def opened(self, clock: FakeClock) -> AsyncGenerator[Store]:
        async with self.opened_twice(clock) as (store, _):
            yield store

    async def quiet(self) -> None:
        await anyio.wait_all_tasks_blocked()

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    async def claimed(
        self, store: EventStore, n: int = 9, lease: float = LEASE, *, deauthorizations: bool = False
    ) -> list[Claim]:
        return await claimed(store, n, lease, deauthorizations=deauthorizations, quiet=self.quiet)

    async def one(self, store: EventStore, lease: float = LEASE, *, deauthorizations: bool = False) -> Claim:
        [claim] = await self.claimed(store, 1, lease, deauthorizations=deauthorizations)
        return claim

    async def pass_time(self, clock: FakeClock, seconds: float) -> None:
        await self.quiet()
        clock.advance(seconds)
        await self.quiet()

    # What is stored

    async def test_an_event_comes_back_as_it_was(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            assert await store.append(event()) is Appended.STORED
            claim = await self.one(store)
            assert claim.pending.event == event()
            assert claim.pending.event.updates == event().updates
            assert claim.pending.accepted_at == clock.time()
            assert claim.pending.is_untouched

    async def test_an_event_is_stored_once_in_an_hour_finished_or_not(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            assert await store.append(event()) is Appended.DUPLICATE
            await store.ack(await self.one(store))
            clock.advance(HOUR - 1)
            assert await store.append(event()) is Appended.DUPLICATE
            clock.advance(1)
            assert await store.append(event()) is Appended.STORED

    async def test_no_more_are_unfinished_than_may_be(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for number in range(MAX_UNFINISHED):
                assert await store.append(event(1 + number, owner_id=1 + number)) is Appended.STORED
            assert await store.append(event(owner_id=99)) is Appended.QUEUE_FULL
            await store.ack(await self.one(store))
            assert await store.append(event(owner_id=99)) is Appended.STORED

    async def test_no_more_of_one_athlete_are_unfinished_than_may_be(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for number in range(MAX_OF_AN_OWNER):
                assert await store.append(event(1 + number)) is Appended.STORED
            assert await store.append(event(99)) is Appended.OWNER_FULL
            assert await store.append(event(99, owner_id=8)) is Appended.STORED
            assert await store.append(removed()) is Appended.STORED
            await store.ack(await self.one(store))
            assert await store.append(event(99)) is Appended.STORED

    async def test_what_was_not_stored_is_not_known(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for number in range(MAX_OF_AN_OWNER):
                await store.append(event(1 + number))
            await store.append(event(99))
            await store.ack(await self.one(store))
            assert await store.append(event(99)) is Appended.STORED

    # Whose turn it is

    async def test_events_of_one_object_are_claimed_one_by_one_in_order(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for at in (2, 1, 3):
                await store.append(event(at=at))
            for at in (2, 1, 3):
                claims = await self.claimed(store)
                assert events_of(claims) == [event(at=at)]
                assert await store.ack(claims[0])
            assert await self.claimed(store) == []

    async def test_events_of_several_objects_are_claimed_together_in_the_order_in_which_they_came(
        self, clock: FakeClock
    ) -> None:
        async with self.opened(clock) as store:
            for number in (3, 1, 2):
                await store.append(event(number))
            assert events_of(await self.claimed(store, 2)) == [event(3), event(1)]
            assert events_of(await self.claimed(store)) == [event(2)]

    async def test_a_busy_object_does_not_keep_another_from_its_turn(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for what in (event(1, 1), event(1, 2), event(2)):
                await store.append(what)
            await store.ack(await self.one(store))
            assert events_of(await self.claimed(store)) == [event(2), event(1, 2)]

    async def test_one_id_of_two_athletes_is_two_objects(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event(owner_id=8))
            await store.append(event(owner_id=7))
            assert len(await self.claimed(store)) == 2

    async def test_a_claim_waits_for_an_event(self, clock: FakeClock) -> None:
        claims: list[Claim] = []

        async def wait(store: EventStore) -> None:
            claims.extend(await store.claim(2, LEASE))

        async with self.opened(clock) as store, anyio.create_task_group() as tasks:
            tasks.start_soon(wait, store)
            await self.quiet()
            assert claims == []
            await store.append(event())
        assert events_of(claims) == [event()]

    async def test_of_many_claims_at_once_each_event_is_one_claims(self, clock: FakeClock) -> None:
        claims: list[Claim] = []

        async def wait(store: EventStore) -> None:
            claims.extend(await store.claim(1, LEASE))

        async with self.opened(clock) as store, anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(wait, store)
            await self.quiet()
            for number in (1, 2, 3):
                await store.append(event(number))
            await self.quiet()
            tasks.cancel_scope.cancel()
        assert sorted(claim.pending.event.object_id for claim in claims) == [1, 2, 3]

    async def test_a_claim_that_is_cancelled_takes_nothing(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            assert await self.claimed(store) == []
            await store.append(event())
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
                await store.claim(1, LEASE)
            assert events_of(await self.claimed(store)) == [event()]

    # Deauthorizations

    async def test_deauthorizations_have_claims_of_their_own(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event(7))
            await store.append(removed())
            assert events_of(await self.claimed(store)) == [event(7)]
            assert events_of(await self.claimed(store, deauthorizations=True)) == [removed()]

    async def test_a_third_deauthorization_takes_the_place_of_the_second(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            answers = [await store.append(removed(at)) for at in (1, 2, 3)]
            assert answers == [Appended.STORED, Appended.STORED, Appended.SUPERSEDED]
            assert [await store.append(removed(at)) for at in (1, 2, 3)] == [Appended.DUPLICATE] * 3
            for at in (1, 3):
                claim = await self.one(store, deauthorizations=True)
                assert claim.pending.event == removed(at)
                await store.ack(claim)
            assert await self.claimed(store, deauthorizations=True) == []

    async def test_what_was_done_about_a_deauthorization_is_not_replaced(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(removed(1))
            claim = await self.one(store, deauthorizations=True)
            await store.append(removed(2))
            claim.pending.grant_state = GrantState.UNKNOWN
            await store.retry(claim, 5)
            await store.append(removed(3))
            await self.pass_time(clock, 5)
            again = await self.one(store, deauthorizations=True)
            assert (again.pending.event, again.pending.grant_state) == (removed(1), GrantState.UNKNOWN)

    # Again

    async def test_a_retry_is_due_at_its_instant_with_what_was_noted_and_its_lane_waits(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event(1, 1))
            await store.append(event(1, 2))
            claim = await self.one(store)
            claim.pending.claimed = True
            claim.pending.failures["trouble"] = 3
            assert await store.retry(claim, 10)
            await self.pass_time(clock, 9)
            assert await self.claimed(store) == []
            await self.pass_time(clock, 1)
            [again] = await self.claimed(store)
            assert again.pending.event == event(1, 1)
            assert (again.pending.claimed, dict(again.pending.failures)) == (True, {"trouble": 3})
            assert again.id != claim.id

    async def test_retries_are_due_in_the_order_of_their_instants(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for number in (1, 2, 3):
                await store.append(event(number))
            for claim, seconds in zip(await self.claimed(store), (30, 10, 20), strict=True):
                await store.retry(claim, seconds)
            await self.pass_time(clock, 30)
            assert events_of(await self.claimed(store)) == [event(2), event(3), event(1)]

    async def test_a_retry_may_be_due_now(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            await store.retry(await self.one(store), -5)
            assert events_of(await self.claimed(store)) == [event()]

    async def test_a_wall_clock_that_jumps_back_makes_no_event_wait_longer(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            await store.retry(await self.one(store), 10)
            clock.wall_offset = -86_400.0
            await self.pass_time(clock, 10)
            assert events_of(await self.claimed(store)) == [event()]

    async def test_a_retry_keeps_the_standing_of_an_event_among_those_of_its_athlete(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            claim = await self.one(store)
            claim.pending.standing = Standing(has_turn=True, was_not_found=True, retries_not_found=False)
            await store.retry(claim, 10)
            await self.pass_time(clock, 10)
            again = (await self.one(store)).pending
            assert again.standing == Standing(has_turn=True, was_not_found=True, retries_not_found=False)
            assert clock.monotonic() - again.came_at == 10

    # Leases

    async def test_what_is_claimed_is_nobody_elses_while_the_lease_lasts(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event(1, 1))
            await store.append(event(1, 2))
            await self.claimed(store)
            await self.pass_time(clock, LEASE - 1)
            assert await self.claimed(store) == []

    async def test_what_was_left_is_taken_over_when_its_lease_has_ended(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event(1, 1))
            await store.append(event(1, 2))
            left = await self.one(store)
            await self.pass_time(clock, LEASE)
            [taken] = await self.claimed(store)
            assert taken.pending.event == event(1, 1)
            assert not await store.ack(left)
            assert not await store.retry(left, 0)
            assert await store.renew([left, taken], LEASE) == [False, True]
            assert await store.ack(taken)
            assert events_of(await self.claimed(store)) == [event(1, 2)]

    async def test_what_is_taken_over_may_be_claimed_and_its_grant_deleted(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            await store.append(removed())
            await self.one(store)
            await self.one(store, deauthorizations=True)  # and deletes the tokens, and is killed
            await self.pass_time(clock, LEASE)
            again = await self.one(store)
            assert (again.pending.claimed, again.pending.grant_state) == (True, GrantState.INTACT)
            again = await self.one(store, deauthorizations=True)
            assert (again.pending.claimed, again.pending.grant_state) == (True, GrantState.UNKNOWN)

    async def test_a_lease_that_is_renewed_lasts(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            claim = await self.one(store)
            for _ in range(3):
                await self.pass_time(clock, LEASE - 1)
                assert await store.renew([claim], LEASE) == [True]
            await self.pass_time(clock, LEASE - 1)
            assert await self.claimed(store) == []
            await self.pass_time(clock, 1)
            assert events_of(await self.claimed(store)) == [event()]

    async def test_what_is_finished_or_given_back_is_no_claims_any_more(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            claim = await self.one(store)
            assert await store.retry(claim, 5)
            assert not await store.ack(claim)
            await self.pass_time(clock, 5)
            claim = await self.one(store)
            assert await store.ack(claim)
            assert not await store.ack(claim)
            assert not await store.retry(claim, 0)
            assert await self.claimed(store) == []

    async def test_an_old_claim_does_not_end_the_lease_of_the_next(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            await store.retry(await self.one(store), LEASE - 5)
            await self.pass_time(clock, LEASE - 5)
            assert len(await self.claimed(store)) == 1
            await self.pass_time(clock, 5)  # here the first lease would have ended
            assert await self.claimed(store) == []

    # The bounds of an athlete

    async def test_ten_have_their_turn_within_a_minute(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            for number in range(TURNS):
                assert await (one, other)[number % 2].turn(7) == 0
            clock.advance(10)
            assert await one.turn(7) == await other.turn(7) == pytest.approx(TURN_SECONDS - 10)
            assert await other.turn(8) == 0
            clock.advance(TURN_SECONDS - 10)
            assert await other.turn(7) == 0

    async def test_an_event_that_was_confirmed_lifts_the_bound(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            await one.append(event())
            for _ in range(TURNS):
                await one.turn(7)
            assert await other.ack(await self.one(one), confirmed=True)
            assert await other.turn(7) == 0

    async def test_an_event_that_was_not_confirmed_or_is_anothers_now_lifts_no_bound(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event(1))
            await store.append(event(2))
            for _ in range(TURNS):
                await store.turn(7)
            first, second = await self.claimed(store)
            assert await store.ack(first)
            await self.pass_time(clock, LEASE)
            await self.one(store)
            assert not await store.ack(second, confirmed=True)
            for _ in range(TURNS):
                await store.turn(7)
            assert await store.turn(7) > 0

    async def test_what_waits_for_its_athletes_turn_is_due_when_one_was_confirmed(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for number in (1, 2, 3):
                await store.append(event(number))
            first, second, third = await self.claimed(store)
            second.pending.waits_for, third.pending.waits_for = WaitReason.TROUBLE, WaitReason.OWNER_TURN
            await store.retry(second, 30)
            await store.retry(third, 30)
            await store.ack(first, confirmed=True)
            assert events_of(await self.claimed(store)) == [event(3)]

    async def test_an_athlete_with_three_404s_is_doubted_until_one_of_them_is_found(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            await one.append(event())
            for number in range(NOT_FOUND_BEFORE_DOUBT):
                assert await (one, other)[number % 2].not_found(7)
            assert not await other.not_found(7)
            assert await one.turn(7) == await one.turn(8, unless_doubted=True) == 0
            assert await other.turn(7, unless_doubted=True) == math.inf
            claim = await self.one(one)
            claim.pending.standing.was_not_found = True
            await one.ack(claim, confirmed=True)
            assert await other.turn(7, unless_doubted=True) == 0

    async def test_doubts_end_after_an_hour(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            for _ in range(NOT_FOUND_BEFORE_DOUBT):
                await store.not_found(7)
            clock.advance(HOUR)
            assert await store.turn(7, unless_doubted=True) == 0

    # Two processes

    async def test_what_one_process_stores_another_claims_within_a_second(self, clock: FakeClock) -> None:
        claims: list[Claim] = []

        async def wait(store: EventStore) -> None:
            claims.extend(await store.claim(1, LEASE))

        async with self.opened_twice(clock) as (one, other), anyio.create_task_group() as tasks:
            tasks.start_soon(wait, other)
            await self.quiet()
            await one.append(event())
            await self.pass_time(clock, 1)
            tasks.cancel_scope.cancel()
        assert events_of(claims) == [event()]

    async def test_two_processes_handle_the_events_of_an_object_in_order_one_at_a_time(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            await one.append(event(1, 1))
            await other.append(event(1, 2))
            assert await other.append(event(1, 1)) is Appended.DUPLICATE
            claim = await self.one(other)
            assert claim.pending.event == event(1, 1)
            assert await self.claimed(one) == []
            await other.ack(claim)
            await self.pass_time(clock, 1)
            assert events_of(await self.claimed(one)) == [event(1, 2)]

    async def test_bounds_are_those_of_all_processes(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            for number in range(MAX_OF_AN_OWNER):
                await (one, other)[number % 2].append(event(1 + number))
            assert await one.append(event(9)) is await other.append(event(9)) is Appended.OWNER_FULL
            for number in range(MAX_UNFINISHED - MAX_OF_AN_OWNER):
                await (one, other)[number % 2].append(event(9, owner_id=20 + number))
            assert await other.append(event(9, owner_id=30)) is Appended.QUEUE_FULL

    async def test_what_one_process_has_given_back_another_tries_when_it_is_due(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            await one.append(removed())
            claim = await self.one(one, deauthorizations=True)
            claim.pending.grant_state, claim.pending.error = GrantState.DELETED, "OSError"
            await one.retry(claim, 10)
            await self.pass_time(clock, 9)
            assert await self.claimed(other, deauthorizations=True) == []
            await self.pass_time(clock, 1)
            again = (await self.one(other, deauthorizations=True)).pending
            assert (again.event, again.grant_state, again.error) == (removed(), GrantState.DELETED, "OSError")

    async def test_what_a_dead_process_had_another_takes_over(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            await one.append(event())
            left = await self.one(one)
            await self.pass_time(clock, LEASE - 1)
            assert await self.claimed(other) == []
            await self.pass_time(clock, 1)
            taken = await self.one(other)
            assert taken.pending.claimed
            assert not await one.ack(left)
            assert await other.ack(taken)

    # To look at, and to intervene

    async def test_an_empty_store_has_nothing_to_tell(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            assert await store.stats() == StoreStats(0, 0, None, None)
            assert list(await store.events()) == []

    async def test_stats_say_how_many_wait_and_since_when(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            await one.append(event(1))
            clock.advance(10)
            await one.append(event(2))
            await one.append(event(2, 2))
            clock.advance(5)
            assert await other.stats() == StoreStats(3, 0, 15.0, 15.0)
            await self.one(one)
            assert await other.stats() == StoreStats(3, 1, 15.0, 5.0)
            await one.retry(await self.one(one), 60)
            assert await other.stats() == StoreStats(3, 1, 15.0, None)

    async def test_what_waits_is_listed_with_why_in_the_order_in_which_it_came(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            for number, at in ((1, 1), (2, 1), (1, 2), (3, 1)):
                await one.append(event(number, at, owner_id=10 + number))
                clock.advance(1)
            first, _ = await self.claimed(one, 2)
            first.pending.failures["trouble"], first.pending.error = 2, "ConnectError"
            first.pending.waits_for = WaitReason.TROUBLE
            await one.retry(first, 30)
            clock.advance(10)
            listed = list(await other.events())
            assert listed == [
                StoredEvent(
                    event(1, 1, owner_id=11),
                    EventState.DELAYED,
                    14,
                    20,
                    WaitReason.TROUBLE,
                    {"trouble": 2},
                    "ConnectError",
                ),
                StoredEvent(event(2, 1, owner_id=12), EventState.CLAIMED, 13, None, None, {}, ""),
                StoredEvent(event(1, 2, owner_id=11), EventState.BEHIND, 12, None, None, {}, ""),
                StoredEvent(event(3, 1, owner_id=13), EventState.READY, 11, None, None, {}, ""),
            ]
            assert list(await other.events(limit=2)) == listed[:2]

    async def test_what_is_delayed_can_be_tried_now(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            await one.append(event(1, 1))
            await one.append(event(1, 2))
            await one.retry(await self.one(one), 1000)
            assert not await other.retry_now(event(9).key)
            assert not await other.retry_now(event(1, 2).key)
            assert await other.retry_now(event(1, 1).key)
            await self.pass_time(clock, 1)
            assert not await other.retry_now(event(1, 1).key)
            assert events_of(await self.claimed(one)) == [event(1, 1)]
            assert not await other.retry_now(event(1, 1).key)

    async def test_what_waits_can_be_dropped_and_the_next_follows(self, clock: FakeClock) -> None:
        async with self.opened_twice(clock) as (one, other):
            for at in (1, 2, 3):
                await one.append(event(1, at))
            assert await other.drop(event(1, 2).key)
            assert await other.drop(event(1, 1).key)
            assert not await other.drop(event(1, 1).key)
            await self.pass_time(clock, 1)
            claim = await self.one(one)
            assert claim.pending.event == event(1, 3)
            assert not await other.drop(event(1, 3).key)
            await one.retry(claim, 10)
            assert await other.drop(event(1, 3).key)
            await self.pass_time(clock, 10)
            assert await self.claimed(one) == []
            assert await one.append(event(1, 3)) is Appended.DUPLICATE
            assert await one.stats() == StoreStats(0, 0, None, None)
