"""The queue over a store that outlives its process: leases, a store that is away, and a shutdown that keeps nothing."""

import logging
import math
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from strava_async import InputError
from strava_async.errors import EventStoreError
from strava_async.testing import FakeClock
from strava_async.webhooks import Appended, Claim, MemoryEventStore, StoreStats, WebhookCounts, WebhookEvent
from strava_async.webhooks.backend_shared import APPEND_SECONDS, CALL_SECONDS, LEASE_SECONDS, STATS_SECONDS
from strava_async.webhooks.counts import Offer
from strava_async.webhooks.pending import AttemptResult, Outcome, PendingEvent, Retry, WaitReason
from strava_async.webhooks.queue import EventQueue

pytestmark = pytest.mark.anyio

REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 5, {"authorized": "false"})


def event(number: int = 1, at: int = 1) -> WebhookEvent:
    return WebhookEvent("activity", number, "update", 7, 9, at)


class SharedStore:
    """A store that outlives its queue: one in memory, which can be away or hang."""

    def __init__(self, clock: FakeClock, calls: list[str] | None = None) -> None:
        self.inner = MemoryEventStore(clock, max_unfinished=100)
        self.away: Exception | None = None
        self.hangs: set[str] = set()
        self.calls: list[str] = [] if calls is None else calls
        self.leases: list[float] = []
        self.renewals_fail = False
        self.finishes_claims = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        yield  # the test keeps it running, as another process would

    async def reach(self, name: str) -> None:
        self.calls.append(name)
        if name in self.hangs:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        if self.away is not None:
            raise self.away

    async def append(self, event: WebhookEvent) -> Appended:
        await self.reach("append")
        return await self.inner.append(event)

    async def claim(self, n: int, lease: float, *, deauthorizations: bool = False) -> Sequence[Claim]:
        await self.reach("claim")
        self.leases.append(lease)
        with anyio.CancelScope(shield=self.finishes_claims):
            return await self.inner.claim(n, lease, deauthorizations=deauthorizations)

    async def renew(self, claims: Sequence[Claim], lease: float) -> Sequence[bool]:
        await self.reach("renew")
        if self.renewals_fail:
            raise EventStoreError("cannot be written")
        return await self.inner.renew(claims, lease)

    async def ack(self, claim: Claim, *, confirmed: bool = False) -> bool:
        await self.reach("ack")
        return await self.inner.ack(claim, confirmed=confirmed)

    async def retry(self, claim: Claim, seconds: float) -> bool:
        await self.reach("retry")
        return await self.inner.retry(claim, seconds)

    async def turn(self, owner_id: int, *, unless_doubted: bool = False) -> float:
        return await self.inner.turn(owner_id, unless_doubted=unless_doubted)

    async def not_found(self, owner_id: int) -> bool:
        return await self.inner.not_found(owner_id)

    async def stats(self) -> StoreStats:
        await self.reach("stats")
        return await self.inner.stats()


class Process:
    """A process with a queue over a store."""

    def __init__(self, store: SharedStore, clock: FakeClock, **arguments: float) -> None:
        self.clock = clock
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.act: Callable[[PendingEvent], Awaitable[AttemptResult]] = self.at_once
        options = {"workers": 2, "drain_seconds": 4.0, **arguments}
        self.queue = EventQueue(
            self.attempt, store, clock=clock, workers=int(options["workers"]), drain_seconds=options["drain_seconds"]
        )

    async def attempt(self, pending: PendingEvent, is_last: bool) -> AttemptResult:
        assert not is_last
        self.begun.append(pending.event.object_id)
        result = await self.act(pending)
        self.ended.append(pending.event.object_id)
        return result

    async def at_once(self, pending: PendingEvent) -> AttemptResult:
        return Outcome.HANDLED

    async def for_ever(self, pending: PendingEvent) -> AttemptResult:
        await anyio.sleep_forever()
        raise AssertionError

    async def taking(self, seconds: float, pending: PendingEvent) -> AttemptResult:
        await self.clock.sleep(seconds)
        return Outcome.HANDLED


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def shared(clock: FakeClock) -> AsyncGenerator[SharedStore]:
    store = SharedStore(clock)
    async with store.inner.running():
        yield store


