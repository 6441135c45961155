"""What a queue keeps from one process to the next: put away, taken back, and held while it is handled."""

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from strava_async import InputError, QuotaExceededError, TokenStoreError, TransportError
from strava_async.testing import FakeClock
from strava_async.webhooks import MemoryEventStore, PersistedEvent, SqliteBacklog, WebhookCounts, WebhookEvent
from strava_async.webhooks.backlog import Backlog
from strava_async.webhooks.backlog_guard import BACKLOG_SECONDS
from strava_async.webhooks.counts import Offer
from strava_async.webhooks.handler import EventHandler, OnEvent
from strava_async.webhooks.queue import EventQueue
from strava_async.webhooks.retry import QUOTA_AGE_SECONDS, TROUBLE_SECONDS

pytestmark = pytest.mark.anyio

REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"})
NO_QUOTA = QuotaExceededError(quota_class="read", window="read_15min", resume_at=0.0, wait_seconds=900.0)
UNREACHABLE = TransportError("no reply", sent="maybe")


def event(number: int = 1, at: int = 1) -> WebhookEvent:
    return WebhookEvent("activity", number, "create", 7, 9, at)


class MemoryBacklog:
    """A backlog in memory, which records its operations.

    Attributes:
        kept: what is free.
        held: what is held, by key.
        writes: the operations that were asked for.
    """

    def __init__(self, *kept: PersistedEvent) -> None:
        self.kept: list[PersistedEvent] = [*kept]
        self.held: dict[str, PersistedEvent] = {}
        self.writes: list[str] = []
        self.pauses = 0
        self.error: Exception | None = None
        self.hangs = False
        self.taking = anyio.Event()
        self.on_keep: Callable[[], None] = lambda: None
        self.on_held: Callable[[], None] = lambda: None

    async def _answer(self, what: str) -> None:
        self.writes.append(what)
        for _ in range(self.pauses):
            await anyio.lowlevel.checkpoint()
        if self.hangs:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error

    async def take(self) -> Sequence[PersistedEvent]:
        taken, self.kept = self.kept, []
        self.held.update((kept.event.key, kept) for kept in taken)
        self.taking.set()
        await self._answer("take")
        return taken

    async def hold(self, events: Sequence[PersistedEvent]) -> None:
        await self._answer("hold")
        self.held.update((kept.event.key, kept) for kept in events)
        self.on_held()

    async def settle(self, keys: Collection[str]) -> None:
        await self._answer("settle")
        self.held = {key: kept for key, kept in self.held.items() if key not in keys}

    async def keep(self, events: Sequence[PersistedEvent]) -> None:
        self.on_keep()
        await self._answer("keep")
        for kept in events:
            self.held.pop(kept.event.key, None)
        self.kept += events


class Service:
    """One run of a service after the other, over one backlog."""

    def __init__(self, backlog: Backlog | None) -> None:
        self.clock = FakeClock()
        self.backlog = backlog
        self.connected = True
        self.looks = 0
        self.error: Exception | None = None
        self.disconnect_error: Exception | None = None
        self.hangs = False
        self.gate: anyio.Event | None = None
        self.gated: int | None = None  # the object that waits at the gate; None means all
        self.claims: list[str] = []
        self.tried: list[tuple[int, int]] = []
        self.handled: list[tuple[int, int]] = []
        self.left: list[int] = []

    async def is_connected(self, athlete_id: int) -> bool:
        self.looks += 1
        return self.connected

    async def forget_if_revoked(self, athlete_id: int) -> bool:
        self.connected = False
        return True

    async def claim(self, event: WebhookEvent) -> bool:
        self.claims.append(event.key)
        return self.claims.count(event.key) == 1

    async def on_event(self, event: WebhookEvent) -> None:
        what = (event.object_id, event.event_time)
        self.tried.append(what)
        if self.gate is not None and self.gated in (None, event.object_id):
            await self.gate.wait()
        if self.hangs:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error
        self.handled.append(what)

    async def on_disconnect(self, athlete_id: int) -> None:
        if self.disconnect_error is not None:
            raise self.disconnect_error
        self.left.append(athlete_id)

    async def mend(self, backlog: MemoryBacklog) -> None:
        """Let a backlog work again, after two seconds."""
        await self.clock.sleep(2.0)
        backlog.error = None

    def queue(self, max_queue: int = 10_000, on_event: OnEvent | None = None, **changes: Any) -> EventQueue:
        store = MemoryEventStore(self.clock, max_unfinished=max_queue)
        functions: dict[str, Any] = {"on_disconnect": self.on_disconnect, "claim": self.claim}
        handling = EventHandler(self, on_event=on_event or self.on_event, bounds=store, **functions)
        arguments: dict[str, Any] = {"workers": 4, "drain_seconds": 30.0, "backlog": self.backlog, **changes}
        return EventQueue(handling.attempt, store, clock=self.clock, **arguments)

    async def until_tried(self, count: int = 1) -> None:
        """Wait for attempts, where the clock jumps: to wait until all is quiet would disturb it."""
        while len(self.tried) < count:
            await anyio.lowlevel.checkpoint()

    async def let_its_time_pass(self) -> None:
        """Let the time of a backlog that hangs pass."""
        await anyio.wait_all_tasks_blocked()
        self.clock.advance(BACKLOG_SECONDS - 0.5)
        await anyio.wait_all_tasks_blocked()
        assert self.clock.sleeping == 1
        self.clock.advance(0.5)

    async def run(self, *events: WebhookEvent, **changes: Any) -> WebhookCounts:
        """Start, take events, let them be tried, and stop."""
        queue = self.queue(**changes)
        async with queue.running():
            for each in events:
                assert await queue.offer(each) is Offer.ACCEPTED
            await anyio.wait_all_tasks_blocked()
        return queue.counts


