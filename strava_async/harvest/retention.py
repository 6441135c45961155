"""When a harvest deletes what is older than ``keep``, and the traces of what was deleted: ``Retention``.

Rules:

- By age is deleted in each run, as soon as Strava's answers have confirmed the time, and again as long as it lasts. If
  they contradict the machine, that waits for the end: what came before they did gets its time when it comes again.
- A run in which they have not, such as one of athletes who have all revoked their grants, deletes by the machine's
  clock at its end, if the last time was less than a month ago by it: then it has not jumped to next year. Otherwise
  nothing is deleted by age until an answer comes, or ``Harvest.purge`` is called.
- Slices share what is done twice a day.
- What was deleted leaves no trace at the end of a run, and after a killed one none when the next deletes by age.
"""

from __future__ import annotations

import math

from strava_async.clock import Clock
from strava_async.harvest.base import HarvestStore
from strava_async.harvest.deletion import delete_older
from strava_async.harvest.listing import DAY_SECONDS, pass_seconds
from strava_async.harvest.timekeeper import Timekeeper

PURGED_AT = "purged_at"  # a setting of the store: epoch seconds
_TRUSTED_SECONDS = 31 * DAY_SECONDS


class Retention:
    """The retention in one run.

    Args:
        store: of what.
        keep: how long; seconds. None means until it is deleted.
        clock: the machine's.
        timekeeper: confirms it.
        is_shared: whether many short runs share the work.

    Attributes:
        purged: how many activities and resources were deleted.
    """

    def __init__(
        self, store: HarvestStore, keep: float | None, clock: Clock, timekeeper: Timekeeper, *, is_shared: bool
    ) -> None:
        self.purged = 0
        self._store = store
        self._keep = keep
        self._clock = clock
        self._timekeeper = timekeeper
        self._is_shared = is_shared
        self._last: float | None = None  # by an earlier run; epoch seconds
        self._due_at = -math.inf  # monotonic

    async def begin(self) -> None:
        """Learn when an earlier run did it."""
        self._last = _instant((await self._store.settings()).get(PURGED_AT))
        since = math.inf if self._last is None else self._clock.time() - self._last
        if self._is_shared and 0 <= since < self._interval:
            self._due_at = self._clock.monotonic() + self._interval - since

    async def purge_if_due(self) -> None:
        """Delete what is too old, if the time is confirmed, and that was not done a while ago."""
        if self._clock.monotonic() >= self._due_at:
            now = self._timekeeper.time()
            is_certain = self._timekeeper.is_confirmed and not self._timekeeper.was_wrong
            if self._keep is None or is_certain:
                await self._purge(now)

    async def end(self, *, has_deleted: bool) -> None:
        """Do what is left to do.

        Args:
            has_deleted: whether the run has deleted activities.
        """
        await self.purge_if_due()
        now, last = self._timekeeper.time(), self._last
        is_due = self._clock.monotonic() >= self._due_at
        is_trusted = last is not None and 0 <= now - last <= _TRUSTED_SECONDS
        if is_due and (self._timekeeper.is_confirmed or is_trusted):
            await self._purge(now)
            return
        if is_due and last is None:  # nothing in it is old, and from now on it is known how much time passes
            await self._store.set_setting(PURGED_AT, repr(now))
        if (is_due or has_deleted) and not self._is_shared:
            await delete_older(self._store, -math.inf)

    @property
    def _interval(self) -> float:
        return pass_seconds(self._keep) / 2

    async def _purge(self, now: float) -> None:
        self._due_at = self._clock.monotonic() + self._interval
        instant = -math.inf if self._keep is None else now - self._keep
        deleted = await delete_older(self._store, instant)
        self.purged += deleted
        await self._store.set_setting(PURGED_AT, repr(now))


def _instant(text: str | None) -> float | None:
    try:
        at = math.nan if text is None else float(text)
    except ValueError:
        return None
    return at if math.isfinite(at) else None