def levels(caplog: pytest.LogCaptureFixture, of: str) -> list[str]:
    return [record.levelname for record in caplog.records if of in record.getMessage()]


# -- what is claimed --------------------------------------------------------------------------------------------------


async def test_events_are_handled_and_leave_nothing_behind(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)
        async with process.queue.running():
            assert await process.queue.offer(event()) is Offer.ACCEPTED
            assert await process.queue.offer(REMOVED) is Offer.ACCEPTED
            assert await process.queue.offer(event()) is Offer.DUPLICATE
            await anyio.wait_all_tasks_blocked()
        assert sorted(process.ended) == [1, 7]
        assert process.queue.counts == WebhookCounts(accepted=2, duplicates=1, handled=2)
        assert await store.stats() == StoreStats(0, 0, None, None)
        assert set(store.leases) == {LEASE_SECONDS}


async def test_what_one_process_accepts_another_may_handle_and_each_counts_what_it_did(clock: FakeClock) -> None:
    async with shared(clock) as store:
        front, back = Process(store, clock, drain_seconds=0), Process(store, clock)
        front.act = front.for_ever
        async with back.queue.running(), front.queue.running():
            with anyio.CancelScope() as scope:
                for number in (1, 2, 3, 4, 5):
                    await front.queue.offer(event(number))
                await anyio.wait_all_tasks_blocked()
                clock.advance(1)
                await anyio.wait_all_tasks_blocked()
                assert front.queue.counts.waiting == len(front.begun)
                scope.cancel()
        assert front.queue.counts.accepted == 5
        assert front.queue.counts.waiting == back.queue.counts.waiting == 0
        assert back.queue.counts.handled == len(back.ended)


async def test_a_handler_that_takes_longer_than_a_lease_is_not_doubled(clock: FakeClock) -> None:
    async with shared(clock) as store:
        slow, other = Process(store, clock), Process(store, clock)
        slow.act = partial(slow.taking, 10 * LEASE_SECONDS)
        async with clock.autojump(), slow.queue.running():
            await slow.queue.offer(event())
            async with other.queue.running():
                await clock.sleep(10 * LEASE_SECONDS + 1)
        assert (slow.ended, other.begun) == ([1], [])
        assert slow.queue.counts.handled == 1


async def test_what_was_taken_over_is_counted_and_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async with shared(clock) as store:
        slow, other = Process(store, clock), Process(store, clock)
        slow.act = partial(slow.taking, 2 * LEASE_SECONDS)
        store.renewals_fail = True
        async with clock.autojump(), slow.queue.running():
            await slow.queue.offer(event())
            await clock.sleep(1)
            async with other.queue.running():
                await clock.sleep(2 * LEASE_SECONDS)
        assert (slow.ended, other.ended) == ([1], [1])
        assert slow.queue.counts == WebhookCounts(accepted=1, taken_over=1)
        assert other.queue.counts == WebhookCounts(handled=1)
        assert levels(caplog, "was taken over by another worker") == ["WARNING"]