# -- what is kept -----------------------------------------------------------------------------------------------------


async def test_what_waits_for_quota_is_not_tried_again_at_the_end_but_after_the_next_start() -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.error = NO_QUOTA
    assert await service.run(event()) == WebhookCounts(accepted=1, kept=1)
    assert service.tried == [(1, 1)]
    service.error = None
    assert await service.run() == WebhookCounts(accepted=1, handled=1)
    assert service.handled == [(1, 1)]
    assert await service.run() == WebhookCounts()
    assert backlog.writes.count("keep") == 1


async def test_what_waits_for_anything_else_is_tried_once_more_and_then_kept() -> None:
    service = Service(MemoryBacklog())
    service.error = UNREACHABLE
    assert await service.run(event()) == WebhookCounts(accepted=1, kept=1)
    assert service.tried == [(1, 1)] * 2


async def test_what_fails_for_good_is_not_kept() -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.error = ValueError("a defect")
    assert await service.run(event()) == WebhookCounts(accepted=1, failed=1)
    assert "keep" not in backlog.writes


async def test_what_is_first_tried_while_it_ends_is_kept_too() -> None:
    service = Service(MemoryBacklog())
    service.error = NO_QUOTA
    queue = service.queue(workers=1)
    async with queue.running():
        for number in range(1, 6):
            await queue.offer(event(number))
    assert queue.counts == WebhookCounts(accepted=5, kept=5)
    assert [number for number, _ in service.tried] == [1, 2, 3, 4, 5]


async def test_what_is_behind_an_event_that_waits_is_kept_untried_and_in_order() -> None:
    service = Service(MemoryBacklog())
    service.error = NO_QUOTA
    await service.run(event(1, 1), event(1, 2), event(2, 3), event(1, 4))
    assert sorted(service.tried) == [(1, 1), (2, 3)]
    service.error = None
    await service.run()
    assert [at for number, at in service.handled if number == 1] == [1, 2, 4]
    assert len(service.handled) == 4


async def test_what_is_cut_off_is_kept_and_claimed_no_second_time() -> None:
    service = Service(MemoryBacklog())
    service.hangs = True
    counts = await service.run(event(1), event(2), event(3), workers=2, drain_seconds=0)
    assert counts == WebhookCounts(accepted=3, kept=3)
    assert len(service.claims) == 2
    service.hangs = False
    assert (await service.run()).handled == 3
    assert len(service.claims) == 3


