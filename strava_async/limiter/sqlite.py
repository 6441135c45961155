"""A quota that the processes of one machine share through a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from strava_async.clock import Clock, SystemClock
from strava_async.limiter.shared import SharedLimiter
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.stores._values import check_application


class SqliteRateLimiter(SharedLimiter):
    """The quota of one application, shared by all processes of a machine that open the same file.

    It is a ``RateLimiter`` for each process: its queue, priorities, deadlines and permits are as there. What may start
    is agreed with the other processes in the file, some requests at a time, and is fair between those that wait. The
    file is SQLite's, made by the first call for its user alone, on a local disk, and is used in a thread. One that is
    removed or replaced is noticed at the next call. A process that is stopped in the middle of a call keeps the others
    away from the file until it goes on or is killed.

    A task of its own keeps in touch. On asyncio the first ``acquire`` starts it; on trio, and wherever you like to,
    ``async with limiter`` does. Leaving that, or ``aclose``, returns the units not used.

    While the file cannot be used (locked, full, damaged, another program's), the process goes on after
    ``lease_seconds`` with half of its part of the last known quota, or waits, as ``away`` says: one WARNING of the
    logger ``strava_async.limiter`` says why, one INFO when it is over.

    Attributes:
        clock: the clock passed in.
        random: the source of jitter passed in.

    Args:
        path: the file; its directory has to be there.
        application: whose quota it is; the client id, for example. All processes give the same.
        clock: None means the system's. Its ``time`` is that of all processes of the machine.
        random: returns numbers in [0, 1); None means the system's.
        reserve: the share of a quarter hour's quota that BACKGROUND calls leave to the others at the beginning of the
            window; from 0 to 1.
        away: ``share`` to go on alone, carefully, while the file cannot be used; ``wait`` to wait.
        lease_seconds: how long a process may use what it was granted without another look at the file; 3 to 300.

    Raises:
        InputError: an argument is wrong.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        application: str,
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
        reserve: float = 0.2,
        away: Literal["share", "wait"] = "share",
        lease_seconds: float = 10.0,
    ) -> None:
        check_application(application)
        clock = clock or SystemClock()
        place = SqlitePlace(path, application, clock)
        super().__init__(
            place,
            f"the shared quota in {place.path}",
            clock=clock,
            random=random,
            reserve=reserve,
            away=away,
            lease_seconds=lease_seconds,
        )

    def __repr__(self) -> str:
        return f"<SqliteRateLimiter of {self._what}: {self.state}>"