async def test_an_event_that_waits_long_for_a_worker_is_in_the_log(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with shared(clock) as store:
        process = Process(store, clock, workers=1, drain_seconds=0)
        process.act = process.for_ever
        async with clock.autojump(), process.queue.running():
            await process.queue.offer(event(1))
            await process.queue.offer(event(2))
            await clock.sleep(STATS_SECONDS + 61)
            assert (process.queue.oldest_waiting() or 0.0) >= 60
        assert "WARNING" in levels(caplog, "the oldest webhook event that could be handled has waited")


async def test_what_waits_is_known_without_asking_the_store(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock, workers=1, drain_seconds=0)
        process.act = process.for_ever
        assert process.queue.stats() is None
        async with clock.autojump(), process.queue.running():
            for number in (1, 2, 3):
                await process.queue.offer(event(number))
            await clock.sleep(STATS_SECONDS + 1)
            asked = len(store.calls)
            assert process.queue.stats() == StoreStats(3, 1, STATS_SECONDS, STATS_SECONDS)
            assert not process.queue.is_away
            store.away = EventStoreError("down")
            await process.queue.offer(event(4))
            assert process.queue.is_away
            await clock.sleep(STATS_SECONDS)
            assert process.queue.stats() is None
            store.away = None
            await clock.sleep(STATS_SECONDS)
            assert not process.queue.is_away
            assert process.queue.stats() is not None
            assert store.calls[asked:].count("stats") < 40
        assert process.queue.stats() is None


# -- a store that is away ---------------------------------------------------------------------------------------------


async def test_while_the_store_is_away_events_are_rejected_and_results_are_stored_later(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "strava_async.webhooks")
    async with shared(clock) as store:
        process = Process(store, clock)
        process.act = partial(process.taking, 5)
        async with clock.autojump(), process.queue.running():
            await process.queue.offer(event(1))
            await clock.sleep(1)
            store.away = EventStoreError("the file is locked: end who locks it")
            assert [await process.queue.offer(event(number)) for number in (2, 3)] == [Offer.REJECTED] * 2
            await clock.sleep(20)
            assert process.ended == [1]
            assert process.queue.counts.handled == 0
            store.away = None
            await clock.sleep(10)
            assert process.queue.counts.handled == 1
            assert await process.queue.offer(event(2)) is Offer.ACCEPTED
            await clock.sleep(10)
            assert process.ended == [1, 2]
        assert process.queue.counts == WebhookCounts(accepted=2, turned_away=2, handled=2)
        assert levels(caplog, "the store of the webhook events") == ["WARNING", "INFO"]
        assert "end who locks it" in caplog.text


async def test_what_a_store_raises_that_is_no_error_of_ours_ends_no_worker(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)
        store.away = RuntimeError("sekret of a defect")
        async with clock.autojump(), process.queue.running():
            await clock.sleep(5)
            store.away = None
            await clock.sleep(20)
            assert await process.queue.offer(event()) is Offer.ACCEPTED
            await clock.sleep(1)
        assert process.ended == [1]
        assert "is away, and new ones are answered with 503: RuntimeError" in caplog.text


async def test_what_is_not_stored_within_a_second_is_rejected(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)
        async with clock.autojump(), process.queue.running():
            store.hangs = {"append"}
            began = clock.monotonic()
            assert await process.queue.offer(event()) is Offer.REJECTED
            assert clock.monotonic() - began == APPEND_SECONDS


async def test_a_result_that_hangs_is_stored_again(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)
        store.hangs = {"ack"}
        async with clock.autojump(), process.queue.running():
            await process.queue.offer(event())
            await clock.sleep(CALL_SECONDS)
            store.hangs = set()
            await clock.sleep(CALL_SECONDS)
            assert process.queue.counts.handled == 1
        assert store.calls.count("ack") == 2


# -- the shutdown -----------------------------------------------------------------------------------------------------


async def test_at_the_end_nothing_more_is_begun_and_what_is_left_is_free_at_once(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)

        async def act(pending: PendingEvent) -> AttemptResult:
            await clock.sleep(2 if pending.event.object_id == 1 else 600)
            return Outcome.HANDLED

        process.act = act
        async with clock.autojump():
            began = clock.monotonic()
            async with process.queue.running():
                for number in (1, 2, 3):
                    await process.queue.offer(event(number))
                await clock.sleep(1)
            assert clock.monotonic() - began == 1 + 4  # drain_seconds
        assert (process.begun, process.ended) == ([1, 2], [1])
        assert process.queue.counts == WebhookCounts(accepted=3, handled=1)
        assert [claim.pending.event for claim in await store.claim(9, 1.0)] == [event(3), event(2)]


async def test_what_is_left_is_everybodys_with_its_progress(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock, drain_seconds=0)

        async def act(pending: PendingEvent) -> AttemptResult:
            pending.failures["trouble"] = 2
            return await process.for_ever(pending)

        process.act = act
        async with process.queue.running():
            await process.queue.offer(event())
            await anyio.wait_all_tasks_blocked()
        [claim] = await store.claim(9, 1.0)
        assert (claim.pending.failures, claim.pending.claimed) == ({"trouble": 2}, False)


async def test_what_waits_for_its_next_attempt_goes_on_waiting_in_the_store(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)

        async def act(pending: PendingEvent) -> AttemptResult:
            return Retry(600.0, WaitReason.TROUBLE)

        process.act = act
        async with process.queue.running():
            await process.queue.offer(event())
            await anyio.wait_all_tasks_blocked()
        [stored] = await store.inner.events()
        assert (stored.due_seconds, stored.waits_for) == (600.0, WaitReason.TROUBLE)
        assert process.queue.counts == WebhookCounts(accepted=1)


async def test_a_claim_that_succeeds_while_the_end_begins_is_given_back(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)
        store.finishes_claims = True

        async def append_late() -> None:
            await anyio.wait_all_tasks_blocked()
            await store.inner.append(event())
            await store.inner.append(REMOVED)

        async with anyio.create_task_group() as tasks, process.queue.running():
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(append_late)
        assert process.begun == []
        assert len(await store.claim(9, 1.0)) == 1


async def test_a_result_is_stored_and_counted_although_everything_is_cancelled(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)
        with anyio.CancelScope() as scope:
            async with process.queue.running():

                async def act(pending: PendingEvent) -> AttemptResult:
                    scope.cancel()
                    return Outcome.HANDLED

                process.act = act
                await process.queue.offer(event())
                await anyio.sleep_forever()
        assert (await store.inner.stats()).unfinished == 0
        assert process.queue.counts == WebhookCounts(accepted=1, handled=1)


async def test_what_could_not_be_stored_is_stored_at_the_end(clock: FakeClock) -> None:
    async with shared(clock) as store:
        process = Process(store, clock, drain_seconds=0)
        process.act = partial(process.taking, 5)
        async with clock.autojump(), process.queue.running():
            await process.queue.offer(event())
            await clock.sleep(1)
            store.away = EventStoreError("away")
            await clock.sleep(20)
            store.away = None
        assert process.ended == [1]
        assert (await store.inner.stats()).unfinished == 0


async def test_an_end_without_the_store_is_bounded_and_says_what_may_be_handled_again(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with shared(clock) as store:
        process = Process(store, clock)
        async with clock.autojump():
            async with process.queue.running():
                await process.queue.offer(event())
                store.hangs = {"ack", "retry", "claim", "renew", "stats"}
                await clock.sleep(60)
                began = clock.monotonic()
            assert clock.monotonic() - began <= 4.0 + 2 * CALL_SECONDS
        assert levels(caplog, "1 finished webhook events may be handled again") == ["ERROR"]


async def test_what_a_thread_is_still_at_is_nobody_elses_while_its_lease_lasts(clock: FakeClock) -> None:
    release, begun = threading.Event(), threading.Event()
    async with shared(clock) as store:
        process = Process(store, clock, drain_seconds=0)

        async def act(pending: PendingEvent) -> AttemptResult:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                pending.runs_on = True
            raise AssertionError

        process.act = act
        async with process.queue.running():
            await process.queue.offer(event())
            await anyio.to_thread.run_sync(begun.wait)
        release.set()
        assert (await store.inner.stats()).claimed == 1
        clock.advance(LEASE_SECONDS)
        [claim] = await store.claim(9, 1.0)
        assert claim.pending.claimed


# -- arguments --------------------------------------------------------------------------------------------------------


def test_what_is_no_store_is_refused() -> None:
    async def attempt(pending: PendingEvent, is_last: bool) -> AttemptResult:
        return Outcome.HANDLED

    no_store: Any = object()
    with pytest.raises(InputError, match="EventStore"):
        EventQueue(attempt, no_store, clock=FakeClock(), workers=1, drain_seconds=math.inf)
