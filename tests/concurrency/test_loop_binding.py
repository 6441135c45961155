"""An object belongs to one event loop at a time, and says so at once where it is used in another."""

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest
import trio
from outcome import Outcome

from strava_async._concurrency.loop_binding import LoopBinding
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


@pytest.mark.anyio
async def test_it_is_known_whether_the_running_loop_is_the_one() -> None:
    binding = LoopBinding("it")
    assert not binding.is_here()
    assert binding.has_ended()
    binding.enter()
    assert binding.is_here()
    assert not binding.has_ended()
    assert binding.thread == threading.get_ident()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_has_ended_is_nowhere(backend: str) -> None:
    binding = LoopBinding("it")
    run(backend, binding.enter)
    assert not binding.is_here()
    assert binding.has_ended()
    binding.call_soon(lambda: pytest.fail("nobody is there to call it"))


@pytest.mark.anyio
async def test_another_thread_lets_the_loop_call_something() -> None:
    binding = LoopBinding("it")
    binding.enter()
    called = anyio.Event()
    threads: list[int] = []

    def note() -> None:
        threads.append(threading.get_ident())
        called.set()

    await anyio.to_thread.run_sync(binding.call_soon, note)
    await called.wait()
    assert threads == [threading.get_ident()]


def test_where_no_loop_is_running_there_is_none_to_belong_to() -> None:
    binding = LoopBinding("this limiter")
    with pytest.raises(InputError, match="running event loop"):
        binding.enter()
    assert run("asyncio", binding.enter) is False


def test_a_guest_is_not_its_host() -> None:
    """Trio may run in the callbacks of an asyncio loop: two loops, one thread."""
    binding = LoopBinding("it")

    async def guest() -> None:
        assert not binding.is_here()
        with pytest.raises(InputError):
            binding.enter()

    async def host() -> None:
        binding.enter()
        done: asyncio.Future[Outcome[None]] = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=done.set_result,
        )
        (await done).unwrap()
        assert binding.is_here()

    asyncio.run(host())


def test_a_loop_may_go_on_in_another_thread() -> None:
    binding = LoopBinding("it")
    loop = asyncio.new_event_loop()

    async def enter() -> tuple[bool, bool, bool]:
        return binding.enter(), binding.is_here(), binding.thread == threading.get_ident()

    try:
        assert loop.run_until_complete(enter()) == (False, True, True)
        results: list[tuple[bool, bool, bool]] = []
        thread = threading.Thread(target=lambda: results.append(loop.run_until_complete(enter())))
        thread.start()
        thread.join()
        assert results == [(False, True, True)]
    finally:
        loop.close()


@pytest.mark.parametrize("second", ["asyncio", "trio"])
def test_of_two_threads_that_come_first_at_the_same_time_one_gets_it(second: str) -> None:
    entered: list[str] = []

    def enter() -> bool:
        with suppress(InputError):
            binding.enter()
            entered.append(threading.current_thread().name)
        return True

    class Overtaken(LoopBinding):
        def has_ended(self) -> bool:
            has_ended = super().has_ended()
            if not others:  # the other one comes when it is decided, and nothing is done yet
                others.append(threading.Thread(target=run, args=(second, enter), name="other"))
                others[0].start()
                others[0].join(0.1)  # in vain: it has to wait for its turn
            return has_ended

    others: list[threading.Thread] = []
    binding = Overtaken("it")

    async def come_first_and_stay() -> None:
        enter()
        await anyio.to_thread.run_sync(others[0].join)
        binding.enter()  # it is still the first one's

    anyio.run(come_first_and_stay)
    assert entered == [threading.current_thread().name]


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_loop_of_the_parent_has_ended_in_a_child() -> None:
    script = """
import asyncio, os
from strava_async._concurrency.loop_binding import LoopBinding

binding = LoopBinding("it")

async def child():
    assert binding.has_ended() and not binding.is_here()
    assert binding.enter() and binding.is_here()

async def main():
    assert not binding.enter()
    if os.fork() == 0:
        code = 1
        try:
            asyncio.run(child())
            code = 0
        finally:
            os._exit(code)
    assert os.wait()[1] == 0
    assert binding.is_here()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
