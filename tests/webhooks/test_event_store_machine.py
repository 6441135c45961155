"""Workers of two processes that die, pause and come back: each event is handled, in order, never by two at a time."""

import math
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio.from_thread
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from strava_async.testing import FakeClock
from strava_async.webhooks import Appended, Claim, EventStore, MemoryEventStore, SqliteEventStore, WebhookEvent
from strava_async.webhooks.owners import Owners
from tests.webhooks.contract import Quiet, claimed, event
from tests.webhooks.test_event_store_sqlite import quiet

T = TypeVar("T")

LEASE = 30.0
OBJECTS = st.integers(1, 3)
PROCESS = st.integers(0, 1)
ROOM = 10_000


@dataclass(eq=False)
class Worker:
    """Who has claimed an event, and until when it is nobody else's."""

    claim: Claim
    process: int
    until: float

    @property
    def lane(self) -> int:
        return self.claim.pending.event.object_id


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(anyio.from_thread.start_blocking_portal())
        self.stores = self.stack.enter_context(self.portal.wrap_async_context_manager(self.opened()))
        self.lanes: dict[int, list[WebhookEvent]] = {1: [], 2: [], 3: []}
        self.handled: dict[int, list[WebhookEvent]] = {1: [], 2: [], 3: []}
        self.due_at = {1: -math.inf, 2: -math.inf, 3: -math.inf}
        self.noted = {1: False, 2: False, 3: False}  # whether the store has it that an event was claimed
        self.workers: list[Worker] = []
        self.latest: dict[int, Worker] = {}
        self.count = 0

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[tuple[EventStore, EventStore]]:
        raise NotImplementedError
        yield

    async def quiet(self) -> None:
        await anyio.wait_all_tasks_blocked()

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        return self.portal.call(function)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    @rule(number=OBJECTS, process=PROCESS)
    def append(self, number: int, process: int) -> None:
        self.count += 1
        what = event(number, self.count)
        assert self.call(lambda: self.stores[process].append(what)) is Appended.STORED
        assert self.call(lambda: self.stores[1 - process].append(what)) is Appended.DUPLICATE
        self.lanes[number].append(what)

    @rule(process=PROCESS, n=st.integers(1, 4))
    def claim(self, process: int, n: int) -> None:
        wait: Quiet = self.quiet
        for claim in self.call(lambda: claimed(self.stores[process], n, LEASE, quiet=wait)):
            worker = Worker(claim, process, self.now + LEASE)
            assert claim.pending.event == self.lanes[worker.lane][0]
            holder = self.latest.get(worker.lane)
            assert holder is None or holder.until <= self.now
            assert claim.pending.claimed == (holder is not None or self.noted[worker.lane])  # interrupted
            assert self.due_at[worker.lane] <= self.now
            self.latest[worker.lane] = worker
            self.workers.append(worker)

    def note_end(self, worker: Worker, is_done: bool) -> bool:
        """Check the answer to a worker; return whether it counts."""
        self.workers.remove(worker)
        if self.latest.get(worker.lane) is not worker:
            assert not is_done
        elif worker.until > self.now:
            assert is_done
        if is_done:
            del self.latest[worker.lane]
        return is_done

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        if self.note_end(worker, self.call(lambda: self.stores[worker.process].ack(worker.claim))):
            self.handled[worker.lane].append(self.lanes[worker.lane].pop(0))
            self.due_at[worker.lane], self.noted[worker.lane] = -math.inf, False

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 1.0, 20.0, 100.0]))
    def give_back(self, data: st.DataObject, seconds: float) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        if self.latest.get(worker.lane) is worker and worker.until > self.now:
            worker.claim.pending.claimed = False  # in memory, who is late has the event of the others in hand
        if self.note_end(worker, self.call(lambda: self.stores[worker.process].retry(worker.claim, seconds))):
            self.due_at[worker.lane], self.noted[worker.lane] = self.now + seconds, worker.claim.pending.claimed

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        [is_done] = self.call(lambda: self.stores[worker.process].renew([worker.claim], LEASE))
        is_latest = self.latest.get(worker.lane) is worker
        assert is_latest or not is_done
        assert is_done or not is_latest or worker.until <= self.now
        if is_done:
            worker.until = self.now + LEASE

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.workers.remove(data.draw(st.sampled_from(self.workers)))

    @rule(seconds=st.sampled_from([1.0, 10.0, 29.0, 31.0, 200.0]))
    def pause(self, seconds: float) -> None:
        async def advance() -> None:
            await self.quiet()
            self.clock.advance(seconds)
            await self.quiet()

        self.call(advance)

    def teardown(self) -> None:
        try:
            accepted = {number: [*self.handled[number], *lane] for number, lane in self.lanes.items()}
            self.workers.clear()
            while any(self.lanes.values()):
                self.pause(200.0)
                self.claim(0, 4)
                for worker in list(self.workers):
                    assert self.call(lambda worker=worker: self.stores[0].ack(worker.claim))
                    self.note_end(worker, True)
                    self.handled[worker.lane].append(self.lanes[worker.lane].pop(0))
            assert self.handled == accepted
        finally:
            self.stack.close()


