"""What is read with ``async for``, with an error that says so for ``for`` and ``await``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strava_async.errors import AsyncOnlyError


class AsyncOnly:
    """A mixin: ``for`` and ``await`` raise an error that tells what to write."""

    __slots__ = ()

    _ALL = "[item async for item in ...]"

    if not TYPE_CHECKING:  # type checkers find the mistake themselves, as long as these are not there

        def __iter__(self):
            raise AsyncOnlyError(
                f"{self!r} is fetched while it is read: `async for item in ...`, or all of it by `{self._ALL}`"
            )

        def __await__(self):
            raise AsyncOnlyError(
                f"{self!r} is not awaited itself: `async for item in ...` reads it, `{self._ALL}` returns all of it"
            )
