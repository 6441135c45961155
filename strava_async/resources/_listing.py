"""``Listing``: a list of Strava's that is fetched page by page, as it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, Self, TypeVar

from strava_async.paging.async_only import AsyncOnly
from strava_async.paging.walk import Pages
from strava_async.resources._collected import Collected

T = TypeVar("T")


class Listing(AsyncOnly, Generic[T]):
    """A list that is fetched while it is read. The first request is made when the first item is read.

    ::

        async for activity in client.activities.list():  # item by item
        async for page in client.activities.list().pages():  # page by page
        activities = await client.activities.list(limit=50).collect()

    Each page costs one request of the read class, the empty one at the end included. A loop may be left at any time:
    nothing keeps running. Each loop starts from the beginning. One iterator is for one task.

    Args:
        begin: starts a walk over the pages.
        what: for the repr.

    Raises:
        AsyncOnlyError: it is used in a plain ``for`` loop, or awaited.
        StravaError: while iterating, as for a single call. Iterating further requests the same page again.
    """

    _ALL = "await ....collect()"

    def __init__(self, begin: Callable[[], Pages[T]], what: str = "items") -> None:
        begin()  # makes no requests; an invalid number raises now, and not when the first item is read
        self._begin = begin
        self._what = what

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._what}>"

    def __aiter__(self) -> AsyncIterator[T]:
        return _Items(self._begin())

    def pages(self) -> AsyncIterator[list[T]]:
        """Return an iterator over the pages: lists of items, none of which is empty."""
        return self._begin()

    async def collect(self) -> Collected[T]:
        """Return all items, as a list with ``to_pandas`` and ``to_arrow``. Waits for quota as often as necessary."""
        return Collected([item async for item in self])


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
