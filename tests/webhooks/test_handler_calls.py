"""The application's functions for an event: each has its time."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

from strava_async import InputError
from strava_async.testing import FakeClock
from strava_async.webhooks.handler_calls import HandlerCalls
from strava_async.webhooks.handler_errors import HandlerTimeoutError, ThreadLeftBehindError

pytestmark = pytest.mark.anyio


class Panic(BaseException):
    """As pyo3's PanicException."""


class Threads:
    """A sync function that hangs until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()

    def hang(self, argument: int) -> int:
        self.begun.release()
        self.gate.wait(20)
        return argument

    async def wait_for(self, how_many: int = 1) -> None:
        """Wait until that many more have begun."""
        for _ in range(how_many):
            await anyio.to_thread.run_sync(self.begun.acquire, True, 20)


@asynccontextmanager
async def hanging() -> AsyncGenerator[Threads]:
    threads = Threads()
    try:
        yield threads
    finally:
        threads.gate.set()


async def results_of(calls: HandlerCalls, function: Any, results: list[Any], name: str = "on_event") -> None:
    try:
        results.append(await calls(name, function, 5))
    except Exception as error:
        results.append(error)


async def until(condition: Any) -> None:
    """Wait for what a thread brings about."""
    with anyio.fail_after(20):
        while not condition():
            await anyio.to_thread.run_sync(time.sleep, 0.001)


async def test_what_ends_in_time_returns_what_it_returns() -> None:
    clock = FakeClock()
    for seconds in (60.0, None):
        calls = HandlerCalls(clock, seconds, 1)

        async def later(number: int) -> int:
            await anyio.lowlevel.checkpoint()
            return number + 1

        assert await calls("on_event", later, 5) == 6
        assert await calls("on_event", lambda number: number + 2, 5) == 7
        assert await calls("on_event", lambda number: later(number), 5) == 6
    assert clock.sleeping == 0


@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("several", [OSError("y")]), TimeoutError("theirs")])
async def test_what_it_raises_is_raised_as_it_is(error: Exception) -> None:
    async def fail(_: int) -> None:
        raise error

    def fail_in_a_thread(_: int) -> None:
        raise error

    calls = HandlerCalls(FakeClock(), 60.0, 1)
    for function in (fail, fail_in_a_thread):
        results: list[Any] = []
        await results_of(calls, function, results)
        assert results == [error]


async def test_an_exit_ends_the_service_and_a_panic_does_not() -> None:
    async def raising(error: BaseException) -> None:
        raise error

    calls = HandlerCalls(FakeClock(), 60.0, 1)
    with pytest.raises(SystemExit):
        await calls("on_event", raising, SystemExit(3))
    with pytest.raises(RuntimeError, match="Panic is not an Exception"):
        await calls("on_event", raising, Panic())


async def test_an_async_function_is_cancelled_when_its_time_is_over() -> None:
    clock, ended = FakeClock(), list[float]()

    async def hang(_: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(clock.monotonic())

    began = clock.monotonic()
    async with clock.autojump():
        with pytest.raises(HandlerTimeoutError, match="longer than 60 s") as caught:
            await HandlerCalls(clock, 60.0, 1)("on_event", hang, 5)
    assert ended == [began + 60.0]
    assert isinstance(caught.value, TimeoutError)
    assert not isinstance(caught.value, ThreadLeftBehindError)


async def test_an_async_function_that_hangs_in_tasks_of_its_own_is_cancelled_too() -> None:
    async def hang(_: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            tasks.start_soon(anyio.sleep_forever)

    clock = FakeClock()
    async with clock.autojump():
        with pytest.raises(HandlerTimeoutError):
            await HandlerCalls(clock, 60.0, 1)("on_event", hang, 5)


async def test_what_a_function_makes_of_its_cancellation_is_its_own() -> None:
    clock = FakeClock()

    async def fail(_: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("while it cleaned up")

    async def end(_: int) -> str:
        with anyio.CancelScope() as scope:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                scope.cancel()
                raise
        return "unreachable"

    async def wrap(_: int) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as cut_off:
            raise BaseExceptionGroup("several", [cut_off, KeyError("x")]) from None

    async with clock.autojump():
        results: list[Any] = []
        for function in (fail, end, wrap):
            await results_of(HandlerCalls(clock, 60.0, 1), function, results)
    assert [type(result) for result in results] == [ValueError, HandlerTimeoutError, HandlerTimeoutError]


async def test_a_thread_over_its_time_is_left_behind_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "strava_async")
    clock, results = FakeClock(), list[Any]()
    calls = HandlerCalls(clock, 60.0, 3)
    async with hanging() as threads, anyio.create_task_group() as tasks:
        tasks.start_soon(results_of, calls, threads.hang, results, "event 5: on_event")
        await threads.wait_for()
        clock.advance(59.5)
        await anyio.wait_all_tasks_blocked()
        assert (results, calls.left_behind) == ([], 0)
        clock.advance(0.5)
        await until(lambda: results)
        assert isinstance(results[0], ThreadLeftBehindError)
        assert calls.left_behind == 1
        [warned] = caplog.records
        expected = "event 5: on_event: its thread was left behind after 60 s; 1 of at most 3 are"
        assert (warned.levelname, warned.getMessage()) == ("WARNING", expected)
        threads.gate.set()
        await until(lambda: calls.left_behind == 0)
        await until(lambda: len(caplog.records) == 2)
    assert "the thread that was left behind has ended" in caplog.records[1].getMessage()
    assert len(results) == 1


async def test_no_more_threads_are_left_behind_than_may_be_and_the_next_waits_for_one_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, first, second = FakeClock(), list[Any](), list[Any]()
    calls = HandlerCalls(clock, 60.0, 1)
    async with hanging() as early, hanging() as late, anyio.create_task_group() as tasks:
        tasks.start_soon(results_of, calls, early.hang, first)
        await early.wait_for()
        clock.advance(60)
        await until(lambda: first)
        tasks.start_soon(results_of, calls, late.hang, second)
        await late.wait_for()
        clock.advance(60)
        await until(lambda: "its worker waits for it" in caplog.text)
        await anyio.wait_all_tasks_blocked()
        assert (second, calls.left_behind) == ([], 1)
        early.gate.set()
        await until(lambda: second)
        assert isinstance(second[0], ThreadLeftBehindError)
        assert calls.left_behind == 1


async def test_a_thread_that_nobody_could_leave_behind_ends_as_any_other() -> None:
    clock, first, second = FakeClock(), list[Any](), list[Any]()
    calls = HandlerCalls(clock, 60.0, 1)
    async with hanging() as early, hanging() as late, anyio.create_task_group() as tasks:
        tasks.start_soon(results_of, calls, early.hang, first)
        await early.wait_for()
        clock.advance(60)
        await until(lambda: first)
        tasks.start_soon(results_of, calls, late.hang, second)
        await late.wait_for()
        clock.advance(600)
        await anyio.wait_all_tasks_blocked()
        late.gate.set()
        await until(lambda: second)
        assert second == [5]


class Noting(HandlerCalls):
    """HandlerCalls that tell when a thread has ended."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, 60.0, 1)
        self.ended = threading.Event()

    def note_end(self, thread: Any) -> None:
        super().note_end(thread)
        self.ended.set()


