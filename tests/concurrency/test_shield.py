"""Work that was begun is carried to its end: past the cancelling of its caller, past the end of the event loop."""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import anyio.lowlevel
import pytest
import trio

from strava_async._concurrency.shield import call_shielded, cancellable, commit, hold_lock, run_shielded
from strava_async.errors import InputError
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from strava_async.tokens.source import TokenSource
from tests.concurrency.loop_end import end_everything_else, turns

Main = Callable[["Renewal"], Awaitable[object]]


class Renewal:
    """A renewal whose answer takes some turns of the event loop."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.saved: list[str | None] = []
        self.on_asked: Callable[[], object] = lambda: None
        self.source = TokenSource(
            TokenSet("a0", "r0", int(SOME_TUESDAY) - 1), refresh=self.ask, on_refresh=self.save, clock=FakeClock()
        )

    async def ask(self, tokens: TokenSet) -> AccessInfo:
        self.asked.set()
        self.on_asked()
        await turns()
        return AccessInfo(access_token="a1", refresh_token="r1", expires_at=int(SOME_TUESDAY) + 21_600)

    async def save(self, tokens: TokenSet) -> None:
        await turns()
        self.saved.append(tokens.refresh_token)


# How an event loop ends while a renewal is in progress


async def returning(renewal: Renewal) -> None:
    caller = asyncio.create_task(renewal.source.bearer())
    await renewal.asked.wait()
    caller.cancel()


async def leaving_the_caller(renewal: Renewal) -> None:
    asyncio.get_running_loop().set_debug(True)
    renewal.on_asked = [asyncio.create_task(renewal.source.bearer())].clear
    await renewal.asked.wait()


async def timed_out(renewal: Renewal) -> None:
    async with asyncio.timeout(None) as timeout:
        renewal.on_asked = partial(timeout.reschedule, 0)
        await renewal.source.bearer()


async def beside_a_failing_task(renewal: Renewal) -> None:
    async def fail() -> None:
        await renewal.asked.wait()
        raise OSError

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(renewal.source.bearer())
        tasks.create_task(fail())


async def sweeping_inside(renewal: Renewal) -> None:
    caller = asyncio.create_task(renewal.source.bearer())
    await renewal.asked.wait()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert caller.cancelled()


ENDS: list[Main] = [returning, leaving_the_caller, timed_out, beside_a_failing_task, sweeping_inside]


def run_and_sweep(main: Awaitable[object]) -> None:
    """Run it as a server does that ends its event loop itself."""
    loop = asyncio.new_event_loop()
    try:
        with suppress(Exception):
            loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
    finally:
        loop.close()


def run_and_end(main: Awaitable[object]) -> None:
    async def run() -> None:
        await main

    with suppress(Exception):
        asyncio.run(run())


@pytest.mark.parametrize("run", [run_and_end, run_and_sweep])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_grant_outlives_the_event_loop_that_ends_amid_its_renewal(
    end: Main, run: Callable[[Awaitable[object]], None]
) -> None:
    renewal = Renewal()
    run(end(renewal))
    assert renewal.saved == ["r1"]
    assert renewal.source.token.access_token == "a1"


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses Ctrl-C; whatever started the tests may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.raise_signal, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("in_the_main_task", [True, False])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_loses_no_grant(ctrl_c: Callable[[], None], backend: str, in_the_main_task: bool) -> None:
    renewal = Renewal()
    renewal.on_asked = ctrl_c

    async def main() -> None:
        if in_the_main_task:
            await renewal.source.bearer()
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(renewal.source.bearer)

    # A group where the task was one of a task group; trio puts it there, asyncio does not.
    kinds = (KeyboardInterrupt,) if in_the_main_task else (KeyboardInterrupt, BaseExceptionGroup)
    with pytest.raises(kinds) as caught:
        anyio.run(main, backend=backend)
    assert isinstance(caught.value, KeyboardInterrupt) or caught.group_contains(KeyboardInterrupt)
    assert renewal.saved == ["r1"]


def test_ctrl_c_while_trio_waits_for_a_renewal_loses_no_grant(ctrl_c: Callable[[], None]) -> None:
    renewal = Renewal()
    gate = trio.Event()

    async def press() -> None:
        await renewal.asked.wait()
        await turns(5)
        ctrl_c()
        gate.set()

    async def ask(tokens: TokenSet) -> AccessInfo:
        renewal.asked.set()
        await gate.wait()
        await turns()
        return AccessInfo(access_token="a1", refresh_token="r1", expires_at=int(SOME_TUESDAY) + 21_600)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(protected)
            await renewal.source.bearer()

    protected = trio.lowlevel.enable_ki_protection(press)
    renewal.source.refresh = ask
    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(main)
    assert caught.group_contains(KeyboardInterrupt, depth=1)
    assert renewal.saved == ["r1"]


# What may be stopped, and when


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_waiting_for_a_lock_ends_with_the_loop(backend: str) -> None:
    ended: list[bool] = []
    at_once: list[bool] = []

    async def main() -> None:
        waiting = anyio.Event()

        @asynccontextmanager
        async def lock() -> AsyncGenerator[None]:
            waiting.set()
            await anyio.sleep_forever()
            yield

        async def work() -> None:
            async with hold_lock(lock()):
                raise AssertionError("nobody gave the lock up")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_shielded, work, lambda: ended.append(True))
            await waiting.wait()
            await end_everything_else(tasks)
            at_once.extend(ended)

    anyio.run(main, backend=backend)
    assert at_once == [True]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_wait_with_something_at_stake_does_not_end_with_the_loop(backend: str) -> None:
    done: list[bool] = []

    async def main() -> None:
        waiting = anyio.Event()

        async def wait() -> None:
            with cancellable():
                waiting.set()
                await turns()

        async def work() -> None:
            commit()
            await wait()
            done.append(True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_shielded, work, lambda: None)
            await waiting.wait()
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert done == [True]


@pytest.mark.parametrize("run", [run_and_end, run_and_sweep])
def test_a_wait_of_what_saves_the_tokens_does_not_end_with_the_loop(run: Callable[[Awaitable[object]], None]) -> None:
    saving = asyncio.Event()
    saved: list[str | None] = []

    async def save(tokens: TokenSet) -> None:
        saving.set()
        with cancellable():  # such as the wait before another attempt of a request that saves them
            await turns()
        saved.append(tokens.refresh_token)

    async def main() -> None:
        source = TokenSource(
            TokenSet("a0", "r0", int(SOME_TUESDAY) - 1), refresh=Renewal().ask, on_refresh=save, clock=FakeClock()
        )
        caller = asyncio.create_task(source.bearer())
        await saving.wait()
        caller.cancel()

    run(main())
    assert saved == ["r1"]


def test_a_wait_that_begins_after_the_loop_began_to_end_does_not_begin() -> None:
    begun = anyio.Event()
    reached: list[str] = []

    async def work() -> None:
        begun.set()
        await turns()
        reached.append("the wait")
        with cancellable():
            reached.append("inside")

    async def main() -> None:
        caller = asyncio.create_task(run_shielded(work, lambda: reached.append("end")))
        await begun.wait()
        caller.cancel()

    asyncio.run(main())
    assert reached == ["the wait", "end"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_work_inside_of_work_that_is_held_is_held(backend: str) -> None:
    done: list[str] = []

    async def main() -> None:
        begun = anyio.Event()

        async def inner() -> None:
            with cancellable():
                begun.set()
                await turns()
            done.append("inner")

        async def outer() -> str:
            await run_shielded(inner, lambda: None)
            return "outer"

        async def call() -> None:
            done.append(await call_shielded(outer, lambda: done.append("end")))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await begun.wait()
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert done == ["inner", "end"]


def test_what_was_not_begun_does_not_begin_when_the_loop_ends() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("begun")

    async def main() -> None:
        caller = asyncio.create_task(run_shielded(work, lambda: done.append("end")))
        await asyncio.sleep(0)
        caller.cancel()

    asyncio.run(main())
    assert done in (["end"], ["begun", "end"])
    done.clear()
    loop = asyncio.new_event_loop()
    task = loop.create_task(run_shielded(work, lambda: done.append("end")))
    loop.call_soon(loop.stop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    assert len(left) == 2
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
    assert done == ["end"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("nested", [False, True])
def test_work_that_hangs_does_not_hold_the_end_of_the_loop_for_ever(backend: str, nested: bool) -> None:
    ended: list[str] = []

    async def main() -> None:
        begun = anyio.Event()

        async def hang() -> None:
            begun.set()
            await anyio.sleep_forever()

        async def outer() -> None:
            await run_shielded(hang, lambda: ended.append("inner"), seconds=0.0)

        async with anyio.create_task_group() as tasks:
            work = outer if nested else hang
            tasks.start_soon(partial(run_shielded, work, lambda: ended.append("outer"), seconds=0.0))
            await begun.wait()
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert sorted(ended) == (["inner", "outer"] if nested else ["outer"])


@pytest.mark.anyio
async def test_scopes_and_timeouts_inside_of_the_work_end_what_they_are_for() -> None:
    timed_out: list[str] = []
    scope = anyio.CancelScope()
    inside = anyio.Event()

    async def work() -> None:
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        timed_out.append("its own scope")
        with suppress(TimeoutError):
            with anyio.fail_after(0.001):
                await anyio.sleep_forever()
        timed_out.append("its own timeout")
        with scope:
            inside.set()
            await anyio.sleep_forever()
        timed_out.append("a scope that another task holds")

    async def cancel() -> None:
        await inside.wait()
        scope.cancel()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            await run_shielded(work, lambda: None)
    assert timed_out == ["its own scope", "its own timeout", "a scope that another task holds"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_asyncios_own_timeouts_and_groups_work_inside() -> None:
    failures: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise OSError

    async def work() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        failures.append("timeout")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
                await asyncio.sleep(60)
        except* OSError:
            failures.append("group")

    with anyio.fail_after(10):
        await run_shielded(work, lambda: None)
    assert failures == ["timeout", "group"]


@pytest.mark.anyio
async def test_tasks_that_outlive_finished_work_are_not_part_of_it() -> None:
    order: list[str] = []

    async def later() -> None:
        await ended.wait()
        with cancellable():
            order.append("a wait of its own")
        with anyio.CancelScope() as scope:
            cancel.append(scope.cancel)
            await run_shielded(inner, done.set)

    async def inner() -> None:
        cancel[0]()
        await turns()
        order.append("work of its own")

    async def work() -> None:
        tasks.start_soon(later)

    cancel: list[Callable[[], None]] = []
    ended, done = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        await run_shielded(work, lambda: None, seconds=0.0)
        ended.set()
    await done.wait()
    assert order == ["a wait of its own", "work of its own"]


@pytest.mark.anyio
async def test_what_the_work_raises_is_raised_as_it_is() -> None:
    async def work() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await call_shielded(work, lambda: None)


# One object, one event loop


def in_another_thread(work: Callable[[], object]) -> list[Exception]:
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


@pytest.mark.anyio
@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_a_token_source_belongs_to_one_event_loop_at_a_time(other: str) -> None:
    source = TokenSource(TokenSet("a0"))
    assert await source.bearer() == "a0"
    for use in (source.bearer, source.wait_idle, partial(source.renew, "a0")):
        raised = in_another_thread(partial(anyio.run, use, backend=other))
        assert [type(error) for error in raised] == [InputError]
        assert "TokenSource" in str(raised[0])
    assert await source.bearer() == "a0"
