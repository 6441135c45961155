"""One piece of work at a time, shared by all who come meanwhile."""

import anyio
import pytest

from strava_async._concurrency.single_flight import SingleFlight
from strava_async.errors import InputError, TransportError

pytestmark = pytest.mark.anyio


class Flights:
    """Work that is counted, waits until it may end, and fails if told so."""

    def __init__(self) -> None:
        self.single = SingleFlight("this object", "a renewal")
        self.begun = 0
        self.is_conclusive = True
        self.may_end = anyio.Event()
        self.fail_with: Exception | None = None

    async def work(self) -> None:
        self.begun += 1
        if self.is_conclusive:
            self.single.mark_conclusive()
        await self.may_end.wait()
        if self.fail_with is not None:
            raise self.fail_with

    async def share(self, results: list[object]) -> None:
        try:
            results.append(await self.single.share(self.work))
        except (TransportError, OSError) as error:
            results.append(error)


async def test_a_thousand_who_come_at_once_share_one_piece_of_work() -> None:
    flights, results = Flights(), list[object]()
    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(flights.share, results)
        await anyio.wait_all_tasks_blocked()
        flights.may_end.set()
    assert (flights.begun, results) == (1, [True] * 1000)
    assert flights.single.current is None


async def test_work_that_may_have_been_something_else_is_not_all_there_is_to_do() -> None:
    flights, results = Flights(), list[object]()
    flights.is_conclusive = False
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(flights.share, results)
        await anyio.wait_all_tasks_blocked()
        flights.may_end.set()
    assert sorted(map(bool, results)) == [False, False, True]


async def test_an_error_is_everybodys_and_each_has_an_own_copy() -> None:
    flights, results = Flights(), list[object]()
    flights.fail_with = TransportError("down", sent="maybe")
    flights.may_end.set()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(flights.share, results)
    assert len({id(result) for result in results}) == 10
    assert {str(result) for result in results} == {"down"}


async def test_an_error_of_work_alone_is_its_callers() -> None:
    flights, results = Flights(), list[object]()
    flights.fail_with = OSError("disk full")

    async def alone() -> None:
        with pytest.raises(OSError, match="disk full"):
            await flights.single.alone(flights.work)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alone)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(flights.share, results)
        await anyio.wait_all_tasks_blocked()
        flights.may_end.set()
    assert (flights.begun, results) == (1, [False])


async def test_work_alone_waits_for_its_turn_and_returns_what_it_returns() -> None:
    flights, order = Flights(), list[object]()

    async def alone() -> str:
        order.append("alone")
        return "result"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flights.share, order)
        await anyio.wait_all_tasks_blocked()

        async def wait() -> None:
            order.append(await flights.single.alone(alone))

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert order == []
        flights.may_end.set()
    assert set(order) == {True, "alone", "result"}


async def test_work_that_waits_for_itself_is_an_error() -> None:
    flights = Flights()

    async def recursive() -> None:
        await flights.single.share(flights.work)

    for use in (flights.single.share, flights.single.alone):
        with pytest.raises(InputError, match="a renewal would wait for itself"):
            await use(recursive)
    assert flights.begun == 0
