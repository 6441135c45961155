"""``Listing``: a list of Strava's that is fetched page by page, as far as it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, Self, TypeVar

from strava_async.paging.async_only import AsyncOnly
from strava_async.paging.walk import Pages

T = TypeVar("T")


class Listing(AsyncOnly, Generic[T]):
    """A list that is fetched while it is read. Nothing is asked before the first item is.

    ::

        async for activity in client.activities.list():  # item by item
        async for page in client.activities.list().pages():  # page by page
        activities = await client.activities.list(limit=50).collect()

    Each page costs one request of the read class, the empty one at the end included. A loop may be left at any time:
    nothing goes on behind it. Each loop begins anew. One iterator is for one task.

    Args:
        begin: begins a walk over the pages.
        what: for the repr.

    Raises:
        AsyncOnlyError: it is used in a plain ``for`` loop, or awaited.
        StravaError: while iterating, as a single call does. Iterating on asks for the same page again.
    """

    _ALL = "await ....collect()"

    def __init__(self, begin: Callable[[], Pages[T]], what: str = "items") -> None:
        begin()  # asks for nothing; a number that makes no sense is told now, not when the first item is asked for
        self._begin = begin
        self._what = what

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._what}>"

    def __aiter__(self) -> AsyncIterator[T]:
        return _Items(self._begin())

    def pages(self) -> AsyncIterator[list[T]]:
        """Return an iterator over lists of items, as they came together; none of them is empty."""
        return self._begin()

    async def collect(self) -> list[T]:
        """Return all items. Waits for quota as often as it has to."""
        return [item async for item in self]


class _Items(AsyncOnly, Generic[T]):
    def __init__(self, pages: Pages[T]) -> None:
        self._pages = pages
        self._items = iter(list[T]())

    def __repr__(self) -> str:
        return f"<items of {self._pages!r}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            for item in self._items:
                return item
            self._items = iter(await anext(self._pages))
