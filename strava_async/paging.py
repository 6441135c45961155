"""Pages by number: which page comes next, and when is the end reached?

Rules:

- The end is an empty page. A page shorter than asked is not the end: Strava says so, and filters after paging.
- ``limit`` ends the walk without asking whether there is more.
- An endpoint that ignores ``page`` answers the same again and again. Two equal pages in a row are the end too.

Source:
    https://developers.strava.com/docs/ (pagination).
"""

from __future__ import annotations

from typing import Any

from strava_async._shapes import is_list
from strava_async.errors import DecodeError, InputError

MAX_PER_PAGE = 200


class PageWalk:
    """The state of one walk over numbered pages.

    Args:
        per_page: items to ask for; more than 200 is asked as 200, which is Strava's maximum.
        limit: items wanted at the most; None means all.
        prefetch: how many pages may be asked for beside the one that is needed.

    Raises:
        InputError: a number that makes no sense.
    """

    def __init__(self, per_page: int, limit: int | None, prefetch: int) -> None:
        if per_page < 1:
            raise InputError("per_page is at least 1")
        if limit is not None and limit < 0:
            raise InputError("limit is not negative")
        if prefetch < 0:
            raise InputError("prefetch is not negative")
        self.per_page = min(per_page, MAX_PER_PAGE)
        self._missing = limit
        self._prefetch = prefetch
        self._next_page = 1
        self._last: list[Any] | None = None
        self._ended = limit == 0

    def next_pages(self) -> range:
        """Return the numbers of the pages to ask for together; empty when the walk is over."""
        if self._ended:
            return range(0)
        count = 1 + self._prefetch
        if self._missing is not None:
            count = min(count, -(-self._missing // self.per_page))
        pages = range(self._next_page, self._next_page + count)
        self._next_page += count
        return pages

    def take(self, page: object, path: str) -> list[Any]:
        """Return the items of a page that belong to the walk; pages come in the order of their numbers.

        Raises:
            DecodeError: the page is not a list.
        """
        if self._ended:
            return []
        if not is_list(page):
            raise DecodeError(f"{path} did not answer with a list", path=path)
        items = page
        if not items or items == self._last:
            self._ended = True
            return []
        self._last = items
        if self._missing is not None:
            items = items[: self._missing]
            self._missing -= len(items)
            self._ended = self._missing == 0
        return items