async def test_what_has_just_ended_when_its_time_is_over_has_ended() -> None:
    clock, results = FakeClock(), list[Any]()
    calls = Noting(clock)
    async with hanging() as threads, anyio.create_task_group() as tasks:
        tasks.start_soon(results_of, calls, threads.hang, results)
        await threads.wait_for()
        threads.gate.set()
        calls.ended.wait(20)  # the loop stands still: it has not heard of the end
        clock.advance(60)
    assert results == [5]


async def test_a_thread_that_is_left_because_its_caller_is_cancelled_counts_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, results = HandlerCalls(FakeClock(), 60.0, 1), list[Any]()
    async with hanging() as threads:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(results_of, calls, threads.hang, results)
            await threads.wait_for()
            tasks.cancel_scope.cancel()
        assert (results, calls.left_behind) == ([], 1)
        assert "left behind because the service ends" in caplog.text
        threads.gate.set()
        await until(lambda: calls.left_behind == 0)


async def test_a_function_that_returns_what_is_to_be_awaited_has_one_time_for_both() -> None:
    clock, begun, results = FakeClock(), anyio.Event(), list[Any]()
    calls = HandlerCalls(clock, 60.0, 1)

    async def hang() -> None:
        begun.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(results_of, calls, lambda _: hang(), results)
        await begun.wait()
        clock.advance(60)
    assert type(results[0]) is HandlerTimeoutError
    assert calls.left_behind == 0


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
async def test_an_invalid_time_is_refused(seconds: float) -> None:
    with pytest.raises(InputError):
        HandlerCalls(FakeClock(), seconds, 1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_is_nobodys_here_is_passed_on() -> None:
    async def wait_for_what_is_cancelled(_: int) -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    calls = HandlerCalls(FakeClock(), 60.0, 1)
    with pytest.raises(asyncio.CancelledError):
        await calls("on_event", wait_for_what_is_cancelled, 5)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("is_sync", [False, True])
async def test_cancelling_the_task_that_calls_ends_it_at_once(is_sync: bool) -> None:
    async def hang(_: int) -> None:
        begun.set()
        await anyio.sleep_forever()

    clock, begun, results = FakeClock(), anyio.Event(), list[Any]()
    calls = HandlerCalls(clock, 60.0, 1)
    async with hanging() as threads:
        function: Any = threads.hang if is_sync else hang
        task = asyncio.ensure_future(results_of(calls, function, results))
        await (threads.wait_for() if is_sync else begun.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (results, clock.sleeping) == ([], 0)


async def test_a_thousand_calls_at_once_each_have_their_time() -> None:
    async def take(seconds: int) -> int:
        await clock.sleep(seconds)
        return seconds

    async def call(seconds: int) -> None:
        try:
            ended.append(await calls("on_event", take, seconds))
        except HandlerTimeoutError:
            over.append(seconds)

    clock, ended, over = FakeClock(), list[int](), list[int]()
    calls = HandlerCalls(clock, 60.0, 1)
    async with clock.autojump(), anyio.create_task_group() as tasks:
        for number in range(1_000):
            tasks.start_soon(call, 1 + number % 119)
    assert (max(ended), min(over), len(ended) + len(over)) in ((59, 60, 1_000), (60, 61, 1_000))
