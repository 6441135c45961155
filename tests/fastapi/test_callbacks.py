"""The application's own functions: async ones run on the loop, others in a thread."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from strava_async.fastapi._callbacks import call_back

pytestmark = pytest.mark.anyio


def thread(extra: int = 0) -> tuple[int, int]:
    return threading.get_ident(), extra


async def loop(extra: int = 0) -> tuple[int, int]:
    return thread(extra)


class Later:
    async def __call__(self, extra: int) -> tuple[int, int]:
        return thread(extra)

    async def method(self, extra: int) -> tuple[int, int]:
        return thread(extra)


@pytest.mark.parametrize(
    "function", [loop, Later(), Later().method, partial(loop), lambda extra: loop(extra)], ids=range(5)
)
async def test_an_async_function_runs_on_the_loop(function: Callable[[int], Awaitable[tuple[int, int]]]) -> None:
    assert await call_back(function, 7) == (threading.get_ident(), 7)


@pytest.mark.parametrize("function", [loop, Later()], ids=range(2))
async def test_an_async_function_needs_no_thread(function: Callable[[int], Awaitable[tuple[int, int]]]) -> None:
    threads = anyio.to_thread.current_default_thread_limiter()
    threads.total_tokens = 1
    await threads.acquire_on_behalf_of("somebody else")
    with anyio.fail_after(10):
        assert await call_back(function, 7) == (threading.get_ident(), 7)


@pytest.mark.parametrize("function", [thread, partial(thread), lambda extra: thread(extra)], ids=range(3))
async def test_any_other_runs_in_a_thread(function: Any) -> None:
    ident, extra = await call_back(function, 7)
    assert ident != threading.get_ident()
    assert extra == 7


@pytest.mark.parametrize("kind", ["async", "sync", "lambda"])
async def test_what_it_raises_comes_through(kind: str) -> None:
    def fail() -> None:
        raise LookupError("this one")

    async def fail_later() -> None:
        fail()

    with pytest.raises(LookupError, match="this one"):
        await call_back({"async": fail_later, "sync": fail, "lambda": lambda: fail_later()}[kind])
