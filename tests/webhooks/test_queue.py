"""The queue of webhook events: nothing lost, nothing twice, in order, and an end that waits for what is queued."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from strava_async import InputError
from strava_async._concurrency.ttl_set import HOUR_SECONDS, TtlSet
from strava_async.testing import FakeClock
from strava_async.webhooks import MemoryEventStore, WebhookEvent
from strava_async.webhooks.backend_shared import LEASE_SECONDS
from strava_async.webhooks.counts import Offer, WebhookCounts
from strava_async.webhooks.event_store_memory import REMEMBERED_EVENTS
from strava_async.webhooks.owners import Owners
from strava_async.webhooks.pending import AttemptResult, Outcome, PendingEvent, Retry, WaitReason
from strava_async.webhooks.queue import EventQueue
from tests.webhooks.event_stores import MUCH, InMemory, Stores

pytestmark = pytest.mark.anyio

REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 5, {"authorized": "false"})

Act = Callable[[PendingEvent, bool], Awaitable[AttemptResult]]


def event(number: int = 1, *, at: int = 1, object_type: str = "activity") -> WebhookEvent:
    return WebhookEvent(object_type, number, "update", 7, 9, at)


class Desk:
    """Attempts events as told, and notes the order and how many are handled at the same time."""

    def __init__(self, stores: Stores | None = None) -> None:
        self.stores = stores or InMemory()
        self.clock = self.stores.clock
        self.begun: list[tuple[int, int]] = []
        self.ended: list[tuple[int, int]] = []
        self.lasts: list[bool] = []
        self.most_under_way = 0
        self.act: Act = self.at_once

    async def at_once(self, job: PendingEvent, last: bool) -> AttemptResult:
        return Outcome.HANDLED

    async def a_second(self, job: PendingEvent, last: bool) -> AttemptResult:
        await self.clock.sleep(1)
        return Outcome.HANDLED

    async def for_ever(self, job: PendingEvent, last: bool) -> AttemptResult:
        await anyio.sleep_forever()
        raise AssertionError

    async def attempt(self, job: PendingEvent, last: bool) -> AttemptResult:
        what = (job.event.object_id, job.event.event_time)
        self.begun.append(what)
        self.lasts.append(last)
        self.most_under_way = max(self.most_under_way, len(self.begun) - len(self.ended))
        try:
            return await self.act(job, last)
        finally:
            self.ended.append(what)

    def queue(
        self,
        *,
        workers: int = 4,
        max_queue: int = 10_000,
        of_owner: int = MUCH,
        drain_seconds: float | None = 30.0,
        owners: Owners | None = None,
    ) -> EventQueue:
        if owners is None:
            store = self.stores.made(max_unfinished=max_queue, of_owner=of_owner)
        else:
            store = MemoryEventStore(self.clock, max_unfinished=max_queue, owners=owners)
        return EventQueue(self.attempt, store, clock=self.clock, workers=workers, drain_seconds=drain_seconds)

    async def quiet(self) -> None:
        """Wait until what can be done without time is done: a shutdown begins nothing that a store keeps."""
        await self.clock.quiet()


@pytest.fixture
def desk(stores: Stores) -> Desk:
    """A desk over a store of each kind."""
    return Desk(stores)


def failing_first(pauses: dict[int, list[float]]) -> Act:
    """Return an attempt that fails as often as there are pauses for the object."""

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        left = pauses.get(job.event.object_id, [])
        if not left:
            return Outcome.HANDLED
        pause = left.pop(0)
        return Outcome.FAILED if last else Retry(pause, WaitReason.TROUBLE)

    return act


# -- accepted, known, turned away -------------------------------------------------------------------------------------


async def test_an_event_is_handled_once_however_often_it_comes(desk: Desk) -> None:
    queue = desk.queue()
    async with queue.running():
        assert [await queue.offer(event()) for _ in range(3)] == [Offer.ACCEPTED, Offer.DUPLICATE, Offer.DUPLICATE]
        await desk.quiet()
        assert await queue.offer(event()) is Offer.DUPLICATE
    assert desk.begun == [(1, 1)]
    assert queue.counts == WebhookCounts(accepted=1, duplicates=3, handled=1)


async def test_an_event_is_forgotten_after_an_hour(desk: Desk) -> None:
    queue = desk.queue()
    async with queue.running():
        await queue.offer(event())
        await desk.quiet()
        desk.clock.advance(HOUR_SECONDS - 1)
        assert await queue.offer(event()) is Offer.DUPLICATE
        desk.clock.advance(1)
        assert await queue.offer(event()) is Offer.ACCEPTED


async def test_no_more_events_are_remembered_than_may_be() -> None:
    seen = TtlSet(FakeClock(), 2)
    for key in ("a", "b", "c"):
        seen.add(key)
    assert [key in seen for key in ("a", "b", "c")] == [False, True, True]


async def test_what_finds_no_room_is_rejected_and_accepted_later(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue(max_queue=2, workers=1)
    async with queue.running(), desk.clock.autojump():
        offers = [await queue.offer(event(number)) for number in (1, 2, 3)]
        assert offers == [Offer.ACCEPTED, Offer.ACCEPTED, Offer.REJECTED]
        assert await queue.offer(event(1)) is Offer.DUPLICATE
        await desk.clock.sleep(1.5)  # one of two has ended
        assert await queue.offer(event(3)) is Offer.ACCEPTED
        assert await queue.offer(event(4)) is Offer.REJECTED
        await desk.clock.sleep(5)
    assert [number for number, _ in desk.ended] == [1, 2, 3]
    assert (queue.counts.turned_away, queue.counts.accepted) == (2, 3)


async def test_nothing_is_accepted_before_the_beginning_and_after_the_end(desk: Desk) -> None:
    queue = desk.queue()
    assert await queue.offer(event()) is Offer.REJECTED
    async with queue.running():
        pass
    assert await queue.offer(event()) is Offer.REJECTED
    async with queue.running():
        assert await queue.offer(event()) is Offer.ACCEPTED
        await desk.quiet()
    assert desk.begun == [(1, 1)]


async def test_what_is_known_is_rejected_too_where_nothing_runs(desk: Desk) -> None:
    queue = desk.queue()
    async with queue.running():
        await queue.offer(event())
        await desk.quiet()
    assert await queue.offer(event()) is Offer.REJECTED
    assert queue.counts == WebhookCounts(accepted=1, handled=1, turned_away=1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_unfinished_is_known_however_long_the_queue_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "strava_async.webhooks")  # each is named when it is lost
    queue = Desk().queue(max_queue=REMEMBERED_EVENTS + 1, workers=1)
    with anyio.CancelScope() as scope:
        async with queue.running():
            for number in range(1, REMEMBERED_EVENTS + 2):
                await queue.offer(event(number))
            assert await queue.offer(event(1)) is Offer.DUPLICATE
            scope.cancel()
            await anyio.sleep_forever()


async def test_what_is_rejected_is_in_the_log_once_a_minute(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.act = desk.a_second
    queue = desk.queue(max_queue=1, drain_seconds=0)

    def said() -> list[str]:
        texts = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        caplog.clear()
        return [text.partition(", ")[2].partition(":")[0] for text in texts]

    for seconds in (0, 59.5, 0.5):
        desk.clock.advance(seconds)
        await queue.offer(event())
    assert said() == ["the router's lifespan is not running"] * 2
    async with queue.running():
        for number in (1, 2, 3):
            await queue.offer(event(number))
        assert said() == ["the queue is full"]


async def test_what_is_rejected_at_the_end_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    queue = desk.queue()

    async def offer_at_the_end(job: PendingEvent, last: bool) -> AttemptResult:
        await anyio.wait_all_tasks_blocked()
        assert await queue.offer(event(2)) is Offer.REJECTED
        return Outcome.HANDLED

    desk.act = offer_at_the_end
    async with queue.running():
        await queue.offer(event())
    assert queue.counts == WebhookCounts(accepted=1, handled=1, turned_away=1)
    assert caplog.records == []


async def test_a_queue_runs_once_at_a_time() -> None:
    queue = Desk().queue()
    async with queue.running():
        with pytest.raises(InputError, match="running already"):
            async with queue.running():
                pass
        assert await queue.offer(event()) is Offer.ACCEPTED


@pytest.mark.parametrize(
    "arguments",
    [
        *[{"workers": 0}, {"workers": 1.5}, {"workers": True}],
        *[{"max_queue": 0}, {"max_queue": float("inf")}],
        *[{"drain_seconds": -1.0}, {"drain_seconds": float("nan")}],
    ],
)
def test_invalid_numbers_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Desk().queue(**arguments)


# -- order ------------------------------------------------------------------------------------------------------------


async def test_events_of_one_object_are_handled_one_after_the_other_in_order(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue()
    async with queue.running(), desk.clock.autojump():
        for at in range(1, 6):
            await queue.offer(event(at=at))
        await desk.clock.sleep(10)
    assert desk.most_under_way == 1
    assert desk.ended == [(1, at) for at in range(1, 6)]


async def test_events_of_one_object_are_one_at_a_time_and_in_order_over_two_queues_on_one_store(desk: Desk) -> None:
    if not desk.stores.outlive:
        pytest.skip("a store in memory has one queue")
    desk.act = desk.a_second
    queues = [desk.queue(), desk.queue()]
    async with queues[0].running():
        await desk.quiet()  # a file is made by one of them, in real time
        async with desk.clock.autojump(), queues[1].running():
            for at in range(1, 7):
                assert await queues[at % 2].offer(event(at=at)) is Offer.ACCEPTED
                assert await queues[(at + 1) % 2].offer(event(at=at)) is Offer.DUPLICATE
            await desk.clock.sleep(12)
    assert desk.most_under_way == 1
    assert desk.ended == [(1, at) for at in range(1, 7)]
    assert sum(queue.counts.handled for queue in queues) == 6


async def test_different_objects_are_handled_at_the_same_time_as_many_as_there_are_workers(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue(workers=3)
    async with queue.running(), desk.clock.autojump():
        for number in range(1, 8):
            await queue.offer(event(number))
        await desk.clock.sleep(10)
    assert desk.most_under_way == 3
    assert len(desk.ended) == 7


async def test_an_athlete_and_an_activity_of_one_id_are_two_objects(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue()
    async with queue.running(), desk.clock.autojump():
        await queue.offer(event(1))
        await queue.offer(event(1, object_type="athlete"))
        await desk.clock.sleep(5)
    assert desk.most_under_way == 2


async def test_five_thousand_events_of_one_object_keep_their_order() -> None:
    desk = Desk()
    queue = desk.queue()
    async with queue.running():
        for at in range(1, 5_001):
            assert await queue.offer(event(at=at)) is Offer.ACCEPTED
    assert desk.ended == [(1, at) for at in range(1, 5_001)]
    assert desk.most_under_way == 1


async def test_a_busy_object_does_not_keep_another_from_its_turn(desk: Desk) -> None:
    queue = desk.queue(workers=1)
    stored = anyio.Event()

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        await stored.wait()
        return Outcome.HANDLED

    desk.act = act
    async with queue.running():
        for at in range(1, 101):
            await queue.offer(event(1, at=at))
        await queue.offer(event(2))
        stored.set()
        await desk.quiet()
    assert desk.ended.index((2, 1)) == 1
    assert len(desk.ended) == 101


async def test_a_deauthorization_does_not_wait_behind_what_the_workers_do(desk: Desk) -> None:

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        if not job.event.is_deauthorization:
            await desk.clock.sleep(900)
        return Outcome.HANDLED

    desk.act = act
    queue = desk.queue(workers=2, drain_seconds=0)
    async with queue.running():
        for number in (1, 2, 3):
            await queue.offer(event(number))
        await queue.offer(event(7, object_type="athlete"))
        await queue.offer(REMOVED)
        await desk.quiet()
        assert desk.ended == [(7, 5)]
    assert queue.counts.handled == 1


async def test_deauthorizations_of_one_athlete_are_handled_one_after_the_other(desk: Desk) -> None:
    desk.act = failing_first({7: [2.0]})
    queue = desk.queue()
    async with queue.running(), desk.clock.autojump():
        await queue.offer(REMOVED)
        await queue.offer(WebhookEvent("athlete", 7, "update", 7, 9, 6, {"authorized": "false"}))
        await desk.clock.sleep(5)
    assert desk.begun == [(7, 5), (7, 5), (7, 6)]


# -- one athlete ------------------------------------------------------------------------------------------------------


def of(owner_id: int, number: int) -> WebhookEvent:
    return WebhookEvent("activity", number, "create", owner_id, 9, 1)


def removed(at: int, owner_id: int = 7) -> WebhookEvent:
    return WebhookEvent("athlete", owner_id, "update", owner_id, 9, at, {"authorized": "false"})


async def test_what_is_too_much_of_one_athlete_is_rejected_and_others_are_taken(
    desk: Desk,
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk.act = desk.a_second
    queue = desk.queue(of_owner=2, workers=1)
    async with queue.running(), desk.clock.autojump():
        assert [await queue.offer(of(7, number)) for number in (1, 2)] == [Offer.ACCEPTED] * 2
        assert [await queue.offer(of(7, number)) for number in (3, 4, 5)] == [Offer.REJECTED] * 3
        assert await queue.offer(of(8, 6)) is Offer.ACCEPTED
        await desk.clock.sleep(1.5)
        assert await queue.offer(of(7, 3)) is Offer.ACCEPTED
        await desk.clock.sleep(5)
    assert queue.counts == WebhookCounts(accepted=4, handled=4, turned_away=3)
    [said] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said == "a webhook event was rejected, as many of one athlete's are unfinished as may be: those of 7"


async def test_what_a_cut_left_counts_no_longer_at_the_next_start() -> None:
    desk = Desk()
    desk.act = desk.a_second
    owners = Owners(most_unfinished=2)
    queue = desk.queue(owners=owners, drain_seconds=0)
    for _ in range(2):
        async with queue.running():
            assert [await queue.offer(of(7, number)) for number in (1, 2)] == [Offer.ACCEPTED] * 2
            await anyio.wait_all_tasks_blocked()
    assert owners.known == 0


async def test_a_deauthorization_is_taken_however_many_events_of_its_athlete_there_are(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue(of_owner=1, drain_seconds=0)
    async with queue.running():
        assert [await queue.offer(of(7, number)) for number in (1, 2)] == [Offer.ACCEPTED, Offer.REJECTED]
        assert await queue.offer(removed(1)) is Offer.ACCEPTED


async def test_a_flood_of_deauthorizations_of_one_athlete_is_two_and_the_last_of_it_is_handled(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue(max_queue=5)
    many = desk.stores.many
    async with queue.running():
        for at in range(1, many + 1):
            assert await queue.offer(removed(at)) is Offer.ACCEPTED
        await desk.quiet()
        assert queue.counts.accepted == many
        assert queue.counts.dropped == many - 2
        assert await queue.offer(removed(many // 2)) is Offer.DUPLICATE
        assert await queue.offer(removed(1, owner_id=8)) is Offer.ACCEPTED
        async with desk.clock.autojump():
            await desk.clock.sleep(5)
    assert desk.ended == [(7, 1), (8, 1), (7, many)]
    assert queue.counts == WebhookCounts(accepted=many + 1, handled=3, dropped=many - 2, duplicates=1)


async def test_a_deauthorization_about_which_something_was_done_is_not_replaced(desk: Desk) -> None:
    seen: list[int] = []

    async def claim(job: PendingEvent, last: bool) -> AttemptResult:
        seen.append(job.event.event_time)
        if job.event.event_time == 1 and len(seen) == 1:
            return Retry(3.0, WaitReason.TROUBLE)
        job.claimed = True
        return Outcome.HANDLED

    desk.act = claim
    queue = desk.queue()
    async with queue.running(), desk.clock.autojump():
        await queue.offer(removed(1))
        await desk.quiet()
        await queue.offer(removed(2))
        await desk.clock.sleep(6)
    assert seen == [1, 1, 2]


async def test_an_event_that_says_it_is_another_athletes_holds_up_nobody(desk: Desk) -> None:
    forged, real = of(8, 5), of(7, 5)

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        return Retry(3600.0, WaitReason.TROUBLE) if job.event == forged else Outcome.HANDLED

    desk.act = act
    queue = desk.queue(drain_seconds=0)
    async with queue.running():
        await queue.offer(forged)
        await desk.quiet()
        await queue.offer(real)
        await desk.quiet()
        assert queue.counts.handled == 1


async def test_what_waits_for_its_athletes_turn_has_it_when_one_of_them_was_confirmed(desk: Desk) -> None:
    begun: list[tuple[int, float]] = []
    began = desk.clock.monotonic()

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        begun.append((job.event.object_id, desk.clock.monotonic() - began))
        if job.event.object_id == 9:
            await desk.clock.sleep(20)
        elif job.event.object_id < 4 and not job.standing.has_turn:
            job.standing.has_turn = True
            reason = WaitReason.TROUBLE if job.event.object_id == 3 else WaitReason.OWNER_TURN
            return Retry(3600.0, reason)
        return Outcome.HANDLED

    desk.act = act
    queue = desk.queue(workers=5, drain_seconds=0)
    async with queue.running(), desk.clock.autojump():
        for number in (1, 2, 3):
            await queue.offer(of(7, number))
        await queue.offer(of(7, 9))
        await queue.offer(of(8, 4))
        await desk.clock.sleep(25)
        again = begun[5:]
    assert sorted(begun[:5]) == [(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (9, 0.0)]
    assert sorted(again) == [(1, 20.0), (2, 20.0)]


# -- the oldest -------------------------------------------------------------------------------------------------------


async def quiet() -> None:
    """Wait until every task waits: on asyncio one that has just been woken seems to wait still."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


