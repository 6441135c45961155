"""The application's quota, combined from all processes.

Each process learns the counts from the answers to its own requests. It writes them to the shared file, which
keeps the highest count of the latest window.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from examples.fastapi_app.database import Database
from strava_async import Clock, Quota

LABELS = {
    "read_15min": "Reads, 15 minutes",
    "read_day": "Reads, today",
    "overall_15min": "All requests, 15 minutes",
    "overall_day": "All requests, today",
}


@dataclass(frozen=True)
class Gauge:
    """One meter.

    Attributes:
        name: as on ``Quota``.
        resets_at: the end of its window; epoch seconds.
        limit: requests that the window holds.
        usage: requests spent.
    """

    name: str
    resets_at: int
    limit: int
    usage: int

    @property
    def label(self) -> str:
        """The meter's name for people."""
        return LABELS[self.name]

    @property
    def percent(self) -> float:
        """How much is spent, at most 100."""
        return round(min(100.0, 100.0 * self.usage / max(self.limit, 1)), 1)


class Meters:
    """The meters of the application.

    Args:
        database: the file.
        clock: the time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def tell(self, quota: Quota) -> None:
        """Share this process's counts with the other processes."""
        rows = [
            (name, round(meter.resets_at), meter.limit, meter.usage)
            for name in LABELS
            if (meter := getattr(quota, name)).limit is not None and meter.usage is not None
        ]
        update = "update set limit_ = excluded.limit_, usage = max(usage, excluded.usage)"
        statement = f"insert into meters values (?, ?, ?, ?) on conflict do {update}"
        before = self._clock.time()

        def work(db: sqlite3.Connection) -> None:
            db.executemany(statement, rows)
            db.execute("delete from meters where resets_at < ?", (before,))

        await self._database.run(work)

    async def read(self) -> tuple[Gauge, ...]:
        """Return the meters that are known, in the order of ``LABELS``; without windows that have ended."""
        query = "select name, max(resets_at), limit_, usage from meters where resets_at >= ? group by name"
        rows = await self._database.run(lambda db: db.execute(query, (self._clock.time(),)).fetchall())
        gauges = {row[0]: Gauge(*row) for row in rows}
        return tuple(gauges[name] for name in LABELS if name in gauges)