class InMemory(Machine):
    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[tuple[EventStore, EventStore]]:
        store = MemoryEventStore(self.clock, max_unfinished=ROOM, owners=Owners(most_unfinished=ROOM))
        async with store.running():
            yield store, store


class InAFile(Machine):
    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[tuple[EventStore, EventStore]]:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "events.sqlite"
            first, second = (SqliteEventStore(path, clock=self.clock, max_unfinished_of_owner=ROOM) for _ in range(2))
            async with first.running(), second.running():
                yield first, second

    async def quiet(self) -> None:
        await quiet()


def the_late(machine: Machine) -> None:
    """Workers past their leases settle nothing once another has the event; until then they may, or go on."""
    for late in ("ack", "retry", "renew"):
        machine.append(1, 0)
        machine.append(1, 1)
        machine.claim(0, 1)
        [first] = machine.workers
        machine.pause(31.0)
        machine.claim(1, 4)
        [_, second] = machine.workers
        store = machine.stores[0]
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "ack": lambda store=store, first=first: store.ack(first.claim),
            "retry": lambda store=store, first=first: store.retry(first.claim, 0.0),
            "renew": lambda store=store, first=first: store.renew([first.claim], 500.0),
        }
        assert machine.call(calls[late]) in (False, [False])
        machine.workers.remove(first)
        machine.claim(0, 4)  # the second has it still
        machine.pause(10.0)
        assert machine.call(partial(machine.stores[1].renew, [second.claim], LEASE)) == [True]
        second.until = machine.now + LEASE
        machine.pause(29.0)
        machine.claim(0, 4)  # as long as the second's own lease lasts
        settle(machine, second)
        machine.claim(1, 4)  # the next of the object
        [third] = machine.workers
        settle(machine, third)
        machine.claim(0, 4)
        assert not machine.workers


def the_interrupted(machine: Machine) -> None:
    """Who takes over is told; what was given back is due in time, with its lane behind it, and not before."""
    machine.append(1, 0)
    machine.append(1, 0)
    machine.append(2, 1)
    machine.claim(0, 4)
    assert len(machine.workers) == 2
    first = machine.workers[0]
    machine.call(lambda: machine.stores[0].retry(first.claim, 20.0))
    machine.note_end(first, True)
    machine.due_at[first.lane], machine.noted[first.lane] = machine.now + 20.0, False
    machine.pause(19.0)
    machine.claim(1, 4)
    machine.pause(1.0)
    machine.claim(1, 4)
    assert len(machine.workers) == 2
    machine.workers.clear()  # all die
    machine.pause(29.0)
    machine.claim(0, 4)
    machine.pause(31.0)
    machine.claim(1, 1)  # the one that became due first
    machine.claim(0, 4)
    assert sorted(worker.lane for worker in machine.workers if worker.until > machine.now) == [1, 2]
    assert all(worker.claim.pending.claimed for worker in machine.workers if worker.until > machine.now)


def settle(machine: Machine, worker: Worker) -> None:
    assert machine.call(lambda: machine.stores[worker.process].ack(worker.claim))
    machine.note_end(worker, True)
    machine.handled[worker.lane].append(machine.lanes[worker.lane].pop(0))
    machine.due_at[worker.lane], machine.noted[worker.lane] = -math.inf, False
    assert not machine.call(lambda: machine.stores[worker.process].ack(worker.claim))  # once


def run(machine: type[Machine], examples: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=slow,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # to shrink a failure takes minutes
    )
    machine.TestCase("runTest").runTest()


@pytest.mark.parametrize("walk", [the_late, the_interrupted])
@pytest.mark.parametrize("kind", [InMemory, InAFile])
def test_workers_that_come_late_or_die(kind: type[Machine], walk: Callable[[Machine], None]) -> None:
    machine = kind()
    try:
        walk(machine)
    except BaseException:
        machine.stack.close()
        raise
    machine.teardown()


def test_workers_of_a_store_in_memory() -> None:
    run(InMemory, 5)


def test_workers_of_a_store_in_a_file() -> None:
    run(InAFile, 2)


@pytest.mark.long
def test_workers_of_a_store_in_a_file_at_length() -> None:
    run(InAFile, 60)
