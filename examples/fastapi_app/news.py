"""What happened to athletes' activities, in the file that all processes share.

Rules:

- A piece of news has a key, and is kept once: an event that two processes handle shows once.
- Ids grow in the order in which transactions end, so a reader that has seen an id has seen all before it.
- News is kept for an hour, for browsers that were away for a moment, and no longer than its athlete is connected.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from examples.fastapi_app.database import Database
from examples.fastapi_app.rides import Ride
from strava_async import Clock

KEEP_SECONDS = 3600.0


@dataclass(frozen=True)
class Item:
    """A piece of news.

    Attributes:
        id: its place in the order.
        athlete_id: whose it is.
        activity_id: which activity.
        ride: the activity as it is now; None if it is gone.
    """

    id: int
    athlete_id: int
    activity_id: int
    ride: Ride | None


class News:
    """The news of all athletes.

    Args:
        database: the file.
        clock: the time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, key: str, athlete_id: int, activity_id: int, ride: Ride | None) -> bool:
        """Store a piece of news.

        Args:
            key: the event's; a second one with the same key is ignored.
            athlete_id: whose it is.
            activity_id: which activity.
            ride: the activity as it is now; None if it is gone; earlier news of it is deleted then.

        Returns:
            whether it was new.
        """
        row = key, athlete_id, activity_id, None if ride is None else ride.model_dump_json(), self._clock.time()

        def work(db: sqlite3.Connection) -> bool:
            columns = "key, athlete_id, activity_id, ride, added_at"
            added = db.execute(f"insert or ignore into news ({columns}) values (?, ?, ?, ?, ?)", row).rowcount == 1
            if added and ride is None:
                db.execute("update news set ride = null where activity_id = ?", (activity_id,))
            return added

        return await self._database.run(work)

    async def newest(self) -> int:
        """Return the id of the last piece of news of all athletes; 0 if there has been none."""
        return await self._database.run(_newest)

    async def after(self, since: int, athlete_id: int | None = None) -> list[Item]:
        """Return what came after an id, in order.

        Args:
            since: the id.
            athlete_id: whose news; None means all athletes'.
        """

        def work(db: sqlite3.Connection) -> list[Item]:
            query = "select id, athlete_id, activity_id, ride from news where id > :since"
            if athlete_id is not None:
                query += " and athlete_id = :athlete_id"
            rows = db.execute(f"{query} order by id", {"since": since, "athlete_id": athlete_id})
            return [_item(*row) for row in rows]

        return await self._database.run(work)

    async def covers(self, since: int) -> bool:
        """Return whether no news after an id has been deleted because of its age."""

        def work(db: sqlite3.Connection) -> bool:
            newest = _newest(db)
            (oldest,) = db.execute("select min(id) from news").fetchone()
            return (newest if oldest is None else oldest - 1) <= since <= newest

        return await self._database.run(work)

    async def forget(self, athlete_id: int) -> None:
        """Delete the news of an athlete."""
        await self._database.run(lambda db: db.execute("delete from news where athlete_id = ?", (athlete_id,)).rowcount)

    async def forget_old(self) -> None:
        """Delete the news of more than an hour ago."""
        before = self._clock.time() - KEEP_SECONDS
        await self._database.run(lambda db: db.execute("delete from news where added_at < ?", (before,)).rowcount)


def _item(item_id: int, athlete_id: int, activity_id: int, ride: str | None) -> Item:
    return Item(item_id, athlete_id, activity_id, None if ride is None else Ride.model_validate_json(ride))


def _newest(db: sqlite3.Connection) -> int:
    row = db.execute("select seq from sqlite_sequence where name = 'news'").fetchone()
    return 0 if row is None else int(row[0])
