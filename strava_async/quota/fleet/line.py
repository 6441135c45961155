"""One quota for many processes: who waits beside the process that asks, and what is fair to it. Pure."""

from __future__ import annotations

from strava_async.quota.fleet.messages import NONE
from strava_async.quota.fleet.shares import Demand, fair_part
from strava_async.quota.fleet.state import Fleet, Row

FRESH_MS = 1_500  # a process that waits and has not asked for so long is not counted among those who wait
AWAKE_MS = 3_500  # as long after a turn all are that waited before it: one that is held up for a moment keeps its part
ASLEEP_MS = 700  # who was told to ask later than in so long has no part of the room meanwhile
ELASTIC = 8  # who waits, or has just waited, will soon want so many times as much: its tasks come back for more


class Line:
    """The processes that wait.

    Args:
        fleet: the state, with the report taken in.
        process: that asks; it is not one of them.

    Attributes:
        rows: of the others who wait.
    """

    def __init__(self, fleet: Fleet, process: str) -> None:
        self._fleet = fleet
        self._mine = fleet.rows[process]
        self._since = max(fleet.turned_at, fleet.heals_until)
        self.rows = [row for row in fleet.rows.values() if row is not self._mine and self._waits(row)]

    def _waits(self, row: Row) -> bool:
        fleet, since = self._fleet, self._since
        # A process that has just started all that waited will want as much again when that is answered.
        if not row.wants.total:
            return row.held.overall > 0 and row.wanted_at != NONE and fleet.at - row.wanted_at <= FRESH_MS
        return fleet.at - since <= AWAKE_MS or (row.at >= since and fleet.at - row.asks_at <= FRESH_MS)

    def fair_part(self, room: int, *, of_background: bool = False) -> int:
        """Return how much of a room is the fair part of the process that asks."""
        # Background work goes behind: what it would have is nothing that the others are to leave.
        rows = [row for row in self.rows if of_background or not row.wants.total == row.wants.background > 0]
        if self._fleet.at - self._since > AWAKE_MS:
            # Who will not ask for a while would leave what is kept for it unused.
            rows = [row for row in rows if row.asks_at - self._fleet.at <= ASLEEP_MS]
        return fair_part(room, _demand(self._mine), [_demand(row) for row in rows])

    def ahead(self) -> int:
        """Return how many of those who wait have had less in this window, or as much and an earlier slot."""
        mine = _demand(self._mine)[0], self._mine.slot
        return sum((_demand(row)[0], row.slot) < mine for row in self.rows)

    def unused(self) -> int:
        """Return what others hold who want nothing: some of it is under way, and some in hand."""
        rows = self._fleet.rows.values()
        return sum(row.held.overall for row in rows if row is not self._mine and not row.wants.total)


def _demand(row: Row) -> Demand:
    """Return what a process has had in this window, and what it would have with all that it will want."""
    used = row.done.overall + row.held.overall + row.ahead
    return used, used + ELASTIC * max(1, row.wants.total + row.held.overall)
