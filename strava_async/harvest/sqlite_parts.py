"""The files of a harvest: one for all athletes, or one for each in a directory."""

from __future__ import annotations

import os
import re
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from strava_async._concurrency.threads import finish_in_thread
from strava_async.clock import Clock
from strava_async.harvest.athlete_locks import try_acquire
from strava_async.harvest.sqlite_hold import Lock
from strava_async.harvest.sqlite_part import BUSY_SECONDS, Part
from strava_async.harvest.sqlite_schema import SCHEMA
from strava_async.stores._values import check_athlete_id
from strava_async.stores.file_errors import explained
from strava_async.stores.private_files import make_private_directories

if sys.platform != "win32":
    import resource

T = TypeVar("T")

_FILES_OF_EACH = 4  # that SQLite has open
_FEWEST_OPEN, _MOST_OPEN = 8, 256
_CACHE_KIB = 128  # of each: hundreds are open
_FILES_OF_WINDOWS = 512
_NAME = re.compile(r"([0-9]{1,19})\.sqlite")


def most_open(files: int) -> int:
    """Return the files of how many athletes may be open in a process that may open so many files."""
    return max(_FEWEST_OPEN, min(_MOST_OPEN, files // 2 // _FILES_OF_EACH))


def files_allowed() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return _FILES_OF_WINDOWS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


class Parts(Protocol):
    """Where each athlete's rows are."""

    @property
    def path(self) -> str:
        """The file or directory; absolute."""
        ...

    async def of(self, athlete_id: int) -> Part:
        """Return the file that an athlete's rows are in, which need not exist.

        Raises:
            InputError: it is no id.
        """
        ...

    async def each(self, work: Callable[[Part], Awaitable[T]]) -> list[T]:
        """Return what ``work`` returns for each file that exists, one after the other."""
        ...

    async def delete(self, athlete_id: int) -> None:
        """Delete everything of an athlete."""
        ...

    async def prepare(self) -> None:
        """Make what the files are in."""
        ...

    def common(self) -> Part:
        """Return the file for what is not of one athlete; it need not exist."""
        ...


class OneFile:
    """One file for all.

    Args:
        part: it.
    """

    def __init__(self, part: Part) -> None:
        self._part = part

    @property
    def path(self) -> str:
        """See ``Parts``."""
        return self._part.path

    async def of(self, athlete_id: int) -> Part:
        """See ``Parts``."""
        check_athlete_id(athlete_id)
        return self._part

    async def each(self, work: Callable[[Part], Awaitable[T]]) -> list[T]:
        """See ``Parts``."""
        return [await work(self._part)] if self._part.exists() else []

    async def delete(self, athlete_id: int) -> None:
        """See ``Parts``."""
        check_athlete_id(athlete_id)
        if self._part.exists():
            await self._part.delete_athlete(athlete_id)

    async def prepare(self) -> None:
        """See ``Parts``."""

    def common(self) -> Part:
        """See ``Parts``."""
        return self._part


class Directory:
    """A file for each athlete, ``7.sqlite``, and ``common.sqlite`` for what is of none.

    So many are open at a time as take half of the files that the process may open, however many are held.

    Args:
        path: the directory; made by the first athlete.
        private: False accepts files that other users may read.
        clock: tells since when they are held.

    Attributes:
        path: see above.
    """

    def __init__(self, path: str, *, private: bool, clock: Clock) -> None:
        self.path: Final = path
        self._private = private
        self._clock = clock
        self._parts: dict[int, Part] = {}
        self._used: OrderedDict[int, Part] = OrderedDict()  # last; no others are open
        self._most_open = most_open(files_allowed())
        self._common = Part(os.path.join(path, "common.sqlite"), private=private, clock=clock)

    async def of(self, athlete_id: int) -> Part:
        """See ``Parts``."""
        check_athlete_id(athlete_id)  # it becomes a path
        part = self._parts.get(athlete_id)
        if part is None:
            part = self._parts[athlete_id] = self._made(athlete_id)
        self._used[athlete_id] = part
        self._used.move_to_end(athlete_id)
        while len(self._used) > self._most_open:
            spare_id, spare = self._used.popitem(last=False)
            if not spare.is_held:
                del self._parts[spare_id]
            await finish_in_thread(spare.close)
        return part

    async def each(self, work: Callable[[Part], Awaitable[T]]) -> list[T]:
        """See ``Parts``."""

        def names() -> list[str]:
            with explained(self.path, BUSY_SECONDS, SCHEMA.error):
                return os.listdir(self.path) if os.path.isdir(self.path) else []

        found = (_NAME.fullmatch(name) for name in await finish_in_thread(names))
        results: list[T] = []
        for athlete_id in sorted(int(match[1]) for match in found if match):
            part = await self.of(athlete_id)
            if part.exists():  # nobody has removed it meanwhile
                results.append(await work(part))
        return results

    async def delete(self, athlete_id: int) -> None:
        """See ``Parts``."""
        part = await self.of(athlete_id)
        await part.remove()

    async def prepare(self) -> None:
        """See ``Parts``."""

        def work() -> None:
            with explained(self.path, BUSY_SECONDS, SCHEMA.error):
                make_private_directories(self.path)

        await finish_in_thread(work)

    def common(self) -> Part:
        """See ``Parts``."""
        return self._common

    def _made(self, athlete_id: int) -> Part:
        def try_lock() -> Lock | None:
            with explained(self.path, BUSY_SECONDS, SCHEMA.error):
                return try_acquire(self.path, athlete_id)

        path = os.path.join(self.path, f"{athlete_id}.sqlite")
        return Part(path, private=self._private, clock=self._clock, try_lock=try_lock, cache_kib=_CACHE_KIB)
