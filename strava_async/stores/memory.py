"""Tokens in memory, for tests and for programs that connect athletes each time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from strava_async._concurrency.keyed_lock import KeyedLock
from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.oauth.token_set import TokenSet
from strava_async.stores._values import check_athlete_id
from strava_async.stores.base import ANY, AnyTokens, Lease
from strava_async.stores.lease import UntilReleased


class MemoryTokenStore:
    """A ``TokenStore`` whose tokens end with the process. Only ``lock`` waits.

    Can be used in several event loops, one after another; ``lock`` raises InputError in a second one before the
    first has ended, because a waiter of the other loop could not be woken. All methods raise it for
    an invalid athlete id.
    """

    def __init__(self) -> None:
        self._tokens: dict[int, TokenSet] = {}
        self._locks = KeyedLock()
        self._loop = LoopBinding("this token store")

    def __repr__(self) -> str:
        return f"<MemoryTokenStore athletes={len(self._tokens)}>"

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected."""
        check_athlete_id(athlete_id)
        return self._tokens.get(athlete_id)

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        """Save the tokens, if those in the store are the ones that they are to replace; see ``TokenStore``."""
        check_athlete_id(athlete_id)
        if replacing is not ANY and self._tokens.get(athlete_id) != replacing:
            return False
        self._tokens[athlete_id] = token
        return True

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        """Delete the athlete's tokens, if they are these; see ``TokenStore``."""
        check_athlete_id(athlete_id)
        if if_unchanged is not ANY and self._tokens.get(athlete_id) != if_unchanged:
            return False
        return self._tokens.pop(athlete_id, None) is not None

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        return sorted(self._tokens)

    async def iter_athlete_ids(self, *, after: int = 0) -> AsyncIterator[int]:
        """Iterate over the connected athletes with a larger id, in ascending order."""
        check_athlete_id(after)
        for athlete_id in sorted(self._tokens):
            if athlete_id > after:
                yield athlete_id

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[Lease]:
        """Return a context that one task at a time is in; others wait in the order in which they came.

        Raises:
            InputError: another event loop uses the store, and has not ended.
        """
        check_athlete_id(athlete_id)
        self._loop.enter()
        async with self._locks.hold(athlete_id):
            lease = UntilReleased()
            try:
                yield lease
            finally:
                lease.release()