async def test_a_cancelled_lifespan_keeps_what_is_left() -> None:
    backlog = MemoryBacklog()
    backlog.pauses = 3
    service = Service(backlog)
    service.hangs = True
    queue = service.queue()
    with anyio.CancelScope() as scope:
        async with queue.running():
            await queue.offer(event())
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert [kept.event for kept in backlog.kept] == [event()]
    assert queue.counts == WebhookCounts(accepted=1, kept=1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_is_cancelled_again_and_again_keeps_what_is_left() -> None:
    backlog = MemoryBacklog()
    backlog.pauses = 20
    service = Service(backlog)
    queue = service.queue()
    service.hangs = True

    async def live() -> None:
        async with queue.running():
            await queue.offer(event())
            await anyio.sleep_forever()

    task = asyncio.ensure_future(live())
    await anyio.wait_all_tasks_blocked()
    for _ in range(15):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [kept.event for kept in backlog.kept] == [event()]
    assert queue.counts == WebhookCounts(accepted=1, kept=1)


@pytest.mark.parametrize("outer_ends_first", [True, False])
def test_what_is_left_is_kept_although_the_event_loop_ends_meanwhile(outer_ends_first: bool) -> None:
    backlog = MemoryBacklog()
    backlog.pauses = 20
    service = Service(backlog)
    service.hangs = True
    queue = service.queue(drain_seconds=0)
    closed: list[int] = []

    async def live() -> None:
        try:
            async with queue.running():
                await queue.offer(event())
                await anyio.wait_all_tasks_blocked()
        finally:
            closed.append(len(backlog.kept))  # what the backlog needs is closed here

    async def main() -> None:
        keeping = asyncio.Event()
        backlog.on_keep = keeping.set
        task = asyncio.create_task(live())
        await keeping.wait()
        if outer_ends_first:
            task.cancel()
            await asyncio.sleep(0)

    asyncio.run(main())
    assert [kept.event for kept in backlog.kept] == [event()]
    assert closed == [1]
    assert queue.counts == WebhookCounts(accepted=1, kept=1)


def test_what_was_taken_is_not_lost_although_the_event_loop_ends_meanwhile() -> None:
    backlog = MemoryBacklog(PersistedEvent(event(), 0.0))
    backlog.pauses = 20

    async def main() -> None:
        tasks = [asyncio.create_task(Service(backlog).run())]
        await backlog.taking.wait()
        tasks.clear()

    asyncio.run(main())
    assert [kept.event for kept in backlog.kept] == [event()]


async def test_while_it_is_kept_nothing_is_accepted_and_what_is_known_stays_known() -> None:
    offers: list[Offer] = []

    class Offering(MemoryBacklog):
        async def keep(self, events: Sequence[PersistedEvent]) -> None:
            offers.extend([await queue.offer(event(1)), await queue.offer(event(2))])
            await super().keep(events)

    service = Service(Offering())
    service.hangs = True
    queue = service.queue(drain_seconds=0)
    async with queue.running():
        await queue.offer(event(1))
        await anyio.wait_all_tasks_blocked()
    assert offers == [Offer.DUPLICATE, Offer.REJECTED]


async def test_a_deauthorization_whose_on_disconnect_failed_survives_a_restart() -> None:
    service = Service(MemoryBacklog())
    service.disconnect_error = OSError("the database is away")
    assert await service.run(REMOVED) == WebhookCounts(accepted=1, kept=1)
    assert not service.connected
    service.disconnect_error = None
    assert await service.run() == WebhookCounts(accepted=1, handled=1)
    assert service.left == [7]
    assert len(service.claims) == 1


# -- what is held while it is handled ---------------------------------------------------------------------------------


async def test_at_the_beginning_of_the_end_all_that_is_unfinished_is_held_and_leaves_when_it_is_settled() -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.gate = anyio.Event()
    queue = service.queue(workers=1)
    held: list[list[int]] = []

    async def let_them_go() -> None:
        await anyio.wait_all_tasks_blocked()
        held.append(sorted(kept.event.object_id for kept in backlog.held.values()))
        for number in (1, 2):
            service.gate.set()
            service.gate = anyio.Event()
            await anyio.wait_all_tasks_blocked()
            held.append(sorted(kept.event.object_id for kept in backlog.held.values()))
            assert service.handled[-1] == (number, 1)
        service.gate.set()
        service.gate = anyio.Event()
        service.gate.set()

    async with anyio.create_task_group() as tasks, queue.running():
        for number in (1, 2, 3):
            await queue.offer(event(number))
        await anyio.wait_all_tasks_blocked()
        assert backlog.writes == ["take"]
        tasks.start_soon(let_them_go)
    assert held == [[1, 2, 3], [2, 3], [3]]
    assert queue.counts == WebhookCounts(accepted=3, handled=3)
    assert (backlog.held, backlog.kept) == ({}, [])


async def test_what_is_finished_while_it_is_put_there_is_removed_afterwards() -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.gate, service.gated = anyio.Event(), 5
    backlog.on_held = service.gate.set
    queue = service.queue(workers=1)
    async with queue.running():
        backlog.pauses = 50
        for number in range(1, 6):
            await queue.offer(event(number))
    assert queue.counts == WebhookCounts(accepted=5, handled=5)
    assert backlog.writes[:2] == ["take", "hold"]
    assert (backlog.held, backlog.kept) == ({}, [])


async def test_what_is_finished_while_others_are_removed_is_removed_too() -> None:
    backlog = MemoryBacklog(*[PersistedEvent(event(number), 0.0) for number in (1, 2, 3)])
    service = Service(backlog)
    service.gate = anyio.Event()
    async with service.queue(workers=1).running():
        await anyio.wait_all_tasks_blocked()
        backlog.pauses = 50
        service.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert backlog.held == {}
    assert backlog.writes == ["take", "settle", "settle"]


async def test_an_end_with_nothing_unfinished_writes_nothing() -> None:
    backlog = MemoryBacklog()
    await Service(backlog).run(event())
    assert backlog.writes == ["take"]


async def test_what_was_taken_is_held_until_it_is_settled() -> None:
    backlog = MemoryBacklog(PersistedEvent(event(1), 0.0), PersistedEvent(event(2), 0.0))
    service = Service(backlog)
    service.gate = anyio.Event()
    queue = service.queue(workers=1)
    async with queue.running():
        await anyio.wait_all_tasks_blocked()
        assert len(backlog.held) == 2
        service.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert service.handled == [(1, 1), (2, 1)]
        assert backlog.held == {}
    assert queue.counts == WebhookCounts(accepted=2, handled=2)


@pytest.mark.parametrize("error", [None, ValueError("a defect")])
async def test_a_taken_event_leaves_whatever_its_outcome(error: Exception | None) -> None:
    backlog = MemoryBacklog(PersistedEvent(event(), 0.0))
    service = Service(backlog)
    service.error = error
    service.connected = error is not None
    await service.run()
    assert (backlog.held, backlog.kept) == ({}, [])


async def test_what_a_killed_process_had_claimed_is_handled_by_the_next() -> None:
    backlog = MemoryBacklog(PersistedEvent(event(), 0.0))
    service = Service(backlog)
    service.hangs = True
    with anyio.CancelScope() as scope:
        async with service.queue().running():
            await anyio.wait_all_tasks_blocked()
            service.backlog = MemoryBacklog(*[kept.interrupted() for kept in backlog.held.values()])
            scope.cancel()
            await anyio.sleep_forever()
    service.hangs = False
    assert await service.run() == WebhookCounts(accepted=1, handled=1)
    assert (service.handled, len(service.claims)) == ([(1, 1)], 1)


async def test_a_killed_process_that_had_deleted_tokens_leaves_on_disconnect_to_the_next() -> None:
    backlog = MemoryBacklog(PersistedEvent(REMOVED, 0.0).interrupted())
    service = Service(backlog)
    service.connected = False
    assert await service.run() == WebhookCounts(accepted=1, handled=1)
    assert service.left == [7]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_a_thread_is_still_at_is_nobody_elses_before_its_process_is_gone(cancelled: bool) -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    release, begun = threading.Event(), threading.Event()

    def on_event(event: WebhookEvent) -> None:
        begun.set()
        release.wait(30)

    queue = service.queue(on_event=on_event, workers=1, drain_seconds=0)
    try:
        with anyio.CancelScope() as scope:
            async with queue.running():
                await queue.offer(event(1))
                await queue.offer(event(2))
                await anyio.to_thread.run_sync(begun.wait)
                if cancelled:
                    scope.cancel()
        assert [kept.event for kept in backlog.kept] == [event(2)]
        assert [kept.event for kept in backlog.held.values()] == [event(1)]
        assert queue.counts == WebhookCounts(accepted=2, kept=2)
    finally:
        release.set()


async def test_attempts_are_counted_across_restarts() -> None:
    service = Service(MemoryBacklog())
    service.error = UNREACHABLE
    runs = 0
    counts = await service.run(event())
    while counts.kept:
        runs += 1
        counts = await service.run()
    assert counts == WebhookCounts(accepted=1, failed=1)
    assert len(service.tried) == len(TROUBLE_SECONDS) + 1
    assert runs > 1


# -- what is taken back -----------------------------------------------------------------------------------------------


async def test_what_was_taken_back_is_known_and_takes_no_room() -> None:
    service = Service(MemoryBacklog(*[PersistedEvent(event(number), 0.0) for number in (1, 2, 3)]))
    service.hangs = True
    queue = service.queue(max_queue=1, drain_seconds=0)
    async with queue.running():
        assert await queue.offer(event(1)) is Offer.DUPLICATE
        assert await queue.offer(event(4)) is Offer.ACCEPTED
        assert await queue.offer(event(5)) is Offer.REJECTED
    assert queue.counts.kept == 4


async def test_an_event_keeps_the_instant_at_which_it_came() -> None:
    backlog = MemoryBacklog(PersistedEvent(event(), 5.0))
    service = Service(backlog)
    service.hangs = True
    await service.run(drain_seconds=0)
    assert [kept.accepted_at for kept in backlog.kept] == [5.0]


async def test_the_time_in_the_backlog_counts_for_how_old_an_event_is() -> None:
    service = Service(MemoryBacklog(PersistedEvent(event(), FakeClock().time() - QUOTA_AGE_SECONDS - 1)))
    service.error = NO_QUOTA
    assert await service.run() == WebhookCounts(accepted=1, failed=1)


async def test_a_start_that_is_cancelled_while_it_takes_loses_nothing() -> None:
    backlog = MemoryBacklog(PersistedEvent(event(), 0.0))
    backlog.pauses = 3
    service = Service(backlog)
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with service.queue().running():
            await anyio.sleep_forever()
    assert [kept.event for kept in backlog.kept] == [event()]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_starting_task_that_is_cancelled_while_it_takes_loses_nothing() -> None:
    backlog = MemoryBacklog(PersistedEvent(event(), 0.0))
    backlog.pauses = 5
    task = asyncio.ensure_future(Service(backlog).run())
    await backlog.taking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [kept.event for kept in backlog.kept] == [event()]


# -- a backlog that does not do ---------------------------------------------------------------------------------------


async def test_a_keep_that_raises_is_logged_with_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.error = NO_QUOTA
    queue = service.queue()
    async with queue.running():
        await queue.offer(event(1))
        await queue.offer(event(2))
        await anyio.wait_all_tasks_blocked()
        backlog.error = TokenStoreError("no room")
    assert queue.counts == WebhookCounts(accepted=2, failed=2)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "could not be kept: TokenStoreError('no room')" in errors[0]
    assert "'activity' 1: cut off" in errors[1]
    assert "'activity' 2: cut off" in errors[2]
    assert errors[3].startswith("2 webhook events were cut off")
    assert "Traceback" not in caplog.text


async def test_a_keep_that_hangs_has_four_seconds(caplog: pytest.LogCaptureFixture) -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.error = NO_QUOTA
    queue = service.queue()
    async with anyio.create_task_group() as tasks, queue.running():
        await queue.offer(event())
        await anyio.wait_all_tasks_blocked()
        backlog.hangs = True
        tasks.start_soon(service.let_its_time_pass)
    assert queue.counts == WebhookCounts(accepted=1, failed=1)
    assert "took longer than 4 s" in caplog.text


@pytest.mark.parametrize("error", [TokenStoreError("damaged"), OSError("away")])
async def test_a_take_that_raises_is_logged_and_the_service_starts(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    backlog = MemoryBacklog()
    backlog.error = error
    service = Service(backlog)
    assert (await service.run(event())).handled == 1
    assert "no webhook events were taken back" in caplog.text
    assert ("Traceback" in caplog.text) is isinstance(error, OSError)


async def test_a_take_that_hangs_has_four_seconds_and_the_service_starts() -> None:
    backlog = MemoryBacklog()
    backlog.hangs = True
    service = Service(backlog)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.let_its_time_pass)
        assert (await service.run(event())).handled == 1


async def test_a_take_that_returns_nonsense_lets_the_service_start(caplog: pytest.LogCaptureFixture) -> None:
    nonsense: Any = "nonsense"
    service = Service(MemoryBacklog(nonsense))
    assert (await service.run(event())).handled == 1
    assert "no webhook events were taken back" in caplog.text


async def test_what_could_not_be_put_there_at_the_beginning_of_the_end_is_kept_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.hangs = True
    queue = service.queue(drain_seconds=5)
    async with service.clock.autojump(), anyio.create_task_group() as tasks, queue.running():
        await queue.offer(event())
        await service.until_tried()
        backlog.error = TokenStoreError("no room")
        tasks.start_soon(service.mend, backlog)
    assert "could not be put into the backlog when the shutdown began" in caplog.text
    assert backlog.writes == ["take", "hold", "keep"]
    assert [kept.event for kept in backlog.kept] == [event()]
    assert queue.counts == WebhookCounts(accepted=1, kept=1)


async def test_what_could_not_be_put_there_and_is_handled_is_not_sought_there(caplog: pytest.LogCaptureFixture) -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.gate = gate = anyio.Event()

    async def let_it_go() -> None:
        await anyio.wait_all_tasks_blocked()
        assert backlog.writes == ["take", "hold"]
        gate.set()

    queue = service.queue()
    async with anyio.create_task_group() as tasks, queue.running():
        await queue.offer(event())
        await anyio.wait_all_tasks_blocked()
        backlog.error = OSError("the database is away")
        tasks.start_soon(let_it_go)
    assert queue.counts == WebhookCounts(accepted=1, handled=1)
    assert backlog.writes == ["take", "hold"]
    assert "may be handled again" not in caplog.text


async def test_what_is_held_is_not_lost_where_it_cannot_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.hangs = True
    queue = service.queue(drain_seconds=5)
    backlog.on_keep = lambda: setattr(backlog, "error", TokenStoreError("no room"))
    async with service.clock.autojump(), queue.running():
        await queue.offer(event(1))
        await queue.offer(event(2))
        await service.until_tried(2)
    assert queue.counts == WebhookCounts(accepted=2, kept=2)
    assert len(backlog.held) == 2
    assert "were cut off" not in caplog.text


async def test_what_cannot_be_removed_is_tried_again_with_the_next_and_at_the_end() -> None:
    backlog = MemoryBacklog(*[PersistedEvent(event(number), 0.0) for number in (1, 2)])
    service = Service(backlog)
    queue = service.queue(workers=1)
    service.gate = anyio.Event()
    async with queue.running():
        await anyio.wait_all_tasks_blocked()
        backlog.error = TokenStoreError("busy")
        service.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert len(backlog.held) == 2
        backlog.error = None
        await queue.offer(event(3))
        await anyio.wait_all_tasks_blocked()
        assert len(backlog.held) == 2  # what came now is not there, and has nothing removed
    assert (backlog.held, backlog.kept) == ({}, [])
    assert queue.counts == WebhookCounts(accepted=3, handled=3)


async def test_draining_and_a_backlog_that_hangs_take_less_than_nine_seconds() -> None:
    backlog = MemoryBacklog()
    service = Service(backlog)
    service.hangs = True
    queue = service.queue(drain_seconds=4.0)
    async with service.clock.autojump():
        async with queue.running():
            await queue.offer(event())
            await service.until_tried()
            backlog.hangs = True
            began_at = service.clock.monotonic()
        assert service.clock.monotonic() - began_at == 8.0
    assert queue.counts == WebhookCounts(accepted=1, failed=1)


def test_a_backlog_that_cannot_hold_is_refused() -> None:
    class OfOld:
        keep = take = MemoryBacklog.take

    old: Any = OfOld()
    with pytest.raises(InputError, match="this has no hold"):
        Service(old).queue()


async def test_a_whole_restart_over_a_file_loses_nothing_and_handles_nothing_twice(tmp_path: Path) -> None:
    service = Service(SqliteBacklog(tmp_path / "webhooks.sqlite", clock=FakeClock(start=1_000.0)))
    service.error = NO_QUOTA
    counts = await service.run(*[event(number) for number in range(1, 51)])
    assert counts == WebhookCounts(accepted=50, kept=50)
    service.error = None
    assert await service.run() == WebhookCounts(accepted=50, handled=50)
    assert sorted(service.handled) == [(number, 1) for number in range(1, 51)]
    assert len(service.tried) == 60  # ten without quota: forty wait for their athlete's turn until then


async def test_what_waits_for_its_athletes_turn_is_kept_without_another_look(tmp_path: Path) -> None:
    service = Service(SqliteBacklog(tmp_path / "webhooks.sqlite", clock=FakeClock(start=1_000.0)))
    service.error = ValueError("not handled, so none of them is confirmed")
    counts = await service.run(*[event(number) for number in range(1, 13)])
    assert counts == WebhookCounts(accepted=12, failed=10, kept=2)
    assert service.looks == 12
    service.error = None
    assert (await service.run()).handled == 2
