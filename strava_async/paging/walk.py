"""Walking over the pages of a list, some at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, Self, TypeVar

from strava_async._concurrency.task_group import TaskGroup
from strava_async.paging.async_only import AsyncOnly

T = TypeVar("T")
Params = dict[str, Any]
Fetch = Callable[[Params], Awaitable[list[T]]]


class Walk(Protocol):
    """Knows which requests are next, and what of their results belongs to the list; see ``paging.pages``."""

    def next_requests(self) -> list[Params]:
        """Return the parameters of the requests to make together; none when the walk is over."""
        ...

    def take(self, page: object, path: str) -> list[Any]:
        """Return the items of a page; pages come in the order of their requests."""
        ...


class Pages(AsyncOnly, Generic[T]):
    """The pages of a list, without those that bring nothing new. For one task at a time.

    Pages are fetched in batches, and nothing is in flight while the caller has one: to stop iterating leaves nothing
    behind. After an error or a cancellation the same pages are requested again; none is skipped.

    Args:
        walk: which pages.
        fetch: gets a page, given its parameters.
        path: for errors.

    Raises:
        DecodeError: while iterating, where a page is not a list.
        StravaError: while iterating, as ``fetch`` does; the first error cancels the requests beside it.
    """

    def __init__(self, walk: Walk, fetch: Fetch[T], path: str) -> None:
        self._walk = walk
        self._fetch = fetch
        self._path = path
        self._requests: list[Params] = []
        self._answers: deque[list[T]] = deque()

    def __repr__(self) -> str:
        return f"<pages of {self._path.partition('?')[0]}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        while True:
            while self._answers:
                items: list[T] = self._walk.take(self._answers.popleft(), self._path)
                if items:
                    return items
            self._requests = self._requests or self._walk.next_requests()
            if not self._requests:
                raise StopAsyncIteration
            self._answers.extend(await _together(self._fetch, self._requests))
            self._requests = []


class Items(AsyncOnly, AsyncGenerator[T, None]):
    """The items of a list: an async generator.

    Args:
        items: what yields them.
        path: for the repr.
    """

    def __init__(self, items: AsyncGenerator[T, None], path: str) -> None:
        self._items = items
        self._path = path

    def __repr__(self) -> str:
        return f"<items of {self._path.partition('?')[0]}>"

    def __anext__(self) -> Coroutine[Any, Any, T]:
        return self._items.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:
        """Go on; see ``AsyncGenerator``."""
        return self._items.asend(value)

    def athrow(self, typ: Any, val: Any = None, tb: Any = None) -> Coroutine[Any, Any, T]:
        """Raise where it stands; see ``AsyncGenerator``."""
        return self._items.athrow(typ) if val is None and tb is None else self._items.athrow(typ, val, tb)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """End it; see ``AsyncGenerator``."""
        return self._items.aclose()


async def _together(fetch: Fetch[T], requests: list[Params]) -> list[list[T]]:
    if len(requests) == 1:
        return [await fetch(requests[0])]
    answers: dict[int, list[T]] = {}

    async def one(index: int, params: Params) -> None:
        answers[index] = await fetch(params)

    async with TaskGroup() as tasks:
        for index, params in enumerate(requests):
            tasks.start_soon(one, index, params)
    return [answers[index] for index in range(len(requests))]
