"""How many requests are on the way, and who goes first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from strava_async._http.gate import Gate

pytestmark = pytest.mark.anyio


class Crowd:
    """Requests at a gate, by name: those inside, in the order in which they got in."""

    def __init__(self, gate: Gate, tasks: anyio.abc.TaskGroup) -> None:
        self.gate = gate
        self.tasks = tasks
        self.inside: list[str] = []
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def come(self, *names: str) -> None:
        """Let them come, one after the other; a name in capitals is urgent."""
        for name in names:
            self.tasks.start_soon(self._stay, name)
            await anyio.wait_all_tasks_blocked()

    async def leave(self, name: str) -> None:
        self.scopes[name].cancel()
        await anyio.wait_all_tasks_blocked()

    async def _stay(self, name: str) -> None:
        with anyio.CancelScope() as self.scopes[name]:
            await self.gate.acquire(urgent=name.isupper())
            self.inside.append(name)
            try:
                await anyio.sleep_forever()
            finally:
                self.inside.remove(name)
                self.gate.release()


@asynccontextmanager
async def crowd(places: int, urgent_places: int) -> AsyncIterator[Crowd]:
    async with anyio.create_task_group() as tasks:
        yield Crowd(Gate(places, urgent_places), tasks)
        tasks.cancel_scope.cancel()


async def test_urgent_requests_have_places_of_their_own() -> None:
    async with crowd(2, 1) as them:
        await them.come("a", "b", "c", "X", "Y")
        assert them.inside == ["a", "b", "X"]


async def test_urgent_requests_go_first() -> None:
    async with crowd(1, 1) as them:
        await them.come("a", "X", "b", "Y")
        await them.leave("a")
        assert them.inside == ["X", "Y"]
        await them.leave("X")
        assert them.inside == ["Y"]
        await them.leave("Y")
        assert them.inside == ["b"]


async def test_first_come_first_served() -> None:
    async with crowd(1, 0) as them:
        await them.come("a", "b", "c")
        await them.leave("a")
        assert them.inside == ["b"]


async def test_who_is_cancelled_in_line_leaves_no_gap() -> None:
    async with crowd(1, 0) as them:
        await them.come("a", "b", "c")
        await them.leave("b")
        await them.leave("a")
        assert them.inside == ["c"]


async def test_who_is_cancelled_with_its_turn_passes_it_on() -> None:
    async with crowd(1, 0) as them:
        await them.come("a", "b", "c")
        them.scopes["a"].cancel()
        while "a" in them.inside:
            await anyio.lowlevel.checkpoint()
        them.scopes["b"].cancel()
        await anyio.wait_all_tasks_blocked()
        assert them.inside == ["c"]


async def test_a_thousand_are_never_more_than_there_are_places() -> None:
    gate, inside, most = Gate(5, 2), 0, 0

    async def go(number: int) -> None:
        nonlocal inside, most
        await gate.acquire(urgent=number % 3 == 0)
        inside += 1
        most = max(most, inside)
        await anyio.lowlevel.checkpoint()
        inside -= 1
        gate.release()

    async with anyio.create_task_group() as tasks:
        for number in range(1000):
            tasks.start_soon(go, number)
    assert (inside, most) == (0, 7)
