"""An object belongs to one event loop at a time, and says so at once where it is used in another."""

import asyncio
import gc
import threading
from collections.abc import Callable

import anyio
import pytest
import trio

from strava_async._loop_binding import LoopBinding
from strava_async.errors import InputError


def run(backend: str, enter: Callable[[], bool]) -> bool:
    async def main() -> bool:
        return enter()

    return anyio.run(main, backend=backend)


@pytest.mark.parametrize("first", ["asyncio", "trio"])
@pytest.mark.parametrize("second", ["asyncio", "trio"])
def test_a_loop_that_has_ended_is_forgotten(first: str, second: str) -> None:
    binding = LoopBinding("it")
    assert run(first, binding.enter) is False
    assert run(second, binding.enter) is True


@pytest.mark.anyio
async def test_the_same_loop_may_enter_again() -> None:
    binding = LoopBinding("it")
    assert not binding.enter()
    assert not binding.enter()


@pytest.mark.anyio
@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_another_loop_is_refused_while_the_first_is_running(other: str) -> None:
    binding = LoopBinding("this limiter")
    binding.enter()
    refusals: list[str] = []

    def in_another_thread() -> None:
        try:
            run(other, binding.enter)
        except InputError as error:
            refusals.append(str(error))

    thread = threading.Thread(target=in_another_thread)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    assert len(refusals) == 1
    assert refusals[0].startswith("this limiter belongs to another event loop")
    assert not binding.enter()


def test_a_loop_that_stopped_but_was_not_closed_has_not_ended() -> None:
    binding = LoopBinding("it")

    async def enter() -> bool:
        return binding.enter()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(enter())
        with pytest.raises(InputError):
            trio.run(enter)
        assert loop.run_until_complete(enter()) is False
    finally:
        loop.close()
    assert trio.run(enter) is True


def test_a_loop_is_not_kept_alive() -> None:
    binding = LoopBinding("it")
    assert run("asyncio", binding.enter) is False
    gc.collect()
    assert run("asyncio", binding.enter) is True