async def test_an_event_that_waits_for_a_worker_for_a_minute_is_warned_of_each_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()

    async def hang(job: PendingEvent, last: bool) -> AttemptResult:
        await desk.clock.sleep(150)
        return Outcome.HANDLED

    desk.act = hang
    queue = desk.queue(workers=2, drain_seconds=0)
    async with queue.running():
        for number in (1, 2, 3, 4):
            await queue.offer(event(number))
        await quiet()
        assert queue.oldest_waiting() == 0.0
        for seconds, lines in ((59.5, 0), (0.5, 1), (59.0, 1), (1.0, 2), (29.0, 2), (1.0, 2)):
            desk.clock.advance(seconds)
            await quiet()
            assert len(caplog.records) == lines
        assert queue.oldest_waiting() is None  # 150 s: two are being handled again
        desk.clock.advance(300)
        await quiet()
        assert len(caplog.records) == 2
    texts = [record.getMessage() for record in caplog.records]
    assert texts[0] == (
        "the oldest webhook event that could be handled has waited for 60 s: "
        "no worker is free for it, and 4 are unfinished"
    )
    assert "has waited for 120 s" in texts[1]


async def test_an_event_that_comes_while_all_workers_are_busy_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.act = desk.for_ever
    queue = desk.queue(workers=1, drain_seconds=0)
    async with queue.running():
        await queue.offer(event(1))
        await quiet()
        await queue.offer(event(2))
        await quiet()
        desk.clock.advance(60)
        await quiet()
        assert "has waited for 60 s" in caplog.text


