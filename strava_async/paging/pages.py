"""Lists that come in pages: which request is next, and when is the end reached?

Rules:

- The end is an empty page. A page shorter than requested is not the end: Strava says so, and filters after paging.
- ``limit`` ends the walk without a request to find out whether there is more.
- What is new moves the rest towards later pages. An item that came before does not come again, and a page of such
  items is not the end.
- An endpoint that ignores ``page`` returns the same items again and again. Three equal pages in a row are the end too;
  two are, where nothing tells their items from others and they are not full.
- A cursor that was followed before is not followed again. After three pages in a row that bring nothing new none is.

Source:
    https://developers.strava.com/docs/ (pagination), and its changelog of 2022-10-18 (cursors of comments).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

from strava_async._types import is_list
from strava_async.errors import DecodeError, InputError

MAX_PER_PAGE = 200
REPEATS = 2
MAX_STALE_PAGES = 3

Identity = Callable[[Any], Hashable | None]


class PageWalk:
    """The state of one walk over numbered pages.

    Args:
        per_page: items to ask for; more than 200 means 200, Strava's maximum.
        limit: items wanted at the most; None means all.
        prefetch: how many pages may be requested beside the one that is needed.
        identity: what tells an item from the others; None where nothing does. Without it all items are taken.

    Raises:
        InputError: a number is invalid.
    """

    def __init__(self, per_page: int, limit: int | None, prefetch: int, identity: Identity | None = None) -> None:
        if prefetch < 0:
            raise InputError("prefetch is not negative")
        self.per_page = checked_per_page(per_page)
        self._wanted = _Wanted(limit, identity)
        self._prefetch = prefetch
        self._next_page = 1
        self._last: list[Any] | None = None
        self._repeats = 0
        self._ended = False

    def next_requests(self) -> list[dict[str, Any]]:
        """Return the parameters of the pages to ask for together; none when the walk is over."""
        if self._ended or self._wanted.missing == 0:
            return []
        count = 1 + self._prefetch
        if self._wanted.missing is not None:
            count = min(count, -(-self._wanted.missing // self.per_page))
        first = self._next_page
        self._next_page += count
        return [{"page": page, "per_page": self.per_page} for page in range(first, self._next_page)]

    def take(self, page: object, path: str) -> list[Any]:
        """Return the items of a page that belong to the walk; pages come in the order of their numbers.

        Raises:
            DecodeError: the page is not a list.
        """
        items = _items(page, path)
        if self._ended or not items:
            self._ended = True
            return []
        keys = self._wanted.keys(items)
        told_apart = None not in keys
        shown = keys if told_apart else items
        self._repeats = self._repeats + 1 if shown == self._last else 0
        self._last = shown
        # A full page of new arrivals shows the page before once more; so may people of one name. Others do not.
        often = REPEATS if told_apart or len(items) == self.per_page else 1
        if self._repeats >= often:
            self._ended = True
            return []
        return self._wanted.pick(items, keys)


class CursorWalk:
    """The state of one walk from cursor to cursor: the last item of a page says where the next begins.

    Args:
        page_size: items to ask for; more than 200 means 200.
        limit: items wanted at the most; None means all.
        cursor: what an item holds as its cursor; None if it holds none.
        identity: as for ``PageWalk``.

    Raises:
        InputError: a number is invalid.
    """

    def __init__(
        self, page_size: int, limit: int | None, cursor: Callable[[Any], str | None], identity: Identity | None = None
    ) -> None:
        self._page_size = checked_per_page(page_size)
        self._wanted = _Wanted(limit, identity)
        self._cursor = cursor
        self._next: str | None = None
        self._followed: set[str | None] = set()
        self._stale_pages = 0

    def next_requests(self) -> list[dict[str, Any]]:
        """Return the parameters of the page to ask for; none when the walk is over."""
        if self._next in self._followed or self._wanted.missing == 0:
            return []
        self._followed.add(self._next)
        return [{"page_size": self._page_size, "after_cursor": self._next}]

    def take(self, page: object, path: str) -> list[Any]:
        """Return the items of a page that belong to the walk.

        Raises:
            DecodeError: the page is not a list.
        """
        items = _items(page, path)
        # The last that there is: a bad item at the end must not cost the pages behind it. Without a cursor there is no
        # way on: the first page, which None stands for, was followed already.
        self._next = next(filter(None, map(self._cursor, reversed(items))), None)
        picked = self._wanted.pick(items, self._wanted.keys(items))
        self._stale_pages = 0 if picked else self._stale_pages + 1
        if self._stale_pages == MAX_STALE_PAGES:
            self._next = None
        return picked


class _Wanted:
    """What a walk still wants: how many items, and none twice."""

    def __init__(self, limit: int | None, identity: Identity | None) -> None:
        if limit is not None and limit < 0:
            raise InputError("limit is not negative")
        self.missing = limit
        self._identity = identity
        self._seen: set[Hashable] = set()

    def keys(self, items: list[Any]) -> list[Hashable | None]:
        return [None] * len(items) if self._identity is None else [self._identity(item) for item in items]

    def pick(self, items: list[Any], keys: list[Hashable | None]) -> list[Any]:
        picked = list(self._new(items, keys))
        if self.missing is not None:
            picked = picked[: self.missing]
            self.missing -= len(picked)
        return picked

    def _new(self, items: list[Any], keys: list[Hashable | None]) -> Iterator[Any]:
        for item, key in zip(items, keys, strict=True):
            if key is None or key not in self._seen:
                self._seen.add(key)
                yield item


def checked_per_page(number: int) -> int:
    """Return how many items to ask for: Strava's maximum for what is more.

    Raises:
        InputError: it is no number of items.
    """
    if number.__class__ is not int or number < 1:
        raise InputError("per_page is a whole number, at least 1")
    return min(number, MAX_PER_PAGE)


def _items(page: object, path: str) -> list[Any]:
    if not is_list(page):
        raise DecodeError(f"{path} did not return a list", path=path)
    return page
