"""What every EventStore does. Derive a class named ``Test...`` from ``EventStoreContract`` and override ``opened``.

``opened`` yields a store in which five events may be unfinished, and three of one athlete. Its time is ``clock``, which
stands still unless a test advances it: a store that polls for the events of other processes is woken by its own
``append``. A store that works in threads or over a network overrides ``quiet`` too: it waits until all calls that can
end have ended.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel
import pytest

from strava_async.testing import FakeClock
from strava_async.webhooks import Appended, Claim, EventStore, WebhookEvent
from strava_async.webhooks.owners import Standing
from strava_async.webhooks.pending import GrantState

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
    def opened(self, clock: FakeClock) -> AbstractAsyncContextManager[EventStore]:
        raise NotImplementedError("override it")

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
            await store.retry(claim, clock.time() + 5)
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
            assert await store.retry(claim, clock.time() + 10)
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
                await store.retry(claim, clock.time() + seconds)
            await self.pass_time(clock, 30)
            assert events_of(await self.claimed(store)) == [event(2), event(3), event(1)]

    async def test_an_instant_that_has_passed_is_now(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            await store.retry(await self.one(store), clock.time() - 5)
            assert events_of(await self.claimed(store)) == [event()]

    async def test_a_wall_clock_that_jumps_back_makes_no_event_wait_longer(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            await store.retry(await self.one(store), clock.time() + 10)
            clock.wall_offset = -86_400.0
            await self.pass_time(clock, 10)
            assert events_of(await self.claimed(store)) == [event()]

    async def test_a_retry_keeps_the_standing_of_an_event_among_those_of_its_athlete(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            claim = await self.one(store)
            claim.pending.standing = Standing(has_turn=True, was_not_found=True, retries_not_found=False)
            await store.retry(claim, clock.time() + 10)
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
            assert not await store.retry(left, clock.time())
            assert not await store.renew(left, LEASE)
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
                assert await store.renew(claim, LEASE)
            await self.pass_time(clock, LEASE - 1)
            assert await self.claimed(store) == []
            await self.pass_time(clock, 1)
            assert events_of(await self.claimed(store)) == [event()]

    async def test_a_lease_may_be_without_end(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            claim = await self.one(store, math.inf)
            await self.pass_time(clock, 365 * 86_400.0)
            assert await self.claimed(store) == []
            assert await store.ack(claim)

    async def test_what_is_finished_or_given_back_is_no_claims_any_more(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            claim = await self.one(store)
            assert await store.retry(claim, clock.time() + 5)
            assert not await store.ack(claim)
            await self.pass_time(clock, 5)
            claim = await self.one(store)
            assert await store.ack(claim)
            assert not await store.ack(claim)
            assert not await store.retry(claim, clock.time())
            assert await self.claimed(store) == []

    async def test_an_old_claim_does_not_end_the_lease_of_the_next(self, clock: FakeClock) -> None:
        async with self.opened(clock) as store:
            await store.append(event())
            await store.retry(await self.one(store), clock.time() + LEASE - 5)
            await self.pass_time(clock, LEASE - 5)
            assert len(await self.claimed(store)) == 1
            await self.pass_time(clock, 5)  # here the first lease would have ended
            assert await self.claimed(store) == []