async def test_a_deauthorization_that_waits_for_its_worker_is_warned_of_too(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.act = desk.for_ever
    queue = desk.queue(drain_seconds=0)
    async with queue.running():
        for owner_id in (7, 8):
            await queue.offer(removed(1, owner_id=owner_id))
        await quiet()
        desk.clock.advance(60)
        await quiet()
        assert "has waited for 60 s" in caplog.text


async def test_what_waits_to_be_tried_again_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.act = failing_first({1: [3600.0], 2: [3600.0]})
    queue = desk.queue(workers=1)
    async with queue.running():
        for number in (1, 2):
            await queue.offer(event(number))
        await quiet()
        for _ in range(5):
            desk.clock.advance(60)
            await quiet()
        assert queue.oldest_waiting() is None
    assert caplog.records == []


# -- again ------------------------------------------------------------------------------------------------------------


async def test_what_failed_is_tried_again_when_it_is_due(desk: Desk) -> None:
    began = desk.clock.monotonic()
    at: list[float] = []
    queue = desk.queue()
    failing = failing_first({1: [2.0, 10.0]})

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        at.append(desk.clock.monotonic() - began)
        return await failing(job, last)

    desk.act = act
    async with queue.running(), desk.clock.autojump():
        await queue.offer(event())
        await desk.clock.sleep(20)
    assert at == [0, 2, 12]
    assert queue.counts == WebhookCounts(accepted=1, handled=1)


async def test_what_waits_keeps_its_place_and_occupies_no_worker(desk: Desk) -> None:
    desk.act = failing_first({1: [6.0]})
    queue = desk.queue(workers=1)
    async with queue.running(), desk.clock.autojump():
        await queue.offer(event(1, at=1))
        await queue.offer(event(1, at=2))
        await queue.offer(event(2))
        await desk.clock.sleep(5)
        assert desk.ended == [(1, 1), (2, 1)]
        assert desk.stores.outlive or queue.counts.waiting == 2
        assert await queue.offer(event(1, at=1)) is Offer.DUPLICATE
        await desk.clock.sleep(2)
    assert desk.ended == [(1, 1), (2, 1), (1, 1), (1, 2)]


async def test_a_short_wait_is_not_held_up_by_a_long_one_that_began_before(desk: Desk) -> None:
    desk.act = failing_first({1: [10.0], 2: [0.5], 3: [5.0]})
    queue = desk.queue()
    async with queue.running(), desk.clock.autojump():
        for number in (1, 2, 3):
            await queue.offer(event(number))
        await desk.clock.sleep(20)
    assert [number for number, _ in desk.begun][3:] == [2, 3, 1]


async def test_nobody_asks_the_clock_while_nothing_waits() -> None:
    desk = Desk()
    queue = desk.queue()
    async with queue.running():
        await queue.offer(event())
        await anyio.wait_all_tasks_blocked()
        assert desk.clock.sleeping == 0


# -- the end ----------------------------------------------------------------------------------------------------------


async def test_at_the_end_what_is_queued_is_handled() -> None:
    desk = Desk()
    desk.act = desk.a_second
    queue = desk.queue(workers=2)
    async with desk.clock.autojump():
        async with queue.running():
            for number in range(1, 11):
                await queue.offer(event(number))
        assert len(desk.ended) == 10
    assert queue.counts == WebhookCounts(accepted=10, handled=10)


async def test_while_it_ends_nothing_new_is_accepted_and_what_is_known_stays_known() -> None:
    desk = Desk()
    desk.act = desk.a_second
    queue = desk.queue()
    offers: list[Offer] = []

    async def late() -> None:
        await desk.clock.sleep(0.5)
        offers.extend([await queue.offer(event(2)), await queue.offer(event(1))])

    async with desk.clock.autojump() as tasks, queue.running():
        await queue.offer(event(1))
        tasks.start_soon(late)
    assert offers == [Offer.REJECTED, Offer.DUPLICATE]


async def test_what_waits_to_be_tried_again_gets_one_last_attempt_at_the_end() -> None:
    desk = Desk()
    desk.act = failing_first({1: [3600.0], 2: [3600.0, 3600.0]})
    queue = desk.queue()
    began = desk.clock.monotonic()
    async with queue.running():
        await queue.offer(event(1))
        await queue.offer(event(2))
        await anyio.wait_all_tasks_blocked()
        assert desk.lasts == [False, False]
    assert desk.lasts == [False, False, True, True]
    assert desk.clock.monotonic() == began
    assert queue.counts == WebhookCounts(accepted=2, handled=1, failed=1)


async def test_an_attempt_in_progress_that_fails_while_it_ends_is_followed_by_one_more() -> None:
    desk = Desk()
    failing = failing_first({1: [3600.0]})
    ending = anyio.Event()

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        await ending.wait()
        return await failing(job, last)

    async def end() -> None:
        await anyio.wait_all_tasks_blocked()
        ending.set()

    desk.act = act
    queue = desk.queue()
    async with anyio.create_task_group() as tasks, queue.running():
        await queue.offer(event(1))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(end)
    assert desk.lasts == [False, True]
    assert queue.counts.handled == 1


async def test_what_is_not_done_in_time_is_cancelled_counted_and_may_come_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()

    async def hang(job: PendingEvent, last: bool) -> AttemptResult:
        await anyio.sleep_forever()
        raise AssertionError

    desk.act = hang
    queue = desk.queue(workers=1, drain_seconds=30)
    began = desk.clock.monotonic()
    async with desk.clock.autojump():
        async with queue.running():
            for number in (1, 2, 3):
                await queue.offer(event(number))
        assert desk.clock.monotonic() - began == 30
    assert queue.counts == WebhookCounts(accepted=3, failed=3)
    assert "3 webhook events were cut off" in caplog.text
    desk.act = desk.at_once
    async with queue.running():
        assert await queue.offer(event(1)) is Offer.ACCEPTED
    assert queue.counts.handled == 1


LONG_SECONDS = 3 * LEASE_SECONDS


async def test_without_a_bound_the_end_takes_as_long_as_it_takes(desk: Desk) -> None:

    async def act(job: PendingEvent, last: bool) -> AttemptResult:
        await desk.clock.sleep(LONG_SECONDS)
        return Outcome.HANDLED

    desk.act = act
    queue = desk.queue(drain_seconds=None)
    async with desk.clock.autojump(), queue.running():
        await queue.offer(event())
        await desk.quiet()
    assert queue.counts.handled == 1


async def test_a_cut_off_deauthorization_is_named(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.act = desk.a_second
    queue = desk.queue(drain_seconds=0)
    async with queue.running():
        await queue.offer(WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"}))
        await anyio.wait_all_tasks_blocked()
    assert "'athlete' 7: cut off, of athlete 7; on_disconnect may be left" in caplog.text


async def test_of_many_that_are_cut_off_all_are_named_and_deauthorizations_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()
    desk.act = desk.a_second
    queue = desk.queue(drain_seconds=0)
    async with queue.running():
        for number in range(100, 130):
            await queue.offer(event(number))
        await queue.offer(WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"}))
        await anyio.wait_all_tasks_blocked()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 32
    assert "'athlete' 7: cut off" in lines[0]
    for number, line in zip(range(100, 130), lines[1:-1], strict=True):
        assert f"'activity' {number}: cut off" in line
    assert lines[31].startswith("31 webhook events were cut off")


async def test_what_was_handled_at_the_instant_of_the_cut_is_handled(desk: Desk) -> None:

    accepted = anyio.Event()

    async def until_the_cut(job: PendingEvent, last: bool) -> AttemptResult:
        await accepted.wait()
        scope.cancel()
        return Outcome.HANDLED

    desk.act = until_the_cut
    queue = desk.queue()
    with anyio.CancelScope() as scope:
        async with queue.running():
            await queue.offer(event())
            accepted.set()
            await anyio.sleep_forever()
    assert queue.counts == WebhookCounts(accepted=1, handled=1)


async def test_cancelling_the_lifespan_ends_it_at_once(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue(workers=2)
    with anyio.CancelScope() as scope:
        async with queue.running():
            for number in range(1, 6):
                await queue.offer(event(number))
            await desk.quiet()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert len(desk.begun) == len(desk.ended) == 2
    assert queue.counts == WebhookCounts(accepted=5, failed=0 if desk.stores.outlive else 5)
    assert await queue.offer(event(9)) is Offer.REJECTED


async def test_what_a_shutdown_left_in_a_store_that_outlives_it_the_next_run_handles_in_order(desk: Desk) -> None:
    if not desk.stores.outlive:
        pytest.skip("a store in memory has lost it, and says so")
    desk.act = desk.for_ever
    first, second = desk.queue(workers=2, drain_seconds=1), desk.queue()
    events = [*(event(1, at=at) for at in (3, 1, 2)), event(2), event(3), REMOVED]
    async with desk.clock.autojump(), first.running():
        assert [await first.offer(sent) for sent in events] == [Offer.ACCEPTED] * 6
        await desk.quiet()
    assert sorted(desk.begun) == [(1, 3), (2, 1), (7, 5)]
    assert first.counts == WebhookCounts(accepted=6)
    desk.act = desk.at_once
    desk.ended.clear()
    async with second.running():
        assert [await second.offer(sent) for sent in events] == [Offer.DUPLICATE] * 6
        await desk.quiet()  # without any time: nobody has to wait for the leases of who is gone
    assert sorted(desk.ended) == sorted((sent.object_id, sent.event_time) for sent in events)
    assert [at for number, at in desk.ended if number == 1] == [3, 1, 2]
    assert second.counts == WebhookCounts(duplicates=6, handled=6)


async def test_cancelling_the_end_ends_it_at_once() -> None:
    desk = Desk()
    desk.act = desk.a_second
    queue = desk.queue()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await anyio.wait_all_tasks_blocked()
                scope.cancel()

            async with queue.running():
                await queue.offer(event())
                tasks.start_soon(cancel)
    assert scope.cancelled_caught
    assert queue.counts == WebhookCounts(accepted=1, failed=1)


async def test_an_error_of_the_service_is_raised_as_it_is_after_the_queue_is_empty(desk: Desk) -> None:
    queue = desk.queue()

    async def live() -> None:
        async with queue.running():
            await queue.offer(event())
            await desk.quiet()
            raise RuntimeError("the service stops")

    with pytest.raises(RuntimeError, match="the service stops"):
        await live()
    assert queue.counts.handled == 1


# -- what attempts may do ---------------------------------------------------------------------------------------------


class Panic(BaseException):
    """As pyo3's PanicException: an error, and no Exception."""


@pytest.mark.parametrize("error", [Panic(), BaseExceptionGroup("several", [Panic(), ValueError()])])
async def test_a_panic_ends_its_event_and_no_worker(
    desk: Desk, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:

    async def panic(job: PendingEvent, last: bool) -> AttemptResult:
        if job.event.object_id == 1:
            raise error
        return Outcome.HANDLED

    desk.act = panic
    queue = desk.queue(workers=1)
    async with queue.running():
        await queue.offer(event(1))
        await queue.offer(event(2))
        await desk.quiet()
    assert queue.counts == WebhookCounts(accepted=2, handled=1, failed=1)
    assert "Panic" in caplog.text


async def test_an_attempt_that_is_cut_off_with_an_error_ends_the_queue_without_one() -> None:
    desk = Desk()

    async def fail_when_cut_off(job: PendingEvent, last: bool) -> AttemptResult:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as cut_off:
            raise BaseExceptionGroup("several", [cut_off, ValueError("in a finally")]) from None
        raise AssertionError

    desk.act = fail_when_cut_off
    queue = desk.queue(drain_seconds=0)
    async with queue.running():
        await queue.offer(event())
        await anyio.wait_all_tasks_blocked()
    assert queue.counts == WebhookCounts(accepted=1, failed=1)


async def test_an_attempt_that_raises_ends_its_event_and_no_worker(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:

    async def fail(job: PendingEvent, last: bool) -> AttemptResult:
        if job.event.object_id < 5:
            raise ExceptionGroup("several", [ValueError("x"), KeyError("y")])
        return Outcome.HANDLED

    desk.act = fail
    queue = desk.queue(workers=2)
    async with queue.running():
        for number in range(1, 9):
            await queue.offer(event(number))
        await desk.quiet()
    assert queue.counts == WebhookCounts(accepted=8, handled=4, failed=4)
    assert caplog.text.count("Traceback") >= 4


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_is_not_ours_ends_its_event_and_no_worker(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:

    async def wait_for_what_is_cancelled(job: PendingEvent, last: bool) -> AttemptResult:
        if job.event.object_id < 5:
            task = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(task.cancel)
            await task
        return Outcome.HANDLED

    desk.act = wait_for_what_is_cancelled
    queue = desk.queue(workers=2)
    async with queue.running():
        for number in range(1, 9):
            await queue.offer(event(number))
        await desk.quiet()
    assert queue.counts == WebhookCounts(accepted=8, handled=4, failed=4)
    assert caplog.text.count("was cancelled") == 4


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelling_the_task_of_the_lifespan_cancels_attempts_and_is_passed_on() -> None:
    desk = Desk()
    desk.act = desk.a_second
    queue = desk.queue()

    async def live() -> None:
        async with queue.running():
            await queue.offer(event())
            await anyio.sleep_forever()

    task = asyncio.ensure_future(live())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.ended == [(1, 1)]
    assert queue.counts == WebhookCounts(accepted=1, failed=1)


async def test_many_tasks_offer_at_once_and_each_event_is_handled_once(desk: Desk) -> None:
    desk.act = desk.a_second
    queue = desk.queue(workers=50)

    async def send(first: int) -> None:
        for number in range(first, first + 40):
            await queue.offer(event(number))
            await anyio.lowlevel.checkpoint()

    async with desk.clock.autojump(), queue.running():
        async with anyio.create_task_group() as senders:
            for first in range(1, 200, 10):
                senders.start_soon(send, first)
        await desk.clock.sleep(10)
    assert sorted(number for number, _ in desk.ended) == list(range(1, 231))


# -- event loops ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_another_event_loop_is_refused_at_once(backend: str) -> None:
    queue = Desk().queue()
    refusals: list[str] = []

    async def elsewhere() -> None:
        with pytest.raises(InputError) as caught:
            await queue.offer(event())
        refusals.append(str(caught.value))
        with pytest.raises(InputError):
            async with queue.running():
                raise AssertionError

    async with queue.running():
        await anyio.to_thread.run_sync(partial(anyio.run, elsewhere, backend=backend))
        assert await queue.offer(event()) is Offer.ACCEPTED
    assert refusals == [
        "this router of webhooks belongs to another event loop, which has not ended: make one for each loop and thread"
    ]
    assert queue.counts == WebhookCounts(accepted=1, handled=1)


async def test_a_run_that_has_ended_leaves_the_queue_to_any_event_loop() -> None:
    queue = Desk().queue()

    async def elsewhere() -> None:
        async with queue.running():
            await queue.offer(event(2))

    async with queue.running():
        await queue.offer(event(1))
    await anyio.to_thread.run_sync(partial(anyio.run, elsewhere))
    assert queue.counts == WebhookCounts(accepted=2, handled=2)


def test_what_a_loop_left_that_ended_too_early_is_the_next_ones() -> None:
    desk = Desk()
    queue = desk.queue(workers=1)
    dead = asyncio.new_event_loop()
    leavings: list[Any] = []

    async def begin() -> None:
        leavings.append(queue.running())
        await leavings[0].__aenter__()
        desk.act = desk.a_second
        for number in range(3):
            await queue.offer(event(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def go_on() -> None:
        assert await queue.offer(event(3)) is Offer.REJECTED
        async with queue.running():
            assert await queue.offer(event(2)) is Offer.DUPLICATE

    dead.run_until_complete(begin())
    leavings += asyncio.all_tasks(dead)
    dead.close()
    desk.act = desk.at_once
    asyncio.run(go_on())
    assert queue.counts == WebhookCounts(accepted=3, duplicates=1, turned_away=1, handled=3)
    bury(leavings)
    assert queue.counts.waiting == 0


def bury(leavings: list[Any]) -> None:
    """End what can never go on, without a word."""
    for task in leavings[1:]:
        task._log_destroy_pending = False
    leavings.clear()
    gc.collect()
