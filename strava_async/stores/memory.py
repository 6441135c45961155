"""Tokens in memory, for tests and for programs that connect athletes anew each time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from strava_async._concurrency.keyed_lock import Turns
from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.oauth.grants import TokenSet
from strava_async.stores._values import check_athlete_id


class MemoryTokenStore:
    """A ``TokenStore`` that forgets everything with the process. Nothing waits but ``lock``.

    Can be used in several event loops, one after another; ``lock`` raises InputError in a second one while the first
    lives, because nothing here would wake a waiter of the other. All methods raise it for what is no athlete id.
    """

    def __init__(self) -> None:
        self._tokens: dict[int, TokenSet] = {}
        self._turns = Turns()
        self._loop = LoopBinding("this token store")

    def __repr__(self) -> str:
        return f"<MemoryTokenStore athletes={len(self._tokens)}>"

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected."""
        check_athlete_id(athlete_id)
        return self._tokens.get(athlete_id)

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        """Keep the tokens, in place of those that were there."""
        check_athlete_id(athlete_id)
        self._tokens[athlete_id] = token

    async def delete(self, athlete_id: int) -> None:
        """Forget the athlete's tokens; nothing happens if there are none."""
        check_athlete_id(athlete_id)
        self._tokens.pop(athlete_id, None)

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        return sorted(self._tokens)

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[None]:
        """Return a context that one task at a time is in; others wait in the order in which they came.

        Raises:
            InputError: another event loop uses the store, and has not ended.
        """
        check_athlete_id(athlete_id)
        self._loop.enter()
        async with self._turns.turn(athlete_id):
            yield
