"""Whether an athlete who is being harvested is still known to the store: ``Presence``."""

from __future__ import annotations

from strava_async.harvest.outcome import Failure
from strava_async.harvest.session import Session

_EACH = 20


class Presence:
    """An athlete may be deleted meanwhile, or the file be removed: then nothing that comes is kept.

    Args:
        session: the run.
        athlete_id: who.
    """

    def __init__(self, session: Session, athlete_id: int) -> None:
        self._session = session
        self._athlete_id = athlete_id
        self._asked = 0
        self._is_lost = False

    async def lasts(self, *, is_end: bool = False) -> bool:
        """Return whether the athlete is known, by a look at each 20th call and at the end; who is not is a failure."""
        self._asked += 1
        if not self._is_lost and (is_end or self._asked % _EACH == 0):
            await self._look()
        return not self._is_lost

    async def _look(self) -> None:
        state = await self._session.store.state(self._athlete_id)
        if state is None and not self._is_lost:
            self._is_lost = True
            reason = "the athlete was deleted from the store meanwhile, or its file was removed"
            self._session.fail(Failure(self._athlete_id, None, "", reason))
